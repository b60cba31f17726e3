package hub_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// rootOf is the root that the command gives to files.
func rootOf(t *testing.T, files map[string]string) cid.Cid {
	t.Helper()
	dir := t.TempDir()
	for p, text := range files {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(p)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, p), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	r, err := ingest.Add(t.Context(), dir, nil, ingest.AddOptions{Hidden: true, NoIgnore: true})
	if err != nil {
		t.Fatal(err)
	}
	return r.Root
}

// Whatever sequence of commits led to some files, their data is that of the same
// files added at once; and a version number says what changed.
func TestCommitsMakeTheirFiles(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	id := owner("ada") + "/model"
	r := rand.New(rand.NewPCG(1, 2))
	model := map[string]string{"README.md": card}
	h.committed(id, header("begin"), inline("README.md", card))
	names := []string{"a", "b", "a.x", "a-", "c", ".d"}
	path := func() string {
		var parts []string
		for range 1 + r.IntN(3) {
			parts = append(parts, names[r.IntN(len(names))])
		}
		return strings.Join(parts, "/")
	}
	for round := range 14 {
		ops := []op{header(fmt.Sprint("round ", round))}
		next := maps.Clone(model)
		touched := make(map[string]bool)
		var folder string
		if round%4 == 3 {
			for p := range model {
				if f, _, ok := strings.Cut(p, "/"); ok {
					folder = f
					break
				}
			}
			if folder != "" {
				ops = append(ops, op{"key": "deletedFolder", "value": map[string]any{"path": folder + "/"}})
				touched[folder] = true
				maps.DeleteFunc(next, func(p, _ string) bool { return strings.HasPrefix(p, folder+"/") })
			}
		}
		for _, p := range slices.Sorted(maps.Keys(next)) {
			if p != "README.md" && r.IntN(4) == 0 {
				ops = append(ops, remove(p))
				touched[p] = true
				delete(next, p)
			}
		}
		for range 6 {
			p := path()
			clash := touched[p]
			for q := range next {
				clash = clash || strings.HasPrefix(q, p+"/") || strings.HasPrefix(p, q+"/")
			}
			if clash {
				continue
			}
			text := strings.Repeat(fmt.Sprint(r.IntN(5)), r.IntN(4))
			if r.IntN(6) == 0 {
				text = strings.Repeat(p+"\n", 400_000/len(p))
			}
			touched[p] = true
			if len(text) > 1000 {
				if o := h.batch(id, adaToken, "sha256", text)[0]; o.Actions != nil {
					h.sent(id, text)
				}
				line := large(p, text)
				if r.IntN(2) == 0 {
					delete(line["value"].(map[string]any), "size") // as Python does for copies
				}
				ops = append(ops, line)
			} else {
				ops = append(ops, inline(p, text))
			}
			next[p] = text
		}
		h.committed(id, ops...)
		model = next
		if d, want := h.newest("ada", "model"), rootOf(t, model); !d.Root.Equals(want) || d.FileCount != int64(len(model)) {
			t.Fatalf("round %d: root %s of %d files, want %s of %d", round, d.Root, d.FileCount, want, len(model))
		}
	}
	same(t, h.files(id, "main"), model)
}

// A dataset of more files than a manifest lists stays one.
func TestCommitOntoMany(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	id := owner("ada") + "/many"
	files := make(map[string]string)
	for i := range ingest.DefaultInlineFiles {
		files[fmt.Sprintf("d%02d/%04d", i%7, i)] = fmt.Sprint(i)
	}
	h.add(version{key: "ada", name: "many", version: "1.0.0", files: files})
	for round, ops := range [][]op{
		{inline("d03/0003", "other"), inline("d03/new \"x\\", "new")}, // over the limit
		{remove("d00/0000"), inline("d00/0007", "7!")},                // on top of a file list
	} {
		if round == 0 {
			files["d03/0003"], files["d03/new \"x\\"] = "other", "new"
		} else {
			files["d00/0007"] = "7!"
			delete(files, "d00/0000")
		}
		h.committed(id, append([]op{header("x")}, ops...)...)
		d := h.newest("ada", "many")
		if want := rootOf(t, files); !d.Root.Equals(want) || d.FileCount != int64(len(files)) {
			t.Errorf("round %d: root %s of %d files, want %s of %d", round, d.Root, d.FileCount, want, len(files))
		}
	}
	if a := h.get("/datasets/" + id + "/resolve/main/" + escape("d03/new \"x\\")); string(a.body) != "new" {
		t.Errorf("the new file: %v", a)
	}
	n := 0
	for _, e := range h.tree("/api/datasets/" + id + "/tree/main?recursive=true") {
		if e.Type == "file" {
			n++
		}
	}
	if n != len(files)+1 {
		t.Errorf("%d files are listed, want %d", n, len(files)+1)
	}
}

// A commit changes files and nobody's share: contributors, edges and lineage stay.
func TestCommitKeepsShares(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	parent := h.add(version{key: "ben", name: "parent", version: "1.0.0", files: map[string]string{"p": "p"}})
	child := h.add(version{key: "ada", name: "child", version: "1.0.0", files: map[string]string{"c": "c"}, change: func(m *manifests.Manifest) {
		m.Contributors = append(m.Contributors, manifests.Contributor{ID: foldtest.ID("cyd"), Roles: []string{"annotator"}})
		m.Lineage = []manifests.Lineage{{Rel: manifests.DerivedFrom, Target: manifests.Target{Statement: cjson.CID{Cid: parent}}}}
	}, contribution: func(c *manifests.Contribution) {
		c.Contributors = []manifests.Share{{ID: foldtest.ID("ada"), Weight: "1"}, {ID: foldtest.ID("cyd"), Weight: "2"}}
		c.Total = "3"
		c.Edges = []manifests.Edge{{Statement: cjson.CID{Cid: parent}, Weight: "100000"}}
		c.SelfWeight, c.EdgeTotal = "900000", "1000000"
	}})
	h.committed(owner("ada")+"/child", header("x"), inline("d", "d"))
	d := h.newest("ada", "child")
	if len(d.Contributors) != 2 || d.Contributors[1].Weight != "2" || d.Total != "3" || len(d.Edges) != 1 || d.Edges[0].Weight != "100000" ||
		d.SelfWeight != "900000" || len(d.Sources) != 1 || !d.Supersedes.Equals(child) {
		t.Errorf("after the commit: %+v", d)
	}
}
