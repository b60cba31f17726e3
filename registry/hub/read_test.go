package hub_test

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/hub"
	"github.com/cairn-registry/cairn/registry/index"
)

func gitBlob(s string) string {
	sum := sha1.Sum([]byte(fmt.Sprintf("blob %d\x00%s", len(s), s)))
	return hex.EncodeToString(sum[:])
}

func owner(key string) string { return strings.TrimPrefix(string(foldtest.ID(key)), "did:key:") }

var weather = map[string]string{
	"data/train-00.csv":        "a,b\n1,2\n",
	"data/train-01.csv":        strings.Repeat("long,line\n", 300_000), // three chunks
	"data/deep/er/x.txt":       "x",
	"data-notes.txt":           "between data and data/… only by the wrong order",
	"empty.bin":                "",
	"page.html":                "<script>alert(1)</script>",
	"zoë & co/100% [sure].csv": "ü",
}

type treeEntry struct {
	Type, Path, OID string
	Size            int64
	LFS             *struct {
		OID         string
		Size        int64
		PointerSize int
	}
	LastCommit *struct{ ID, Title, Date string }
}

func (h *home) tree(path string) (out []treeEntry) {
	h.t.Helper()
	for next := path; next != ""; {
		a := h.get(next)
		var page []treeEntry
		a.into(h.t, &page)
		out = append(out, page...)
		next = link(h.t, a)
	}
	return out
}

var linkForm = regexp.MustCompile(`^<(https?://[^>]+)>;\s+rel="next"$`)

// link is the next page, by the expression with which the JavaScript client reads it.
func link(t testing.TB, a answer) string {
	t.Helper()
	l := a.header.Get("Link")
	if l == "" {
		return ""
	}
	m := linkForm.FindStringSubmatch(l)
	if m == nil {
		t.Fatalf("a client does not read the link %s", l)
	}
	return m[1]
}

