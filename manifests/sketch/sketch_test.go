package sketch_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/sketch"
)

func of(hashes []uint64) sketch.Sketch {
	var b sketch.Builder
	for _, h := range hashes {
		b.Add(h)
	}
	return b.Sketch()
}

func same(a, b sketch.Sketch) bool { return a.K == b.K && slices.Equal(a.Hashes, b.Hashes) }

// drawHashes draws a set whose sketch is sampled as often as not.
func drawHashes(t *rapid.T, label string) []uint64 {
	n := rapid.SampledFrom([]int{0, 1, 10, 1000, sketch.MaxHashes, sketch.MaxHashes + 1, 3 * sketch.MaxHashes, 5 * sketch.MaxHashes}).Draw(t, label)
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, label+" seed"), 1))
	out := make([]uint64, n)
	shift := rapid.IntRange(0, 8).Draw(t, label+" shift") // small hashes survive longer
	for i := range out {
		out[i] = r.Uint64() >> shift
	}
	return out
}

func TestLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawHashes(t, "a"), drawHashes(t, "b")
		sa, sb, all := of(a), of(b), of(slices.Concat(a, b))
		if !same(sketch.Merge(sa, sb), all) {
			t.Fatal("the merge of two sketches is not the sketch of the union")
		}
		if !same(sketch.Merge(sb, sa), all) || !same(sketch.Merge(sa, sa), sa) {
			t.Fatal("merging depends on the order, or on repetition")
		}
		mixed := slices.Concat(b, a, b)
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		if !same(of(mixed), all) {
			t.Fatal("the order of records changes the sketch")
		}
		// The smallest K that keeps at most MaxHashes.
		distinct := slices.Compact(slices.Sorted(slices.Values(a)))
		keep := func(k uint8) (out []uint64) {
			for _, h := range distinct {
				if k == 0 || h < 1<<(64-k) {
					out = append(out, h)
				}
			}
			return out
		}
		if !slices.Equal(sa.Hashes, keep(sa.K)) || len(sa.Hashes) > sketch.MaxHashes || sa.K > 0 && len(keep(sa.K-1)) <= sketch.MaxHashes {
			t.Fatalf("K = %d keeps %d of %d", sa.K, len(sa.Hashes), len(distinct))
		}
		// A sketch at a larger sampling is the one that would have been made there.
		k := sa.K + uint8(rapid.IntRange(0, 3).Draw(t, "more"))
		if at := sa.At(k); at.K != k || !slices.Equal(at.Hashes, keep(k)) {
			t.Fatalf("At(%d) is not the sample at %d", k, k)
		}
		again, err := sketch.Decode(all.Encode())
		if err != nil || !same(again, all) || len(all.Encode()) > sketch.MaxBytes {
			t.Fatalf("Decode(Encode) = K %d with %d hashes, %v", again.K, len(again.Hashes), err)
		}
	})
}

// TestContainment holds estimates against the truth: within three standard
// errors nearly always, exact when nothing was sampled.
func TestContainment(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	outside, tries := 0, 0
	for _, size := range []int{100, 5000, 40000, 200000} {
		for _, share := range []float64{0, 0.01, 0.3, 0.5, 1} {
			for range 3 {
				n := int(share * float64(size))
				common, mine := make([]uint64, n), make([]uint64, size-n)
				for i := range common {
					common[i] = r.Uint64()
				}
				for i := range mine {
					mine[i] = r.Uint64()
				}
				other := make([]uint64, 60000)
				for i := range other {
					other[i] = r.Uint64()
				}
				e := sketch.Containment(of(slices.Concat(common, other)), of(slices.Concat(common, mine)))
				truth := float64(n) / float64(size)
				if e.K == 0 && e.Share() != truth {
					t.Errorf("%d of %d, not sampled: %v", n, size, e.Share())
				}
				tries++
				if math.Abs(e.Share()-truth) > 3*e.StdErr()+1e-9 {
					outside++
				}
			}
		}
	}
	if outside > tries/20 {
		t.Errorf("%d of %d estimates are off by more than three standard errors", outside, tries)
	}
}

