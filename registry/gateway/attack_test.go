package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/gateway"
)

// pbNode writes a dag-pb node by hand: links, then UnixFS data.
func pbNode(data []byte, links ...[]byte) []byte {
	var b []byte
	for _, l := range links {
		b = protowire.AppendTag(b, 2, protowire.BytesType)
		b = protowire.AppendBytes(b, l)
	}
	b = protowire.AppendTag(b, 1, protowire.BytesType)
	return protowire.AppendBytes(b, data)
}

func pbLink(to cid.Cid, name string, size uint64) []byte {
	b := protowire.AppendTag(nil, 1, protowire.BytesType)
	b = protowire.AppendBytes(b, to.Bytes())
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendString(b, name)
	b = protowire.AppendTag(b, 3, protowire.VarintType)
	return protowire.AppendVarint(b, size)
}

// unixfsData is the UnixFS part of a node: a type, and for a file its sizes.
func unixfsData(kind uint64, sizes ...uint64) []byte {
	b := protowire.AppendTag(nil, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, kind)
	if kind == 2 {
		total := uint64(0)
		for _, s := range sizes {
			total += s
		}
		b = protowire.AppendTag(b, 3, protowire.VarintType)
		b = protowire.AppendVarint(b, total)
	}
	for _, s := range sizes {
		b = protowire.AppendTag(b, 4, protowire.VarintType)
		b = protowire.AppendVarint(b, s)
	}
	return b
}

func hashed(t *testing.T, codec, code uint64, data []byte, n int) cid.Cid {
	t.Helper()
	h, err := mh.Sum(data, code, n)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(codec, h)
}

