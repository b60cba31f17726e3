package ingest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/ingest/blocks/remote"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

var _ blocks.Reader = (*remote.Sources)(nil)

// A gateway serves the blocks of a store, as it is told to.
type gateway struct {
	*httptest.Server
	asked atomic.Int64
	sent  atomic.Int64 // whole blocks
	lies  atomic.Int64
}

// A manner is how a gateway answers for a block: it writes the answer, or returns
// false to have it written as it should be.
type manner func(g *gateway, w http.ResponseWriter, r *http.Request, c cid.Cid, b []byte) bool

func honest(*gateway, http.ResponseWriter, *http.Request, cid.Cid, []byte) bool { return false }

// now and then, by the block's own hash, so that a run can be repeated.
func now(c cid.Cid, n byte) bool { h := c.Hash(); return h[len(h)-1]%n == 0 }

// flipped changes one byte, or makes something of nothing.
func flipped(b []byte) []byte {
	b = bytes.Clone(b)
	if len(b) == 0 {
		return []byte{1}
	}
	b[len(b)/2] ^= 1
	return b
}

var manners = map[string]manner{
	"honest": honest,
	"liar": func(g *gateway, w http.ResponseWriter, _ *http.Request, _ cid.Cid, b []byte) bool {
		g.lies.Add(1)
		w.Write(flipped(b))
		return true
	},
	"liar at times": func(g *gateway, w http.ResponseWriter, _ *http.Request, c cid.Cid, b []byte) bool {
		if !now(c, 3) {
			return false
		}
		g.lies.Add(1)
		w.Write(flipped(b))
		return true
	},
	"short": func(g *gateway, w http.ResponseWriter, _ *http.Request, _ cid.Cid, b []byte) bool {
		g.lies.Add(1)
		w.Write(append(bytes.Clone(b), 0))
		return true
	},
	"slow": func(_ *gateway, _ http.ResponseWriter, r *http.Request, _ cid.Cid, _ []byte) bool {
		select {
		case <-r.Context().Done():
		case <-time.After(200 * time.Millisecond):
		}
		return false
	},
	"silent": func(_ *gateway, _ http.ResponseWriter, r *http.Request, _ cid.Cid, _ []byte) bool {
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	},
	"cutting": func(_ *gateway, w http.ResponseWriter, _ *http.Request, _ cid.Cid, b []byte) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(b)+1))
		w.Write(b)
		panic(http.ErrAbortHandler)
	},
	"cutting at times": func(_ *gateway, w http.ResponseWriter, _ *http.Request, _ cid.Cid, b []byte) bool {
		if rand.N(3) > 0 {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)+1))
		w.Write(b)
		panic(http.ErrAbortHandler)
	},
	"empty": func(_ *gateway, w http.ResponseWriter, _ *http.Request, _ cid.Cid, _ []byte) bool {
		w.WriteHeader(http.StatusNotFound)
		return true
	},
	"half": func(_ *gateway, w http.ResponseWriter, _ *http.Request, c cid.Cid, _ []byte) bool {
		if now(c, 2) {
			return false
		}
		w.WriteHeader(http.StatusNotFound)
		return true
	},
	"refusing": func(_ *gateway, w http.ResponseWriter, _ *http.Request, _ cid.Cid, _ []byte) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	},
	"busy": func(_ *gateway, w http.ResponseWriter, _ *http.Request, _ cid.Cid, _ []byte) bool {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	},
	"broken": func(_ *gateway, w http.ResponseWriter, _ *http.Request, _ cid.Cid, _ []byte) bool {
		w.WriteHeader(http.StatusInternalServerError)
		return true
	},
}