// TestStdErr: only what was compared whole is exact. An error of 0 for a sample
// of one hash would be a claim about records that nobody looked at.
func TestStdErr(t *testing.T) {
	t.Parallel()
	for _, e := range []sketch.Estimate{{Shared: 1, Of: 1, K: 6}, {Shared: 0, Of: 3, K: 1}, {Shared: 9, Of: 9, K: 2}} {
		if got := e.StdErr(); got < 0.05 || got > 0.5 {
			t.Errorf("%+v has the standard error %.3f", e, got)
		}
	}
	if got := (sketch.Estimate{Shared: 2, Of: 2}).StdErr(); got != 0 {
		t.Errorf("an exact share has the standard error %.3f", got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sketch.Sketch{}.Encode())
	f.Add(of([]uint64{1, 5, 1 << 63}).Encode())
	f.Add(sketch.Sketch{K: 3, Hashes: []uint64{9}}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := sketch.Decode(b)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Encode(), b) {
			t.Fatalf("accepted %x, which encodes to %x", b, s.Encode())
		}
		if !same(sketch.Merge(s), s) {
			t.Fatalf("%x is no sketch that a Builder makes", b)
		}
	})
}

// vectors are those of testdata/vectors.json, which FORMAT.md names.
type vectors struct {
	Values  []struct{ In, Out string }
	Records []struct {
		Values []string
		Hash   string // 16 hexadecimal digits; "" for a record that does not count
	}
}

func TestVectors(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Values) < 20 || len(v.Records) < 4 {
		t.Fatalf("%d values and %d records: the vectors are not all there", len(v.Values), len(v.Records))
	}
	for _, x := range v.Values {
		if got := string(sketch.AppendValue(nil, []byte(x.In))); got != x.Out {
			t.Errorf("AppendValue(%q) = %q, want %q", x.In, got, x.Out)
		}
	}
	var r sketch.Record
	for _, x := range v.Records {
		for range 2 { // in the order given, and the other way round
			r.Reset()
			for _, s := range x.Values {
				r.Add([]byte(s))
			}
			slices.Reverse(x.Values)
			got := ""
			if h, ok := r.Hash(); ok {
				got = fmt.Sprintf("%016x", h)
			}
			if got != x.Hash {
				t.Errorf("the hash of %q is %q, want %q", x.Values, got, x.Hash)
			}
		}
	}
}

// FuzzValue: the canonical form of a canonical form is itself, unless it is a
// form that only numbers have; and case, space and composition do not matter.
func FuzzValue(f *testing.F) {
	for _, s := range []string{"", " A ", "1.50", "-0", "Straße", "e\u0301", "\u00e9", "\xff", "123e4567-e89b-12d3-a456-426614174000", "İ", "ﬁ", "1e-7", "+5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once := sketch.AppendValue(nil, []byte(s))
		if twice := sketch.AppendValue(nil, once); !bytes.Equal(once, twice) && bytes.ContainsFunc(once, func(r rune) bool { return r == '\ufffd' }) == false && len(once) > 0 && len(twice) > 0 {
			t.Fatalf("%q becomes %q, and that %q", s, once, twice)
		}
		if padded := sketch.AppendValue(nil, []byte(" \t"+s+"\n")); len(s) > 0 && strings.ToValidUTF8(s, "") == s && !bytes.Equal(padded, once) {
			t.Fatalf("%q with space around it becomes %q, without %q", s, padded, once)
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	values := [][]byte{[]byte("The quick brown fox jumps over the lazy dog, again and again, until the page is full."), []byte("news"), []byte("12.50"), []byte("2026-11-22"), []byte("Ada Lovelace")}
	n := 0
	for _, v := range values {
		n += len(v)
	}
	b.SetBytes(int64(n))
	var r sketch.Record
	for b.Loop() {
		r.Reset()
		for _, v := range values {
			r.Add(v)
		}
		r.Hash()
	}
}

// TestFold: the quick way is the full way, for each character, and for each
// between others that might combine with it.
func TestFold(t *testing.T) {
	t.Parallel()
	same := func(s string) {
		t.Helper()
		if got, want := sketch.AppendFolded(nil, []byte(s)), sketch.AppendFull(nil, []byte(s)); !bytes.Equal(got, want) {
			t.Fatalf("%+q becomes %+q, and in full %+q", s, got, want)
		}
	}
	for r := range rune(0x20000) {
		if r < 0xd800 || r > 0xdfff {
			same("e" + string(r) + "A\u0301" + string(r))
			same("\u1100\u1161" + string(r) + "\u11a8")
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOfN(rapid.RuneFrom(nil, unicode.Mn, unicode.Lu, unicode.Hangul, unicode.Greek, unicode.Katakana, unicode.M), 0, 12, -1).Draw(t, "text")
		if got, want := sketch.AppendFolded(nil, []byte(s)), sketch.AppendFull(nil, []byte(s)); !bytes.Equal(got, want) {
			t.Fatalf("%+q becomes %+q, and in full %+q", s, got, want)
		}
	})
}