func TestInfo(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.handle("ada", "ada")
	first := h.add(version{key: "ada", name: "weather", version: "1.0.0", files: map[string]string{"a.csv": "1"}})
	second := h.add(version{key: "ada", name: "weather", version: "1.1.0", files: weather, supersedes: first, change: func(m *manifests.Manifest) {
		m.Title, m.Keywords, m.Description = "Weather", []string{"rain"}, "What fell."
	}})
	var d index.Dataset
	if err := h.reg.View(func(s *index.Snapshot) (err error) { d, err = s.Dataset(second); return err }); err != nil {
		t.Fatal(err)
	}
	sha := second.Hash().HexString()[4:44]
	var info struct {
		ID, Author, SHA, LastModified string
		XID                           string `json:"_id"`
		Private, Disabled             *bool
		Gated                         any
		Downloads, Likes              *int
		Tags                          []string
		CardData                      map[string]any
		Siblings                      []struct {
			Rfilename, BlobID string
			Size              int64
			LFS               *struct {
				SHA256      string
				Size        int64
				PointerSize int
			}
		}
	}
	for _, id := range []string{"ada/weather", owner("ada") + "/weather", "cairn/" + second.String(), "cairn/" + d.Root.String()} {
		for _, rev := range []string{"", "main", "HEAD", "1.1.0", sha, second.String(), d.Root.String()} {
			path := "/api/datasets/" + id
			if rev != "" {
				path += "/revision/" + rev
			}
			info.SHA = ""
			h.get(path).into(t, &info)
			if info.SHA != sha || info.ID != id || len(info.Siblings) != len(weather)+1 {
				t.Errorf("%s: sha %s, id %s, %d siblings", path, info.SHA, info.ID, len(info.Siblings))
			}
		}
	}
	h.get("/api/datasets/ada/weather?blobs=true").into(t, &info)
	if info.Author != "ada" || info.LastModified != "2026-11-22T08:00:00.000Z" || info.Private == nil || *info.Private || info.Gated != false ||
		info.Downloads == nil || info.Likes == nil || info.Disabled == nil || info.XID == "" {
		t.Errorf("the info lacks what clients read: %+v", info)
	}
	if !slices.Equal(info.Tags, []string{"license:cc-by-4.0", "rain"}) || info.CardData["license"] != "cc-by-4.0" || info.CardData["pretty_name"] != "Weather" {
		t.Errorf("tags %v, card %v", info.Tags, info.CardData)
	}
	for _, s := range info.Siblings {
		text, ok := weather[s.Rfilename]
		if !ok && s.Rfilename == "README.md" {
			text = string(h.get("/datasets/ada/weather/resolve/main/README.md").body)
		}
		if s.Size != int64(len(text)) || s.BlobID != gitBlob(text) || s.LFS.SHA256 != sha256Of(text) || s.LFS.Size != s.Size ||
			s.LFS.PointerSize != len(fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", sha256Of(text), len(text))) {
			t.Errorf("sibling %+v", s)
		}
	}
	// expand gives what was asked for and the two ids.
	var some map[string]any
	h.get("/api/datasets/ada/weather/revision/HEAD?expand=private&expand=downloads&expand=sha").into(t, &some)
	if len(some) != 5 || some["sha"] != sha || some["_id"] == nil || some["id"] != "ada/weather" {
		t.Errorf("expanded: %v", some)
	}
	// The older version is still there, under all its names.
	for _, rev := range []string{"1.0.0", first.String(), first.Hash().HexString()[4:44]} {
		h.get("/api/datasets/ada/weather/revision/"+rev).into(t, &info)
		if info.SHA != first.Hash().HexString()[4:44] {
			t.Errorf("%s is %s", rev, info.SHA)
		}
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	for _, lines := range []int{0, -1} { // inline, and as a file list
		name := fmt.Sprintf("t%d", lines+1)
		h.add(version{key: "ada", name: name, version: "1.0.0", files: weather, options: ingest.AddOptions{InlineFiles: lines}})
		base := "/api/datasets/" + owner("ada") + "/" + name + "/tree/main"
		paths := func(list []treeEntry) (out []string) {
			for _, e := range list {
				p := e.Path
				if e.Type == "directory" {
					p += "/"
				}
				out = append(out, p)
			}
			return out
		}
		all := []string{
			"README.md", "data/", "data/deep/", "data/deep/er/", "data/deep/er/x.txt", "data/train-00.csv", "data/train-01.csv",
			"data-notes.txt", "empty.bin", "page.html", "zoë & co/", "zoë & co/100% [sure].csv",
		}
		for query, want := range map[string][]string{
			"?recursive=true":                       all,
			"":                                      {"README.md", "data/", "data-notes.txt", "empty.bin", "page.html", "zoë & co/"},
			"?recursive=false&expand=false&limit=2": {"README.md", "data/", "data-notes.txt", "empty.bin", "page.html", "zoë & co/"},
			"/data":                                 {"data/deep/", "data/train-00.csv", "data/train-01.csv"},
			"/data/":                                {"data/deep/", "data/train-00.csv", "data/train-01.csv"},
			"/data?recursive=true&limit=1":          all[2:7],
			"/zo%C3%AB%20&%20co?recursive=true":     {"zoë & co/100% [sure].csv"},
		} {
			if got := paths(h.tree(base + query)); !slices.Equal(got, want) {
				t.Errorf("%s: %q, want %q", query, got, want)
			}
		}
		for limit := range len(all) {
			if got := paths(h.tree(fmt.Sprintf("%s?recursive=True&limit=%d", base, limit+1))); !slices.Equal(got, all) {
				t.Errorf("pages of %d: %q", limit+1, got)
			}
		}
		for _, missing := range []string{"/nothing", "/data/train-00.csv", "/dat", "/data/deep/e"} {
			a := h.get(base + missing)
			if a.status != 404 || a.header.Get("X-Error-Code") != "EntryNotFound" || a.header.Get("X-Repo-Commit") == "" {
				t.Errorf("%s: %v %v", missing, a, a.header)
			}
		}
		for _, e := range h.tree(base + "?recursive=true&expand=true") {
			if e.LastCommit == nil || len(e.LastCommit.ID) != 40 || e.LastCommit.Date == "" || e.LastCommit.Title == "" {
				t.Errorf("%s has no last commit", e.Path)
			}
			if len(e.OID) != 40 || strings.Trim(e.OID, "0123456789abcdef") != "" {
				t.Errorf("%s: oid %s", e.Path, e.OID)
			}
			if e.Type == "directory" {
				if e.LFS != nil || e.Size != 0 {
					t.Errorf("directory %+v", e)
				}
				continue
			}
			text := string(h.get("/datasets/" + owner("ada") + "/" + name + "/resolve/main/" + escape(e.Path)).body)
			if want, ok := weather[e.Path]; ok && text != want {
				t.Errorf("%s has other bytes", e.Path)
			}
			if e.Size != int64(len(text)) || e.OID != gitBlob(text) || e.LFS == nil || e.LFS.OID != sha256Of(text) || e.LFS.Size != e.Size {
				t.Errorf("%+v does not describe %d bytes", e, len(text))
			}
		}
	}
}

func escape(path string) string {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// A listing of a large file list, searched and read in pages, is that of its
// paths, and every path in it is found.
func TestLongFileList(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	files := make(map[string]string)
	pad := strings.Repeat("p", 180)
	for i := range 350 {
		files[fmt.Sprintf("%s/d%02d/%04d", pad, i%3, i)] = fmt.Sprint(i)
		files[fmt.Sprintf("%s/d%02d.x/%04d", pad, i%3, i)] = fmt.Sprint(i)
	}
	files["z"], files["README.md"] = "z", "own"
	h.add(version{key: "ada", name: "long", version: "1.0.0", files: files, options: ingest.AddOptions{InlineFiles: -1}})
	base := "/api/datasets/" + owner("ada") + "/long/tree/main"
	var got []string
	for _, e := range h.tree(base + "?recursive=true&limit=101") {
		if e.Type == "file" {
			got = append(got, e.Path)
		}
	}
	var want []string
	for p := range files {
		want = append(want, p)
	}
	slices.SortFunc(want, manifests.ComparePaths)
	if !slices.Equal(got, want) {
		t.Fatalf("%d paths, want %d", len(got), len(want))
	}
	var names []string
	for _, e := range h.tree(base + "/" + pad + "?limit=2") {
		names = append(names, e.Type[:1]+" "+strings.TrimPrefix(e.Path, pad+"/"))
	}
	if want := []string{"d d00", "d d00.x", "d d01", "d d01.x", "d d02", "d d02.x"}; !slices.Equal(names, want) {
		t.Errorf("directories %q, want %q", names, want)
	}
	for i, p := range want {
		if i%29 != 0 && p != "z" && p != "README.md" {
			continue
		}
		if a := h.get("/datasets/" + owner("ada") + "/long/resolve/main/" + p); string(a.body) != files[p] {
			t.Errorf("%s: %v", p, a)
		}
		if a := h.get("/datasets/" + owner("ada") + "/long/resolve/main/" + p + "x"); a.status != 404 {
			t.Errorf("%sx: %v", p, a)
		}
	}
}

func TestPathsInfo(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.add(version{key: "ada", name: "w", version: "1.0.0", files: weather})
	path := "/api/datasets/" + owner("ada") + "/w/paths-info/main"
	form := url.Values{"paths": {"data/train-00.csv", "nothing", "data/deep", "README.md", "empty.bin"}, "expand": {"False"}}
	for kind, body := range map[string]any{
		"application/x-www-form-urlencoded": form.Encode(),
		"application/json":                  map[string]any{"paths": form["paths"], "expand": false},
	} {
		var out []treeEntry
		h.do("POST", path, body, "Content-Type", kind).into(t, &out)
		if len(out) != 4 || out[0].Path != "data/train-00.csv" || out[0].OID != gitBlob(weather["data/train-00.csv"]) ||
			out[1].Type != "directory" || out[2].Path != "README.md" || out[3].Size != 0 || out[0].LastCommit != nil {
			t.Errorf("%s: %+v", kind, out)
		}
	}
	var out []treeEntry
	h.do("POST", path, map[string]any{"paths": []string{"empty.bin"}, "expand": true}, "Content-Type", "application/json").into(t, &out)
	if len(out) != 1 || out[0].LastCommit == nil {
		t.Errorf("expanded: %+v", out)
	}
}

func TestVirtualReadme(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	files := map[string]string{"data/train-00.csv": "1", "data/te*st.csv": "2"}
	h.add(version{key: "ada", name: "cards", version: "1.0.0", files: files, change: func(m *manifests.Manifest) {
		m.Title, m.Languages = "Cards: \"all\"", []string{"de"}
		for i := range m.Files {
			m.Files[i].Split = "train"
			if strings.Contains(m.Files[i].Path, "te") {
				m.Files[i].Split = "test"
			}
		}
	}})
	a := h.get("/datasets/" + owner("ada") + "/cards/resolve/main/README.md")
	text := string(a.body)
	for _, want := range []string{
		"---\nlicense: \"cc-by-4.0\"\npretty_name: \"Cards: \\\"all\\\"\"\nlanguage:\n- \"de\"\nconfigs:\n- config_name: \"default\"\n  data_files:\n",
		"- split: \"train\"\n    path:\n    - \"data/train-00.csv\"\n", "- \"data/te[*]st.csv\"", "published by `did:key:z6Mk",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the card lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, hub.Custodial) {
		t.Error("the card calls a key custodial that is not")
	}
	h.restart()
	if again := h.get("/datasets/" + owner("ada") + "/cards/resolve/main/README.md"); string(again.body) != text {
		t.Error("the card changes with the process")
	}
	if a := h.get("/datasets/"+owner("ada")+"/cards/resolve/main/README.md", "Range", "bytes=4-10"); a.status != 206 || string(a.body) != text[4:11] {
		t.Errorf("a range of the card: %v", a)
	}
	// A dataset's own README.md stays as it is.
	h.add(version{key: "ada", name: "own", version: "1.0.0", files: map[string]string{"README.md": "mine", "x": "x"}})
	if a := h.get("/datasets/" + owner("ada") + "/own/resolve/main/README.md"); string(a.body) != "mine" {
		t.Errorf("own README.md: %v", a)
	}
	if n := len(h.tree("/api/datasets/" + owner("ada") + "/own/tree/main")); n != 2 {
		t.Errorf("%d files", n)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.add(version{key: "ada", name: "w", version: "1.0.0", files: weather})
	id := owner("ada") + "/w"
	for path, code := range map[string]string{
		"/api/datasets/nobody/w":                   "RepoNotFound",
		"/api/datasets/" + owner("ada") + "/other": "RepoNotFound",
		"/api/datasets/squad":                      "RepoNotFound",
		"/api/datasets/cairn/nonsense":             "RepoNotFound",
		"/api/datasets/cairn/bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy": "RepoNotFound",
		"/datasets/nobody/w/resolve/main/x":                                               "RepoNotFound",
		"/api/datasets/" + id + "/revision/2.0.0":                                         "RevisionNotFound",
		"/api/datasets/" + id + "/revision/refs%2Fpr%2F1":                                 "RevisionNotFound",
		"/api/datasets/" + id + "/tree/" + strings.Repeat("0", 40):                        "RevisionNotFound",
		"/datasets/" + id + "/resolve/dev/page.html":                                      "RevisionNotFound",
		"/datasets/" + id + "/resolve/main/none":                                          "EntryNotFound",
		"/api/datasets/" + id + "/croissant":                                              "EntryNotFound",
		"/api/agent-harnesses":                                                            "RepoNotFound",
	} {
		a := h.get(path)
		var body struct{ Error string }
		if a.status != 404 || a.header.Get("X-Error-Code") != code || a.header.Get("X-Error-Message") == "" {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
		if !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
			t.Errorf("%s: %s", path, a.header.Get("Content-Type"))
		}
		a.status = 200
		if a.into(t, &body); body.Error == "" {
			t.Errorf("%s: %s", path, a.body)
		}
		for _, exposed := range []string{"X-Repo-Commit", "X-Error-Code", "ETag", "Link", "Content-Range", "X-Linked-Size"} {
			if !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), exposed) {
				t.Errorf("%s: a page cannot read %s", path, exposed)
			}
		}
	}
	if a := h.get("/api/datasets/" + id + "/xet-write-token/main"); a.status != 400 || !strings.Contains(string(a.body), "HF_HUB_DISABLE_XET=1") {
		t.Errorf("xet: %v", a)
	}
	if a := h.do("OPTIONS", "/api/datasets/"+id, nil, "Origin", "https://x.example", "Access-Control-Request-Headers", "authorization"); a.status != 204 ||
		!strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("preflight: %v %v", a, a.header)
	}
}

