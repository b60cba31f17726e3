package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/ingest/node"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/access"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/gateway"
)

// secret stands in every file that the tests gate.
const secret = "NOBODY-READS-THIS-UNASKED"

var gatedFiles = files{
	"a.csv": "word,n\n" + secret + ",1\n", "dir/b.txt": secret, "dir/none": "",
	"big.bin": secret + noise(7, 2<<20) + secret, "page.html": "<script>" + secret + "</script>",
}

type inSpace struct {
	s     *spaces.Store
	terms cid.Cid
}

func (s inSpace) Batch(ctx context.Context) (ingest.Batch, error) { return s.s.Batch(ctx, s.terms) }

func gatedBy(license string) *terms.Terms {
	return &terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: license}, Conditions: &terms.Conditions{Accept: "bytes"}}
}

// gated registers files under terms that gate their bytes.
func (h *home) gated(publisher, name string, f files, document *terms.Terms) (r *ingest.Result, termsCID, statement cid.Cid) {
	h.t.Helper()
	b, err := terms.Encode(document)
	if err != nil {
		h.t.Fatal(err)
	}
	termsCID = cjson.JSONCID(b)
	r, err = ingest.Add(h.t.Context(), f.write(h.t), inSpace{h.store, termsCID}, ingest.AddOptions{NoSketch: true})
	if err != nil {
		h.t.Fatal(err)
	}
	return r, termsCID, h.register(publisher, name, "1.0.0", r, document)
}

func (h *home) accept(party string, document cid.Cid, fetchers ...string) {
	h.t.Helper()
	a := &manifests.Accept{Common: common(h.t), Party: foldtest.ID(party), Terms: cjson.CID{Cid: document}}
	for _, f := range fetchers {
		a.Fetchers = append(a.Fetchers, foldtest.ID(f))
	}
	slices.Sort(a.Fetchers)
	s, err := h.reg.Submit(h.t.Context(), seal(h.t, manifests.New(a), party))
	if err != nil || s.Verdict != registry.Accepted {
		h.t.Fatalf("accepting: %v, %v", s, err)
	}
}

// A door is a server with everything that says who may read.
type door struct {
	t     *testing.T
	url   string
	g     *gateway.Gateway
	ahead atomic.Int64 // of the clock, in nanoseconds
}

func (d *door) now() time.Time { return time.Now().Add(time.Duration(d.ahead.Load())) }

const auditorToken = "cairn_auditor"

