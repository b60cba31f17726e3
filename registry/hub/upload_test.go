package hub_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/hub"
	"github.com/cairn-registry/cairn/registry/index"
)

const card = "---\nlicense: cc-by-4.0\npretty_name: Toy\ntags:\n- small\n- Not A Tag\n---\n# Toy\n"

// An op is a line of a commit.
type op map[string]any

func header(summary string, parent ...string) op {
	v := map[string]any{"summary": summary}
	if len(parent) > 0 {
		v["parentCommit"] = parent[0]
	}
	return op{"key": "header", "value": v}
}

func inline(path, text string) op {
	return op{"key": "file", "value": map[string]any{"path": path, "content": base64.StdEncoding.EncodeToString([]byte(text)), "encoding": "base64"}}
}

func large(path, text string) op {
	return op{"key": "lfsFile", "value": map[string]any{"path": path, "algo": "sha256", "oid": sha256Of(text), "size": len(text)}}
}

func remove(path string) op { return op{"key": "deletedFile", "value": map[string]any{"path": path}} }

func ndjson(ops ...op) string {
	var lines []string
	for _, o := range ops {
		b, err := json.Marshal(o)
		if err != nil {
			panic(err)
		}
		lines = append(lines, string(b))
	}
	return strings.Join(lines, "\n")
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

func (h *home) commit(id string, ops ...op) answer {
	h.t.Helper()
	return h.do("POST", "/api/datasets/"+id+"/commit/main", ndjson(ops...), append(bearer(adaToken), "Content-Type", "application/x-ndjson")...)
}

// committed is a commit that must be taken; it returns its sha.
func (h *home) committed(id string, ops ...op) string {
	h.t.Helper()
	var out struct {
		Success              bool
		CommitOid, CommitUrl string
		HookOutput           string
	}
	h.commit(id, ops...).into(h.t, &out)
	if !out.Success || len(out.CommitOid) != 40 || out.CommitUrl != h.url+"/datasets/"+id+"/commit/"+out.CommitOid || out.HookOutput != hub.Custodial {
		h.t.Fatalf("answer %+v", out)
	}
	return out.CommitOid
}

type batchObject struct {
	OID     string `json:"oid"`
	Size    int64  `json:"size"`
	Actions map[string]struct {
		Href   string
		Header map[string]string
	} `json:"actions,omitempty"`
	Error *struct {
		Code    int
		Message string
	} `json:"error,omitempty"`
}

func (h *home) batch(id, token, algo string, texts ...string) []batchObject {
	h.t.Helper()
	var objects []batchObject
	for _, text := range texts {
		objects = append(objects, batchObject{OID: sha256Of(text), Size: int64(len(text))})
	}
	var out struct {
		Transfer string
		HashAlgo string `json:"hash_algo"`
		Objects  []batchObject
	}
	a := h.do("POST", "/datasets/"+id+".git/info/lfs/objects/batch", map[string]any{
		"operation": "upload", "transfers": []string{"basic", "multipart", "xet"}, "hash_algo": algo, "objects": objects, "ref": map[string]any{"name": "main"},
	}, append(bearer(token), "Content-Type", "application/vnd.git-lfs+json")...)
	a.into(h.t, &out)
	if out.Transfer != "basic" || len(out.Objects) != len(texts) || a.header.Get("Content-Type") != "application/vnd.git-lfs+json" {
		h.t.Fatalf("batch %s", a)
	}
	return out.Objects
}

// sent sends texts by LFS.
func (h *home) sent(id string, texts ...string) {
	h.t.Helper()
	for i, o := range h.batch(id, adaToken, "sha_256", texts...) {
		up, ok := o.Actions["upload"]
		if !ok || o.Error != nil {
			h.t.Fatalf("nowhere to send %s: %+v", texts[i], o)
		}
		if a := h.do("PUT", up.Href, texts[i]); a.status != 200 {
			h.t.Fatalf("sending: %v", a)
		}
		if a := h.do("POST", o.Actions["verify"].Href, map[string]any{"oid": o.OID, "size": o.Size}); a.status != 200 {
			h.t.Fatalf("verifying: %v", a)
		}
	}
}

// files reads all that a dataset holds.
func (h *home) files(id, rev string) map[string]string {
	h.t.Helper()
	out := make(map[string]string)
	for _, e := range h.tree("/api/datasets/" + id + "/tree/" + rev + "?recursive=true") {
		if e.Type != "file" {
			continue
		}
		a := h.get("/datasets/" + id + "/resolve/" + rev + "/" + escape(e.Path))
		if a.status != 200 || gitBlob(string(a.body)) != e.OID || sha256Of(string(a.body)) != e.LFS.OID {
			h.t.Errorf("%s is not what the tree says: %d", e.Path, a.status)
		}
		out[e.Path] = string(a.body)
	}
	return out
}

func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for p, text := range want {
		if got[p] != text {
			t.Errorf("%s: %.40q, want %.40q", p, got[p], text)
		}
	}
	for p := range got {
		if _, ok := want[p]; !ok {
			t.Errorf("%s is there", p)
		}
	}
}

