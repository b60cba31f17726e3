package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/registry/gateway"
)

// brisk are limits under which a stalled client is cut off within the patience
// of a test.
var brisk = gateway.Limits{MinRate: 64 << 10, Grace: 300 * time.Millisecond}

// listen serves a handler on loopback until the test ends, or stop is called.
func listen(t *testing.T, h http.Handler, o gateway.ServerOptions) (addr string, stop func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- gateway.Serve(ctx, ln, h, o) }()
	ended := false
	stop = func() error {
		if ended {
			return nil
		}
		ended = true
		cancel()
		return <-done
	}
	t.Cleanup(func() { stop() })
	return ln.Addr().String(), stop
}

func connect(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second)) // only so that a broken server ends the test
	return c
}

// closed reads until the server closes the connection.
func closed(c net.Conn) (int64, error) {
	n, err := io.Copy(io.Discard, c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return n, fmt.Errorf("the connection is still open: %w", err)
	}
	return n, nil
}

// TestSlowSender: a body that comes at a byte now and then is given up, whether
// or not the handler reads it.
func TestSlowSender(t *testing.T) {
	mux := routes()
	mux.HandleFunc("POST /unread", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "no") })
	addr, _ := listen(t, front(t, gateway.FrontOptions{Limits: brisk}, mux), gateway.ServerOptions{HeaderTimeout: 300 * time.Millisecond})
	for _, head := range []string{
		"POST /thing HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
		"POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n",
		"POST /thing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n",
		"GET /thing/1 HTTP/1.1\r\nHost: x\r\nX: ", // a header that never ends
	} {
		t.Run(strings.Fields(head)[1], func(t *testing.T) {
			t.Parallel()
			c := connect(t, addr)
			io.WriteString(c, head)
			done := make(chan error, 1)
			go func() { _, err := closed(c); done <- err }()
			for {
				select {
				case err := <-done:
					if err != nil {
						t.Error(err)
					}
					return
				case <-time.After(20 * time.Millisecond):
					c.Write([]byte("x"))
				}
			}
		})
	}
}

// TestStalledReader: an answer that nobody reads ends, and its handler with it.
func TestStalledReader(t *testing.T) {
	var ended atomic.Bool
	finished := make(chan struct{})
	mux := routes()
	mux.HandleFunc("GET /endless", func(w http.ResponseWriter, r *http.Request) {
		defer close(finished)
		for b := make([]byte, 1<<20); ; {
			if _, err := w.Write(b); err != nil {
				ended.Store(true)
				return
			}
		}
	})
	addr, _ := listen(t, front(t, gateway.FrontOptions{Limits: brisk}, mux), gateway.ServerOptions{})
	c := connect(t, addr)
	io.WriteString(c, "GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
	<-finished
	if !ended.Load() {
		t.Error("the handler ended for another reason")
	}
	if _, err := closed(c); err != nil {
		t.Error(err)
	}
}

// TestPatience: what takes long on the server's side, or is steady, is never
// cut off.
func TestPatience(t *testing.T) {
	mux := routes()
	pause := 3 * brisk.Grace
	mux.HandleFunc("POST /think", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading: %v", err)
		}
		select {
		case <-r.Context().Done():
			t.Error("the request was given up while the server thought")
		case <-time.After(pause):
		}
		io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		time.Sleep(pause)
		fmt.Fprint(w, len(b))
	})
	mux.HandleFunc("GET /late", func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 100)) // stays in a buffer
		time.Sleep(pause)
	})
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			url, c := secure(t, front(t, gateway.FrontOptions{Limits: brisk}, mux))
			if protocol == "HTTP/1.1" {
				c.Transport.(*http.Transport).Protocols.SetHTTP2(false)
			}
			body := bytes.Repeat([]byte("b"), 200<<10)
			resp, err := c.Post(url+"/think", "text/plain", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || string(got) != fmt.Sprintf("first %d", len(body)) || resp.Proto != protocol {
				t.Errorf("%s: %q, %v", resp.Proto, got, err)
			}
			// A steady upload, faster than the minimum, that lasts many times the grace.
			pr, pw := io.Pipe()
			go func() {
				for range 20 {
					time.Sleep(brisk.Grace / 4)
					pw.Write(make([]byte, 16<<10))
				}
				pw.Close()
			}()
			resp, err = c.Post(url+"/thing", "text/plain", pr)
			if err != nil {
				t.Fatal(err)
			}
			got, err = io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || string(got) != fmt.Sprint(20*16<<10) {
				t.Errorf("a steady upload: %q, %v", got, err)
			}
			for range 2 {
				resp, err := c.Get(url + "/late")
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if err != nil || len(got) != 100 {
					t.Errorf("an answer that is sent late: %d bytes, %v", len(got), err)
				}
			}
		})
	}
}

// secure serves over TLS and returns a client that trusts the certificate and
// speaks both protocols.
func secure(t *testing.T, h http.Handler) (url string, c *http.Client) {
	t.Helper()
	lender := httptest.NewUnstartedServer(nil) // lends its certificate
	lender.StartTLS()
	t.Cleanup(lender.Close)
	addr, _ := listen(t, h, gateway.ServerOptions{TLS: &tls.Config{Certificates: lender.TLS.Certificates}})
	tr := lender.Client().Transport.(*http.Transport).Clone()
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP1(true)
	tr.Protocols.SetHTTP2(true)
	t.Cleanup(tr.CloseIdleConnections)
	return "https://" + addr, &http.Client{Transport: tr}
}

// TestDrain: running answers end, new connections are not taken, and the server
// ends without an error; what takes longer than the drain is cut off.
func TestDrain(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	mux := routes()
	mux.HandleFunc("GET /hold", func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		io.WriteString(w, "whole")
	})
	mux.HandleFunc("GET /never", func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})
	h := front(t, gateway.FrontOptions{}, mux)

	addr, stop := listen(t, h, gateway.ServerOptions{})
	c := connect(t, addr)
	io.WriteString(c, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for { // until nobody is taken any more
		probe, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		probe.Close()
	}
	close(release)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "whole" {
		t.Errorf("the running answer: %q, %v", b, err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("the server ends with %v", err)
	}

	entered = make(chan struct{})
	addr, stop = listen(t, h, gateway.ServerOptions{Drain: 50 * time.Millisecond})
	c = connect(t, addr)
	io.WriteString(c, "GET /never HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	if err := stop(); err != nil {
		t.Errorf("the server ends with %v", err)
	}
	if _, err := closed(c); err != nil {
		t.Error(err)
	}
}

// TestConnectionsAreBounded: no more than the limit are served; the next gets
// its turn when one goes.
func TestConnectionsAreBounded(t *testing.T) {
	addr, _ := listen(t, front(t, gateway.FrontOptions{}, routes()), gateway.ServerOptions{Connections: 2})
	get := func(c net.Conn) { io.WriteString(c, "GET /thing/1 HTTP/1.1\r\nHost: x\r\n\r\n") }
	answered := func(c net.Conn) error {
		_, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err
	}
	a, b, third := connect(t, addr), connect(t, addr), connect(t, addr)
	get(a)
	get(b)
	if err := answered(a); err != nil {
		t.Fatal(err)
	}
	if err := answered(b); err != nil {
		t.Fatal(err)
	}
	get(third)
	third.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if err := answered(third); err == nil {
		t.Error("a third connection is served beside two")
	}
	a.Close()
	third.SetReadDeadline(time.Now().Add(30 * time.Second))
	if err := answered(third); err != nil {
		t.Errorf("the third gets no turn: %v", err)
	}
}
