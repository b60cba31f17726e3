package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	format "github.com/ipfs/go-ipld-format"
	"github.com/multiformats/go-multibase"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/gateway"
	"github.com/cairn-registry/cairn/registry/index"
)

// What the Path, Trustless and Subdomain Gateway specifications and the suite
// gateway-conformance ask, as a table. Left out, because cairn does not offer
// them: IPNS, DNSLink, IPNS records, HTTP CONNECT and proxies.

// want is a status and what headers must hold; "-" is a header that must not be.
type want struct {
	status int
	header map[string]string
	body   string
}

func (w want) check(t *testing.T, what string, a answer) {
	t.Helper()
	if a.err != nil || a.status != w.status {
		t.Errorf("%s: %d, want %d (%v): %.200s", what, a.status, w.status, a.err, a.body)
		return
	}
	for name, value := range w.header {
		got := a.get(name)
		if value == "-" && got != "" || value != "-" && !strings.Contains(got, value) {
			t.Errorf("%s: %s is %q, want %q", what, name, got, value)
		}
	}
	if w.body != "" && !strings.Contains(string(a.body), w.body) {
		t.Errorf("%s: the body is %.200q, want %q", what, a.body, w.body)
	}
	if a.get("Set-Cookie") != "" {
		t.Errorf("%s sets a cookie", what)
	}
}

var site = files{
	"index.html": "<!doctype html><title>x</title><script>alert(1)</script>", "a.csv": "a,b\n1,2\n", "pic.svg": "<svg xmlns='http://www.w3.org/2000/svg'/>",
	"feed.xml": "<?xml version='1.0'?><x/>", "page.xhtml": "<html xmlns='http://www.w3.org/1999/xhtml'/>", "dir/one.txt": "one", "dir/ü &.txt": "two",
	"noext": "<!doctype html><html><body>sniffed", "404.html": "<p>nothing here",
	"_redirects": "/old /a.csv 301\n/rewritten /a.csv 200\n/gone/* /404.html 410\n/* /404.html 404\n",
}

func host(url string) string { return strings.TrimPrefix(url, "http://") }

