package gateway_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	ft "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"

	"github.com/cairn-registry/cairn/registry/gateway"
)

// TestResourcePolicy: every answer with somebody's data, and every refusal of it,
// may be embedded by other sites, and says so: without the header a page that
// isolates itself could not use it.
func TestResourcePolicy(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	r := h.add(files{"a.txt": "hello", "page.html": "<p>", "b/c.bin": noise(1, 300<<10)})
	root := r.Root.String()
	server := serve(t, h.gateway(gateway.Options{}).Public(true))
	for _, c := range []struct {
		path    string
		headers []string
		status  int
	}{
		{"/ipfs/" + root + "/a.txt", nil, 200},
		{"/ipfs/" + root + "/a.txt", []string{"Range: bytes=1-2"}, 206},
		{"/ipfs/" + root + "/page.html", nil, 200},
		{"/ipfs/" + root + "/b/", nil, 200},
		{"/ipfs/" + root + "?format=raw", nil, 200},
		{"/ipfs/" + root + "?format=car", nil, 200},
		{"/ipfs/" + root + "?format=tar", nil, 200},
		{"/ipfs/" + root + "/none", nil, 404},
		{"/ipfs/" + root + "/a.txt", []string{"Range: bytes=99-"}, 416},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			if method == "HEAD" && len(c.headers) > 0 {
				continue // a range is of a GET
			}
			a := ask(t, method, server+c.path, c.headers...)
			if a.status != c.status {
				t.Errorf("%s %s: %d %s, want %d", method, c.path, a.status, a.body, c.status)
			}
			if got := a.header.Values("Cross-Origin-Resource-Policy"); len(got) != 1 || got[0] != "cross-origin" {
				t.Errorf("%s %s, %d: Cross-Origin-Resource-Policy is %q", method, c.path, a.status, got)
			}
		}
	}
	etag := ask(t, "GET", server+"/ipfs/"+root+"/a.txt").get("Etag")
	if a := ask(t, "GET", server+"/ipfs/"+root+"/a.txt", "If-None-Match: "+etag); a.status != 304 || a.get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Errorf("not modified: %d, Cross-Origin-Resource-Policy is %q", a.status, a.get("Cross-Origin-Resource-Policy"))
	}
}

// chain returns a directory that holds a directory, and so on, of that many levels
// below the root; at the end lies a file.
func chain(t *testing.T, m *memory, levels int) cid.Cid {
	t.Helper()
	n := m.file(t, "the end", 100, 4, true, false)
	for range levels {
		d := ft.EmptyDirNode()
		if err := d.AddNodeLink("d", n); err != nil {
			t.Fatal(err)
		}
		m.put(t, d)
		n = d
	}
	return n.Cid()
}

func (m *memory) put(t *testing.T, n format.Node) {
	t.Helper()
	if err := m.Put(t.Context(), n); err != nil {
		t.Fatal(err)
	}
}

// A CAR of nodes that lie deeper below each other than the limit ends as one that
// is cut off, whichever way it is asked for; up to the limit it is whole.
func TestCARDepth(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	m := newMemory()
	const limit = 1024 // below the node at the end of the path
	server := serve(t, gatewayOver(h, m))
	for levels, whole := range map[int]bool{limit: true, limit + 1: true, limit + 2: false, 3 * limit: false} {
		root := chain(t, m, levels)
		a := ask(t, "GET", fmt.Sprintf("%s/ipfs/%s?format=car", server, root))
		if a.status != 200 {
			t.Errorf("%d levels: %d %s", levels, a.status, a.body)
		}
		cut := a.err != nil && bytes.Contains(a.body, []byte("CAR stream truncated"))
		if whole == cut || whole != (a.err == nil) || whole != bytes.Contains(a.body, []byte("the end")) {
			t.Errorf("%d levels: %d bytes, %v; want it whole: %v", levels, len(a.body), a.err, whole)
		}
		// The block alone is no traversal.
		if a := ask(t, "GET", fmt.Sprintf("%s/ipfs/%s?format=car&dag-scope=block", server, root)); a.status != 200 || a.err != nil {
			t.Errorf("%d levels, the root alone: %d, %v", levels, a.status, a.err)
		}
	}
}

// A symlink is data: its target is shown and nothing more. It is never followed,
// not by a path that ends there and not by one that goes through it, and never
// sends a reader elsewhere.
func TestSymlinkIsNotFollowed(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	m := newMemory()
	secret := m.file(t, "beside the link", 100, 4, true, false)
	inner := m.directory(t, map[string]format.Node{"f": secret}, false)
	entries := map[string]format.Node{"beside": secret, "inner": inner}
	targets := map[string]string{
		"file": "beside", "dir": "inner", "self": "self", "up": "../../../etc/passwd", "abs": "/etc/passwd",
		"host": "//evil.example/x", "url": "https://evil.example/", "script": "<script>alert(1)</script>", "crlf": "a\r\nX-Evil: 1",
	}
	for name, target := range targets {
		b, err := ft.SymlinkData(target)
		if err != nil {
			t.Fatal(err)
		}
		n := merkledag.NodeWithData(b)
		m.put(t, n)
		entries[name] = n
	}
	root := m.directory(t, entries, false)
	server := serve(t, gatewayOver(h, m))
	for name, target := range targets {
		base := server + "/ipfs/" + root.Cid().String() + "/" + name
		direct := server + "/ipfs/" + entries[name].Cid().String()
		for _, url := range []string{base, direct} {
			a := ask(t, "GET", url)
			if a.status != 200 || string(a.body) != target {
				t.Errorf("%s: %d %q, want the target %q", name, a.status, a.body, target)
			}
			if a.get("Location") != "" || a.get("X-Evil") != "" || !strings.Contains(a.get("Content-Security-Policy"), "sandbox") || a.get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: headers %v", name, a.header)
			}
			if ctype := a.get("Content-Type"); !strings.HasPrefix(ctype, "inode/symlink") {
				t.Errorf("%s: Content-Type %q", name, ctype)
			}
		}
		if a := ask(t, "GET", base+"/"); a.status >= http.StatusInternalServerError || bytes.Contains(a.body, []byte("beside the link")) {
			t.Errorf("%s/: %d %q", name, a.status, a.body)
		}
		if a := ask(t, "GET", base+"/f"); a.status != 404 {
			t.Errorf("%s/f: %d %q, want 404", name, a.status, a.body)
		}
		// A CAR holds the link, and nothing of what it points to.
		if a := ask(t, "GET", direct+"?format=car"); a.status != 200 || a.err != nil || bytes.Contains(a.body, []byte("beside the link")) {
			t.Errorf("%s as a CAR: %d, %v", name, a.status, a.err)
		}
	}
	// One that leads nowhere is no symlink.
	b, err := ft.SymlinkData("")
	if err != nil {
		t.Fatal(err)
	}
	n := merkledag.NodeWithData(b)
	m.put(t, n)
	if a := ask(t, "GET", server+"/ipfs/"+n.Cid().String()); a.status != 422 {
		t.Errorf("without a target: %d %q, want 422", a.status, a.body)
	}
}