func serve(t testing.TB, m *memory, how manner) *gateway {
	g := &gateway{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.asked.Add(1)
		c, err := cid.Decode(strings.TrimPrefix(r.URL.Path, "/ipfs/"))
		if err != nil || r.URL.RawQuery != "format=raw" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		m.mu.Lock()
		b, ok := m.blocks[string(c.Hash())]
		m.mu.Unlock()
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if !how(g, w, r, c, b) {
			w.Header().Set("Content-Length", fmt.Sprint(len(b)))
			if _, err := w.Write(b); err == nil {
				g.sent.Add(1)
			}
		}
	}))
	t.Cleanup(g.Close)
	return g
}

func dead(t testing.TB) *gateway {
	g := &gateway{Server: httptest.NewServer(nil)}
	g.Close()
	return g
}

func open(t testing.TB, o remote.SourcesOptions, list ...*gateway) *remote.Sources {
	t.Helper()
	var all []remote.Source
	for _, g := range list {
		all = append(all, remote.Source{URL: g.URL})
	}
	s, err := remote.OpenSources(all, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// quick makes sources impatient, for tests.
var quick = remote.SourcesOptions{Hedge: 20 * time.Millisecond, Pause: time.Millisecond}

// smallDataset has files of none, one and several blocks, and folders in folders.
func smallDataset(t testing.TB) (m *memory, dir string, root cid.Cid) {
	t.Helper()
	m, dir = newMemory(), t.TempDir()
	r := rand.New(rand.NewPCG(3, 3))
	for i := range 60 {
		b := make([]byte, r.IntN(3000)*r.IntN(2))
		if i%20 == 1 {
			b = make([]byte, 60_000+i)
		}
		for k := range b {
			b[k] = byte(r.Uint32())
		}
		name := filepath.Join(dir, fmt.Sprint(i%3), fmt.Sprint(i%7), fmt.Sprint(i))
		os.MkdirAll(filepath.Dir(name), 0o777)
		if err := os.WriteFile(name, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("0/0/0", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	return m, dir, add(t, m, dir, ingest.AddOptions{Chunker: "size-16384", NoSketch: true}).Root
}

// TestAnyMixtureOfSources draws sources of every kind, with an honest one among
// them. What is written is the dataset, and every source that lied is named.
func TestAnyMixtureOfSources(t *testing.T) {
	m, dir, root := smallDataset(t)
	servers := make(map[string]*gateway)
	for name, how := range manners {
		servers[name] = serve(t, m, how)
	}
	servers["dead"] = dead(t)
	names := []string{"dead"}
	for name := range manners {
		if name != "honest" {
			names = append(names, name)
		}
	}
	// The order of a map is not that of another run.
	slices.Sort(names)
	rapid.Check(t, func(rt *rapid.T) {
		drawn := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, 6, rapid.ID[string]).Draw(rt, "sources")
		at := rapid.IntRange(0, len(drawn)).Draw(rt, "honest at")
		drawn = append(drawn[:at:at], append([]string{"honest"}, drawn[at:]...)...)
		var list []*gateway
		lied := make(map[string]int64)
		for _, name := range drawn {
			list = append(list, servers[name])
			lied[servers[name].URL] = servers[name].lies.Load()
		}
		s := open(t, quick, list...)
		defer s.Close()
		out, err := os.MkdirTemp(t.TempDir(), "out")
		if err != nil {
			rt.Fatal(err)
		}
		r, err := ingest.Get(t.Context(), s, root, out, ingest.GetOptions{})
		if err != nil {
			rt.Fatalf("%q: %v", drawn, err)
		}
		same(t, dir, out)
		reports := s.Reports()
		s.Close()
		var bytes int64
		for i, rep := range reports {
			if rep.URL != list[i].URL {
				rt.Fatalf("report %d is of %s", i, rep.URL)
			}
			bytes += rep.Bytes
			name := drawn[i]
			if !strings.Contains(name, "liar") && name != "short" {
				if rep.Lied {
					rt.Errorf("%s is said to lie: %s", name, rep.Dropped)
				}
				continue
			}
			// A lie may still be on its way, to a race that another source has won.
			if n := list[i].lies.Load() - lied[rep.URL]; n == 0 && rep.Lied {
				rt.Errorf("%s told no lie, and is said to", name)
			} else if !rep.Lied && rep.Dropped == "" && name != "liar at times" && rep.Blocks > 0 {
				rt.Errorf("%s gave %d blocks", name, rep.Blocks)
			}
			if rep.Lied && rep.Dropped == "" {
				rt.Errorf("%s lied and is not dropped", name)
			}
		}
		if bytes < r.Bytes {
			rt.Errorf("%d bytes written, %d came", r.Bytes, bytes)
		}
	})
}

// TestEveryLiarIsNamed has no honest source: each liar is found out, each is in
// the error, and nothing of what they sent is on disk.
func TestEveryLiarIsNamed(t *testing.T) {
	m, _, root := smallDataset(t)
	list := []*gateway{serve(t, m, manners["liar"]), serve(t, m, manners["short"]), serve(t, m, manners["liar"])}
	s := open(t, quick, list...)
	out := filepath.Join(t.TempDir(), "out")
	_, err := ingest.Get(t.Context(), s, root, out, ingest.GetOptions{})
	if !errors.Is(err, fault.Unverified) || fault.Of(err) != fault.Unverified {
		t.Fatalf("%v, want unverified", err)
	}
	var lie *remote.LieError
	if !errors.As(err, &lie) {
		t.Errorf("no evidence in %v", err)
	}
	for i, r := range s.Reports() {
		if !r.Lied || r.Dropped == "" || r.Blocks != 0 || !strings.Contains(err.Error(), list[i].URL) {
			t.Errorf("%+v, %v", r, err)
		}
		if n := list[i].asked.Load(); n > 4 {
			t.Errorf("a liar was asked %d times", n)
		}
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
}

// TestNoWrongByteOnDisk has sources that are honest about the structure and lie
// about every leaf.
func TestNoWrongByteOnDisk(t *testing.T) {
	m, dir, root := smallDataset(t)
	g := serve(t, m, func(g *gateway, w http.ResponseWriter, _ *http.Request, c cid.Cid, b []byte) bool {
		if c.Prefix().Codec != cid.Raw {
			return false
		}
		w.Write(flipped(b))
		return true
	})
	out := filepath.Join(t.TempDir(), "out")
	if _, err := ingest.Get(t.Context(), open(t, quick, g), root, out, ingest.GetOptions{}); fault.Of(err) != fault.Unverified {
		t.Fatalf("%v, want unverified", err)
	}
	want := state(t, dir)
	for name, b := range state(t, out) {
		if strings.HasSuffix(name, ".cairn-part") && b == "" || b == "/" {
			continue
		}
		t.Errorf("%s: %.20q was written; the data has %.20q", name, b, want[name])
	}
}

// TestAllSourcesDown says who was asked and why it failed.
func TestAllSourcesDown(t *testing.T) {
	m, _, root := smallDataset(t)
	list := []*gateway{dead(t), serve(t, m, manners["broken"]), serve(t, m, manners["empty"])}
	_, err := open(t, quick, list...).Block(t.Context(), root)
	if fault.Of(err) != fault.Busy {
		t.Fatalf("%v, want busy", err)
	}
	for _, g := range list {
		if !strings.Contains(err.Error(), g.URL[len("http://"):]) {
			t.Errorf("%s is not in %v", g.URL, err)
		}
	}
	for name, want := range map[string]fault.Code{"empty": fault.NotFound, "refusing": fault.Denied} {
		a, b := serve(t, m, manners[name]), serve(t, m, manners["empty"])
		if _, err := open(t, quick, a, b).Block(t.Context(), root); fault.Of(err) != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

// TestFarGetGoesOn cuts a Get short, and lets another one finish it: what is on disk
// is not fetched again.
func TestFarGetGoesOn(t *testing.T) {
	m, dir := newMemory(), t.TempDir()
	r := rand.NewChaCha8([32]byte{5})
	big := make([]byte, 24<<20+123)
	r.Read(big)
	for name, b := range map[string][]byte{"big": big, "small": big[:1000], "sub/x": big[5000:9000]} {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777)
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	root := add(t, m, dir, ingest.AddOptions{}).Root
	total := int64(len(m.blocks))
	out := filepath.Join(t.TempDir(), "out")
	first := serve(t, m, func(g *gateway, w http.ResponseWriter, _ *http.Request, _ cid.Cid, _ []byte) bool {
		if g.sent.Load() < total/2 {
			return false
		}
		w.WriteHeader(http.StatusInternalServerError)
		return true
	})
	if _, err := ingest.Get(t.Context(), open(t, quick, first), root, out, ingest.GetOptions{}); fault.Of(err) != fault.Busy {
		t.Fatalf("%v, want busy", err)
	}
	second := serve(t, m, honest)
	got, err := ingest.Get(t.Context(), open(t, quick, second), root, out, ingest.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, dir, out)
	if got.Skipped == 0 {
		t.Error("nothing was kept of what was there")
	}
	// Structure is read again, and the last leaves of the first Get may have been lost.
	if n := second.sent.Load(); n > total-got.Skipped>>20+4 {
		t.Errorf("%d of %d blocks were fetched again, though %d bytes were there", n, total, got.Skipped)
	}
	// And once more, when all is there: no leaf is fetched.
	third := serve(t, m, func(_ *gateway, _ http.ResponseWriter, _ *http.Request, c cid.Cid, _ []byte) bool {
		if c.Prefix().Codec == cid.Raw {
			t.Errorf("the leaf %s was fetched again", c)
		}
		return false
	})
	if _, err := ingest.Get(t.Context(), open(t, quick, third), root, out, ingest.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	same(t, dir, out)
}

// TestInFlightIsBounded counts the bytes of the requests that are open at a time.
func TestInFlightIsBounded(t *testing.T) {
	m, dir := newMemory(), t.TempDir()
	b := make([]byte, 32<<20)
	rand.NewChaCha8([32]byte{6}).Read(b)
	if err := os.WriteFile(filepath.Join(dir, "big"), b, 0o666); err != nil {
		t.Fatal(err)
	}
	root := add(t, m, dir, ingest.AddOptions{}).Root
	var mu sync.Mutex
	var under, most int64
	how := func(g *gateway, w http.ResponseWriter, _ *http.Request, c cid.Cid, b []byte) bool {
		mu.Lock()
		under += int64(len(b))
		most = max(most, under)
		mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		w.Write(b)
		mu.Lock()
		under -= int64(len(b))
		mu.Unlock()
		return true
	}
	o := remote.SourcesOptions{Bytes: 4 << 20}
	s := open(t, o, serve(t, m, how), serve(t, m, how))
	if _, err := ingest.Get(t.Context(), s, root, filepath.Join(t.TempDir(), "out"), ingest.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	if most > 5<<20 { // the server counts a block until its handler ends
		t.Errorf("%d bytes were under way, the limit is %d", most, o.Bytes)
	}
}

// BenchmarkGetFar gets 100 MiB, and 2000 files of 4 KiB, from gateways that are
// 20 ms away, by one client as it was before and by sources.
func BenchmarkGetFar(b *testing.B) {
	delay := time.Duration(number("CAIRN_BENCH_DELAY_MS", 20)) * time.Millisecond
	late := func(_ *gateway, _ http.ResponseWriter, _ *http.Request, _ cid.Cid, _ []byte) bool {
		time.Sleep(delay)
		return false
	}
	m := newMemory()
	big := filepath.Join(b.TempDir(), "big")
	data := make([]byte, 100<<20)
	rand.NewChaCha8([32]byte{7}).Read(data)
	if err := os.WriteFile(big, data, 0o666); err != nil {
		b.Fatal(err)
	}
	small := b.TempDir()
	for i := range 2000 {
		name := filepath.Join(small, fmt.Sprintf("%02d", i%40), fmt.Sprint(i))
		os.MkdirAll(filepath.Dir(name), 0o777)
		if err := os.WriteFile(name, data[i*4096:(i+1)*4096], 0o666); err != nil {
			b.Fatal(err)
		}
	}
	mixed := b.TempDir()
	for i := range 99 {
		if err := os.WriteFile(filepath.Join(mixed, fmt.Sprint(i)), data[i<<20:(i+1)<<20+1000], 0o666); err != nil {
			b.Fatal(err)
		}
	}
	list := []*gateway{serve(b, m, late), serve(b, m, late), serve(b, m, late)}
	for _, what := range []struct{ name, path string }{{"100MiB", big}, {"2000x4KiB", small}, {"99x1MiB+", mixed}} {
		root := add(b, m, what.path, ingest.AddOptions{}).Root
		get := func(b *testing.B, open func() (unixfs.Blocks, func() error)) {
			for b.Loop() {
				src, done := open()
				out := filepath.Join(b.TempDir(), "out")
				r, err := ingest.Get(b.Context(), src, root, out, ingest.GetOptions{})
				if err != nil {
					b.Fatal(err)
				}
				done()
				b.StopTimer()
				os.RemoveAll(out)
				b.SetBytes(r.Bytes)
				b.StartTimer()
			}
		}
		b.Run(what.name+"/client", func(b *testing.B) {
			get(b, func() (unixfs.Blocks, func() error) {
				c, err := remote.New(list[0].URL, remote.Options{})
				if err != nil {
					b.Fatal(err)
				}
				return c, func() error { return nil }
			})
		})
		for _, n := range []int{1, 3} {
			b.Run(fmt.Sprintf("%s/sources=%d", what.name, n), func(b *testing.B) {
				get(b, func() (unixfs.Blocks, func() error) {
					s := open(b, remote.SourcesOptions{}, list[:n]...)
					return s, s.Close
				})
			})
		}
		b.Run(what.name+"/tar", func(b *testing.B) {
			for b.Loop() {
				s := open(b, remote.SourcesOptions{}, list...)
				r, err := ingest.Tar(b.Context(), s, root, io.Discard, ingest.TarOptions{Name: "big"})
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(r.Bytes)
				s.Close()
			}
		})
	}
}

// TestReadAhead has a directory of many files of several blocks. Their nodes come
// before they are asked for, at most 64 of them, each once; without Follow none does.
func TestReadAhead(t *testing.T) {
	m, dir := newMemory(), t.TempDir()
	for i := range 300 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), bytes.Repeat([]byte(fmt.Sprintf("%06d", i)), 300), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	root := add(t, m, dir, ingest.AddOptions{Chunker: "size-1024"}).Root
	g := serve(t, m, honest)
	s := open(t, remote.SourcesOptions{}, g)
	entries, err := unixfs.ReadDir(t.Context(), s, root)
	if err != nil || len(entries) != 300 || g.asked.Load() != 1 {
		t.Fatalf("%d entries after %d questions, %v", len(entries), g.asked.Load(), err)
	}
	stop := s.Follow(t.Context(), root)
	settled := func() int64 {
		for last := int64(-1); ; time.Sleep(20 * time.Millisecond) {
			if n := g.asked.Load(); n == last {
				return n
			} else {
				last = n
			}
		}
	}
	if n := settled(); n != 1+64 {
		t.Errorf("%d questions before anybody asked, want 65", n)
	}
	for _, e := range entries {
		if _, err := unixfs.Stat(t.Context(), s, e.CID); err != nil {
			t.Fatal(err)
		}
	}
	if n := settled(); n != 1+300 {
		t.Errorf("%d questions for 301 nodes", n)
	}
	stop()
}