func TestOrigins(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	root := h.add(site).Root
	g := h.gateway(gateway.Options{Hosts: []string{"data.example"}})
	local, public := serve(t, g.Public(true)), serve(t, g.Public(false))
	_, port, _ := strings.Cut(host(local), ":")
	b36, err := root.StringOfBase(multibase.Base36)
	if err != nil {
		t.Fatal(err)
	}
	v0 := cid.NewCidV0(root.Hash()).String()
	own := fmt.Sprintf("Host: %s.ipfs.localhost:%s", root, port)
	ownPublic := fmt.Sprintf("Host: %s.ipfs.data.example", root)
	toOwn := fmt.Sprintf("//%s.ipfs.localhost:%s/", root, port)
	none := cjson.RawCID([]byte("nothing"))
	for what, c := range map[string]struct {
		url    string
		header string
		want   want
	}{
		// Subdomain Gateway: paths lead to the origin, whatever form the CID has.
		"path on localhost":  {local + "/ipfs/" + root.String() + "/a.csv?x=1", "Host: localhost:" + port, want{301, map[string]string{"Location": toOwn + "a.csv?x=1"}, ""}},
		"root on localhost":  {local + "/ipfs/" + root.String(), "Host: LOCALHOST:" + port, want{301, map[string]string{"Location": toOwn}, ""}},
		"CIDv0 on localhost": {local + "/ipfs/" + v0 + "/dir/", "Host: localhost:" + port, want{301, map[string]string{"Location": toOwn + "dir/"}, ""}},
		"escaped path":       {local + "/ipfs/" + root.String() + "/dir/%C3%BC%20&.txt", "Host: localhost:" + port, want{301, map[string]string{"Location": toOwn + "dir/%C3%BC%20&.txt"}, ""}},
		"raw on localhost":   {local + "/ipfs/" + root.String() + "?format=raw", "Host: localhost:" + port, want{200, map[string]string{"Content-Type": "application/vnd.ipld.raw"}, ""}},
		"base36 host":        {local + "/a.csv", "Host: " + b36 + ".ipfs.localhost:" + port, want{301, map[string]string{"Location": toOwn + "a.csv"}, ""}},
		"upper case host":    {local + "/a.csv", "Host: " + strings.ToUpper(root.String()) + ".IPFS.LOCALHOST:" + port, want{200, nil, "a,b"}},
		"dot at the end":     {local + "/a.csv", "Host: " + root.String() + ".ipfs.localhost.:" + port, want{200, nil, "a,b"}},
		"CIDv0 host":         {local + "/", "Host: " + strings.ToLower(v0) + ".ipfs.localhost:" + port, want{400, nil, ""}},
		"no CID":             {local + "/", "Host: nonsense.ipfs.localhost:" + port, want{400, nil, ""}},
		"two labels":         {local + "/", "Host: a." + root.String() + ".ipfs.localhost:" + port, want{400, nil, ""}},
		"ipns":               {local + "/", "Host: x.ipns.localhost:" + port, want{404, nil, ""}},
		"raw on an origin":   {local + "/?format=raw", own, want{200, map[string]string{"Content-Type": "application/vnd.ipld.raw"}, ""}},
		"CAR on an origin":   {local + "/dir?format=car", own, want{200, map[string]string{"Content-Type": "application/vnd.ipld.car"}, ""}},
		"page of its own":    {local + "/", own, want{200, map[string]string{"Content-Type": "text/html", "Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff", "Content-Disposition": "-", "Etag": `"` + root.String() + `"`}, "alert"}},
		"file of its own":    {local + "/a.csv", own, want{200, map[string]string{"Ipfs-Uri": "ipfs://" + root.String() + "/a.csv", "Cache-Control": "immutable"}, "a,b"}},
		"directory":          {local + "/dir", own, want{301, map[string]string{"Location": "/dir/"}, ""}},
		"directory page":     {local + "/dir/", own, want{200, map[string]string{"Content-Type": "text/html", "Etag": "DirIndex-"}, `href="./one.txt"`}},
		"/ipfs is a path":    {local + "/ipfs/" + root.String() + "/a.csv", own, want{404, nil, ""}},
		"/v1 is a path":      {local + "/v1/status", own, want{404, nil, ""}},
		"/checkpoint too":    {local + "/checkpoint", own, want{404, nil, ""}},
		"robots.txt":         {local + "/robots.txt", own, want{200, map[string]string{"Content-Type": "text/plain"}, "User-agent"}},
		// _redirects, on origins only.
		"_redirects 301":              {local + "/old", own, want{301, map[string]string{"Location": "/a.csv"}, ""}},
		"_redirects 200":              {local + "/rewritten", own, want{200, map[string]string{"X-Content-Type-Options": "nosniff"}, "a,b"}},
		"_redirects 410":              {local + "/gone/x", own, want{410, map[string]string{"Content-Security-Policy": "sandbox"}, "nothing here"}},
		"_redirects 404":              {local + "/else", own, want{404, nil, "nothing here"}},
		"a file wins over _redirects": {local + "/feed.xml", own, want{200, nil, "<x/>"}},
		"no _redirects on a path":     {local + "/ipfs/" + root.String() + "/old", "Host: 127.0.0.1", want{404, nil, ""}},
		// A host without origins, on loopback: nothing that a browser would run.
		"html on an address":    {local + "/ipfs/" + root.String() + "/index.html", "Host: 127.0.0.1:" + port, want{200, map[string]string{"Content-Disposition": "attachment", "Content-Security-Policy": "sandbox", "X-Content-Type-Options": "nosniff"}, ""}},
		"index on an address":   {local + "/ipfs/" + root.String() + "/", "Host: [::1]:" + port, want{200, map[string]string{"Content-Disposition": "attachment"}, ""}},
		"svg on an address":     {local + "/ipfs/" + root.String() + "/pic.svg", "Host: 127.0.0.1", want{200, map[string]string{"Content-Disposition": "attachment", "Content-Type": "image/svg+xml"}, ""}},
		"xml on an address":     {local + "/ipfs/" + root.String() + "/feed.xml", "Host: 127.0.0.1", want{200, map[string]string{"Content-Disposition": "attachment"}, ""}},
		"xhtml on an address":   {local + "/ipfs/" + root.String() + "/page.xhtml", "Host: 127.0.0.1", want{200, map[string]string{"Content-Disposition": "attachment"}, ""}},
		"sniffed html":          {local + "/ipfs/" + root.String() + "/noext", "Host: 127.0.0.1", want{200, map[string]string{"Content-Disposition": "attachment", "Content-Type": "text/html"}, ""}},
		"named html":            {local + "/ipfs/" + root.String() + "/a.csv?filename=x.html", "Host: 127.0.0.1", want{200, map[string]string{"Content-Disposition": "attachment; filename=\"x.html\""}, ""}},
		"csv on an address":     {local + "/ipfs/" + root.String() + "/a.csv", "Host: 127.0.0.1", want{200, map[string]string{"Content-Disposition": "-", "Content-Security-Policy": "default-src 'none'"}, ""}},
		"page of ours":          {local + "/ipfs/" + root.String() + "/dir/", "Host: 127.0.0.1", want{200, map[string]string{"Content-Disposition": "-", "Content-Security-Policy": "sandbox"}, "one.txt"}},
		"a proxy's word":        {local + "/ipfs/" + root.String() + "/a.csv", "X-Forwarded-Host: data.example", want{200, nil, "a,b"}},
		"dag-json in a browser": {local + "/ipfs/" + root.String() + "?format=dag-json", "Host: 127.0.0.1", want{406, nil, ""}},
		// A listener beyond this machine.
		"file elsewhere":          {public + "/ipfs/" + root.String() + "/a.csv", "Host: 192.0.2.1", want{406, nil, ""}},
		"page elsewhere":          {public + "/ipfs/" + root.String() + "/dir/", "Host: other.example", want{406, nil, ""}},
		"TAR elsewhere":           {public + "/ipfs/" + root.String() + "?format=tar", "Host: other.example", want{406, nil, ""}},
		"a claim elsewhere":       {public + "/ipfs/" + root.String() + "/a.csv", "X-Forwarded-Host: localhost", want{406, nil, ""}},
		"localhost elsewhere":     {public + "/ipfs/" + root.String() + "/a.csv", "Host: localhost", want{406, nil, ""}},
		"its origin elsewhere":    {public + "/a.csv", own, want{404, nil, ""}},
		"block elsewhere":         {public + "/ipfs/" + root.String() + "?format=raw", "Host: 192.0.2.1", want{200, nil, ""}},
		"raw by path elsewhere":   {public + "/ipfs/" + root.String() + "/a.csv?format=raw", "Host: 192.0.2.1", want{406, nil, ""}},
		"CAR elsewhere":           {public + "/ipfs/" + root.String() + "/dir?format=car", "Host: 192.0.2.1", want{200, nil, ""}},
		"only if cached":          {public + "/ipfs/" + root.String() + "/a.csv", "Cache-Control: only-if-cached", want{406, nil, ""}},
		"odd CAR elsewhere":       {public + "/ipfs/" + root.String() + "/nothing?format=car", "Host: 192.0.2.1", want{200, nil, ""}},
		"configured host":         {public + "/ipfs/" + root.String() + "/a.csv", "Host: data.example", want{301, map[string]string{"Location": "//" + root.String() + ".ipfs.data.example/a.csv", "Access-Control-Allow-Origin": "*"}, ""}},
		"configured origin":       {public + "/a.csv", ownPublic, want{200, nil, "a,b"}},
		"configured page":         {public + "/", ownPublic, want{200, map[string]string{"Content-Security-Policy": "sandbox"}, "alert"}},
		"configured, no cookies":  {public + "/a.csv", ownPublic, want{200, map[string]string{"Set-Cookie": "-"}, ""}},
		"configured, not there":   {public + "/", "Host: " + none.String() + ".ipfs.data.example", want{404, nil, ""}},
		"/v1 on configured":       {public + "/v1/status", "Host: data.example", want{200, nil, "origin"}},
		"absolute form, odd path": {public + "//evil.example/%2e%2e", ownPublic, want{400, nil, ""}},
	} {
		c.want.check(t, what, ask(t, "GET", c.url, c.header))
	}
	// The directory redirect never leaves the origin.
	a := ask(t, "GET", local+"//dir", own)
	want{301, map[string]string{"Location": "/dir/"}, ""}.check(t, "//dir", a)
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	root := h.add(site).Root.String()
	url := serve(t, h.gateway(gateway.Options{}).Public(true))
	base := url + "/ipfs/" + root
	ranges := make([]string, 1000)
	for i := range ranges {
		ranges[i] = fmt.Sprintf("%d-%d", i%8, i%8)
	}
	for what, c := range map[string]struct {
		method, url, header string
		status              int
	}{
		"1,000 ranges":                 {"GET", base + "/a.csv", "Range: bytes=" + strings.Join(ranges, ","), 416},
		"overlapping ranges":           {"GET", base + "/a.csv", "Range: bytes=0-,0-,0-", 200},
		"an endless range":             {"GET", base + "/a.csv", "Range: bytes=0-99999999999999999999999", 206},
		"ranges of nothing":            {"GET", base + "/a.csv", "Range: bytes=,,,", 400},
		"a negative range":             {"GET", base + "/a.csv", "Range: bytes=--1", 400},
		"backwards":                    {"GET", base + "/a.csv", "Range: bytes=5-2", 400},
		"%2e%2e":                       {"GET", base + "/%2e%2e/%2e%2e/etc/passwd", "X: y", 400},
		"..%2f":                        {"GET", base + "/..%2f..%2fetc%2fpasswd", "X: y", 400},
		"a NUL":                        {"GET", base + "/a%00.csv", "X: y", 404},
		"a newline":                    {"GET", base + "/a%0d%0aSet-Cookie:%20x=y", "X: y", 404},
		"a name of 300 bytes":          {"GET", base + "/" + strings.Repeat("x", 300), "X: y", 404},
		"a path of 20,000 bytes":       {"GET", base + strings.Repeat("/xxxxxxxxx", 2000), "X: y", 414},
		"a path of 5,000 bytes":        {"GET", base + strings.Repeat("/xxxxxxxxx", 500), "X: y", 404},
		"no CID":                       {"GET", url + "/ipfs/nonsense", "X: y", 400},
		"an empty CID":                 {"GET", url + "/ipfs/", "X: y", 400},
		"sha1":                         {"GET", url + "/ipfs/bafkrcfhq5q6zm3zd5j5e7wjpqpnhlkwxlkeoa5q", "X: y", 400},
		"an identity CID":              {"GET", url + "/ipfs/bafkqaaa", "X: y", 200},
		"an identity directory":        {"GET", url + "/ipfs/bafyaabakaieac/", "X: y", 200},
		"an identity CID of 129 bytes": {"GET", url + "/ipfs/" + identity(t, 129), "X: y", 400},
		"an identity CID of 128 bytes": {"GET", url + "/ipfs/" + identity(t, 128), "X: y", 200},
		"POST":                         {"POST", base + "/a.csv", "X: y", 405},
		"PUT":                          {"PUT", base, "X: y", 405},
		"DELETE":                       {"DELETE", base, "X: y", 405},
		"OPTIONS":                      {"OPTIONS", base, "Origin: https://x.example", 204},
		"odd Accept":                   {"GET", base, "Accept: application/vnd.ipld.car; ;;=", 400},
		"a codec":                      {"GET", base, "Accept: application/vnd.ipld.dag-cbor", 406},
		"unknown codec":                {"GET", base, "Accept: application/vnd.ipld.nothing", 400},
		"an IPNS record":               {"GET", base + "?format=ipns-record", "X: y", 400},
		"a service worker":             {"GET", base, "Service-Worker: script", 400},
		"ipns":                         {"GET", url + "/ipns/example.org", "X: y", 404},
		"odd Host":                     {"GET", base + "/a.csv", "Host: x_y..z", 200},
		"a Host with spaces":           {"GET", base + "/a.csv", "Host: a b", 200},
		"gzip":                         {"GET", base + "/a.csv", "Content-Encoding: gzip", 415},
		"cookies":                      {"GET", base + "/a.csv", "Cookie: session=stolen", 200},
		"not there, only cached":       {"GET", url + "/ipfs/bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq", "Cache-Control: only-if-cached", 412},
	} {
		a := ask(t, c.method, c.url, c.header)
		if a.err != nil || a.status != c.status {
			t.Errorf("%s: %d, want %d (%v): %.300s", what, a.status, c.status, a.err, a.body)
		}
		if a.get("Set-Cookie") != "" {
			t.Errorf("%s: a cookie is set", what)
		}
		if a.status >= 400 && a.status != 416 && a.get("Cache-Control") == "public, max-age=29030400, immutable" {
			t.Errorf("%s: the error is to be cached for ever", what)
		}
	}
}

