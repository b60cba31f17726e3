package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sketch"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/index"
)

// TestSubmitIsProvedAndFound takes a dataset through the door: what comes back
// verifies offline, and every question about it has its answer.
func TestSubmitIsProvedAndFound(t *testing.T) {
	h := newHome(t)
	first := h.add("ana", "iris", "1.0.0", func(d *dataset) {
		d.manifest.Title, d.manifest.Keywords = "Irises", []string{"botany"}
	})
	second := h.add("ana", "iris", "1.1.0", func(d *dataset) {
		d.Supersedes = cjson.CID{Cid: first}
		d.manifest.Contributors = append(d.manifest.Contributors, manifests.Contributor{ID: foldtest.ID("ben")})
		d.Contributors = append(d.Contributors, manifests.Share{ID: foldtest.ID("ben"), Weight: "3"})
		d.Total = "4"
	})
	child := h.add("ben", "petals", "1.0.0", func(d *dataset) {
		d.manifest.Lineage = []manifests.Lineage{
			{Rel: manifests.SubsetOf, Target: manifests.Target{Statement: cjson.CID{Cid: second}}},
			{Rel: manifests.CollectedFrom, Target: manifests.Target{URL: "https://example.org/iris"}},
		}
	})

	policy, err := proof.ParsePolicy([]byte(h.cfg.VKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []cid.Cid{first, second, child} {
		b, err := h.reg.Bundle(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		r, err := proof.VerifyBundle(b, policy)
		if err != nil || !r.Holds() || !r.Statement.Equals(id) {
			t.Errorf("the bundle of %s: %v %v", id, r.Findings, err)
		}
	}

	err = h.reg.View(func(s *index.Snapshot) error {
		names := func(q index.Query) string {
			p, err := s.List(q)
			if err != nil {
				t.Errorf("%+v: %v", q, err)
			}
			var all []string
			for _, d := range p.Datasets {
				all = append(all, d.Name+"@"+d.Version)
			}
			return strings.Join(all, " ")
		}
		d, err := s.Dataset(second)
		if err != nil {
			return err
		}
		for _, tt := range []struct {
			q    index.Query
			want string
		}{
			{index.Query{}, "petals@1.0.0 iris@1.1.0 iris@1.0.0"},
			{index.Query{Latest: true}, "petals@1.0.0 iris@1.1.0"},
			{index.Query{License: "cc0-1.0"}, "petals@1.0.0 iris@1.1.0 iris@1.0.0"},
			{index.Query{License: "MIT"}, ""},
			{index.Query{Keyword: "Botany"}, "iris@1.0.0"},
			{index.Query{Contributor: foldtest.ID("ben")}, "petals@1.0.0 iris@1.1.0"},
			{index.Query{Publisher: foldtest.ID("ana")}, "iris@1.1.0 iris@1.0.0"},
			{index.Query{Name: "petals"}, "petals@1.0.0"},
			{index.Query{Root: d.Root.Cid}, "iris@1.1.0"},
			{index.Query{Source: "https://example.org/iris"}, "petals@1.0.0"},
			{index.Query{Source: second.String()}, "petals@1.0.0"},
		} {
			if got := names(tt.q); got != tt.want {
				t.Errorf("%+v gives %q, want %q", tt.q, got, tt.want)
			}
		}
		parents, err := s.Parents(child)
		if err != nil || len(parents) != 1 || parents[0].Dataset.Version != "1.1.0" || parents[0].Rel != "subsetOf" {
			t.Errorf("parents: %v, %v", parents, err)
		}
		children, _, err := s.Children(second, 0, 10)
		if err != nil || len(children) != 1 || children[0].Dataset.Name != "petals" {
			t.Errorf("children: %v, %v", children, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	ana := string(foldtest.ID("ana"))
	for ref, want := range map[string]cid.Cid{
		ana + "/iris": second, ana + "/iris@1.0.0": first, first.String(): first, child.String(): child,
	} {
		r, err := h.reg.Resolve(ref)
		if err != nil || len(r.Datasets) != 1 || !r.Datasets[0].Statement.Equals(want) {
			t.Errorf("%s resolves to %v, %v", ref, r.Datasets, err)
		}
	}
	for ref, code := range map[string]fault.Code{
		ana + "/nothing": fault.NotFound, "nobody/iris": fault.NotFound, "iris": fault.Invalid, cjson.RawCID(nil).String(): fault.NotFound,
	} {
		if _, err := h.reg.Resolve(ref); !errors.Is(err, code) {
			t.Errorf("%s: %v, want %s", ref, err, code)
		}
	}
}

// TestSubmitIsIdempotent hands in one envelope many times, at once and later.
func TestSubmitIsIdempotent(t *testing.T) {
	h := newHome(t)
	envelope := h.put("ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil).seal(t, "ana")
	var wg sync.WaitGroup
	answers := make([]*registry.Submitted, 16)
	for i := range answers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var err error
			if answers[i], err = h.reg.Submit(t.Context(), envelope); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	h.reopen(nil)
	again, err := h.reg.Submit(t.Context(), envelope)
	if err != nil {
		t.Fatal(err)
	}
	for i, a := range append(answers, again) {
		if a.Index != 1 || a.Verdict != registry.Accepted || !a.Statement.Equals(again.Statement) {
			t.Errorf("answer %d: entry %d, %s", i, a.Index, a.Verdict)
		}
	}
	if n := h.size(); n != 2 {
		t.Errorf("the log has %d entries, want 2", n)
	}
}

// TestRefusedAtTheDoor hands in what must not be logged.
func TestRefusedAtTheDoor(t *testing.T) {
	h := newHome(t)
	h.add("ana", "taken", "1.0.0", nil)
	one := map[string]string{"a.csv": "1", "b/c.csv": "2"}
	other := cjson.CID{Cid: cjson.RawCID([]byte("not here"))}
	for _, tt := range []struct {
		name     string
		envelope func() []byte
		want     fault.Code
		mention  string
	}{
		{"no JSON", func() []byte { return []byte("hello") }, fault.Invalid, ""},
		{"no signature of the publisher", func() []byte { return h.put("ana", "x", "1.0.0", one, nil).seal(t, "ben") }, fault.Conflict, "unexpected-signer"},
		{"a changed signature", func() []byte {
			return bytes.Replace(h.put("ana", "x", "1.0.0", one, nil).seal(t, "ana"), []byte(`"sig":"`), []byte(`"sig":"AAAA`), 1)
		}, fault.Unverified, ""},
		{"another registry", func() []byte {
			return h.put("ana", "x", "1.0.0", one, func(d *dataset) { d.Registry = "other.example/log" }).seal(t, "ana")
		}, fault.Invalid, "other.example"},
		{"no manifest", func() []byte {
			d := h.put("ana", "x", "1.0.0", one, nil)
			d.Dataset.Manifest = cjson.CID{Cid: cjson.JSONCID([]byte("{}"))}
			return d.seal(t, "ana")
		}, fault.NotFound, "manifest"},
		{"no terms", func() []byte {
			d := h.put("ana", "x", "1.0.0", one, nil)
			d.Terms = cjson.CID{Cid: cjson.JSONCID([]byte("{}"))}
			return d.seal(t, "ana")
		}, fault.NotFound, "terms"},
		{"another name than the manifest", func() []byte {
			d := h.put("ana", "x", "1.0.0", one, nil)
			d.Dataset.Name = "y"
			return d.seal(t, "ana")
		}, fault.Invalid, "name"},
		{"another licence than the terms", func() []byte {
			d := h.put("ana", "x", "1.0.0", one, nil)
			d.Dataset.License = "MIT"
			return d.seal(t, "ana")
		}, fault.Invalid, "license"},
		{"a file that is not in the data", func() []byte {
			return h.put("ana", "x", "1.0.0", one, func(d *dataset) {
				f := d.manifest.Files[0]
				f.Path, f.Size = "a2.csv", 1
				d.manifest.Files = append(d.manifest.Files[:1:1], f, d.manifest.Files[1])
				d.manifest.Data.FileCount, d.manifest.Data.Bytes = 3, d.manifest.Data.Bytes+1
			}).seal(t, "ana")
		}, fault.Invalid, "a2.csv"},
		{"a wrong size", func() []byte {
			return h.put("ana", "x", "1.0.0", one, func(d *dataset) {
				d.manifest.Files[0].Size, d.manifest.Data.Bytes = 2, d.manifest.Data.Bytes+1
			}).seal(t, "ana")
		}, fault.Invalid, "a.csv"},
		{"a sketch that is not there", func() []byte {
			return h.put("ana", "x", "1.0.0", one, func(d *dataset) {
				d.manifest.Sketch = sketch.Sketch{}.InManifest(other.Cid)
			}).seal(t, "ana")
		}, fault.NotFound, "sketch"},
		{"a fingerprint that is not there", func() []byte {
			return h.put("ana", "x", "1.0.0", one, func(d *dataset) {
				d.manifest.Fingerprint = sketch.Fingerprint(other.Cid, 1)
			}).seal(t, "ana")
		}, fault.NotFound, "fingerprint"},
		{"data that is not there", func() []byte {
			return h.put("ana", "x", "1.0.0", one, func(d *dataset) {
				d.root = cid.NewCidV1(cid.DagProtobuf, other.Hash())
				d.manifest.Data.Root = cjson.Link{Cid: d.root}
			}).seal(t, "ana")
		}, fault.NotFound, ""},
		{"a version that is taken", func() []byte {
			return h.put("ana", "taken", "1.0.0", one, func(d *dataset) { d.Supersedes = cjson.CID{} }).seal(t, "ana")
		}, fault.Conflict, "version-taken"},
		{"a stale one", func() []byte { return h.put("ana", "taken", "2.0.0", one, nil).seal(t, "ana") }, fault.Conflict, "stale"},
		{"a source that nobody logged", func() []byte {
			return h.put("ana", "x", "1.0.0", one, func(d *dataset) {
				d.manifest.Lineage = []manifests.Lineage{{Rel: manifests.DerivedFrom, Target: manifests.Target{Statement: other}}}
			}).seal(t, "ana")
		}, fault.Conflict, "reference"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			envelope := tt.envelope()
			before := h.size()
			_, err := h.reg.Submit(t.Context(), envelope)
			if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.mention) {
				t.Errorf("%v, want %s and a word of %q", err, tt.want, tt.mention)
			}
			if n := h.size(); n != before {
				t.Errorf("the log went from %d to %d entries", before, n)
			}
		})
	}
}

// dump is the index as text.
func (h *home) dump() (string, registry.Status) {
	h.t.Helper()
	s := h.reg.Status()
	h.close()
	x, err := index.Open(filepath.Join(h.cfg.Dir, "index"), index.Options{Origin: origin})
	if err != nil {
		h.t.Fatal(err)
	}
	var b bytes.Buffer
	if err := errors.Join(x.Dump(h.t.Context(), &b), x.Close()); err != nil {
		h.t.Fatal(err)
	}
	h.reopen(nil)
	return b.String(), s
}

// TestReplayIsIncremental deletes the index, loses it, damages it, and lets it
// fall behind: what comes back is the same to the last byte.
func TestReplayIsIncremental(t *testing.T) {
	h := newHome(t)
	var last cid.Cid
	behind := t.TempDir()
	for i := range 5 {
		last = h.add("ana", "iris", versionText(i), func(d *dataset) {
			if last.Defined() {
				d.Supersedes = cjson.CID{Cid: last}
			}
		})
		if i == 2 {
			h.reopen(func() { copyDir(t, filepath.Join(h.cfg.Dir, "index"), filepath.Join(behind, "index")) })
		}
	}
	want, status := h.dump()
	dir := filepath.Join(h.cfg.Dir, "index")
	for name, do := range map[string]func(){
		"deleted": func() { removeAll(t, dir) },
		"behind":  func() { removeAll(t, dir); copyDir(t, filepath.Join(behind, "index"), dir) },
		"damaged": func() {
			tables, err := filepath.Glob(filepath.Join(dir, "db", "*.sst"))
			if err != nil || len(tables) == 0 {
				t.Fatalf("no tables: %v", err)
			}
			if err := os.WriteFile(tables[0], []byte("no table"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"block index deleted": func() { removeAll(t, filepath.Join(h.cfg.Dir, "blocks", "index")) },
	} {
		h.reopen(do)
		got, s := h.dump()
		if got != want || s.Digest != status.Digest || s.Applied != status.Applied {
			t.Errorf("%s: another index than before: digest %s, want %s", name, s.DigestText(), status.DigestText())
		}
	}
	h.close()
	h.openStore()
	n, digest, err := registry.Rebuild(t.Context(), h.cfg, nil)
	if err != nil || n != status.Applied || digest != status.Digest {
		t.Errorf("Rebuild: %d entries, digest %x, %v", n, digest, err)
	}
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func removeAll(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}

// TestMissingBodyStopsTheFollower takes one envelope away: the registry answers
// at the size before it, says what it lacks, skips nothing, and goes on when
// the body is back.
func TestMissingBodyStopsTheFollower(t *testing.T) {
	h := newHome(t)
	first := h.add("ana", "iris", "1.0.0", nil)
	second := h.add("ana", "iris", "1.1.0", func(d *dataset) { d.Supersedes = cjson.CID{Cid: first} })
	envelope, err := h.reg.Envelope(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	missing := cjson.RawCID(envelope)
	h.close()
	removeAll(t, filepath.Join(h.cfg.Dir, "index"))
	h.openStore()
	lacking := &without{Blocks: h.store, missing: missing}
	h.cfg.Blocks = lacking
	if h.reg, err = registry.Open(t.Context(), h.cfg); err != nil {
		t.Fatal(err)
	}
	s := h.reg.Status()
	if s.Ready || s.Applied != 1 || s.Size != 3 || !strings.Contains(s.Reason, missing.String()) {
		t.Errorf("status %+v, want not ready at entry 1 of 3 for want of %s", s, missing)
	}
	err = h.reg.View(func(s *index.Snapshot) error {
		_, err := s.Dataset(second)
		return err
	})
	if !errors.Is(err, fault.NotFound) {
		t.Errorf("a later entry was applied: %v", err)
	}
	h.close()
	h.reopen(nil)
	if s := h.reg.Status(); !s.Ready || s.Applied != 3 {
		t.Errorf("with the body back: %+v", s)
	}
}

// without is a store that lacks one block.
type without struct {
	registry.Blocks
	missing cid.Cid
}

func (w *without) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	if c.Equals(w.missing) {
		return nil, fault.New(fault.NotFound, "no %s", c)
	}
	return w.Blocks.Block(ctx, c)
}

// TestCrashBetweenSteps copies the home while entries are on their way, at
// moments that fall between any two steps, and opens the copies: every
// acknowledged statement is there.
func TestCrashBetweenSteps(t *testing.T) {
	h := newHome(t)
	var mu sync.Mutex
	var acked []cid.Cid
	done := make(chan struct{})
	go func() {
		defer close(done)
		var last cid.Cid
		for i := range 12 {
			id := h.add("ana", "iris", versionText(i), func(d *dataset) {
				if last.Defined() {
					d.Supersedes = cjson.CID{Cid: last}
				}
			})
			last = id
			mu.Lock()
			acked = append(acked, id)
			mu.Unlock()
		}
	}()
	copies := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(20 * time.Millisecond):
		}
		mu.Lock()
		must := append([]cid.Cid(nil), acked...)
		mu.Unlock()
		dir := t.TempDir()
		// The log last, so that the copy is one that a crash could leave: what
		// a later step wrote is never there without what an earlier one did.
		if err := crashCopy(h.cfg.Dir, dir); err != nil {
			continue // a file went while it was read: no moment in time
		}
		copies++
		c := &home{t: t, cfg: h.cfg}
		c.cfg.Dir = dir
		c.openStore()
		reg, err := registry.Open(t.Context(), c.cfg)
		if err != nil {
			t.Fatalf("opening a copy with %d acknowledged: %v", len(must), err)
		}
		c.reg = reg
		for _, id := range must {
			if _, err := reg.Receipt(t.Context(), id); err != nil {
				t.Errorf("%s was acknowledged: %v", id, err)
			}
		}
		r, err := reg.Check(t.Context(), nil)
		if err != nil || proof.AnyFails(r.Findings) {
			t.Errorf("the copy does not hold: %v %v", r, err)
		}
		c.close()
		if copies >= 8 {
			<-done
			running = false
		}
	}
	if copies < 2 {
		t.Errorf("only %d copies: the test proves little", copies)
	}
}

// crashCopy copies the parts of a home in the order against the commit order:
// index, guard, log, blocks.
func crashCopy(from, to string) error {
	for _, part := range []string{"trust", "log", "blocks/packs"} {
		dst := filepath.Join(to, part)
		err := filepath.WalkDir(filepath.Join(from, part), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(filepath.Join(from, part), path)
			if d.IsDir() {
				return os.MkdirAll(filepath.Join(dst, rel), 0o700)
			}
			if strings.HasSuffix(path, ".lock") {
				return nil
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dst, rel), b, 0o600)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// TestCheckFindsDamage changes a file of the log behind the registry's back.
func TestCheckFindsDamage(t *testing.T) {
	h := newHome(t)
	h.add("ana", "iris", "1.0.0", nil)
	r, err := h.reg.Check(t.Context(), nil)
	if err != nil || len(r.Findings) != 0 || r.Size != 2 || r.Digest != h.reg.Status().Digest || r.Verdicts["accepted"] != 2 {
		t.Fatalf("a whole registry: %+v, %v", r, err)
	}
	bundle := filepath.Join(h.cfg.Dir, "log/tile/entries/000.p/2")
	b, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-3] ^= 1
	if err := os.WriteFile(bundle, b, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err = h.reg.Check(t.Context(), nil)
	if err != nil || !proof.AnyFails(r.Findings) || !strings.HasPrefix(r.Findings[0].Subject, "tile/") {
		t.Errorf("a damaged entry bundle: %+v, %v", r, err)
	}
	b[len(b)-3] ^= 1
	if err := os.WriteFile(bundle, b, 0o644); err != nil {
		t.Fatal(err)
	}
}
