package index_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/index"
)

var onDisk = index.Options{Origin: foldtest.Origin}

func openIndex(t testing.TB, dir string, o index.Options) *index.Index {
	t.Helper()
	x, err := index.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func inMemory(t testing.TB) *index.Index {
	t.Helper()
	return openIndex(t, "", index.Options{Origin: foldtest.Origin, InMemory: true})
}

func read(bodies []foldtest.Body) []*fold.Entry {
	entries := make([]*fold.Entry, len(bodies))
	for i, b := range bodies {
		entries[i] = fold.Read(b.Leaf, b.Envelope)
	}
	return entries
}

func history(seed uint64, n int) []*fold.Entry {
	return read(foldtest.Random(rand.New(rand.NewPCG(seed, 1)), n))
}

// apply applies entries and checks them against the fold in memory.
func apply(t testing.TB, x *index.Index, s *fold.State, entries []*fold.Entry) {
	t.Helper()
	out, err := x.Apply(context.Background(), s.Size(), entries)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != len(entries) {
		t.Fatalf("%d outcomes of %d entries", len(out), len(entries))
	}
	for i, e := range entries {
		want := s.Apply(e)
		if out[i].Index != s.Size()-1 || out[i].Digest != s.Digest() || !bytes.Equal(out[i].Result.Encode(), want.Encode()) {
			t.Fatalf("entry %d: index says %s, fold %s", out[i].Index, out[i].Result.Encode(), want.Encode())
		}
	}
	n, d, err := x.Applied()
	if err != nil || n != s.Size() || d != s.Digest() {
		t.Fatalf("applied %d %x %v, want %d %x", n, d, err, s.Size(), s.Digest())
	}
}

func dump(t testing.TB, x *index.Index) string {
	t.Helper()
	var b bytes.Buffer
	if err := x.Dump(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func check(t testing.TB, x *index.Index) {
	t.Helper()
	if _, err := x.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestBatchesDoNotMatter is the law of the index: however a log comes in, the
// rows are the same.
func TestBatchesDoNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		entries := history(rapid.Uint64().Draw(rt, "seed"), rapid.IntRange(1, 80).Draw(rt, "n"))
		var dumps []string
		for _, batch := range []int{1, rapid.IntRange(2, 20).Draw(rt, "batch"), len(entries)} {
			x, err := index.Open("", index.Options{Origin: foldtest.Origin, InMemory: true})
			if err != nil {
				rt.Fatal(err)
			}
			s := fold.NewState(foldtest.Origin)
			for part := range slices.Chunk(entries, batch) {
				apply(t, x, s, part)
			}
			check(t, x)
			dumps = append(dumps, dump(t, x))
			if err := x.Close(); err != nil {
				rt.Fatal(err)
			}
		}
		if dumps[0] != dumps[1] || dumps[1] != dumps[2] {
			rt.Fatalf("dumps differ:\n%s\n%s\n%s", dumps[0], dumps[1], dumps[2])
		}
	})
}

// TestOpenWaits opens an index that somebody else is about to give free, as a
// child process is whose parent was killed.
func TestOpenWaits(t *testing.T) {
	dir := t.TempDir()
	x := openIndex(t, dir, onDisk)
	opened := make(chan error, 1)
	go func() {
		y, err := index.Open(dir, onDisk)
		if err == nil {
			err = y.Close()
		}
		opened <- err
	}()
	time.Sleep(50 * time.Millisecond) // so that it finds the lock taken, mostly
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Errorf("the index was given free: %v", err)
	}
}