func (h *home) door(t *testing.T, file string) *door {
	t.Helper()
	d := &door{t: t}
	a, err := access.New(access.Options{Registry: h.reg, Store: h.store, File: file, Now: d.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	sum := sha256.Sum256([]byte(auditorToken))
	who, err := auth.New(auth.Options{
		Policy: auth.Policy{Tokens: []auth.Token{{Name: "auditor", SHA256: hex.EncodeToString(sum[:]), Role: auth.Auditor}}}, Issued: a.Issued, Now: d.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(who.Begins())) // signatures of before are refused
	d.g = h.gateway(gateway.Options{Front: gateway.FrontOptions{
		Auth:   func(next http.Handler) http.Handler { return who.Middleware(a.Middleware(next)) },
		Caller: func(context.Context) string { return "" },
	}})
	d.g.TakeAccess(a)
	d.url = serve(t, d.g.Public(true))
	return d
}

// signedBy is a transport that signs by the door's clock.
func (d *door) signedBy(name string) http.RoundTripper {
	return client.Signed(&http.Transport{DisableKeepAlives: true, DisableCompression: true}, foldtest.Key(name), d.now)
}

func bearer(token string) []string { return []string{"Authorization: Bearer " + token} }

func (d *door) token(name string) string {
	d.t.Helper()
	out, err := client.New(d.url, d.signedBy(name)).Access(d.t.Context())
	if err != nil {
		d.t.Fatalf("access for %s: %v", name, err)
	}
	return out.Token
}

// A way is a request for gated bytes.
type way struct {
	pattern string // of the mux; "" below /ipfs and on origins
	method  string // default GET
	path    string
	headers []string
	body    string
	// inside says that the path names a block inside the data: to whom it is not
	// open it is nowhere.
	inside bool
	never  bool // nobody gets it this way
	about  bool // the answer depends on the registry: its status alone is compared
}

func (d *door) ask(rt http.RoundTripper, w way, headers ...string) answer {
	d.t.Helper()
	method := w.method
	if method == "" {
		method = "GET"
	}
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.url+w.path, strings.NewReader(w.body))
	if err != nil {
		d.t.Fatal(err)
	}
	for _, h := range append(slices.Clone(w.headers), headers...) {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		} else {
			req.Header.Add(name, value)
		}
	}
	if w.body != "" {
		req.Header.Set("Content-Type", "application/json")
	} else {
		req.Body, req.ContentLength = nil, 0
	}
	if rt == nil {
		rt = &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body, err}
}

// nodes decodes blocks of a store.
type nodes struct{ *spaces.Store }

func (n nodes) Node(ctx context.Context, c cid.Cid) (*unixfs.Node, error) {
	b, err := n.Block(ctx, c)
	if err != nil {
		return nil, err
	}
	return unixfs.DecodeNode(c, b)
}

// TestGatedBytes is the table of every route by every caller, in both directions:
// unreachable without acceptance, and with it the same bytes as a registry sends that
// has the same data openly.
func TestGatedBytes(t *testing.T) {
	h, open := newHome(t), newHome(t)
	r, document, statement := h.gated("ana", "talks", gatedFiles, gatedBy("CC-BY-4.0"))
	_, other, _ := h.gated("ben", "other", files{"x": "another " + secret}, gatedBy("CC0-1.0"))
	control := open.add(gatedFiles)
	open.register("ana", "talks", "1.0.0", control, &terms.Terms{})
	if !control.Root.Equals(r.Root) {
		t.Fatal("two roots of the same data")
	}
	h.accept("tina", document, "node")
	h.accept("otto", other)
	d, free := h.door(t, ""), open.door(t, "")

	root := r.Root.String()
	var manifest string
	if a := d.ask(nil, way{path: "/v1/statements/" + statement.String()}); a.status == 200 {
		_, rest, _ := strings.Cut(string(a.body), `"manifest":"`)
		manifest, _, _ = strings.Cut(rest, `"`)
	}
	var big, csv cid.Cid
	for _, f := range r.Files {
		switch f.Path {
		case "big.bin":
			big = f.CID
		case "a.csv":
			csv = f.CID
		}
	}
	steps, err := unixfs.Trace(t.Context(), nodes{open.store}, r.Root, []string{"dir"})
	if err != nil {
		t.Fatal(err)
	}
	dir := steps[1]
	leaf := cjson.RawCID([]byte(gatedFiles["big.bin"][:1<<20]))
	ana := strings.TrimPrefix(foldID("ana"), "did:key:")
	const resolve = "/datasets/{owner}/{name}/resolve/{rev}/{path...}"
	ways := map[string]way{
		"file":             {path: "/ipfs/" + root + "/dir/b.txt"},
		"empty file":       {path: "/ipfs/" + root + "/dir/none"},
		"page":             {path: "/ipfs/" + root + "/page.html"},
		"HEAD":             {path: "/ipfs/" + root + "/a.csv", method: "HEAD"},
		"range":            {path: "/ipfs/" + root + "/big.bin", headers: []string{"Range: bytes=1048570-1048580"}},
		"ranges":           {path: "/ipfs/" + root + "/big.bin", headers: []string{"Range: bytes=0-9,1048570-1048580"}, about: true},
		"large file":       {path: "/ipfs/" + root + "/big.bin"},
		"directory":        {path: "/ipfs/" + root + "/", about: true},
		"known already":    {path: "/ipfs/" + root + "/a.csv", headers: []string{`If-None-Match: "` + csv.String() + `"`}},
		"if cached":        {path: "/ipfs/" + root + "/a.csv", headers: []string{"Cache-Control: only-if-cached"}},
		"block":            {path: "/ipfs/" + root + "?format=raw"},
		"block by Accept":  {path: "/ipfs/" + root, headers: []string{"Accept: application/vnd.ipld.raw"}},
		"block by path":    {path: "/ipfs/" + root + "/a.csv?format=raw"},
		"CAR":              {path: "/ipfs/" + root + "?format=car"},
		"CAR of a path":    {path: "/ipfs/" + root + "/dir?format=car&dag-scope=entity"},
		"CAR of a block":   {path: "/ipfs/" + root + "?format=car&dag-scope=block"},
		"CAR by boxo":      {path: "/ipfs/" + root + "?format=car&car-dups=y"},
		"TAR":              {path: "/ipfs/" + root + "/dir?format=tar", about: true},
		"CIDv1 in upper":   {path: "/ipfs/" + strings.ToUpper(root) + "/dir/b.txt"},
		"inner leaf":       {path: "/ipfs/" + leaf.String() + "?format=raw", inside: true},
		"inner leaf, file": {path: "/ipfs/" + leaf.String(), inside: true},
		"inner node":       {path: "/ipfs/" + big.String() + "?format=raw", inside: true},
		"inner file":       {path: "/ipfs/" + big.String(), inside: true},
		"inner CAR":        {path: "/ipfs/" + big.String() + "?format=car", inside: true},
		"inner TAR":        {path: "/ipfs/" + big.String() + "?format=tar", inside: true, about: true},
		"inner HEAD":       {path: "/ipfs/" + big.String(), method: "HEAD", inside: true},
		"inner, known":     {path: "/ipfs/" + big.String(), headers: []string{`If-None-Match: "` + big.String() + `"`}, inside: true},
		"inner directory":  {path: "/ipfs/" + dir.String() + "/", inside: true, about: true},
		"as another codec": {path: "/ipfs/" + cid.NewCidV1(cid.Raw, r.Root.Hash()).String() + "?format=raw"},
		"localhost":        {path: "/ipfs/" + root + "/dir/b.txt", headers: []string{"Host: localhost"}, about: true},
		"origin":           {path: "/dir/b.txt", headers: []string{"Host: " + root + ".ipfs.localhost"}, never: true},
		"origin, block":    {path: "/?format=raw", headers: []string{"Host: " + root + ".ipfs.localhost"}, never: true},
		"origin, CAR":      {path: "/?format=car", headers: []string{"Host: " + root + ".ipfs.localhost"}, never: true},
		"origin of a leaf": {path: "/", headers: []string{"Host: " + leaf.String() + ".ipfs.localhost"}, never: true},

		"Hub":          {pattern: "GET " + resolve, path: "/datasets/" + ana + "/talks/resolve/main/a.csv"},
		"Hub, version": {pattern: "GET " + resolve, path: "/datasets/" + ana + "/talks/resolve/1.0.0/big.bin"},
		"Hub, range":   {pattern: "GET " + resolve, path: "/datasets/" + ana + "/talks/resolve/main/big.bin", headers: []string{"Range: bytes=5-1048590"}},
		"Hub, HEAD":    {pattern: "GET " + resolve, method: "HEAD", path: "/datasets/" + ana + "/talks/resolve/main/a.csv"},
		"Hub, by CID":  {pattern: "GET " + resolve, path: "/datasets/cairn/" + root + "/resolve/main/a.csv"},
		"Hub, known":   {pattern: "GET " + resolve, path: "/datasets/" + ana + "/talks/resolve/main/a.csv", headers: []string{"If-None-Match: *"}},
		"Hub, raw":     {pattern: "GET /datasets/{owner}/{name}/raw/{rev}/{path...}", path: "/datasets/" + ana + "/talks/raw/main/dir/b.txt"},
		"Hub, tree":    {pattern: "GET /api/datasets/{owner}/{name}/tree/{rev}", path: "/api/datasets/" + ana + "/talks/tree/main", about: true},
		"Hub, subtree": {pattern: "GET /api/datasets/{owner}/{name}/tree/{rev}/{path...}", path: "/api/datasets/" + ana + "/talks/tree/main/dir", about: true},
		"Hub, paths": {pattern: "POST /api/datasets/{owner}/{name}/paths-info/{rev}", method: "POST", path: "/api/datasets/" + ana + "/talks/paths-info/main",
			body: `{"paths":["a.csv"]}`, about: true},
	}
	expired := d.token("tina")
	d.ahead.Store(int64(25 * time.Hour))
	type caller struct {
		rt      http.RoundTripper
		headers []string
		may     bool
		status  int // for whatever is asked; 0: it depends
	}
	callers := map[string]caller{
		"stranger":                  {},
		"wrong token":               {headers: bearer("cairn_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), status: 401},
		"expired token":             {headers: bearer(expired), status: 401},
		"acceptor of other terms":   {headers: bearer(d.token("otto"))},
		"publisher under others":    {headers: bearer(d.token("ben"))},
		"who signs and accepted no": {rt: d.signedBy("eve")},
		"acceptor":                  {headers: bearer(d.token("tina")), may: true},
		"acceptor who signs":        {rt: d.signedBy("tina"), may: true},
		"fetcher":                   {headers: bearer(d.token("node")), may: true},
		"auditor":                   {headers: bearer(auditorToken), may: true},
		"publisher":                 {headers: bearer(d.token("ana")), may: true},
	}
	// Those who may go first and last: what they leave in a cache is for nobody else.
	order := slices.Concat([]string{"acceptor", "auditor"}, sortedKeys(callers))
	for _, name := range order {
		c := callers[name]
		for _, wayName := range sortedKeys(ways) {
			w := ways[wayName]
			what := name + ", " + wayName
			rt := c.rt
			if rt != nil {
				rt = d.signedBy(map[string]string{"acceptor who signs": "tina", "who signs and accepted no": "eve"}[name])
				if slices.ContainsFunc(w.headers, func(h string) bool { return strings.HasPrefix(h, "Host: ") }) {
					continue // a signature names the host that a request goes to
				}
			}
			a := d.ask(rt, w, c.headers...)
			if a.err != nil {
				t.Errorf("%s: %v", what, a.err)
				continue
			}
			if c.may && !w.never {
				was := free.ask(nil, w)
				if a.status != was.status && !(wayName == "localhost" && a.status == 200) {
					t.Errorf("%s: %d, openly %d: %.200s", what, a.status, was.status, a.body)
				}
				if !w.about && !bytes.Equal(a.body, was.body) {
					t.Errorf("%s: %d bytes, openly %d", what, len(a.body), len(was.body))
				}
				if strings.Contains(wayName, "TAR") && !bytes.Contains(a.body, []byte(secret)) {
					t.Errorf("%s: the file is not inside", what) // times differ
				}
				if was.status < 300 && w.method == "" && w.headers == nil && !w.about && len(a.body) == 0 && wayName != "empty file" {
					t.Errorf("%s: nothing came", what)
				}
				if cache := a.get("Cache-Control"); cache != "private, no-store" {
					t.Errorf("%s: Cache-Control is %q", what, cache)
				}
				if vary := a.get("Vary"); !strings.Contains(vary, "Authorization, Signature-Input") {
					t.Errorf("%s: Vary is %q", what, vary)
				}
				continue
			}
			want := c.status
			switch {
			case want != 0:
			case wayName == "origin of a leaf", w.inside:
				want = 404
			default:
				want = 403
			}
			if a.status != want {
				t.Errorf("%s: %d, want %d: %.200s", what, a.status, want, a.body)
			}
			if bytes.Contains(a.body, []byte(secret)) || len(a.body) > 4<<10 {
				t.Errorf("%s: bytes come: %.100q", what, a.body)
			}
			if !strings.Contains(a.get("Cache-Control"), "no-store") && a.status != 401 {
				t.Errorf("%s: the refusal may be kept: %q", what, a.get("Cache-Control"))
			}
			if want == 403 && w.method != "HEAD" && !bytes.Contains(a.body, []byte(document.String())) {
				t.Errorf("%s: the refusal does not name the terms: %s", what, a.body)
			}
			if want == 403 && !strings.Contains(a.get("Vary"), "Authorization") {
				t.Errorf("%s: Vary of the refusal is %q", what, a.get("Vary"))
			}
			if want == 403 && w.pattern != "" && a.get("X-Error-Code") != "GatedRepo" {
				t.Errorf("%s: X-Error-Code is %q", what, a.get("X-Error-Code"))
			}
		}
	}

	// What the record says is everybody's.
	for _, path := range []string{"/ipfs/" + manifest + "?format=raw", "/v1/terms/" + document.String(), "/v1/statements/" + statement.String() + "/envelope"} {
		if a := d.ask(nil, way{path: path}); a.status != 200 || strings.Contains(a.get("Cache-Control"), "private") {
			t.Errorf("%s: %d, %s", path, a.status, a.get("Cache-Control"))
		}
	}
	want{200, nil, `"gated":"auto"`}.check(t, "Hub info", d.ask(nil, way{path: "/api/datasets/" + ana + "/talks"}))
	want{302, nil, ""}.check(t, "by name", d.ask(nil, way{path: "/v1/datasets/" + foldID("ana") + "/talks/a.csv"}))
	if a := d.ask(nil, way{path: "/ipfs/" + manifest + "/data/root/a.csv"}); a.status == 200 || bytes.Contains(a.body, []byte(secret)) {
		t.Errorf("through the manifest: %d %s", a.status, a.body)
	}
	covered(t, d.g, ways)

	// With another's data under the same terms, a publisher has not the whole space,
	// but still what is below the root of its own.
	h.gated("ben", "also", files{"y": "more " + secret}, gatedBy("CC-BY-4.0"))
	for wayName, w := range ways {
		for _, c := range []struct {
			name string
			want bool
		}{{"ana", !w.inside && !w.never}, {"ben", false}} {
			a := d.ask(nil, w, bearer(d.token(c.name))...)
			got := a.status < 400
			if got != c.want {
				t.Errorf("%s, %s under shared terms: %d, want open %t", c.name, wayName, a.status, c.want)
			}
		}
	}

	// Somebody publishes the same bytes openly, and answers for it.
	h.register("carl", "leak", "1.0.0", h.add(gatedFiles), &terms.Terms{})
	for wayName, w := range ways {
		if w.pattern != "" && !strings.Contains(w.path, root) || w.never {
			continue
		}
		a, was := d.ask(nil, w), free.ask(nil, w)
		if a.status != was.status || !w.about && !bytes.Equal(a.body, was.body) {
			t.Errorf("openly too, %s: %d, want %d: %.100q", wayName, a.status, was.status, a.body)
		}
		if strings.Contains(a.get("Cache-Control"), "private") {
			t.Errorf("openly too, %s: %s", wayName, a.get("Cache-Control"))
		}
	}
	if a := d.ask(nil, ways["Hub"]); a.status != 403 {
		t.Errorf("the gated repository: %d", a.status)
	}
}

// TestWithdrawnSpace: with the last version under its terms, gated data is given out
// no more, by the CIDs of its files and blocks neither, but for an auditor.
func TestWithdrawnSpace(t *testing.T) {
	h := newHome(t)
	r, document, first := h.gated("ana", "talks", files{"a": secret}, gatedBy("CC-BY-4.0"))
	_, _, second := h.gated("ben", "also", files{"b": "more " + secret}, gatedBy("CC-BY-4.0"))
	h.accept("tina", document)
	d := h.door(t, "")
	token, own := d.token("tina"), d.token("ana")
	a, err := access.New(access.Options{Registry: h.reg, Store: h.store})
	if err != nil {
		t.Fatal(err)
	}
	peer := a.Peer()
	inner := way{path: "/ipfs/" + r.Files[0].CID.String()}
	status := func(token string) int { return d.ask(nil, inner, "Authorization: Bearer "+token).status }
	h.withdraw("ana", first)
	if got := status(token); got != 200 {
		t.Errorf("while another version lies there: %d", got)
	}
	h.withdraw("ben", second)
	for name, want := range map[string]int{token: 404, own: 404, auditorToken: 200} {
		if got := status(name); got != want {
			t.Errorf("withdrawn, %.10s: %d, want %d", name, got, want)
		}
	}
	if peer(foldtest.ID("tina"), r.Files[0].CID) {
		t.Error("a peer gets what is withdrawn")
	}
	h.gated("ben", "again", files{"c": "once more " + secret}, gatedBy("CC-BY-4.0"))
	if got := status(token); got != 200 {
		t.Errorf("with a version more: %d", got)
	}
}

// covered checks that each route is in the table, or known to give out no bytes.
func covered(t *testing.T, g *gateway.Gateway, ways map[string]way) {
	t.Helper()
	_, public := g.Patterns()
	if len(public) < 30 {
		t.Fatalf("only %d routes were found", len(public))
	}
	exact := map[string]bool{
		"GET /api/datasets": true, "GET /api/datasets/{owner}/{name}": true, "GET /api/datasets/{owner}/{name}/revision/{rev}": true,
		"GET /api/datasets/{owner}/{name}/refs": true, "GET /api/datasets/{owner}/{name}/commits/{rev}": true,
		"GET /api/datasets/{owner}/{name}/croissant": true, "GET /api/whoami-v2": true,
		"GET /api/datasets/{owner}/{name}/xet-read-token/{rev}": true, "GET /api/datasets/{owner}/{name}/xet-write-token/{rev}": true,
		"/api/": true, "/datasets/": true, "OPTIONS /api/": true, "OPTIONS /datasets/": true,
		"POST /api/repos/create": true, "POST /api/validate-yaml": true, "POST /api/datasets/{owner}/{name}/preupload/{rev}": true,
		"POST /api/datasets/{owner}/{name}/commit/{rev}": true, "POST /datasets/{owner}/{name}/info/lfs/objects/batch": true,
		"PUT /datasets/{owner}/{name}/lfs/{oid}": true, "POST /datasets/{owner}/{name}/lfs/{oid}": true,
		"GET /robots.txt": true, "GET /.well-known/tdmrep.json": true, "GET /.well-known/rsl/{cid}": true,
		"GET /checkpoint": true, "GET /tile/": true, "GET /livez": true, "GET /readyz": true, "GET /healthz": true, "GET /{$}": true,
	}
	for _, p := range public {
		inTable := false
		for _, w := range ways {
			inTable = inTable || w.pattern == p
		}
		// /v1 is held by its own table: registry/api/operations.go.
		if _, path, _ := strings.Cut(p, " "); !inTable && !exact[p] && !strings.HasPrefix(path, "/v1/") {
			t.Errorf("the route %q is neither in the table of gated bytes nor known to give out none", p)
		}
	}
}

// TestGatedPeers: a peer gets a gated block if, and only if, its key accepted the
// terms or fetches for who did.
func TestGatedPeers(t *testing.T) {
	h := newHome(t)
	r, document, _ := h.gated("ana", "talks", files{"a": secret}, gatedBy("CC-BY-4.0"))
	_, other, _ := h.gated("ben", "other", files{"x": "another " + secret}, gatedBy("CC0-1.0"))
	public := h.add(files{"a": "hello"})
	gone := h.add(files{"a": "for a while"})
	h.withdraw("ana", h.register("ana", "gone", "1.0.0", gone, &terms.Terms{}))
	h.accept("tina", document, "node")
	h.accept("otto", other)
	a, err := access.New(access.Options{Registry: h.reg, Store: h.store})
	if err != nil {
		t.Fatal(err)
	}
	start := func(o node.Options) *node.Node {
		t.Helper()
		n, err := node.New(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		return n
	}
	server := start(node.Options{
		Key: foldtest.Key("server"), Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Blocks: h.store.All(), Allow: h.gateway(gateway.Options{}).PeerAllow(a),
	})
	for name, may := range map[string]bool{"node": true, "tina": true, "otto": false, "eve": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := start(node.Options{Key: foldtest.Key(name)})
			if err := n.Connect(t.Context(), server.Addrs()[0]); err != nil {
				t.Fatal(err)
			}
			src := n.Source(t.Context())
			if _, err := src.Block(t.Context(), public.Root); err != nil {
				t.Errorf("a public block: %v", err)
			}
			// A peer cannot say that there is no block: who is refused waits.
			for c, want := range map[cid.Cid]bool{r.Root: may, r.Files[0].CID: may, gone.Root: false} {
				ctx := t.Context()
				if !want {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Second)
					defer cancel()
				}
				if _, err := src.Block(ctx, c); (err == nil) != want {
					t.Errorf("%s: %v, want open %t", c, err, want)
				}
			}
		})
	}
}
