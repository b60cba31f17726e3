package gateway_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/cairn-registry/cairn/registry/gateway"
)

// abused is a gateway behind a listener.
func abused(t *testing.T) (addr string, h http.Handler) {
	t.Helper()
	hm := newHome(t)
	g, err := gateway.New(hm.reg, hm.store, gateway.Options{Front: gateway.FrontOptions{Limits: brisk}})
	if err != nil {
		t.Fatal(err)
	}
	h = g.Public(true)
	addr, _ = listen(t, h, gateway.ServerOptions{HeaderTimeout: 2 * time.Second})
	return addr, h
}

// TestAbuse: whatever is sent, the answer is a refusal that fits, never a failure
// of the server, and the server goes on.
func TestAbuse(t *testing.T) {
	addr, _ := abused(t)
	long := strings.Repeat("a", 100<<10)
	many := strings.Repeat("X-A: b\r\n", 20<<10)
	gzipped := "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00"
	for _, c := range []struct {
		name, request string
		want          []int
	}{
		{"a header field of 100 KiB", "GET / HTTP/1.1\r\nHost: x\r\nX: " + long + "\r\n\r\n", []int{431}},
		{"20,000 header fields", "GET / HTTP/1.1\r\nHost: x\r\n" + many + "\r\n", []int{431}},
		{"a target of 100 KiB", "GET /" + long + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{431}},
		{"a target of 10 KiB", "GET /" + long[:10<<10] + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{414}},
		{"a target of 10 KiB below /ipfs", "GET /ipfs/" + long[:10<<10] + " HTTP/1.1\r\nHost: x\r\n\r\n", []int{414}},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", []int{400}},
		{"no host", "GET / HTTP/1.1\r\n\r\n", []int{400}},
		{"a host that is none", "GET / HTTP/1.1\r\nHost: a b/c\r\n\r\n", []int{400}},
		{"a host of a root that is none", "GET / HTTP/1.1\r\nHost: nonsense.ipfs.localhost\r\n\r\n", []int{400}},
		{"a long host", "GET / HTTP/1.1\r\nHost: " + long[:4000] + "\r\n\r\n", []int{200, 400}},
		{"two lengths", "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", []int{400}},
		{"a length and chunks", "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", []int{400, 405}},
		{"an unknown transfer coding", "POST /v1/status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", []int{501, 400}},
		{"a chunk without a size", "POST /v1/status HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", []int{400, 405}},
		{"a negative length", "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", []int{400}},
		{"a length beyond the limit", "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n", []int{413}},
		{"an encoded body", "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n\r\n" + gzipped, []int{415}},
		{"an encoded body of a GET", "GET /v1/status HTTP/1.1\r\nHost: x\r\nContent-Encoding: br\r\n\r\n", []int{415}},
		{"an expectation that nobody knows", "POST /v1/status HTTP/1.1\r\nHost: x\r\nExpect: miracle\r\nContent-Length: 1\r\n\r\na", []int{417}},
		{"an expectation before a refusal", "POST /v1/entries HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n", []int{404, 405}},
		{"a method that nobody knows", "BREW /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", []int{405}},
		{"CONNECT", "CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n", []int{400, 404, 405}},
		{"an absolute target of another host", "GET http://example.org/v1/status HTTP/1.1\r\nHost: x\r\n\r\n", []int{200}},
		{"dots", "GET /ipfs/../keys/log.note HTTP/1.1\r\nHost: x\r\n\r\n", []int{301, 400, 404}},
		{"encoded dots", "GET /ipfs/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404}},
		{"encoded dots in a tile", "GET /tile/entries/%2e%2e/%2e%2e/keys/log.note HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404}},
		{"a zero byte", "GET /v1/keys/%00 HTTP/1.1\r\nHost: x\r\n\r\n", []int{400, 404}},
		{"an escape that is none", "GET /v1/%zz HTTP/1.1\r\nHost: x\r\n\r\n", []int{400}},
		{"another protocol", "SSH-2.0-OpenSSH\r\n\r\n", []int{400}},
		{"HTTP/2 in the clear, which is a method to us", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{404}},
		{"a bare line feed in a field", "GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", []int{400}},
		{"1,000 ranges", "GET /ipfs/bafkqabtimvwgy3yk HTTP/1.1\r\nHost: x\r\nRange: bytes=" + strings.TrimSuffix(strings.Repeat("0-0,", 1000), ",") + "\r\n\r\n", []int{200, 206, 400, 416}},
	} {
		conn := connect(t, addr)
		go io.WriteString(conn, c.request)
		status := 0
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			status = resp.StatusCode
			io.Copy(io.Discard, resp.Body)
		}
		ok := false
		for _, w := range c.want {
			ok = ok || status == w
		}
		if !ok {
			t.Errorf("%s: %d, want one of %v", c.name, status, c.want)
		}
		conn.Close()
	}
	if resp, err := http.Get("http://" + addr + "/v1/status"); err != nil || resp.StatusCode != 200 {
		t.Errorf("afterwards: %v, %v", resp, err)
	}
}

// TestExpect: a refusal before the body does not ask for it.
func TestExpect(t *testing.T) {
	addr, _ := abused(t)
	for _, target := range []string{"/v1/entries", "/nothing"} {
		conn := connect(t, addr)
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n", target)
		b, err := io.ReadAll(conn) // the server closes: it cannot tell a body from the next request
		if err != nil || bytes.Contains(b, []byte("100 Continue")) || !bytes.HasPrefix(b, []byte("HTTP/1.1 40")) {
			t.Errorf("%s: %q, %v", target, b, err)
		}
	}
}

// TestPipelining: requests that come in one piece are answered in their order.
func TestPipelining(t *testing.T) {
	addr, _ := abused(t)
	conn := connect(t, addr)
	const n = 100
	go io.WriteString(conn, strings.Repeat("GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", n))
	br := bufio.NewReader(conn)
	for i := range 2 * n {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		if want := []int{200, 404}[i%2]; resp.StatusCode != want {
			t.Fatalf("answer %d: %d, want %d", i, resp.StatusCode, want)
		}
	}
}

// TestRapidReset: a client that opens and cancels streams as fast as it can
// (CVE-2023-44487) is worked for no more than others, and costs no memory.
func TestRapidReset(t *testing.T) {
	_, h := abused(t)
	url, c := secure(t, h)
	addr := strings.TrimPrefix(url, "https://")
	before := runtime.NumGoroutine()
	var heap runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&heap)
	held := heap.HeapAlloc

	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: c.Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second)) // only so that a broken server ends the test
	io.WriteString(conn, http2.ClientPreface)
	fr := http2.NewFramer(conn, conn)
	fr.WriteSettings()
	go io.Copy(io.Discard, conn)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "x"}, {":path", "/v1/status"}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	sent := 0
	for id := uint32(1); sent < 5000; id += 2 {
		if fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}) != nil {
			break // sent away
		}
		if fr.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break
		}
		sent++
	}
	if sent < 64 {
		t.Errorf("only %d streams were opened", sent)
	}
	resp, err := c.Get(url + "/v1/status")
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("another client: %v, %v", resp, err)
	}
	resp.Body.Close()
	conn.Close()
	c.CloseIdleConnections()
	deadline := time.Now().Add(20 * time.Second)
	for runtime.NumGoroutine() > before+20 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before+20 {
		t.Errorf("%d goroutines, before %d", n, before)
	}
	runtime.GC()
	runtime.ReadMemStats(&heap)
	if heap.HeapAlloc > held+16<<20 {
		t.Errorf("%d KiB are held, before %d KiB", heap.HeapAlloc>>10, held>>10)
	}
}

// TestDeadConnections: connections that say nothing are closed, and leave
// nothing behind.
func TestDeadConnections(t *testing.T) {
	addr, _ := abused(t)
	before := runtime.NumGoroutine()
	var conns []net.Conn
	for range 200 {
		conns = append(conns, connect(t, addr))
	}
	for i, c := range conns {
		if i%2 == 0 {
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHo")
		}
	}
	for _, c := range conns {
		if _, err := closed(c); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	deadline := time.Now().Add(20 * time.Second)
	for runtime.NumGoroutine() > before+10 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before+10 {
		t.Errorf("%d goroutines, before %d", n, before)
	}
}
