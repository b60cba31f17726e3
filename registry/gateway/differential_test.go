package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/exchange/offline"
	boxo "github.com/ipfs/boxo/gateway"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	"github.com/ipfs/boxo/ipld/unixfs/importer/trickle"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	format "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"
	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/gateway"
)

// A memory is blocks in memory, for boxo and for us.
type memory struct {
	blockstore.Blockstore
	serv format.DAGService
}

func newMemory() *memory {
	bs := blockstore.NewBlockstore(dssync.MutexWrap(datastore.NewMapDatastore()))
	return &memory{bs, merkledag.NewDAGService(blockservice.New(bs, offline.Exchange(bs)))}
}

func (m *memory) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	b, err := m.Blockstore.Get(ctx, c)
	if err != nil {
		if format.IsNotFound(err) {
			err = fault.Mark(fault.NotFound, err)
		}
		return nil, err
	}
	return b.RawData(), nil
}

func (m *memory) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	b, err := m.Block(ctx, c)
	return uint64(len(b)), err
}

var v1 = cid.V1Builder{Codec: cid.DagProtobuf, MhType: mh.SHA2_256}

// file builds a file of tiny chunks.
func (m *memory) file(t testing.TB, content string, size int64, width int, raw, asTrickle bool) format.Node {
	t.Helper()
	p := helpers.DagBuilderParams{Maxlinks: width, RawLeaves: raw, CidBuilder: v1, Dagserv: m.serv}
	b, err := p.New(chunk.NewSizeSplitter(strings.NewReader(content), size))
	if err != nil {
		t.Fatal(err)
	}
	layout := balanced.Layout
	if asTrickle {
		layout = trickle.Layout
	}
	n, err := layout(b)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// directory builds a directory, sharded with a small fanout if asked.
func (m *memory) directory(t testing.TB, entries map[string]format.Node, sharded bool) format.Node {
	t.Helper()
	var d uio.Directory
	var err error
	if sharded {
		d, err = uio.NewHAMTDirectory(m.serv, 0, uio.WithCidBuilder(v1), uio.WithMaxHAMTFanout(8))
	} else {
		d, err = uio.NewBasicDirectory(m.serv, uio.WithCidBuilder(v1))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sortedKeys(entries) {
		if err := d.AddChild(t.Context(), name, entries[name]); err != nil {
			t.Fatal(err)
		}
	}
	n, err := d.GetNode()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.serv.Add(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	return n
}

// judge is boxo's handler over the same blocks, as it comes.
func (m *memory) judge(t testing.TB) http.Handler { return boxoOver(t, m.Blockstore) }

func boxoOver(t testing.TB, bs blockstore.Blockstore) http.Handler {
	t.Helper()
	backend, err := boxo.NewBlocksBackend(blockservice.New(bs, offline.Exchange(bs)))
	if err != nil {
		t.Fatal(err)
	}
	h := boxo.NewHandler(boxo.Config{DeserializedResponses: true, NoDNSLink: true, DisableHTMLErrors: true}, backend)
	return boxo.NewHeaders(nil).ApplyCors().Wrap(h)
}

type call struct {
	method, target string
	header         http.Header
}

func (c call) String() string { return fmt.Sprintf("%s %s %v", c.method, c.target, c.header) }

// do calls a handler. cut says that the handler aborted its answer.
func (c call) do(h http.Handler) (rec *httptest.ResponseRecorder, cut bool) {
	r := httptest.NewRequest(c.method, c.target, nil)
	r.Host = "127.0.0.1"
	for k, v := range c.header {
		r.Header[k] = v
	}
	rec = httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			cut = true
		}
	}()
	h.ServeHTTP(rec, r)
	return rec, false
}

// same holds our answer against boxo's: status, the headers that matter, bytes.
// Where the two differ on purpose, it says so.
func same(t interface{ Errorf(string, ...any) }, c call, ours, theirs http.Handler) {
	a, cut := c.do(ours)
	b, theirCut := c.do(theirs)
	truncated := theirCut || bytes.HasSuffix(b.Body.Bytes(), []byte("response is incomplete]"))
	if strings.Contains(b.Body.String(), "negative start bigger than the file size") && a.Code < 400 {
		return // RFC 9110: a suffix that is longer than the file is all of it
	}
	if cut != truncated {
		t.Errorf("%s: cut off: %t, boxo %t", c, cut, truncated)
		return
	}
	if a.Code != b.Code {
		t.Errorf("%s: %d, boxo %d\n%s\n%s", c, a.Code, b.Code, a.Body, b.Body)
		return
	}
	if a.Code >= 400 || a.Code == http.StatusMovedPermanently {
		return // problems have bodies and headers of their own; the table has where redirects lead
	}
	headers := []string{"Content-Type", "Content-Length", "Content-Range", "Etag", "Cache-Control", "Ipfs-Uri", "X-Ipfs-Roots",
		"Accept-Ranges", "Content-Location", "Access-Control-Allow-Origin"}
	page := strings.HasPrefix(b.Header().Get("Etag"), `"DirIndex`)
	car := strings.HasPrefix(b.Header().Get("Content-Type"), "application/vnd.ipld.car")
	for _, name := range headers {
		x, y := a.Header().Get(name), b.Header().Get(name)
		switch {
		case a.Code == http.StatusNotModified && (name == "X-Ipfs-Roots" || name == "Etag" || name == "Cache-Control"):
			continue // boxo has no roots there, and we have the tag of our page
		case page && (name == "Etag" || name == "Cache-Control" || name == "Content-Type" || name == "Content-Length"):
			continue // our page is another
		case name == "Etag" && (car || strings.HasPrefix(y, `W/"`)):
			continue // the tag of a CAR is each server's own
		case name == "Content-Type" && y == "" || name == "Content-Type" && a.Code == http.StatusNotModified:
			continue // boxo does not sniff a range that starts behind the head
		case name == "Content-Length" && (c.method == http.MethodHead || car || y == ""):
			continue
		}
		if x != y {
			t.Errorf("%s: %s is %q, boxo says %q", c, name, x, y)
		}
	}
	if !page && c.method != http.MethodHead && !bytes.Equal(a.Body.Bytes(), b.Body.Bytes()) {
		t.Errorf("%s: %d bytes, boxo has %d other ones", c, a.Body.Len(), b.Body.Len())
	}
}

// registryOnce is a registry for tests whose blocks lie elsewhere.
func gatewayOver(h *home, m *memory) http.Handler {
	return h.gateway(gateway.Options{Blocks: m}).Public(true)
}

func TestSameAsBoxo(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	m := newMemory()
	big := m.file(t, noise(1, 5000), 100, 4, true, false)
	pb := m.file(t, noise(2, 1000), 64, 3, false, false)
	tr := m.file(t, noise(3, 3000), 50, 4, true, true)
	empty := m.file(t, "", 10, 3, true, false)
	text := m.file(t, "hello\n", 100, 3, true, false)
	inner := m.directory(t, map[string]format.Node{"a b.txt": text, "ü.bin": pb, "100%": text}, false)
	many := make(map[string]format.Node)
	for i := range 100 {
		many[fmt.Sprintf("%d.txt", i)] = text
	}
	site := m.directory(t, map[string]format.Node{"index.html": m.file(t, "<p>hi", 100, 3, true, false)}, false)
	root := m.directory(t, map[string]format.Node{
		"big": big, "big.csv": big, "pb": pb, "trickle.bin": tr, "empty": empty, "text.txt": text, "dir": inner,
		"many": m.directory(t, many, true), "site": site,
	}, false)
	ours, theirs := gatewayOver(h, m), m.judge(t)
	base := "/ipfs/" + root.Cid().String()
	v0 := "/ipfs/" + cid.NewCidV0(root.Cid().Hash()).String()
	for _, path := range []string{
		"", "/", "/big", "/big/", "/big.csv", "/pb", "/trickle.bin", "/empty", "/text.txt", "/dir", "/dir/", "/dir/a%20b.txt", "/dir/%C3%BC.bin",
		"/dir/100%25", "/many/", "/many/7.txt", "/many/700.txt", "/nothing", "/text.txt/below", "/site", "/site/", "/site/index.html", "//big", "/dir//100%25",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			for _, query := range []string{
				"", "?format=raw", "?format=car", "?format=car&dag-scope=block", "?format=car&dag-scope=entity", "?format=car&dag-scope=all",
				"?format=car&dag-scope=entity&entity-bytes=150:420", "?format=car&dag-scope=entity&entity-bytes=0:*", "?format=car&dag-scope=entity&entity-bytes=-100:*",
				"?format=car&dag-scope=entity&entity-bytes=-300:-200", "?format=car&dag-scope=entity&entity-bytes=4999:4999", "?format=car&car-dups=y",
				"?format=car&dag-scope=nothing", "?format=car&entity-bytes=x", "?format=car&car-version=2", "?format=car&car-order=unk",
				"?filename=x.html", "?filename=b%22ad%0D%0A.csv&download=true", "?format=unknown",
			} {
				for _, b := range []string{base, v0} {
					same(t, call{method, b + path + query, http.Header{}}, ours, theirs)
				}
			}
		}
		for _, hdr := range []http.Header{
			{"Accept": {"application/vnd.ipld.raw"}}, {"Accept": {"application/vnd.ipld.car; version=1; order=dfs; dups=n"}},
			{"Accept": {"text/html, application/vnd.ipld.car;q=0.5"}}, {"Accept": {"application/vnd.ipld.car; version=2"}},
			{"Range": {"bytes=0-9"}}, {"Range": {"bytes=150-420"}}, {"Range": {"bytes=5-"}}, {"Range": {"bytes=0-0"}},
			{"Range": {"bytes=0-99999"}}, {"If-None-Match": {`"x"`}}, {"If-None-Match": {"*"}}, {"If-None-Match": {`W/"` + big.Cid().String() + `"`}},
			{"If-None-Match": {`"` + text.Cid().String() + `"`}}, {"Range": {"bytes=0-3"}, "If-Range": {`"` + text.Cid().String() + `"`}},
			{"Range": {"bytes=0-3"}, "If-Range": {`"other"`}}, {"If-Match": {`"` + text.Cid().String() + `"`}}, {"Cache-Control": {"only-if-cached"}},
		} {
			same(t, call{"GET", base + path, hdr}, ours, theirs)
		}
	}
	// Where we differ on purpose, and how.
	for name, c := range map[string]struct {
		call   call
		status int
	}{
		"other unit is ignored":    {call{"GET", base + "/big", http.Header{"Range": {"lines=1-2"}}}, 200},
		"HEAD has no ranges":       {call{"HEAD", base + "/big", http.Header{"Range": {"bytes=0-9"}}}, 200},
		"several ranges":           {call{"GET", base + "/big", http.Header{"Range": {"bytes=0-9,100-109"}}}, 206},
		"a range of nothing":       {call{"GET", base + "/empty", http.Header{"Range": {"bytes=-5"}}}, 200},
		"malformed":                {call{"GET", base + "/big", http.Header{"Range": {"bytes=x"}}}, 400},
		"behind the end":           {call{"GET", base + "/big", http.Header{"Range": {"bytes=5000-"}}}, 416},
		"up":                       {call{"GET", base + "/dir/../big", http.Header{}}, 400},
		"If-Match of another file": {call{"GET", base + "/big", http.Header{"If-Match": {`"x"`}}}, 412},
	} {
		if rec, _ := c.call.do(ours); rec.Code != c.status {
			t.Errorf("%s: %d, want %d: %s", name, rec.Code, c.status, rec.Body)
		}
	}
}

