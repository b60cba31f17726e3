package attribution_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/twin"
)

// noise returns n bytes that look random and are the same everywhere.
func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, 0, n+8)
	for len(b) < n {
		x := r.Uint64()
		b = append(b, byte(x), byte(x>>8), byte(x>>16), byte(x>>24), byte(x>>32), byte(x>>40), byte(x>>48), byte(x>>56))
	}
	return b[:n]
}

// chunksOf cuts b, handed over in pieces.
func chunksOf(t testing.TB, b []byte, piece int) [][]byte {
	t.Helper()
	var out [][]byte
	c := attribution.NewChunker(func(p []byte) error {
		out = append(out, bytes.Clone(p))
		return nil
	})
	for p := range slices.Chunk(b, piece) {
		if n, err := c.Write(p); n != len(p) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}

func fingerprint(t testing.TB, files ...[]byte) []attribution.Chunk {
	t.Helper()
	var out []attribution.Chunk
	for _, f := range files {
		c := attribution.NewFingerprinter(func(x attribution.Chunk) error {
			out = append(out, x)
			return nil
		})
		if _, err := c.Write(f); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// lengths says again, from FORMAT.md alone and slowly, where b is cut.
func lengths(b []byte) []int {
	gear := formatGear()
	var out []int
	for start := 0; start < len(b); {
		end := min(len(b), start+256<<10)
		for i := start + 16<<10; i < end; i++ {
			var h uint64
			for j := max(start+16<<10, i-63); j <= i; j++ {
				h += gear[b[j]] << (i - j)
			}
			bits := 18
			if i >= start+64<<10 {
				bits = 14
			}
			if h>>(64-bits) == 0 {
				end = i
				break
			}
		}
		out = append(out, end-start)
		start = end
	}
	return out
}

// simpleCut is [attribution.Cut] as FORMAT.md writes it down, a byte at a time.
func simpleCut(b []byte) int {
	n := min(len(b), 256<<10)
	gear := formatGear()
	var h uint64
	for i := 16 << 10; i < n; i++ {
		h = h<<1 + gear[b[i]]
		mask := uint64(0xffff_c000_0000_0000)
		if i >= 64<<10 {
			mask = 0xfffc_0000_0000_0000
		}
		if h&mask == 0 {
			return i
		}
	}
	return n
}

// hintsOf gives the hints of p: those of a twin.Stream, or by simple code, or
// fewer.
func hintsOf(p []byte, how int) (hints []byte) {
	if how%3 == 0 {
		_, hints = twin.NewStream().WriteSumRoll(p, p, attribution.Roll, nil)
		return hints
	}
	var h uint64
	gear := formatGear()
	for i := range len(p) / 64 {
		hint := byte(0)
		for _, c := range p[64*i : 64*i+64] {
			if h = h<<1 + gear[c]; h>>50 == 0 || i == 0 {
				hint = 1
			}
		}
		hints = append(hints, hint)
	}
	return hints[:len(hints)/how]
}

// checkFast cuts b, which comes in pieces of these lengths and then in one, in
// all ways, and compares them with simpleCut and crypto/sha256.
func checkFast(t interface {
	Helper()
	Fatalf(string, ...any)
}, b []byte, pieces []int) {
	t.Helper()
	var chunks [][]byte
	c := attribution.NewChunker(func(p []byte) error {
		chunks = append(chunks, bytes.Clone(p))
		return nil
	})
	var names []attribution.Chunk
	f := attribution.NewFingerprinter(func(c attribution.Chunk) error {
		names = append(names, c)
		return nil
	})
	var hinted []attribution.Chunk
	h := attribution.NewFingerprinter(func(c attribution.Chunk) error {
		hinted = append(hinted, c)
		return nil
	})
	rest := bytes.Clone(b)
	for i := 0; len(rest) > 0; i++ {
		n := len(rest)
		if i < len(pieces) {
			n = min(n, pieces[i])
		}
		c.Write(rest[:n])
		f.Write(rest[:n])
		h.WriteHinted(rest[:n], hintsOf(rest[:n], i))
		for j := range rest[:n] { // it is the caller's again
			rest[j] = 0xa5
		}
		rest = rest[n:]
	}
	if err := errors.Join(c.Close(), f.Close(), h.Close()); err != nil {
		t.Fatalf("Close: %v", err)
	}
	i := 0
	for rest := b; len(rest) > 0; i++ {
		n := simpleCut(rest)
		if got := attribution.Cut(rest); got != n {
			t.Fatalf("chunk %d: Cut = %d, want %d", i, got, n)
		}
		if i >= len(chunks) || !bytes.Equal(chunks[i], rest[:n]) {
			t.Fatalf("pieces of %v: chunk %d of %d is not that of %d bytes", pieces, i, len(chunks), n)
		}
		if i >= len(names) || names[i] != (attribution.Chunk{Hash: sha256.Sum256(rest[:n]), Len: uint32(n)}) {
			t.Fatalf("pieces of %v: name %d of %d is not that of the chunk of %d bytes", pieces, i, len(names), n)
		}
		rest = rest[n:]
	}
	if !slices.Equal(hinted, names) {
		t.Fatalf("pieces of %v: %d names with hints, others than the %d without", pieces, len(hinted), len(names))
	}
	if len(chunks) != i || len(names) != i {
		t.Fatalf("pieces of %v: %d chunks, %d names, want %d", pieces, len(chunks), len(names), i)
	}
}

// seams are pieces of 64 bytes on the last of which the hash is below the limit:
// wherever they stand behind 16 KiB, there is a cut.
var seams = sync.OnceValue(func() (s [][]byte) {
	b := noise(10, 4<<20)
	for rest := b; len(rest) > 256<<10; {
		n := simpleCut(rest)
		if n < 256<<10 {
			s = append(s, rest[n-63:n+1])
		}
		rest = rest[n:]
	}
	return s
})

// file draws the bytes of a file that is hard to cut right.
func file() *rapid.Generator[[]byte] {
	return rapid.Custom(func(t *rapid.T) []byte {
		near := func(name string) int {
			at := rapid.SampledFrom([]int{0, 16 << 10, 64 << 10, 256 << 10, 512 << 10, 300_000}).Draw(t, name)
			return max(0, at+rapid.IntRange(-70, 70).Draw(t, "by"))
		}
		n := near("size") + rapid.SampledFrom([]int{0, 256 << 10}).Draw(t, "more")
		var b []byte
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			b = noise(rapid.Uint64Range(0, 50).Draw(t, "seed"), n)
		case 1: // one byte, zero among them: a hash that never or always changes
			b = bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, n)
		case 2:
			b = bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "period"), n+1)[:n]
		default:
			b = make([]byte, n)
		}
		// Places where there is a cut, some of them where there must be none.
		for range rapid.IntRange(0, 8).Draw(t, "seams") {
			at := near("seam")
			if at < len(b) {
				copy(b[at:], rapid.SampledFrom(seams()).Draw(t, "seam"))
			}
		}
		return b
	})
}