// identity is a CID that is a block of n bytes.
func identity(t *testing.T, n int) string {
	t.Helper()
	b := []byte{1, 0x55, 0}
	if n >= 0x80 {
		b = append(b, byte(n)|0x80, byte(n>>7))
	} else {
		b = append(b, byte(n))
	}
	c, err := cid.Cast(append(b, make([]byte, n)...))
	if err != nil {
		t.Fatal(err)
	}
	return c.String()
}

func TestRangesAndConditions(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	content := noise(9, 3<<20+17) // four leaves
	r := h.add(files{"f.bin": content, "nosuffix": "<!doctype html>" + strings.Repeat("text ", 1<<20)})
	url := serve(t, h.gateway(gateway.Options{}).Public(true)) + "/ipfs/" + r.Root.String()
	whole := ask(t, "GET", url+"/f.bin")
	want{200, map[string]string{"Accept-Ranges": "bytes", "Content-Length": fmt.Sprint(len(content))}, ""}.check(t, "whole", whole)
	if string(whole.body) != content {
		t.Fatal("the file differs")
	}
	etag := whole.get("Etag")
	for header, c := range map[string]struct {
		status   int
		from, to int
	}{
		"bytes=0-0":                 {206, 0, 1},
		"bytes=1048570-1048585":     {206, 1048570, 1048586},
		"bytes=1048576-3145727":     {206, 1 << 20, 3 << 20},
		"bytes=-20":                 {206, len(content) - 20, len(content)},
		"bytes=3145728-":            {206, 3 << 20, len(content)},
		"bytes=5-99999999":          {206, 5, len(content)},
		"bytes=0-":                  {206, 0, len(content)},
		"bytes=-99999999":           {206, 0, len(content)},
		"bytes = 3-4":               {206, 3, 5},
		"BYTES=3-4":                 {206, 3, 5},
		"bytes=99999999-, 2-3":      {206, 2, 4},
		"bytes=99999999-100000000 ": {416, 0, 0},
		"bytes=-0":                  {416, 0, 0},
	} {
		a := ask(t, "GET", url+"/f.bin", "Range: "+header)
		if a.status != c.status || c.status == 206 && string(a.body) != content[c.from:c.to] {
			t.Errorf("%s: %d with %d bytes, %s", header, a.status, len(a.body), a.get("Content-Range"))
		}
	}
	// The older profile, whose leaves are no raw blocks.
	old, err := ingest.Add(t.Context(), files{"f.bin": content}.write(t), ingest.PackStore(h.store.Store), ingest.AddOptions{Profile: dag.ProfileV0_2015})
	if err != nil {
		t.Fatal(err)
	}
	oldURL := strings.Replace(url, r.Root.String(), old.Root.String(), 1)
	for range 2 {
		if a := ask(t, "GET", oldURL+"/f.bin", "Range: bytes=262000-1800000"); a.status != 206 || string(a.body) != content[262000:1800001] {
			t.Errorf("a range of dag-pb leaves: %d with %d bytes", a.status, len(a.body))
		}
	}
	// Several at once.
	a := ask(t, "GET", url+"/f.bin", "Range: bytes=0-4,1048574-1048577,-3")
	ctype, params, err := mime.ParseMediaType(a.get("Content-Type"))
	if err != nil || a.status != 206 || ctype != "multipart/byteranges" || a.get("Content-Length") != fmt.Sprint(len(a.body)) {
		t.Fatalf("several ranges: %d, %s, %v", a.status, a.get("Content-Type"), err)
	}
	parts := multipart.NewReader(bytes.NewReader(a.body), params["boundary"])
	for _, p := range []struct {
		rng  string
		from int
		to   int
	}{
		{"bytes 0-4/3145745", 0, 5}, {"bytes 1048574-1048577/3145745", 1048574, 1048578}, {"bytes 3145742-3145744/3145745", 3145742, 3145745},
	} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(part)
		if err != nil || part.Header.Get("Content-Range") != p.rng || string(b) != content[p.from:p.to] || part.Header.Get("Content-Type") == "" {
			t.Errorf("part %v: %q, %v", part.Header, b, err)
		}
	}
	// A range far from the head has the type of the head.
	a = ask(t, "GET", url+"/nosuffix", "Range: bytes=2000000-2000009")
	want{206, map[string]string{"Content-Type": "text/html", "Content-Disposition": "attachment"}, ""}.check(t, "sniffed", a)
	for what, c := range map[string]struct {
		method  string
		headers []string
		status  int
	}{
		"If-None-Match":              {"GET", []string{"If-None-Match: " + etag}, 304},
		"If-None-Match, HEAD":        {"HEAD", []string{"If-None-Match: " + etag}, 304},
		"If-None-Match, weak":        {"GET", []string{"If-None-Match: W/" + etag}, 304},
		"If-None-Match, list":        {"GET", []string{`If-None-Match: "a", ` + etag}, 304},
		"If-None-Match, two headers": {"GET", []string{`If-None-Match: "a"`, "If-None-Match: " + etag}, 304},
		"If-None-Match, other":       {"GET", []string{`If-None-Match: "a"`}, 200},
		"If-Match":                   {"GET", []string{"If-Match: " + etag}, 200},
		"If-Match, weak":             {"GET", []string{"If-Match: W/" + etag}, 412},
		"If-Range":                   {"GET", []string{"If-Range: " + etag, "Range: bytes=0-1"}, 206},
		"If-Range, stale":            {"GET", []string{`If-Range: "a"`, "Range: bytes=0-1"}, 200},
		"If-Range, weak":             {"GET", []string{"If-Range: W/" + etag, "Range: bytes=0-1"}, 200},
		"If-Range, date":             {"GET", []string{"If-Range: Thu, 26 Nov 2026 10:00:00 GMT", "Range: bytes=0-1"}, 200},
		"If-Modified-Since":          {"GET", []string{"If-Modified-Since: Thu, 26 Nov 2026 10:00:00 GMT"}, 200},
	} {
		if a := ask(t, c.method, url+"/f.bin", c.headers...); a.status != c.status {
			t.Errorf("%s: %d, want %d", what, a.status, c.status)
		}
	}
	if a := ask(t, "HEAD", url+"/f.bin"); len(a.body) > 0 || a.get("Content-Length") != fmt.Sprint(len(content)) || a.get("Etag") != etag {
		t.Errorf("HEAD: %v", a.header)
	}
}