func TestSameAsBoxoOnRandomDAGs(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	rapid.Check(t, func(rt *rapid.T) {
		m := newMemory()
		var leaves []string
		var build func(path string, depth int) format.Node
		build = func(path string, depth int) format.Node {
			if depth == 0 || rapid.IntRange(0, 3).Draw(rt, "kind") > 0 {
				leaves = append(leaves, path)
				content := noise(byte(rapid.IntRange(0, 3).Draw(rt, "seed")), rapid.IntRange(0, 600).Draw(rt, "size"))
				if rapid.Bool().Draw(rt, "repeats") {
					content = strings.Repeat("0123456789", len(content)/10)
				}
				return m.file(t, content, int64(rapid.IntRange(1, 60).Draw(rt, "chunk")*10), rapid.IntRange(2, 5).Draw(rt, "width"),
					rapid.Bool().Draw(rt, "raw"), rapid.Bool().Draw(rt, "trickle"))
			}
			entries := make(map[string]format.Node)
			for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`[a-d ü%]{1,3}`), 1, 12, rapid.ID[string]).Draw(rt, "names") {
				entries[name] = build(path+"/"+url.PathEscape(name), depth-1)
			}
			leaves = append(leaves, path+"/")
			return m.directory(t, entries, rapid.Bool().Draw(rt, "sharded"))
		}
		root := build("", 2)
		ours, theirs := gatewayOver(h, m), m.judge(t)
		for range 8 {
			path := rapid.SampledFrom(leaves).Draw(rt, "path")
			if rapid.IntRange(0, 9).Draw(rt, "miss") == 0 {
				path += "/zz"
			}
			n := func(label string) int { return rapid.IntRange(0, 700).Draw(rt, label) }
			query := rapid.SampledFrom([]string{"", "", "?format=raw", "?format=car", "?format=car&dag-scope=block", "?format=car&dag-scope=entity", "bytes"}).Draw(rt, "query")
			if query == "bytes" {
				from := n("from")
				query = fmt.Sprintf("?format=car&dag-scope=entity&entity-bytes=%d:%d", from, from+n("len"))
			}
			c := call{rapid.SampledFrom([]string{"GET", "GET", "HEAD"}).Draw(rt, "method"), "/ipfs/" + root.Cid().String() + path + query, http.Header{}}
			if c.method == "GET" && rapid.Bool().Draw(rt, "ranged") {
				from := n("first")
				c.header.Set("Range", rapid.SampledFrom([]string{
					fmt.Sprintf("bytes=%d-%d", from, from+n("more")), fmt.Sprintf("bytes=%d-", from), fmt.Sprintf("bytes=-%d", 1+from),
				}).Draw(rt, "range"))
			}
			same(rt, c, ours, theirs)
		}
	})
}