func TestFastIsSimple(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.OneOf(rapid.IntRange(1, 300), rapid.IntRange(1, 300<<10), rapid.SampledFrom([]int{256<<10 - 1, 256 << 10, 512 << 10, 16 << 10, 64 << 10}))
		checkFast(t, file().Draw(t, "file"), rapid.SliceOfN(piece, 0, 30).Draw(t, "pieces"))
	})
}

// A byte that may be a cut, at each place where another rule begins.
func TestCutsAtTheEdges(t *testing.T) {
	for _, edge := range []int{16<<10 + 63, 64 << 10, 256 << 10} {
		for by := -5; by <= 5; by++ {
			for _, s := range seams()[:4] {
				b := noise(11, 300<<10)
				copy(b[edge+by-63:], s)
				checkFast(t, b, nil)
				checkFast(t, b, []int{edge + by, 1})
			}
		}
	}
}

// A hash of fewer than 64 bytes, as there are at the beginning of a chunk, is that
// of no place in the file.
func TestCutsWithinTheFirstHash(t *testing.T) {
	gear, b := formatGear(), noise(12, 64<<10)
	found := 0
	for i := 0; i < len(b)-64 && found < 20; i++ {
		var h uint64
		for j, c := range b[i : i+62] {
			if h = h<<1 + gear[c]; h>>46 == 0 {
				p := noise(uint64(13+i), 300<<10)
				copy(p[simpleCut(p)+16<<10:], b[i:i+j+1])
				checkFast(t, p, nil)
				checkFast(t, p, []int{simpleCut(p) + 16<<10 - 1, 1})
				found++
				break
			}
		}
	}
	if found < 5 {
		t.Errorf("%d such places found", found)
	}
}