// TestRebuild fills an index over several processes' lives, and another one by
// replay, and compares.
func TestRebuild(t *testing.T) {
	entries := history(7, 400)
	dir := t.TempDir()
	s := fold.NewState(foldtest.Origin)
	for part := range slices.Chunk(entries, 90) {
		x := openIndex(t, dir, onDisk)
		apply(t, x, s, part)
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
	x := openIndex(t, dir, onDisk)
	check(t, x)
	want := dump(t, x)

	again := filepath.Join(t.TempDir(), "new")
	y := openIndex(t, again, index.Options{Origin: foldtest.Origin, Rebuild: true})
	apply(t, y, fold.NewState(foldtest.Origin), entries)
	if _, err := index.Open(again, onDisk); !errors.Is(err, fault.Busy) {
		t.Errorf("opened an index that is open: %v", err)
	}
	if err := y.Close(); err != nil {
		t.Fatal(err)
	}
	y = openIndex(t, again, onDisk)
	check(t, y)
	if dump(t, y) != want {
		t.Error("the rebuilt index has other rows")
	}
	if _, err := y.Apply(t.Context(), 3, nil); !errors.Is(err, fault.Conflict) {
		t.Errorf("applied entry 3 again: %v", err)
	}
	if err := y.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := index.Open(again, index.Options{Origin: foldtest.Origin, Rebuild: true}); !errors.Is(err, fault.Conflict) {
		t.Errorf("rebuilt over an index: %v", err)
	}
	if _, err := index.Open(again, index.Options{Origin: "another.example/log"}); !errors.Is(err, index.ErrRebuild) {
		t.Errorf("opened the index of another log: %v", err)
	}
	if _, _, err := y.Applied(); err == nil {
		t.Error("a closed index answers")
	}
}

// TestUnfinishedRebuild: only Close makes a rebuilt index valid.
func TestUnfinishedRebuild(t *testing.T) {
	dir := t.TempDir()
	x := openIndex(t, dir, index.Options{Origin: foldtest.Origin, Rebuild: true})
	apply(t, x, fold.NewState(foldtest.Origin), history(1, 20))
	crashed := crash(t, dir)
	if _, err := index.Open(crashed, onDisk); !errors.Is(err, index.ErrRebuild) {
		t.Errorf("opened an unfinished rebuild: %v", err)
	}
}

// crash returns a copy of a folder as a killed process would leave it.
func crash(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestCrash: what was acknowledged is there after a kill, and the replay goes on.
func TestCrash(t *testing.T) {
	entries := history(3, 120)
	dir := t.TempDir()
	x := openIndex(t, dir, onDisk)
	s := fold.NewState(foldtest.Origin)
	apply(t, x, s, entries[:70])
	crashed := crash(t, dir)
	apply(t, x, s, entries[70:])
	want := dump(t, x)

	probed := 0
	y, err := index.Open(crashed, index.Options{Origin: foldtest.Origin, Probe: func(dir string) error {
		probed++
		return index.Probe(t.Context(), dir, foldtest.Origin)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if probed != 1 {
		t.Errorf("probed %d times, want once", probed)
	}
	s = fold.NewState(foldtest.Origin)
	for _, e := range entries[:70] {
		s.Apply(e)
	}
	apply(t, y, s, entries[70:])
	if dump(t, y) != want {
		t.Error("after a crash the rows are others")
	}
	if err := y.Close(); err != nil {
		t.Fatal(err)
	}

	again := crash(t, dir)
	if _, err := index.Open(again, index.Options{Origin: foldtest.Origin, Probe: func(string) error { return errors.New("killed") }}); !errors.Is(err, index.ErrRebuild) {
		t.Errorf("the probe failed and the index opened: %v", err)
	}
}

// TestLargest: the largest statement that the formats allow is one transaction.
func TestLargest(t *testing.T) {
	var w foldtest.World
	bodies := []foldtest.Body{foldtest.Log(manifests.New(w.Registry(1, "op")), "op")}
	c := w.Contribution("ana", "large", "1.0.0")
	for i := 1; i < manifests.MaxContributors; i++ {
		c.Contributors = append(c.Contributors, manifests.Share{ID: foldtest.ID(fmt.Sprint("p", i)), Weight: "1"})
	}
	c.Total = fmt.Sprint(len(c.Contributors))
	c.Dataset.Keywords = nil
	for i := range 64 {
		c.Dataset.Keywords = append(c.Dataset.Keywords, fmt.Sprintf("a%d-b%d-c%d", i, i, i))
	}
	size := len(foldtest.Payload(foldtest.Version(c)))
	for i := range manifests.MaxReferences {
		url := fmt.Sprintf("https://example.org/%d/", i)
		url += strings.Repeat("&", min(1000, (690<<10-size)/manifests.MaxReferences-80)-len(url))
		c.Sources = append(c.Sources, manifests.Source{Rel: "collectedFrom", URL: url})
	}
	bodies = append(bodies, foldtest.Log(foldtest.Version(c), "ana"))
	if n := len(foldtest.Payload(foldtest.Version(c))); n < 600<<10 {
		t.Fatalf("the statement has only %d bytes", n)
	}
	for i := range 20 {
		bodies = append(bodies, foldtest.Log(foldtest.Version(w.Contribution("ben", fmt.Sprint("small-", i), "1.0.0")), "ben"))
	}
	x := inMemory(t)
	apply(t, x, fold.NewState(foldtest.Origin), read(bodies))
	check(t, x)
	err := x.View(func(s *index.Snapshot) error {
		d, err := s.ByName(foldtest.ID("ana"), "large")
		if err != nil || len(d.Contributors) != manifests.MaxContributors || len(d.Sources) != manifests.MaxReferences {
			t.Errorf("%d contributors, %d sources, %v", len(d.Contributors), len(d.Sources), err)
		}
		page, err := s.List(index.Query{Contributor: foldtest.ID("p4095")})
		if err != nil || len(page.Datasets) != 1 {
			t.Errorf("the last contributor finds %d versions, %v", len(page.Datasets), err)
		}
		page, err = s.List(index.Query{Source: c.Sources[1023].URL})
		if err != nil || len(page.Datasets) != 1 {
			t.Errorf("the last source finds %d versions, %v", len(page.Datasets), err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCancel: what Apply reports is what is applied.
func TestCancel(t *testing.T) {
	x := inMemory(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out, err := x.Apply(ctx, 0, history(1, 5))
	if !errors.Is(err, fault.Interrupted) || len(out) != 0 {
		t.Errorf("%d outcomes, %v", len(out), err)
	}
	apply(t, x, fold.NewState(foldtest.Origin), history(1, 5))
}

// TestDamage changes bytes on disk. The index may refuse to open, or refuse to
// answer, or hold what it held; it must not hold something else.
func TestDamage(t *testing.T) {
	if os.Getenv(damageChild) != "" {
		t.Skip("this is the child")
	}
	entries := history(5, 300)
	dir := t.TempDir()
	x := openIndex(t, dir, onDisk)
	apply(t, x, fold.NewState(foldtest.Origin), entries)
	dirty := crash(t, dir)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	// dumpOf is the dump of the first n entries: what an index that lost the end
	// of its write-ahead log holds.
	dumpOf := func(n int) string {
		x := inMemory(t)
		apply(t, x, fold.NewState(foldtest.Origin), entries[:n])
		return dump(t, x)
	}

	r := rand.New(rand.NewPCG(1, 2))
	type damage struct {
		name   string
		from   string
		glob   string
		change func(b []byte) []byte // nil deletes the file
	}
	flip := func(b []byte) []byte {
		end := len(bytes.TrimRight(b, "\x00"))
		b[r.IntN(end)] ^= 1 << r.IntN(8)
		return b
	}
	cut := func(b []byte) []byte { return b[:r.IntN(len(b))] }
	var cases []damage
	for i := range rounds() {
		cases = append(cases,
			damage{fmt.Sprint("flip sst ", i), dir, "db/*.sst", flip},
			damage{fmt.Sprint("cut sst ", i), dir, "db/*.sst", cut},
			damage{fmt.Sprint("flip MANIFEST ", i), dir, "db/MANIFEST", flip},
			damage{fmt.Sprint("cut MANIFEST ", i), dir, "db/MANIFEST", cut},
			damage{fmt.Sprint("flip mem ", i), dirty, "db/*.mem", flip},
			damage{fmt.Sprint("flip dirty MANIFEST ", i), dirty, "db/MANIFEST", flip},
			damage{fmt.Sprint("flip state ", i), dir, "state", flip},
			damage{fmt.Sprint("flip KEYREGISTRY ", i), dir, "db/KEYREGISTRY", flip},
			damage{fmt.Sprint("flip vlog ", i), dir, "db/*.vlog", flip},
		)
	}
	cases = append(cases,
		damage{"no sst", dir, "db/*.sst", nil},
		damage{"no MANIFEST", dir, "db/MANIFEST", nil},
		damage{"no dirty MANIFEST", dirty, "db/MANIFEST", nil},
		damage{"no mem", dirty, "db/*.mem", nil},
		damage{"no state", dir, "state", nil},
		damage{"no db", dir, "db/*", nil},
	)
	results := map[string]int{}
	for _, c := range cases {
		broken := crash(t, c.from)
		files, err := filepath.Glob(filepath.Join(broken, c.glob))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no file, %v", c.name, err)
		}
		if c.change == nil {
			for _, f := range files {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
		} else {
			f := files[r.IntN(len(files))]
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(f, c.change(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		// A damaged file can end the process, so a child looks at it.
		cmd := exec.Command(os.Args[0], "-test.run=TestDamageChild$")
		cmd.Env = append(os.Environ(), damageChild+"="+broken, "GORACE=atexit_sleep_ms=0")
		out, _ := cmd.CombinedOutput() // a child that died has no result
		word := "crashed"
		if _, after, ok := strings.Cut(string(out), "RESULT "); ok {
			word, _, _ = strings.Cut(after, "\n")
		}
		kind, detail, _ := strings.Cut(word, ":")
		results[kind]++
		switch kind {
		case "rebuild", "crashed":
		case "holds":
			b, err := os.ReadFile(filepath.Join(broken, "dump"))
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.Atoi(detail)
			if err != nil || n > len(entries) || n < len(entries) && c.from != dirty || string(b) != dumpOf(n) {
				t.Errorf("%s: it opened with %s entries, and holds something else", c.name, detail)
			}
		default:
			t.Errorf("%s: %s\n%s", c.name, word, out)
		}
	}
	t.Log(results)
}

func rounds() int {
	if testing.Short() {
		return 1
	}
	return 4
}

const damageChild = "CAIRN_INDEX_DAMAGED"

func TestDamageChild(t *testing.T) {
	dir := os.Getenv(damageChild)
	if dir == "" {
		t.Skip("runs as a child of TestDamage only")
	}
	result := func() string {
		x, err := index.Open(dir, onDisk)
		if errors.Is(err, index.ErrRebuild) {
			return "rebuild"
		} else if err != nil {
			return "error:" + err.Error()
		}
		if _, err := x.Check(t.Context()); errors.Is(err, index.ErrRebuild) {
			return "rebuild"
		} else if err != nil {
			return "error:" + err.Error()
		}
		n, _, err := x.Applied()
		if err != nil {
			return "error:" + err.Error()
		}
		if err := os.WriteFile(filepath.Join(dir, "dump"), []byte(dump(t, x)), 0o600); err != nil {
			return "error:" + err.Error()
		}
		return "holds:" + fmt.Sprint(n)
	}()
	fmt.Printf("\nRESULT %s\n", result)
}