func TestNotices(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	open, mixed, silent := h.add(files{"a": "1", "d/b": "2"}), h.add(files{"a": "3"}), h.add(files{"a": "4"})
	one, zero := int64(1), int64(0)
	yes := &terms.Terms{Signals: &terms.Signals{AIPref: &terms.AIPref{TrainAI: "y", Search: "y"}, TDMReservation: &zero}}
	no := &terms.Terms{Signals: &terms.Signals{AIPref: &terms.AIPref{TrainAI: "n"}, TDMReservation: &one, TDMPolicy: "https://x.example/policy"}}
	st := h.register("ana", "open", "1.0.0", open, yes)
	h.register("ana", "mixed", "1.0.0", mixed, yes)
	h.register("ben", "mixed", "1.0.0", mixed, no)
	h.register("ana", "silent", "1.0.0", silent, &terms.Terms{})
	url := serve(t, h.gateway(gateway.Options{}).Public(true))
	_, port, _ := strings.Cut(host(url), ":")
	says := map[string]string{"Content-Usage": "train-ai=y, search=y", "Tdm-Reservation": "0", "Tdm-Policy": "-", "Link": "</v1/statements/" + st.String() + `>; rel="describedby"`}
	for _, target := range []string{"/a", "/d/b", "/", "/d/", "?format=raw", "?format=car", "/d/b?format=raw", "/d?format=tar"} {
		want{200, says, ""}.check(t, target, ask(t, "GET", url+"/ipfs/"+open.Root.String()+target))
		want{200, says, ""}.check(t, "HEAD "+target, ask(t, "HEAD", url+"/ipfs/"+open.Root.String()+target))
	}
	a := ask(t, "GET", url+"/ipfs/"+open.Root.String()+"/a", `If-None-Match: *`)
	want{304, says, ""}.check(t, "304", a)
	// Any n wins, and each statement's terms have their link.
	a = ask(t, "GET", url+"/ipfs/"+mixed.Root.String()+"/a")
	want{200, map[string]string{"Content-Usage": "train-ai=n, search=y", "Tdm-Reservation": "1", "Tdm-Policy": "https://x.example/policy"}, ""}.check(t, "mixed", a)
	if n := strings.Count(a.get("Link"), `rel="license"`); n < 2 || strings.Count(a.get("Link"), `rel="describedby"`) != 4 {
		t.Errorf("links of two statements: %s", a.get("Link"))
	}
	for _, l := range a.header.Values("Link") {
		to := strings.TrimPrefix(l[:strings.Index(l, ">")], "<")
		if a := ask(t, "GET", url+to); a.status != 200 {
			t.Errorf("%s leads to %d", l, a.status)
		}
	}
	want{200, map[string]string{"Content-Usage": "-", "Tdm-Reservation": "-", "Link": `rel="license"`}, ""}.check(t, "silent", ask(t, "GET", url+"/ipfs/"+silent.Root.String()+"/a"))
	// On its own origin the links lead to the host.
	a = ask(t, "GET", url+"/a", "Host: "+open.Root.String()+".ipfs.localhost:"+port)
	want{200, map[string]string{"Link": "<//localhost:" + port + "/v1/statements/" + st.String() + ">"}, ""}.check(t, "origin", a)
	// A later statement counts at once.
	h.register("eve", "open", "1.0.0", open, no)
	want{200, map[string]string{"Content-Usage": "train-ai=n, search=y"}, ""}.check(t, "later", ask(t, "GET", url+"/ipfs/"+open.Root.String()+"/a"))
	want{200, nil, "Content-Usage: /ipfs/" + mixed.Root.String() + "/ train-ai=n, search=y\n"}.check(t, "robots", ask(t, "GET", url+"/robots.txt"))
	want{200, nil, "Content-Usage: / train-ai=n, search=y\n"}.check(t, "robots of an origin", ask(t, "GET", url+"/robots.txt", "Host: "+mixed.Root.String()+".ipfs.localhost:"+port))
	var rules []terms.TDMRule
	a = ask(t, "GET", url+"/.well-known/tdmrep.json")
	if err := json.Unmarshal(a.body, &rules); err != nil || len(rules) != 2 || rules[0].Location != "/ipfs/"+open.Root.String()+"/" || rules[0].Reservation != 1 {
		t.Errorf("tdmrep.json: %v, %s", err, a.body)
	}
	// The page says it too.
	a = ask(t, "GET", url+"/ipfs/"+open.Root.String()+"/")
	want{200, map[string]string{"Content-Type": "text/html"}, "CC-BY-4.0"}.check(t, "page", a)
	if strings.Contains(string(a.body), "<script") || strings.Contains(string(a.body), "http:") || strings.Contains(string(a.body), "https:") {
		t.Errorf("the page has scripts, or a foreign host:\n%s", a.body)
	}
	if !strings.Contains(string(a.body), `href="./d/"`) || !strings.Contains(string(a.body), `href="./a"`) {
		t.Errorf("the page's links:\n%s", a.body)
	}
	// Names lead to data.
	id := "/v1/datasets/" + foldID("ana") + "/"
	for path, to := range map[string]string{
		"open/": "/ipfs/" + open.Root.String() + "/", "open@1.0.0/d/b?format=raw": "/ipfs/" + open.Root.String() + "/d/b?format=raw",
		"open/a": "/ipfs/" + open.Root.String() + "/a", "open@1.0.0/a": "/ipfs/" + open.Root.String() + "/a", "open/d/b%20c": "/ipfs/" + open.Root.String() + "/d/b%20c",
	} {
		want{302, map[string]string{"Location": to, "Cache-Control": "no-cache"}, ""}.check(t, path, ask(t, "GET", url+id+path))
	}
	want{200, nil, `"name":"open"`}.check(t, "JSON", ask(t, "GET", url+id+"open"))
	want{200, nil, `"name":"open"`}.check(t, "JSON of a version", ask(t, "GET", url+id+"open/1.0.0"))
	want{200, nil, `"name":"open"`}.check(t, "JSON of a version", ask(t, "GET", url+id+"open@1.0.0"))
	want{404, nil, ""}.check(t, "no such version", ask(t, "GET", url+id+"open@2.0.0/a"))
	want{404, nil, ""}.check(t, "no such version", ask(t, "GET", url+id+"open/2.0.0"))
	want{404, nil, ""}.check(t, "no such name", ask(t, "GET", url+id+"nothing/a"))
}