func TestSearchRefsCommits(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.handle("ben", "ben")
	h.add(version{key: "ada", name: "alpha", version: "1.0.0", files: map[string]string{"a": "a"}})
	first := h.add(version{key: "ben", name: "beta", version: "1.0.0", license: "MIT", files: map[string]string{"a": "b"}})
	second := h.add(version{key: "ben", name: "beta", version: "2.0.0", license: "MIT", files: map[string]string{"a": "c"}, supersedes: first,
		change: func(m *manifests.Manifest) { m.Keywords = []string{"birds", "song"} }})
	find := func(query string) (ids []string) {
		t.Helper()
		for next := "/api/datasets?" + query; next != ""; {
			a := h.get(next)
			var page []struct{ ID, SHA, LastModified string }
			a.into(t, &page)
			for _, d := range page {
				if len(d.SHA) != 40 || d.LastModified == "" {
					t.Errorf("%s: %+v", query, d)
				}
				ids = append(ids, d.ID)
			}
			next = link(t, a)
		}
		return ids
	}
	alpha := owner("ada") + "/alpha"
	for query, want := range map[string][]string{
		"":                              {"ben/beta", alpha},
		"limit=1":                       {"ben/beta", alpha},
		"search=BET":                    {"ben/beta"},
		"search=ben/b":                  {"ben/beta"},
		"search=bird":                   {"ben/beta"},
		"search=nothing":                nil,
		"author=ben":                    {"ben/beta"},
		"author=" + owner("ada"):        {alpha},
		"author=nobody":                 nil,
		"filter=license:mit":            {"ben/beta"},
		"filter=license:cc-by-4.0":      {alpha},
		"filter=song&filter=birds":      {"ben/beta"},
		"filter=song&filter=other":      nil,
		"author=ben&search=a&full=true": {"ben/beta"},
	} {
		if got := find(query); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	var refs struct {
		Branches, Tags, Converts []struct{ Name, Ref, TargetCommit string }
		PullRequests             *[]any
	}
	h.get("/api/datasets/ben/beta/refs?include_prs=1").into(t, &refs)
	if len(refs.Branches) != 1 || refs.Branches[0].TargetCommit != hub.Sha(second) || len(refs.Tags) != 2 || refs.Tags[1].TargetCommit != hub.Sha(first) ||
		refs.Converts == nil || refs.PullRequests == nil {
		t.Errorf("refs: %+v", refs)
	}
	var ids []string
	for next := "/api/datasets/ben/beta/commits/main?limit=1"; next != ""; {
		a := h.get(next)
		var page []struct {
			ID, Title, Date string
			Authors         []struct{ User string }
		}
		a.into(t, &page)
		for _, c := range page {
			if len(c.Authors) != 1 || c.Authors[0].User != "ben" || c.Title == "" {
				t.Errorf("commit %+v", c)
			}
			ids = append(ids, c.ID)
		}
		next = link(t, a)
	}
	if !slices.Equal(ids, []string{hub.Sha(second), hub.Sha(first)}) {
		t.Errorf("commits %q", ids)
	}
	var older []any
	if h.get("/api/datasets/ben/beta/commits/1.0.0").into(t, &older); len(older) != 1 {
		t.Errorf("commits of the first version: %v", older)
	}
}

type mayRead struct{}

// A gate hands out blocks to those whose context says that they may have them.
type gate struct{ blocks.Reader }

func (g gate) may(ctx context.Context) error {
	if ctx.Value(mayRead{}) == nil {
		return fault.New(fault.NotFound, "no such block")
	}
	return nil
}

func (g gate) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	if err := g.may(ctx); err != nil {
		return nil, err
	}
	return g.Reader.Block(ctx, c)
}