// Hints come in blocks of 64 bytes, for pieces that are long enough, and for some
// of their bytes.
func TestCutsByHints(t *testing.T) {
	s := seams()[0]
	for by := range 130 {
		b := make([]byte, 400<<10)
		copy(b[30<<10+by:], s)
		copy(b[200<<10-70+by:], s)
		checkFast(t, b, nil)
	}
	for by := range 130 { // the third piece has hints for half of it
		b := make([]byte, 900<<10)
		copy(b[750<<10-130+by:], s)
		checkFast(t, b, []int{300 << 10, 300 << 10})
	}
	b := noise(14, 3<<20)
	for _, pieces := range [][]int{nil, {1}, {1, 1}, {700<<10 + 1, 700<<10 + 1, 1}, {256 << 10, 256<<10 + 5, 1, 1 << 20}} {
		checkFast(t, b, pieces)
	}
}

func FuzzFastIsSimple(f *testing.F) {
	f.Add(uint64(1), uint32(300<<10), []byte("seed"), uint32(70<<10), uint32(1000))
	f.Add(uint64(0), uint32(600<<10), []byte{}, uint32(16<<10-30), uint32(256<<10))
	f.Fuzz(func(t *testing.T, seed uint64, size uint32, over []byte, at, piece uint32) {
		b := make([]byte, size%(640<<10))
		if seed > 0 {
			copy(b, noise(seed, len(b)))
		}
		copy(b[int(at)%(len(b)+1):], over)
		if s := seams()[int(seed%uint64(len(seams())))]; len(b) > 1<<10 {
			copy(b[int(at)%(len(b)-64):], s)
		}
		var pieces []int
		for range 40 {
			pieces = append(pieces, int(piece%(400<<10))+1)
		}
		checkFast(t, b, pieces)
	})
}

func checkChunks(t testing.TB, b []byte, chunks [][]byte) {
	t.Helper()
	if !bytes.Equal(bytes.Join(chunks, nil), b) {
		t.Fatalf("%d chunks do not add up to the %d bytes", len(chunks), len(b))
	}
	for i, c := range chunks {
		if len(c) > attribution.MaxChunk || len(c) == 0 || len(c) < attribution.MinChunk && i < len(chunks)-1 {
			t.Fatalf("chunk %d of %d has %d bytes", i, len(chunks), len(c))
		}
	}
}

func TestChunksAreThoseOfTheFormat(t *testing.T) {
	text := bytes.Repeat([]byte("2026-11-26,row of text,0123456789\n"), 20_000)
	for i := range text {
		if i%31 == 0 {
			text[i] = byte('a' + i*i%26)
		}
	}
	for name, b := range map[string][]byte{
		"noise": noise(1, 2<<20), "text": text, "zeros": make([]byte, 600<<10), "min": noise(2, attribution.MinChunk),
		"min+1": noise(2, attribution.MinChunk+1), "max": make([]byte, attribution.MaxChunk), "max+1": make([]byte, attribution.MaxChunk+1), "one": {7}, "none": {},
	} {
		chunks := chunksOf(t, b, 1<<20)
		checkChunks(t, b, chunks)
		want := lengths(b)
		for i, c := range chunks {
			if i >= len(want) || len(c) != want[i] {
				t.Fatalf("%s: chunk %d has %d bytes; by the format, the lengths are %v", name, i, len(c), want)
			}
		}
		if len(chunks) != len(want) {
			t.Errorf("%s: %d chunks, want %d", name, len(chunks), len(want))
		}
	}
}

