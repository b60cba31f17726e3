package gateway_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	format "github.com/ipfs/go-ipld-format"

	"github.com/cairn-registry/cairn/registry/gateway"
)

// dial asks for a path and returns the connection behind the answer's header.
func dial(t *testing.T, url, path string) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", host(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.(*net.TCPConn).SetReadBuffer(64 << 10)
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path)
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, resp
}

// TestSlowReaders: one that stops is cut off, whatever it asked for; one that
// is slow and goes on gets everything, however long that takes.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	content := noise(3, 16<<20)
	r := h.add(files{"f": content})
	stall := 300 * time.Millisecond
	done := make(chan struct{}, 8)
	handler := h.gateway(gateway.Options{Front: gateway.FrontOptions{Limits: gateway.Limits{MinRate: 1 << 20, Grace: stall}}}).Public(true)
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			done <- struct{}{}
			if p != nil {
				panic(p)
			}
		}()
		handler.ServeHTTP(w, r)
	}))
	base := "/ipfs/" + r.Root.String()
	for _, path := range []string{base + "/f", base + "?format=car", base + "?format=car&car-dups=y", base + "?format=tar"} {
		_, resp := dial(t, url, path)
		<-done // the handler gives up; nothing is read until then
		if b, err := io.ReadAll(resp.Body); err == nil || len(b) >= len(content) {
			t.Errorf("%s came whole to a reader that had stopped: %d bytes, %v", path, len(b), err)
		}
	}
	// Steps of 64 KiB with a tenth of the stall between: longer than the stall in all.
	_, resp := dial(t, url, base+"/f")
	var got bytes.Buffer
	for {
		n, err := io.CopyN(&got, resp.Body, 1<<20)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("a slow reader was cut off after %d bytes (%d in this step): %v", got.Len(), n, err)
		}
		time.Sleep(stall / 5)
	}
	if got.String() != content {
		t.Errorf("a slow reader got %d bytes that differ", got.Len())
	}
	<-done
	// After a paced answer the connection is as it was: the next may take its time.
	conn, resp := dial(t, url, base+"/f?format=raw")
	io.Copy(io.Discard, resp.Body)
	<-done
	time.Sleep(2 * stall)
	fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("the next answer on the connection: %v", err)
	}
}

// TestRepeatingDAG: a DAG of 40 blocks with 2^39 paths costs its blocks.
func TestRepeatingDAG(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	m := newMemory()
	n := m.file(t, "leaf", 100, 3, true, false)
	for range 40 {
		n = m.directory(t, map[string]format.Node{"a": n, "b": n}, false)
	}
	url := serve(t, gatewayOver(h, m)) + "/ipfs/" + n.Cid().String()
	a := ask(t, "GET", url+"?format=car")
	if a.err != nil || a.status != 200 || len(a.body) > 200*41 {
		t.Errorf("CAR: %d, %d bytes, %v", a.status, len(a.body), a.err)
	}
	if a := ask(t, "GET", url+"/"); a.status != 200 {
		t.Errorf("page: %d", a.status)
	}
}