func (h *home) withdraw(publisher string, statement cid.Cid) uint64 {
	h.t.Helper()
	w := &manifests.Withdraw{Common: common(h.t), Party: foldtest.ID(publisher), Statement: cjson.CID{Cid: statement}}
	s, err := h.reg.Submit(h.t.Context(), seal(h.t, manifests.New(w), publisher))
	if err != nil || s.Verdict != registry.Accepted {
		h.t.Fatalf("withdrawing: %v, %v", s, err)
	}
	return s.Index
}

func TestWithdrawn(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	r, other := h.add(files{"a": "1"}), h.add(files{"a": "2"})
	st := h.register("ana", "gone", "1.0.0", r, &terms.Terms{})
	h.register("ana", "stays", "1.0.0", other, &terms.Terms{})
	g := h.gateway(gateway.Options{})
	handler := g.Public(true)
	url := serve(t, handler)
	want{200, nil, "1"}.check(t, "before", ask(t, "GET", url+"/ipfs/"+r.Root.String()+"/a"))
	entry := fmt.Sprintf("entry %d", h.withdraw("ana", st))
	for _, target := range []string{"", "/", "/a", "?format=raw", "?format=car", "/a?format=tar", "/nothing", "?format=json", "/a?uri=x"} {
		want{410, map[string]string{"Cache-Control": "no-store"}, entry}.check(t, target, ask(t, "GET", url+"/ipfs/"+r.Root.String()+target))
		if a := ask(t, "HEAD", url+"/ipfs/"+r.Root.String()+target); a.status != 410 {
			t.Errorf("HEAD %s: %d", target, a.status)
		}
	}
	want{410, nil, entry}.check(t, "only if cached", ask(t, "GET", url+"/ipfs/"+r.Root.String()+"/a", "Cache-Control: only-if-cached"))
	want{410, nil, entry}.check(t, "origin", ask(t, "GET", url+"/a", "Host: "+r.Root.String()+".ipfs.localhost"))
	want{200, nil, "2"}.check(t, "another", ask(t, "GET", url+"/ipfs/"+other.Root.String()+"/a"))
	id := "/" + strings.TrimPrefix(foldID("ana"), "did:key:") + "/gone"
	want{403, map[string]string{"X-Error-Message": "Access to this resource is disabled."}, ""}.check(t, "hub", ask(t, "GET", url+"/datasets"+id+"/resolve/main/a"))
	auditor := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(spaces.WithAll(r.Context())))
	}))
	want{200, map[string]string{"Cache-Control": "private, no-store"}, "1"}.check(t, "auditor", ask(t, "GET", auditor+"/ipfs/"+r.Root.String()+"/a"))
	want{200, nil, "1"}.check(t, "auditor, hub", ask(t, "GET", auditor+"/datasets"+id+"/resolve/main/a"))
}