func TestPiecesDoNotMatter(t *testing.T) {
	b := noise(3, 3<<20)
	want := chunksOf(t, b, len(b))
	for _, piece := range []int{1, 4097, 64 << 10, 1<<20 - 1, 1 << 20, 1<<20 + 1} {
		if got := chunksOf(t, b, piece); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("pieces of %d: %d chunks, want %d", piece, len(got), len(want))
		}
	}
}

// The average that FORMAT.md states for random bytes, and its spread.
func TestChunkSizes(t *testing.T) {
	b := noise(4, 64<<20)
	n := len(fingerprint(t, b))
	if mean := len(b) / n; mean < 73_000 || mean > 77_000 {
		t.Errorf("chunks have %d bytes on average", mean)
	}
}

// An insertion, a deletion or a changed byte moves the chunks around it only.
func TestEditMovesFewChunks(t *testing.T) {
	old := noise(5, 16<<20)
	have := make(map[attribution.Chunk]bool)
	for _, c := range fingerprint(t, old) {
		have[c] = true
	}
	at := 5_000_000
	for name, b := range map[string][]byte{
		"insertion": slices.Concat(old[:at], []byte("one row\n"), old[at:]),
		"prefix":    slices.Concat([]byte("one row\n"), old),
		"deletion":  slices.Concat(old[:at], old[at+1000:]),
		"change":    slices.Concat(old[:at], []byte{old[at] + 1}, old[at+1:]),
	} {
		fresh := 0
		for _, c := range fingerprint(t, b) {
			if !have[c] {
				fresh++
			}
		}
		if fresh == 0 || fresh > 8 {
			t.Errorf("%s: %d new chunks of %d", name, fresh, len(have))
		}
	}
}

func TestChunkerStopsAtAnError(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	c := attribution.NewChunker(func([]byte) error {
		calls++
		return stop
	})
	_, err := c.Write(noise(6, 4<<20))
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("Write = %v after %d calls", err, calls)
	}
	if err := c.Close(); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("Close = %v after %d calls", err, calls)
	}
	c = attribution.NewChunker(func([]byte) error { return nil })
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := c.Write([]byte("late")); err == nil {
		t.Error("written to after its end")
	}
}

func FuzzChunker(f *testing.F) {
	f.Add(noise(8, 1000), uint16(10), uint16(400))
	f.Add([]byte{0}, uint16(999), uint16(1))
	f.Fuzz(func(t *testing.T, seed []byte, repeat, piece uint16) {
		b := bytes.Repeat(seed, int(repeat)%512+1)
		b = b[:min(len(b), 640<<10)] // room for a chunk of the greatest size and two more
		if len(seed) > 0 {           // break the period, so that there are cuts
			for i := 0; i < len(b); i += 13 {
				b[i] += byte(i * i >> 7)
			}
		}
		chunks := chunksOf(t, b, int(piece)+64)
		checkChunks(t, b, chunks)
		rest := b
		for i, c := range chunks {
			if n := attribution.Cut(rest); n != len(c) {
				t.Fatalf("chunk %d has %d bytes, Cut says %d", i, len(c), n)
			}
			rest = rest[len(c):]
		}
	})
}

func BenchmarkCut(b *testing.B) {
	data := noise(9, 64<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		for rest := data; len(rest) > 0; {
			rest = rest[attribution.Cut(rest):]
		}
	}
}

func BenchmarkFingerprint(b *testing.B) {
	data := noise(9, 64<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		fingerprint(b, data)
	}
}