func (h *home) newest(key, name string) (d index.Dataset) {
	h.t.Helper()
	err := h.reg.View(func(s *index.Snapshot) (err error) {
		d, err = s.ByName(foldtest.ID(key), name)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return d
}

func TestUpload(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.handle("ada", "ada")
	const id = "ada/toy"
	var made struct{ URL, Name string }
	h.do("POST", "/api/repos/create", map[string]any{"name": "toy", "organization": "ada", "type": "dataset"}, bearer(adaToken)...).into(t, &made)
	if made.Name != id || made.URL != h.url+"/datasets/"+id {
		t.Errorf("created %+v", made)
	}
	big := strings.Repeat("0123456789abcdef", 200_000) // four chunks
	var modes struct {
		Files []struct {
			Path, UploadMode string
			ShouldIgnore     bool
		}
	}
	h.do("POST", "/api/datasets/"+id+"/preupload/main", map[string]any{"gitIgnore": "*.tmp\n", "files": []map[string]any{
		{"path": "big.bin", "size": len(big), "sample": "AA=="}, {"path": "a/small.csv", "size": 4}, {"path": "x.tmp", "size": 1}, {"path": "README.md", "size": 100_000},
	}}, bearer(adaToken)...).into(t, &modes)
	var got []string
	for _, f := range modes.Files {
		got = append(got, fmt.Sprint(f.Path, " ", f.UploadMode, " ", f.ShouldIgnore))
	}
	if want := []string{"big.bin lfs false", "a/small.csv regular false", "x.tmp regular true", "README.md regular false"}; !slices.Equal(got, want) {
		t.Errorf("preupload %q", got)
	}
	h.sent(id, big)
	want := map[string]string{"README.md": card, "big.bin": big, "a/small.csv": "1,2\n", "a/empty": ""}
	first := h.committed(id, header("first"), large("big.bin", big), inline("README.md", card), inline("a/small.csv", "1,2\n"), inline("a/empty", ""))
	same(t, h.files(id, "main"), want)

	d := h.newest("ada", "toy")
	if d.Version != "1.0.0" || d.License != "CC-BY-4.0" || d.Title != "Toy" || !slices.Equal(d.Keywords, []string{"small"}) || hub.Sha(d.Statement.Cid) != first {
		t.Errorf("registered %+v", d)
	}
	// The root is that of the same files added by the command.
	dir := t.TempDir()
	for p, text := range want {
		os.MkdirAll(filepath.Join(dir, filepath.Dir(p)), 0o777)
		if err := os.WriteFile(filepath.Join(dir, p), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	r, err := ingest.Add(t.Context(), dir, nil, ingest.AddOptions{})
	if err != nil || !r.Root.Equals(d.Root.Cid) {
		t.Errorf("root %s, the command's is %s, %v", d.Root, r.Root, err)
	}
	var info map[string]any
	if h.get("/api/datasets/"+id).into(t, &info); info["custodial"] != hub.Custodial {
		t.Errorf("the info does not say that the key is custodial: %v", info["custodial"])
	}
	if info["cardData"].(map[string]any)["pretty_name"] != "Toy" {
		t.Errorf("card %v", info["cardData"])
	}

	// A second commit: one file changed, one gone, one copied under another name.
	second := h.committed(id, header("second", first), inline("a/small.csv", "3\n"), remove("a/empty"),
		op{"key": "lfsFile", "value": map[string]any{"path": "copy/of/big.bin", "algo": "sha256", "oid": sha256Of(big)}})
	same(t, h.files(id, "main"), map[string]string{"README.md": card, "big.bin": big, "a/small.csv": "3\n", "copy/of/big.bin": big})
	same(t, h.files(id, first), want)
	if d := h.newest("ada", "toy"); d.Version != "2.0.0" || d.Seq != 2 || d.Supersedes.String() == "" || hub.Sha(d.Statement.Cid) != second {
		t.Errorf("second version %+v", d)
	}
	var log []struct{ ID, Title string }
	if h.get("/api/datasets/"+id+"/commits/main").into(t, &log); len(log) != 2 || log[0].Title != "second" || log[1].Title != "first" {
		t.Errorf("commits %+v", log)
	}
	// The same again is nothing new.
	size := h.reg.Status().Size
	if sha := h.committed(id, header("again"), inline("a/small.csv", "3\n")); sha != second || h.reg.Status().Size != size {
		t.Errorf("a commit of nothing made %s", sha)
	}
	if left, _ := filepath.Glob(filepath.Join(h.opts.Dir, "staged", "*", "*")); len(left) > 0 {
		t.Errorf("what was committed is kept: %q", left)
	}
	// A folder goes and is filled anew; without README.md the licence stays, and
	// the virtual card says whose key it was.
	h.committed(id, header("third", second), op{"key": "deletedFolder", "value": map[string]any{"path": "copy/"}}, inline("copy/new", "n"), remove("README.md"))
	files := h.files(id, "main")
	if files["copy/new"] != "n" || files["copy/of/big.bin"] != "" || !strings.Contains(files["README.md"], hub.Custodial) {
		t.Errorf("third version: %q", slices.Collect(func(yield func(string) bool) {
			for p := range files {
				if !yield(p) {
					return
				}
			}
		}))
	}
	if d := h.newest("ada", "toy"); d.License != "CC-BY-4.0" {
		t.Errorf("licence %s", d.License)
	}
	// Created once, it exists.
	if a := h.do("POST", "/api/repos/create", map[string]any{"name": "toy", "organization": "ada", "type": "dataset"}, bearer(adaToken)...); a.status != 409 {
		t.Errorf("created twice: %v", a)
	}
}

// A commit onto a version that the command made keeps what it does not touch:
// the DAG of files, symlinks, profile, licence.
func TestUploadOntoOther(t *testing.T) {
	t.Parallel()
	for _, o := range []ingest.AddOptions{{}, {Profile: dag.ProfileV0_2015}, {InlineFiles: -1}} {
		h := newHome(t, nil)
		id := owner("ada") + "/w"
		links := map[string]string{"data/zlink": "../page.html", "link": "data"}
		h.add(version{key: "ada", name: "w", version: "1.0.0", files: weather, links: links, license: "ODbL-1.0", options: o, change: func(m *manifests.Manifest) {
			for i := range m.Files {
				m.Files[i].Split = "train"
			}
		}})
		before := h.newest("ada", "w")
		h.committed(id, header("one"), inline("data/zz/new.txt", "new"), inline("0", "first"))
		want := map[string]string{"data/zz/new.txt": "new", "0": "first"}
		for p, text := range weather {
			want[p] = text
		}
		files := h.files(id, "main")
		delete(files, "README.md")
		same(t, files, want)
		after := h.newest("ada", "w")
		if after.Version != "1.1.0" || after.License != "ODbL-1.0" || after.Terms != before.Terms || after.FileCount != before.FileCount+2 {
			t.Errorf("after: %+v", after)
		}
		dir := t.TempDir()
		for p, text := range want {
			os.MkdirAll(filepath.Join(dir, filepath.Dir(p)), 0o777)
			os.WriteFile(filepath.Join(dir, p), []byte(text), 0o666)
		}
		for p, target := range links {
			if err := os.Symlink(target, filepath.Join(dir, p)); err != nil {
				t.Fatal(err)
			}
		}
		r, err := ingest.Add(t.Context(), dir, nil, o)
		if err != nil || string(r.Root.Hash()) != string(after.Root.Hash()) {
			t.Errorf("%s: root %s, the command's is %s, %v", o.Profile.Name, after.Root, r.Root, err)
		}
		// Back to the files of the first version: its root.
		h.committed(id, header("two"), remove("data/zz/new.txt"), remove("0"))
		if back := h.newest("ada", "w"); back.Root != before.Root || back.Version != "2.0.0" {
			t.Errorf("back: %s, want %s", back.Root, before.Root)
		}
	}
}

// A dataset that is one file becomes a folder with it.
func TestUploadOntoFile(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	id := owner("ada") + "/w"
	long := strings.Repeat("0123456789", 200_000)
	h.add(version{key: "ada", name: "w", version: "1.0.0", files: map[string]string{"w.csv": long}, single: true})
	if a := h.get("/datasets/" + id + "/resolve/main/w.csv"); string(a.body) != long {
		t.Errorf("the one file: %d, %d bytes", a.status, len(a.body))
	}
	h.committed(id, header("x"), inline("README.md", strings.Replace(card, "Toy", "\"Wëather  über\\nall\"", 1)))
	same(t, h.files(id, "main"), map[string]string{"w.csv": long, "README.md": strings.Replace(card, "Toy", "\"Wëather  über\\nall\"", 1)})
	if d := h.newest("ada", "w"); d.Title != "Wëather über all" {
		t.Errorf("title %q", d.Title)
	}
}

func TestUploadRefused(t *testing.T) {
	t.Parallel()
	h := newHome(t, func(o *hub.Options) { o.Limits.CommitFiles = 4 })
	h.handle("ada", "ada")
	const id = "ada/toy"
	sha := h.committed(id, header("first"), inline("README.md", card), inline("a/b", "x"))
	size := h.reg.Status().Size
	nobody := strings.Repeat("0", 40)
	for name, x := range map[string]struct {
		a      answer
		status int
		says   string
	}{
		"no token":           {h.do("POST", "/api/datasets/"+id+"/commit/main", ndjson(header("x"))), 401, ""},
		"unknown token":      {h.do("POST", "/api/datasets/"+id+"/commit/main", ndjson(header("x")), bearer("hf_no")...), 401, ""},
		"another's dataset":  {h.do("POST", "/api/datasets/"+id+"/commit/main", ndjson(header("x")), bearer(benToken)...), 403, "writes below z6Mk"},
		"no custodial key":   {h.do("POST", "/api/datasets/"+id+"/commit/main", ndjson(header("x")), bearer(bareToken)...), 403, "custodial"},
		"old parent":         {h.commit(id, header("x", nobody), inline("c", "c")), 412, sha},
		"no parent there":    {h.commit("ada/none", header("x", nobody), inline("README.md", card)), 412, "no version"},
		"no card":            {h.commit("ada/none", header("x"), inline("c", "c")), 400, "no licence"},
		"card, no licence":   {h.commit(id, header("x"), inline("README.md", "---\ntags: [a]\n---\n")), 400, "no licence"},
		"card, no YAML":      {h.commit(id, header("x"), inline("README.md", "---\nlicense: [\n---\n")), 400, "card"},
		"card, aliases":      {h.commit(id, header("x"), inline("README.md", "---\nlicense: mit\na: &a [x]\nb: [*a, *a]\n---\n")), 400, "alias"},
		"never sent":         {h.commit(id, header("x"), large("c", "never sent")), 400, "not sent"},
		"delete nothing":     {h.commit(id, header("x"), remove("none")), 404, "none"},
		"delete no folder":   {h.commit(id, header("x"), op{"key": "deletedFolder", "value": map[string]any{"path": "a/b/"}}), 404, "a/b"},
		"file below a file":  {h.commit(id, header("x"), inline("a/b/c", "c")), 400, "file and a folder"},
		"file over a folder": {h.commit(id, header("x"), inline("a", "c")), 400, "file and a folder"},
		"bad path":           {h.commit(id, header("x"), inline("../c", "c")), 400, ""},
		"twice":              {h.commit(id, header("x"), inline("c", "c"), inline("c", "d")), 400, "already"},
		"too many":           {h.commit(id, header("x"), inline("1", ""), inline("2", ""), inline("3", ""), inline("4", ""), inline("5", "")), 413, "several commits"},
		"bad name":           {h.commit("ada/Toy", header("x"), inline("README.md", card)), 400, "name"},
		"a branch":           {h.do("POST", "/api/datasets/"+id+"/commit/dev", ndjson(header("x")), bearer(adaToken)...), 400, "main"},
		"a pull request":     {h.do("POST", "/api/datasets/"+id+"/commit/main?create_pr=1", ndjson(header("x")), bearer(adaToken)...), 400, "pull"},
		"private":            {h.do("POST", "/api/repos/create", map[string]any{"name": "p", "type": "dataset", "private": true}, bearer(adaToken)...), 400, "public"},
		"a model":            {h.do("POST", "/api/repos/create", map[string]any{"name": "p", "type": "model"}, bearer(adaToken)...), 400, "datasets"},
	} {
		if x.a.status != x.status || !strings.Contains(string(x.a.body), x.says) {
			t.Errorf("%s: %v", name, x.a)
		}
	}
	if now := h.reg.Status().Size; now != size {
		t.Errorf("%d entries were made", now-size)
	}
	same(t, h.files(id, "main"), map[string]string{"README.md": card, "a/b": "x"})
	var whole struct{ Errors, Warnings []any }
	h.do("POST", "/api/validate-yaml", map[string]any{"repoType": "dataset", "content": card}).into(t, &whole)
	a := h.do("POST", "/api/validate-yaml", map[string]any{"repoType": "dataset", "content": "---\nlicense: [\n---\n"})
	var bad struct{ Errors []struct{ Message string } }
	if a.status != 400 {
		t.Errorf("a bad card: %v", a)
	}
	a.status = 200
	if a.into(t, &bad); len(bad.Errors) != 1 || bad.Errors[0].Message == "" {
		t.Errorf("a bad card: %s", a.body)
	}
}

// Of commits at the same time on one parent, one is taken.
func TestCommitsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	id := owner("ada") + "/toy"
	parent := h.committed(id, header("x"), inline("README.md", card))
	var mu sync.Mutex
	var wg sync.WaitGroup
	count := make(map[int]int)
	for i := range 6 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			body := ndjson(header("x", parent), inline(fmt.Sprint(i), "x"))
			req, _ := http.NewRequest("POST", h.url+"/api/datasets/"+id+"/commit/main", bytes.NewReader([]byte(body)))
			req.Header.Set("Authorization", "Bearer "+adaToken)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			mu.Lock()
			count[res.StatusCode]++
			mu.Unlock()
		}()
	}
	wg.Wait()
	if count[200] != 1 || count[412] != 5 {
		t.Errorf("statuses %v", count)
	}
}

func TestWhoami(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.handle("ada", "ada")
	var who struct {
		Type, ID, Name, Fullname, Email string
		Orgs                            []any
		Auth                            struct {
			AccessToken struct{ DisplayName, Role string }
		}
	}
	h.get("/api/whoami-v2", bearer(adaToken)...).into(t, &who)
	if who.Type != "user" || who.Name != "ada" || who.Auth.AccessToken.Role != "write" || who.Orgs == nil {
		t.Errorf("ada is %+v", who)
	}
	h.get("/api/whoami-v2", bearer(bareToken)...).into(t, &who)
	if who.Name != "bare" || who.Auth.AccessToken.Role != "read" {
		t.Errorf("bare is %+v", who)
	}
	if a := h.get("/api/whoami-v2"); a.status != 401 {
		t.Errorf("nobody is %v", a)
	}
}

// Without a folder for uploads nothing is taken, and all is read.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	h := newHome(t, func(o *hub.Options) { *o = hub.Options{} })
	h.add(version{key: "ada", name: "w", version: "1.0.0", files: weather})
	id := owner("ada") + "/w"
	for _, p := range []string{"/api/repos/create", "/api/datasets/" + id + "/commit/main", "/api/datasets/" + id + "/preupload/main", "/datasets/" + id + ".git/info/lfs/objects/batch"} {
		if a := h.do("POST", p, "{}", bearer(adaToken)...); a.status != 403 {
			t.Errorf("%s: %v", p, a)
		}
	}
	if a := h.do("PUT", "/datasets/"+id+"/lfs/"+sha256Of("x")+"?size=1&token=&expires=99999999999&signature=", "x"); a.status != 403 {
		t.Errorf("put: %v", a)
	}
	h.files(id, "main")
}