func (g gate) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	if err := g.may(ctx); err != nil {
		return 0, err
	}
	return g.Reader.Size(ctx, c)
}

// What one caller was shown is not shown to another who may not read it: nothing
// that is kept between requests goes around the reader of blocks.
func TestReaderIsAsked(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.add(version{key: "ada", name: "w", version: "1.0.0", files: weather})
	x, err := hub.New(h.reg, gate{h.store}, hub.Options{})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	x.Register(mux)
	id := owner("ada") + "/w"
	for _, p := range []string{
		"/api/datasets/" + id + "?blobs=true", "/api/datasets/" + id + "/tree/main?recursive=true", "/datasets/" + id + "/resolve/main/page.html",
		"/datasets/" + id + "/resolve/main/README.md", "/datasets/" + id + "/raw/main/empty.bin",
	} {
		ask := func(ctx context.Context) int {
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, httptest.NewRequest("GET", p, nil).WithContext(ctx))
			if w.Code != 200 && strings.Contains(w.Body.String(), "alert") {
				t.Errorf("%s: %s", p, w.Body)
			}
			return w.Code
		}
		may := context.WithValue(t.Context(), mayRead{}, true)
		if before, first, after, last := ask(t.Context()), ask(may), ask(t.Context()), ask(may); before == 200 || first != 200 || after == 200 || last != 200 {
			t.Errorf("%s: %d, %d, %d, %d", p, before, first, after, last)
		}
	}
}