// TestErased: the record of an entry whose body is erased is 410 under every CID of
// its bytes, for auditors too, on every route.
func TestErased(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	r := h.add(files{"a": "1"})
	st := h.register("ana", "gone", "1.0.0", r, &terms.Terms{})
	kept := h.register("ana", "kept", "1.0.0", h.add(files{"a": "2"}), &terms.Terms{})
	var d index.Dataset
	if err := h.reg.View(func(s *index.Snapshot) (err error) { d, err = s.Dataset(st); return err }); err != nil {
		t.Fatal(err)
	}
	handler := h.gateway(gateway.Options{}).Public(true)
	url := serve(t, handler)
	auditor := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(w, r.WithContext(spaces.WithAll(r.Context())))
	}))
	var paths []string
	for _, c := range []cid.Cid{st, d.Envelope.Cid, d.Manifest.Cid, r.Root} {
		for _, codec := range []uint64{cid.Raw, cid.DagJSON, cid.DagProtobuf} {
			paths = append(paths, "/ipfs/"+cid.NewCidV1(codec, c.Hash()).String()+"?format=raw")
		}
	}
	paths = append(paths, "/v1/statements/"+st.String()+"/envelope", "/v1/statements/"+st.String()+"/bundle")
	for _, p := range paths {
		if a := ask(t, "GET", url+p); a.status != 200 {
			t.Fatalf("before, %s: %d %s", p, a.status, a.body)
		}
	}
	stone, err := h.reg.TombstoneOf(t.Context(), d.Index)
	if err != nil {
		t.Fatal(err)
	}
	stone.Common, stone.Reason = common(t), manifests.ErasePersonalData
	s, err := h.reg.Submit(t.Context(), seal(t, manifests.New(stone), "operator"))
	if err != nil || s.Verdict != registry.Accepted {
		t.Fatalf("%v, %v", s, err)
	}
	for _, p := range paths {
		for who, at := range map[string]string{"stranger": url, "auditor": auditor} {
			if a := ask(t, "GET", at+p); a.status != 410 || !strings.Contains(string(a.body), fmt.Sprintf("entry %d", s.Index)) {
				t.Errorf("%s, %s: %d %.200s", who, p, a.status, a.body)
			}
		}
	}
	for _, p := range []string{"/ipfs/" + kept.String() + "?format=raw", "/v1/statements/" + kept.String() + "/envelope"} {
		if a := ask(t, "GET", url+p); a.status != 200 {
			t.Errorf("another, %s: %d", p, a.status)
		}
	}
}

