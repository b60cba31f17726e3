package twin_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/twin"
)

func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// everyWay runs test with and without two at once.
func everyWay(t *testing.T, test func(t *testing.T)) {
	t.Run("fast", func(t *testing.T) {
		if !twin.Fast() {
			t.Skip("this processor has no instructions for it")
		}
		test(t)
	})
	t.Run("slow", func(t *testing.T) {
		defer twin.Slow()()
		test(t)
	})
}

// lengths of messages: around blocks, around the longest call, and others.
func length() *rapid.Generator[int] {
	near := rapid.Custom(func(t *rapid.T) int {
		at := rapid.SampledFrom([]int{0, 56, 64, 128, 1024 * 64, 2048 * 64}).Draw(t, "near")
		return max(0, at+rapid.IntRange(-2, 2).Draw(t, "by"))
	})
	return rapid.OneOf(near, rapid.IntRange(0, 300), rapid.IntRange(0, 200<<10))
}

func checkSums(t interface {
	Helper()
	Fatalf(string, ...any)
}, msgs [][]byte) {
	t.Helper()
	sums := make([][32]byte, len(msgs))
	twin.Sum256(sums, msgs)
	for i, m := range msgs {
		if want := sha256.Sum256(m); sums[i] != want {
			t.Fatalf("message %d of %d, of %d bytes: %x, want %x", i, len(msgs), len(m), sums[i], want)
		}
	}
}

func TestSumsAreThoseOfTheLibrary(t *testing.T) {
	data := noise(1, 512<<10)
	everyWay(t, func(t *testing.T) {
		for n := range 200 {
			checkSums(t, [][]byte{data[n : 2*n], data[:200-n], data[n:]})
		}
		rapid.Check(t, func(t *rapid.T) {
			msgs := make([][]byte, rapid.IntRange(0, 6).Draw(t, "messages"))
			for i := range msgs {
				off := rapid.IntRange(0, 1000).Draw(t, "offset")
				msgs[i] = data[off : off+length().Draw(t, "length")]
			}
			checkSums(t, msgs)
		})
	})
}

// A Stream is the hash of what was written, however that was, and what is summed
// beside it is the hash of that.
func TestStreamIsTheHashOfItsBytes(t *testing.T) {
	data := noise(2, 512<<10)
	everyWay(t, func(t *testing.T) {
		s := twin.NewStream()
		rapid.Check(t, func(t *rapid.T) {
			s.Reset()
			want := sha256.New()
			for range rapid.IntRange(0, 6).Draw(t, "writes") {
				off := rapid.IntRange(0, 1000).Draw(t, "offset")
				p := data[off : off+length().Draw(t, "length")]
				want.Write(p)
				switch rapid.IntRange(0, 2).Draw(t, "how") {
				case 0:
					s.Write(p)
				case 1:
					if got := s.WriteSum(p, p); got != sha256.Sum256(p) {
						t.Fatalf("the hash of %d bytes beside themselves is %x", len(p), got)
					}
				default:
					q := data[1000-off : 1000-off+length().Draw(t, "beside")]
					if got := s.WriteSum(p, q); got != sha256.Sum256(q) {
						t.Fatalf("the hash of %d bytes beside %d is %x", len(q), len(p), got)
					}
				}
				if got := s.Sum(); !bytes.Equal(got[:], want.Sum(nil)) {
					t.Fatalf("the stream has %x, want %x", got, want.Sum(nil))
				}
			}
		})
	})
}

// checkHints compares the hints of p, in a stream behind before, with a slow look.
func checkHints(t interface {
	Helper()
	Fatalf(string, ...any)
}, before, p, q []byte, r *twin.Roll) {
	t.Helper()
	s := twin.NewStream()
	s.Write(before)
	sum, hints := s.WriteSumRoll(p, q, r, []byte{7})
	if sum != sha256.Sum256(q) || s.Sum() != sha256.Sum256(append(bytes.Clone(before), p...)) {
		t.Fatalf("%d bytes behind %d, beside %d: other hashes than the library's", len(p), len(before), len(q))
	}
	want := []byte{7}
	if n := min(len(p), len(q)) / 64; twin.Fast() && len(before)%64 == 0 {
		var h uint64
		for i := range n {
			hint := byte(0)
			for _, c := range p[64*i : 64*i+64] {
				if h = h<<1 + r.Gear[c]; h < r.Below || i == 0 {
					hint = 1
				}
			}
			want = append(want, hint)
		}
	}
	if !bytes.Equal(hints, want) {
		t.Fatalf("%d bytes behind %d, beside %d: hints %v, want %v", len(p), len(before), len(q), hints, want)
	}
}

func testRoll(below uint64) *twin.Roll {
	r := &twin.Roll{Gear: new([256]uint64), Below: below}
	for i := range r.Gear {
		r.Gear[i] = binary.LittleEndian.Uint64(noise(byte(i), 8))
	}
	return r
}

func TestHintsAreThePlaces(t *testing.T) {
	data := noise(4, 512<<10)
	everyWay(t, func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			off := rapid.IntRange(0, 1000).Draw(t, "offset")
			before := data[:rapid.SampledFrom([]int{0, 1, 63, 64, 128}).Draw(t, "before")]
			p := data[off : off+length().Draw(t, "length")]
			q := data[off : off+length().Draw(t, "beside")]
			bits := rapid.IntRange(40, 63).Draw(t, "bits")
			checkHints(t, before, p, q, testRoll(1<<bits))
		})
	})
}

func FuzzTwin(f *testing.F) {
	f.Add([]byte("abc"), uint16(1), uint32(70), uint32(200))
	f.Add([]byte{0}, uint16(2000), uint32(64), uint32(128))
	f.Fuzz(func(t *testing.T, seed []byte, repeat uint16, i, j uint32) {
		b := bytes.Repeat(seed, int(repeat)%4096+1)
		b = b[:min(len(b), 300<<10)]
		x, y := int(i)%(len(b)+1), int(j)%(len(b)+1)
		checkSums(t, [][]byte{b[x:], b[:y], b[min(x, y):max(x, y)]})
		checkHints(t, b[:x], b[x:], b[y:], testRoll(1<<(32+y%32)))
		s := twin.NewStream()
		s.Write(b[:x])
		if got := s.WriteSum(b[x:], b[y:]); got != sha256.Sum256(b[y:]) || s.Sum() != sha256.Sum256(b) {
			t.Fatalf("%d bytes, of them %d before and %d beside: %x, and the stream %x", len(b), x, len(b)-y, got, s.Sum())
		}
	})
}

// BenchmarkTwin hashes one megabyte twice, in the ways there are.
func BenchmarkTwin(b *testing.B) {
	data := noise(3, 1<<20)
	s, h := twin.NewStream(), sha256.New()
	r, hints := testRoll(1<<50), []byte(nil)
	for name, hash := range map[string]func(){
		"one-after-another": func() { h.Write(data); sha256.Sum256(data) },
		"stream-and-sum":    func() { s.WriteSum(data, data) },
		"with-a-roll":       func() { _, hints = s.WriteSumRoll(data, data, r, hints[:0]) },
		"sums":              func() { twin.Sum256(make([][32]byte, 2), [][]byte{data, data}) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(2 << 20)
			for b.Loop() {
				hash()
			}
		})
	}
}