// A dataset whose bytes need an acceptance says so, and nobody between keeps them.
func TestGated(t *testing.T) {
	t.Parallel()
	accepted := false
	h := newHome(t, func(o *hub.Options) {
		o.Access = func(context.Context, index.Dataset) error {
			if accepted {
				return nil
			}
			return fault.New(fault.Unauthenticated, "accept the terms first")
		}
	})
	h.add(version{key: "ada", name: "w", version: "1.0.0", files: weather, conditions: &terms.Conditions{Accept: "bytes"}})
	id := owner("ada") + "/w"
	var info struct {
		Gated    any
		Siblings []any
	}
	if h.get("/api/datasets/"+id).into(t, &info); info.Gated != "auto" || info.Siblings != nil {
		t.Errorf("info %+v", info)
	}
	file := "/datasets/" + id + "/resolve/main/page.html"
	if a := h.get(file); a.status != 403 || a.header.Get("X-Error-Code") != "GatedRepo" || a.header.Get("Location") != "" {
		t.Errorf("without acceptance: %v", a)
	}
	accepted = true
	if a := h.get(file); a.status != 200 || a.header.Get("Cache-Control") != "private, no-store" || !strings.Contains(a.header.Get("Vary"), "Authorization") {
		t.Errorf("with acceptance: %v %v", a, a.header)
	}
	if a := h.get(file, bearer("hf_wrong")...); a.status != 401 || a.header.Get("X-Error-Message") != "Invalid credentials in Authorization header" {
		t.Errorf("a wrong token: %v %v", a, a.header)
	}
}