func TestDenylistHolds(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	big := noise(5, 3<<20)
	r := h.add(files{"good": "g", "bad": "this is not served", "dir/secret": "s", "dir/fine": "f", "big": big})
	bad := cjson.RawCID([]byte("this is not served"))
	middle := cjson.RawCID([]byte(big[1<<20 : 2<<20]))
	list := filepath.Join(t.TempDir(), "x.deny")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(list+".new", []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(list+".new", list); err != nil {
			t.Fatal(err)
		}
	}
	write("version: 1\n---\n/ipfs/" + bad.String() + "\n/ipfs/" + r.Root.String() + "/dir/secret\n/ipfs/" + middle.String() + "\n")
	g := h.gateway(gateway.Options{Denylist: list, DenylistEvery: 1})
	url := serve(t, g.Public(true)) + "/ipfs/" + r.Root.String()
	for target, status := range map[string]int{
		"/good": 200, "/bad": 410, "/bad?format=raw": 410, "/bad?format=car": 410, "/bad?format=tar": 410, "/dir/secret": 410, "/dir/secret/": 410, "/dir/secret?format=car": 410,
		"/dir/fine": 200, "/dir/": 200, "?format=raw": 200, "/big": 410,
	} {
		if a := ask(t, "GET", url+target); a.status != status {
			t.Errorf("%s: %d, want %d: %.200s", target, a.status, status, a.body)
		}
		if a := ask(t, "GET", url+target, "If-None-Match: *"); a.status != status && a.status != 304 || a.status == 304 && status == 410 && target != "/big" {
			t.Errorf("%s, conditional: %d", target, a.status)
		}
	}
	// The parts of a file that are not named are served.
	if a := ask(t, "GET", url+"/big", "Range: bytes=0-99"); a.status != 206 {
		t.Errorf("a range before the denied block: %d", a.status)
	}
	if a := ask(t, "GET", url+"/big", "Range: bytes=1048570-1048590"); a.status != 410 {
		t.Errorf("a range into the denied block: %d", a.status)
	}
	// A CAR that would hold it is cut off, and does not hold it.
	for _, target := range []string{"?format=car", "/big?format=car", "?format=car&car-dups=y", "?format=tar"} {
		a := ask(t, "GET", url+target)
		if a.status == 200 && a.err == nil && !bytes.Contains(a.body, []byte("response is incomplete]")) {
			t.Errorf("%s came whole", target)
		}
		if bytes.Contains(a.body, []byte("this is not served")) || bytes.Contains(a.body, []byte(big[1<<20:1<<20+100])) {
			t.Errorf("%s holds a denied block", target)
		}
	}
	// A list that changes is read; one that cannot be read leaves the last.
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() { defer close(watched); g.Watch(ctx) }()
	defer func() { cancel(); <-watched }()
	until := func(status int) {
		t.Helper()
		for {
			if a := ask(t, "GET", url+"/good"); a.status == status {
				return
			} else if a.err != nil {
				t.Fatal(a.err) // the test's own deadline
			}
		}
	}
	write("/ipfs/" + cjson.RawCID([]byte("g")).String() + "\n")
	until(410)
	if a := ask(t, "GET", url+"/bad"); a.status != 200 {
		t.Errorf("what is no longer denied: %d", a.status)
	}
	write("nonsense, and more of it\n")
	if a := ask(t, "GET", url+"/good"); a.status != 410 {
		t.Errorf("after a list that cannot be read: %d", a.status)
	}
	write("# nothing, at more length than what was there before, so that it is another file\n")
	until(200)
	if _, err := gateway.New(h.reg, h.store, gateway.Options{Denylist: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("a denylist that is not there is no error")
	}
}

// TestBounds: what strangers can make large has an end.
func TestBounds(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	m := newMemory()
	leaf := m.file(t, "x", 100, 3, true, false)
	many := make(map[string]format.Node)
	for i := range 10_001 {
		many[fmt.Sprintf("%05d", i)] = leaf
	}
	wide := m.directory(t, many, true)
	url := serve(t, gatewayOver(h, m)) + "/ipfs/"
	want{200, nil, "more than 10000 entries"}.check(t, "page of a wide directory", ask(t, "GET", url+wide.Cid().String()+"/"))
	want{200, nil, "x"}.check(t, "a file in it", ask(t, "GET", url+wide.Cid().String()+"/07777"))
	// The nodes that are kept are bounded, whoever asks for what.
	small := h.gateway(gateway.Options{Blocks: m})
	handler := small.Public(true)
	for i := range 400 {
		entries := make(map[string]format.Node)
		for j := range 1000 {
			entries[fmt.Sprintf("%d-%d", i, j)] = leaf
		}
		d := m.directory(t, entries, false)
		if rec, _ := (call{"GET", "/ipfs/" + d.Cid().String() + fmt.Sprintf("/%d-1", i), http.Header{}}).do(handler); rec.Code != 200 {
			t.Fatal(rec.Code)
		}
		if n := gateway.KeptNodes(small); n > gateway.MaxNodes {
			t.Fatalf("%d bytes of nodes are kept", n)
		}
	}
	if n := gateway.KeptNodes(small); n < gateway.MaxNodes/2 {
		t.Fatalf("only %d bytes of nodes are kept: the bound was not tried", n)
	}
	// CARs that remember too much are refused, and give back what they held.
	give := gateway.TakeCARBlocks(small)
	if rec, _ := (call{"GET", "/ipfs/" + wide.Cid().String() + "?format=car", http.Header{}}).do(handler); rec.Code != 503 {
		t.Errorf("a CAR beyond the bound: %d", rec.Code)
	}
	give()
	for range 3 {
		if rec, cut := (call{"GET", "/ipfs/" + wide.Cid().String() + "?format=car", http.Header{}}).do(handler); rec.Code != 200 || cut {
			t.Errorf("a CAR within the bound: %d, %t", rec.Code, cut)
		}
	}
	if left := gateway.CARBlocks(small); left != gateway.MaxCARBlocks {
		t.Errorf("%d blocks were not given back", gateway.MaxCARBlocks-left)
	}
}

// TestMissingAndDamaged holds that what cannot be read whole is never taken for
// whole.
func TestMissingAndDamaged(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	m := newMemory()
	content := noise(6, 3000)
	f := m.file(t, content, 1000, 10, true, false)
	root := m.directory(t, map[string]format.Node{"f": f, "g": m.file(t, noise(7, 100), 100, 10, true, false)}, false)
	middle := cjson.RawCID([]byte(content[1000:2000]))
	if err := m.DeleteBlock(t.Context(), middle); err != nil {
		t.Fatal(err)
	}
	url := serve(t, gatewayOver(h, m)) + "/ipfs/" + root.Cid().String()
	want{206, nil, content[:10]}.check(t, "first", ask(t, "GET", url+"/f", "Range: bytes=0-999"))
	want{206, nil, content[2000:]}.check(t, "last", ask(t, "GET", url+"/f", "Range: bytes=2000-"))
	want{404, nil, ""}.check(t, "middle", ask(t, "GET", url+"/f", "Range: bytes=1500-1600"))
	want{200, nil, ""}.check(t, "HEAD", ask(t, "HEAD", url+"/f"))
	want{200, nil, "f"}.check(t, "listing", ask(t, "GET", url+"/"))
	if a := ask(t, "GET", url+"/f"); a.err == nil || len(a.body) >= 3000 {
		t.Errorf("whole: %d, %d bytes, %v", a.status, len(a.body), a.err)
	}
	if a := ask(t, "GET", url+"?format=car"); a.status != 200 || a.err == nil || !bytes.HasSuffix(a.body, []byte("response is incomplete]")) {
		t.Errorf("CAR: %d, %v", a.status, a.err)
	}
	// Blocks that are no file tree: refused, not crashed on.
	for _, b := range []string{"\x0a\x00", "\x0a\x05\x00\x01\x02\x03\x04", "\x12\x0b\x0a\x09\x01U\x00\x05\x00\x01\x02\x03\x04", ""} {
		c, err := v1.Sum([]byte(b))
		if err != nil {
			t.Fatal(err)
		}
		blk, err := blockOf(c, []byte(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Put(t.Context(), blk); err != nil {
			t.Fatal(err)
		}
		base := strings.TrimSuffix(url, root.Cid().String()) + c.String()
		want{422, nil, ""}.check(t, fmt.Sprintf("%q", b), ask(t, "GET", base))
		want{200, nil, ""}.check(t, fmt.Sprintf("%q, raw", b), ask(t, "GET", base+"?format=raw"))
	}
}
