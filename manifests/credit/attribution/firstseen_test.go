package attribution_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// seq gives the elements of s without errors.
func seq[T any](s []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range s {
			if !yield(x, nil) {
				return
			}
		}
	}
}

// failing gives the elements of s and then err.
func failing[T any](s []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range s {
			if !yield(x, nil) {
				return
			}
		}
		var zero T
		yield(zero, err)
	}
}

func entry(index uint64, statement string, chunks []attribution.Chunk) attribution.Earlier {
	return attribution.Earlier{Index: index, Statement: statement, Chunks: seq(chunks)}
}

func firstSeen(t testing.TB, child []attribution.Chunk, atSize uint64, earlier ...attribution.Earlier) attribution.Vector {
	t.Helper()
	v, err := attribution.FirstSeen(seq(child), seq(earlier), atSize)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWholeCopyPaysTheOriginal(t *testing.T) {
	a := noise(20, 3<<20)
	f := fingerprint(t, a)
	equal(t, firstSeen(t, f, 10, entry(3, "orig", f)), vec(t, "orig", 3<<20))
	// Wrapped again by somebody in between: the first registrant is paid.
	equal(t, firstSeen(t, f, 10, entry(7, "wrapper", f), entry(3, "orig", f)), vec(t, "orig", 3<<20))
	// As one of two files, or under other names, or cut out of a larger dataset.
	own := noise(21, 1<<20)
	equal(t, firstSeen(t, fingerprint(t, own, a), 10, entry(3, "orig", f)), vec(t, "orig", 3<<20, "~self", 1<<20))
	equal(t, firstSeen(t, fingerprint(t, a), 10, entry(3, "orig", fingerprint(t, own, a))), vec(t, "orig", 3<<20))
}

func TestEntriesAtOrAboveAtSizeDoNotCount(t *testing.T) {
	f := fingerprint(t, noise(22, 1<<20))
	earlier := []attribution.Earlier{entry(4, "late", f), entry(5, "later", f)}
	for _, test := range []struct {
		atSize uint64
		key    string
	}{{0, "~self"}, {4, "~self"}, {5, "late"}, {6, "late"}} {
		equal(t, firstSeen(t, f, test.atSize, earlier...), vec(t, test.key, 1<<20))
	}
}

func TestDuplicatesCountOnce(t *testing.T) {
	a := noise(23, 1<<20)
	once, often := fingerprint(t, a), fingerprint(t, a, a, a, a)
	equal(t, firstSeen(t, often, 1), vec(t, "~self", 1<<20))
	equal(t, firstSeen(t, often, 1, entry(0, "orig", once)), vec(t, "orig", 1<<20))
	equal(t, firstSeen(t, nil, 1, entry(0, "orig", once)), vec(t))
}

// What the method does not see, as FORMAT.md says: rows in another order, and a
// sample of rows, count for whoever reordered them.
func TestShuffledRowsEvade(t *testing.T) {
	var rows [][]byte
	for i := range 40_000 {
		rows = append(rows, fmt.Appendf(nil, "%d,%x\n", i, noise(uint64(i), 20)))
	}
	orig := bytes.Join(rows, nil)
	shuffledRows := bytes.Join(shuffled(rows, 9), nil)
	v := firstSeen(t, fingerprint(t, shuffledRows), 1, entry(0, "orig", fingerprint(t, orig)))
	equal(t, v, vec(t, "~self", len(orig)))
}

// The laws against a second way to say the same: for each distinct chunk, the
// least index below atSize.
func TestFirstSeenLaws(t *testing.T) {
	pool := make([]attribution.Chunk, 40)
	for i := range pool {
		pool[i] = attribution.ChunkOf(noise(uint64(i), i*100+1))
	}
	rapid.Check(t, func(t *rapid.T) {
		some := func(name string) []attribution.Chunk {
			return rapid.SliceOfN(rapid.SampledFrom(pool), 0, 30).Draw(t, name)
		}
		child := some("child")
		atSize := rapid.Uint64Range(0, 8).Draw(t, "atSize")
		log := make([][]attribution.Chunk, 8)
		for i := range log {
			log[i] = some("entry")
		}
		run := func(seed uint64, child []attribution.Chunk) attribution.Vector {
			var earlier []attribution.Earlier
			for i, chunks := range log {
				earlier = append(earlier, entry(uint64(i), fmt.Sprint("e", i), shuffled(chunks, seed)))
			}
			v, err := attribution.FirstSeen(seq(shuffled(child, seed)), seq(shuffled(earlier, seed)), atSize)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		v := run(1, child)

		want := map[string]uint64{}
		seen := map[attribution.Chunk]bool{}
		var distinct uint64
		for _, c := range child {
			if seen[c] {
				continue
			}
			seen[c] = true
			distinct += uint64(c.Len)
			key := attribution.Self
			if i := slices.IndexFunc(log[:atSize], func(e []attribution.Chunk) bool { return slices.Contains(e, c) }); i >= 0 {
				key = fmt.Sprint("e", i)
			}
			want[key] += uint64(c.Len)
		}
		if v.Len() != len(want) || v.Total() != distinct {
			t.Fatalf("%d keys and %d bytes, want %d and %d", v.Len(), v.Total(), len(want), distinct)
		}
		for k, n := range v.All() {
			if want[k] != n {
				t.Fatalf("%s has %d, want %d", k, n, want[k])
			}
		}
		if !run(2, child).Equal(v) {
			t.Fatal("the order shows")
		}
		if !run(3, slices.Concat(child, child)).Equal(v) {
			t.Fatal("chunks count twice")
		}
	})
}

// The same statement logged at two indexes, or handed over twice, is one key.
func TestOneStatementTwice(t *testing.T) {
	a, b := fingerprint(t, noise(24, 100<<10)), fingerprint(t, noise(25, 100<<10))
	v := firstSeen(t, slices.Concat(a, b), 9, entry(2, "s", b), entry(1, "s", a), entry(1, "s", b))
	equal(t, v, vec(t, "s", 200<<10))
}

func TestFirstSeenRefuses(t *testing.T) {
	f := fingerprint(t, noise(26, 100<<10))
	lie := slices.Clone(f)
	lie[0].Len++
	for name, run := range map[string]func() (attribution.Vector, error){
		"two statements at one index": func() (attribution.Vector, error) {
			return attribution.FirstSeen(seq(f), seq([]attribution.Earlier{entry(1, "a", f), entry(1, "b", f)}), 2)
		},
		"two lengths of one chunk": func() (attribution.Vector, error) {
			return attribution.FirstSeen(seq(slices.Concat(f, lie)), seq[attribution.Earlier](nil), 2)
		},
		"an entry called ~self": func() (attribution.Vector, error) {
			return attribution.FirstSeen(seq(f), seq([]attribution.Earlier{entry(1, "~self", f)}), 2)
		},
		"a chunk of no bytes": func() (attribution.Vector, error) {
			return attribution.FirstSeen(seq([]attribution.Chunk{{}}), seq[attribution.Earlier](nil), 2)
		},
	} {
		if v, err := run(); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
	// A false length earns nothing.
	equal(t, firstSeen(t, f, 2, entry(1, "liar", lie[:1])), vec(t, "~self", 100<<10))

	broken := errors.New("broken")
	for name, run := range map[string]func() (attribution.Vector, error){
		"child": func() (attribution.Vector, error) {
			return attribution.FirstSeen(failing(f, broken), seq[attribution.Earlier](nil), 2)
		},
		"entries": func() (attribution.Vector, error) {
			return attribution.FirstSeen(seq(f), failing([]attribution.Earlier{entry(1, "a", f)}, broken), 2)
		},
		"chunks": func() (attribution.Vector, error) {
			return attribution.FirstSeen(seq(f), seq([]attribution.Earlier{{Index: 1, Statement: "a", Chunks: failing(f, broken)}}), 2)
		},
	} {
		if v, err := run(); !errors.Is(err, broken) || v.Len() != 0 {
			t.Errorf("%s: %v, %v", name, v, err)
		}
	}
}

func encodeFingerprint(chunks []attribution.Chunk) []byte {
	b := []byte(attribution.FingerprintHeader)
	for _, c := range chunks {
		b = attribution.AppendChunk(b, c)
	}
	return b
}

func readFingerprint(r io.Reader) (out []attribution.Chunk, err error) {
	for c, err := range attribution.ReadFingerprint(r) {
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// The golden fingerprint is that of the first 1,000,000 bytes of the numbers
// from 0 on, each on a line, and of a second file of 5 bytes.
func TestGoldenFingerprint(t *testing.T) {
	var lines []byte
	for i := 0; len(lines) < 1_000_000; i++ {
		lines = fmt.Appendf(lines, "%d\n", i)
	}
	f := fingerprint(t, lines[:1_000_000], []byte("hello"))
	if got, want := encodeFingerprint(f), golden(t, "lines.fingerprint"); !bytes.Equal(got, want) {
		t.Errorf("the fingerprint is\n%x\nwant\n%x", got, want)
	}
	back, err := readFingerprint(bytes.NewReader(golden(t, "lines.fingerprint")))
	if err != nil || !slices.Equal(back, f) {
		t.Errorf("read %d chunks of %d, %v", len(back), len(f), err)
	}
}

func FuzzReadFingerprint(f *testing.F) {
	f.Add(golden(f, "lines.fingerprint"))
	f.Add([]byte(attribution.FingerprintHeader))
	f.Fuzz(func(t *testing.T, b []byte) {
		chunks, err := readFingerprint(iotest.HalfReader(bytes.NewReader(b)))
		if err != nil {
			refused(t, err)
			return
		}
		if again := encodeFingerprint(chunks); !bytes.Equal(again, b) {
			t.Fatalf("accepted %x, which encodes to %x", b, again)
		}
	})
}

// A source that breaks off, even by saying "unexpected end" between two
// records, is not a short fingerprint.
func TestBrokenSourceIsNotTheEnd(t *testing.T) {
	b := encodeFingerprint(fingerprint(t, noise(27, 1<<20)))
	for _, cut := range []int{0, 5, 16, 20, 16 + 36, 16 + 72} {
		for _, end := range []error{io.ErrUnexpectedEOF, errors.New("broken")} {
			_, err := readFingerprint(io.MultiReader(bytes.NewReader(b[:cut]), iotest.ErrReader(end)))
			if !errors.Is(err, end) {
				t.Errorf("after %d bytes: %v, want %v", cut, err, end)
			}
		}
	}
	for _, cut := range []int{0, 5, 20, 16 + 35} {
		if _, err := readFingerprint(bytes.NewReader(b[:cut])); fault.Of(err) != fault.Invalid {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func BenchmarkFirstSeen(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	chunks := make([]attribution.Chunk, 1<<18)
	for i := range chunks {
		chunks[i].Len = 65536
		for j := range chunks[i].Hash {
			chunks[i].Hash[j] = byte(r.Uint32())
		}
	}
	child, other := chunks[:1<<17], chunks[1<<16:]
	b.ReportAllocs()
	for b.Loop() {
		firstSeen(b, child, 2, entry(1, "other", other))
	}
}