// A stranger's bytes are a leaf when they are sent and a node when they are asked
// for, with links that no upload could have: whatever they say, every road answers,
// and the server goes on.
func TestLeavesReadAsNodes(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	leaf := cjson.RawCID([]byte("x"))
	odd := map[string]cid.Cid{
		"an identity of 0 bytes":   hashed(t, cid.Raw, mh.IDENTITY, nil, -1),
		"an identity of 5 bytes":   hashed(t, cid.Raw, mh.IDENTITY, []byte("hello"), -1),
		"an identity of 20 bytes":  hashed(t, cid.Raw, mh.IDENTITY, make([]byte, 20), -1),
		"an identity of 200 bytes": hashed(t, cid.Raw, mh.IDENTITY, make([]byte, 200), -1),
		"an identity of 1 MiB":     hashed(t, cid.Raw, mh.IDENTITY, make([]byte, 1<<20), -1),
		"an identity node":         hashed(t, cid.DagProtobuf, mh.IDENTITY, pbNode(unixfsData(1)), -1),
		"sha2-256 cut to 4 bytes":  hashed(t, cid.Raw, mh.SHA2_256, []byte("x"), 4),
		"sha1":                     hashed(t, cid.Raw, mh.SHA1, []byte("x"), -1),
		"sha2-512":                 hashed(t, cid.Raw, mh.SHA2_512, []byte("x"), -1),
		"another codec":            hashed(t, cid.DagCBOR, mh.SHA2_256, []byte("x"), -1),
	}
	roots := make(map[string]cid.Cid)
	put := func(name string, b []byte) {
		raw, err := block.NewBlockWithCid(b, cjson.RawCID(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.store.PutRecords(t.Context(), raw); err != nil {
			t.Fatal(err)
		}
		roots[name] = cid.NewCidV1(cid.DagProtobuf, raw.Cid().Hash())
	}
	put("a leaf", []byte("x"))
	for name, c := range odd {
		put("a directory with "+name, pbNode(unixfsData(1), pbLink(c, "a", 1)))
		put("a file of "+name, pbNode(unixfsData(2, 5), pbLink(c, "", 5)))
	}
	put("a file of itself twice", pbNode(unixfsData(2, 5, 5), pbLink(leaf, "", 5), pbLink(leaf, "", 5)))
	put("a file that claims 2^63", pbNode(unixfsData(2, 1<<62, 1<<62), pbLink(leaf, "", 1), pbLink(leaf, "", 1)))
	put("a directory with a name that goes up", pbNode(unixfsData(1), pbLink(leaf, "../../x", 1)))
	put("a directory with an empty name", pbNode(unixfsData(1), pbLink(leaf, "", 1)))
	put("a shard without a fanout", pbNode(unixfsData(5), pbLink(leaf, "00a", 1)))
	for name, fanout := range map[string]uint64{"1": 1, "7": 7, "2^20": 1 << 20, "2^40": 1 << 40, "2^63+8": 1<<63 + 8} {
		data := protowire.AppendVarint(protowire.AppendTag(protowire.AppendBytes(protowire.AppendTag(
			unixfsData(5), 2, protowire.BytesType), []byte{0xff}), 5, protowire.VarintType), 0x22)
		data = protowire.AppendVarint(protowire.AppendTag(data, 6, protowire.VarintType), fanout)
		put("a shard with a fanout of "+name, pbNode(data, pbLink(leaf, "00a", 1)))
	}
	handler := h.gateway(gateway.Options{}).Public(true)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for name, c := range roots {
		for _, path := range []string{"", "/", "/a", "/00a", "/../x", "?format=raw", "?format=car", "/a?format=car", "?format=car&dag-scope=entity", "?format=car&dag-scope=entity&entity-bytes=0:*", "?format=tar", "?format=dag-json", "?format=json"} {
			rec, _ := (call{"GET", "/ipfs/" + c.String() + path, http.Header{}}).do(handler)
			if rec.Code >= 500 && rec.Code != http.StatusNotImplemented {
				t.Errorf("%s, %s: %d %.200s", name, path, rec.Code, rec.Body)
			}
			if bytes.Contains(rec.Body.Bytes(), []byte("/etc/passwd")) {
				t.Errorf("%s, %s: %.200s", name, path, rec.Body)
			}
		}
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.Sys) - int64(before.Sys); grown > 128<<20 {
		t.Errorf("the process grew by %d bytes", grown)
	}
}

// A Host is what it says, letter for letter: nothing beside a name of this server,
// and a root below it, is taken for either.
func TestOddHosts(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	leaf := []byte("<script>1</script>")
	raw, err := block.NewBlockWithCid(leaf, cjson.RawCID(leaf))
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.PutRecords(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
	root := raw.Cid().String()
	handler := h.gateway(gateway.Options{Hosts: []string{"data.example"}}).Public(false)
	for host, own := range map[string]bool{
		root + ".ipfs.data.example":                  true,
		root + ".ipfs.data.example:8080":             true,
		root + ".ipfs.data.example.":                 true,
		strings.ToUpper(root) + ".IPFS.data.Example": true,
		root + ".ipfs.data.example.evil.example":     false,
		root + ".ipfs.evil.example":                  false,
		root + ".ipfs.data.example:80:90":            false,
		root + ".ipfs.data.example:80.evil":          false,
		root + ".ipfs.data.example..":                false,
		"a." + root + ".ipfs.data.example":           false,
		root + ".ipfs..data.example":                 false,
		root + "x.ipfs.data.example":                 false,
		root + "%2eipfs.data.example":                false,
		"user@" + root + ".ipfs.data.example":        false,
		root + ".ıpfs.data.example":                  false,
		root + ".ipfs.dаta.example":                  false, // Cyrillic
		root + ".ipfs.data.example\x00":              false,
		"[" + root + ".ipfs.data.example]":           false,
		"xdata.example":                              false,
		"data.example.evil.example":                  false,
	} {
		r := newRequest("GET", "/", host)
		rec := record(handler, r)
		got := rec.Code == http.StatusOK && rec.Body.String() == string(leaf)
		if rec.Code/100 == 3 && own {
			got = strings.HasPrefix(rec.Header().Get("Location"), "//"+root+".ipfs.data.example")
		}
		if got != own {
			t.Errorf("%q: %d %q %.80s, want data: %t", host, rec.Code, rec.Header().Get("Location"), rec.Body, own)
		}
		if to := rec.Header().Get("Location"); to != "" && strings.Contains(to, "evil") {
			t.Errorf("%q: sent to %s", host, to)
		}
		if c := rec.Header().Values("Set-Cookie"); len(c) > 0 {
			t.Errorf("%q: a cookie: %q", host, c)
		}
		if rec.Code >= 500 {
			t.Errorf("%q: %d", host, rec.Code)
		}
		if rec.Body.String() == string(leaf) && !strings.Contains(rec.Header().Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%q: no sandbox", host)
		}
	}
}

func newRequest(method, target, host string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Host = host
	return r
}

func record(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// A failing reader panics from its second block on.
type failing struct {
	*memory
	asked *atomic.Int32
}

func (f failing) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	if f.asked.Add(1) > 3 {
		panic("a bug")
	}
	return f.memory.Block(ctx, c)
}

// A panic while a CAR is made cuts that answer, and no other.
func TestPanicInCAR(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	m := newMemory()
	root := m.file(t, noise(1, 5000), 100, 4, true, false).Cid()
	broken := failing{m, new(atomic.Int32)}
	handler := h.gateway(gateway.Options{Blocks: broken}).Public(true)
	if _, cut := (call{"GET", "/ipfs/" + root.String() + "?format=car", http.Header{}}).do(handler); !cut {
		t.Error("the answer was not cut")
	}
	if rec, _ := (call{"GET", "/livez", http.Header{}}).do(handler); rec.Code != 200 {
		t.Errorf("afterwards: %d", rec.Code)
	}
}

// What the denylist names goes out by no other door: not as a file of the Hub API,
// and not to whoever reads the gateway's blocks, such as the node of a peer.
func TestDenylistAtEveryDoor(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	big := noise(6, 2<<20)
	r := h.add(files{"good": "good", "bad": "this is not served", "big": big})
	h.register("ada", "denied", "1.0.0", r, &terms.Terms{})
	bad, part := cjson.RawCID([]byte("this is not served")), cjson.RawCID([]byte(big[1<<20:]))
	list := filepath.Join(t.TempDir(), "x.deny")
	if err := os.WriteFile(list, []byte("version: 1\n---\n/ipfs/"+bad.String()+"\n/ipfs/"+part.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := h.gateway(gateway.Options{Denylist: list})
	if _, err := g.Blocks().Block(t.Context(), bad); !errors.Is(err, fault.Gone) {
		t.Errorf("a block: %v", err)
	}
	if _, err := g.Blocks().Size(t.Context(), bad); !errors.Is(err, fault.Gone) {
		t.Errorf("its size: %v", err)
	}
	url := serve(t, g.Public(true)) + "/datasets/" + strings.TrimPrefix(string(foldtest.ID("ada")), "did:key:") + "/denied/resolve/main/"
	if a := ask(t, "GET", url+"good"); a.status != 200 || string(a.body) != "good" {
		t.Errorf("another file: %d %.200s", a.status, a.body)
	}
	if a := ask(t, "GET", url+"bad"); a.status == 200 || strings.Contains(string(a.body), "this is not served") {
		t.Errorf("the file: %d %.200s", a.status, a.body)
	}
	if a := ask(t, "GET", url+"big"); a.err == nil && a.status == 200 {
		t.Errorf("a file with a part that is named: %d, %d bytes", a.status, len(a.body))
	}
	if a := ask(t, "GET", url+"big", "Range: bytes=1048576-1048676"); a.err == nil && a.status/100 == 2 {
		t.Errorf("the part of it: %d, %d bytes", a.status, len(a.body))
	}
}

// A large file of the Hub API is let through to its route, which reads nothing that
// it has not announced; no other route gets more than the limit.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	handler := h.gateway(gateway.Options{Front: gateway.FrontOptions{Limits: gateway.Limits{Body: 1000}}}).Public(true)
	for target, status := range map[string]int{
		"PUT /datasets/a/b/lfs/" + strings.Repeat("0", 64): http.StatusForbidden, // no URL of this server
		"POST /api/datasets/a/b/commit/main":               http.StatusForbidden, // no uploads are taken
		"POST /api/datasets/a/b/preupload/main":            http.StatusRequestEntityTooLarge,
		"PUT /datasets/a/b/lfs/x/y":                        http.StatusRequestEntityTooLarge,
		"POST /api/validate-yaml":                          http.StatusRequestEntityTooLarge,
		"POST /v1/entries":                                 http.StatusRequestEntityTooLarge,
	} {
		method, path, _ := strings.Cut(target, " ")
		r := newRequest(method, path, "127.0.0.1")
		body := &counted{}
		r.Body, r.ContentLength = body, 1<<30
		if rec := record(handler, r); rec.Code != status || body.n > 0 {
			t.Errorf("%s: %d, %d bytes read, want %d and none: %.100s", target, rec.Code, body.n, status, rec.Body)
		}
	}
}

// A counted body has no end.
type counted struct{ n int }

func (c *counted) Read(p []byte) (int, error) { c.n += len(p); return len(p), nil }
func (c *counted) Close() error               { return nil }
