package main

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestServeDrains: after SIGTERM the server says at once that it is not ready
// and takes nobody new, sends the answer that it is sending whole, and exits
// with 0; a second signal ends it there and then.
func TestServeDrains(t *testing.T) {
	p := newPerson(t)
	data := make([]byte, 24<<20) // more than the sockets on the way hold
	rand.Read(data)
	file := filepath.Join(t.TempDir(), "data.bin")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	root := p.run("add", "--license", "CC0-1.0", "--name", "drain", filepath.Dir(file))

	for _, twice := range []bool{false, true} {
		admin := filepath.Join(t.TempDir(), "admin.sock")
		cmd := p.command("serve", "--listen", "127.0.0.1:0", "--admin", "unix:"+admin, "--set", "shutdown.drain=2m", "--set", "limits.grace=2m")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill() // where the test ends early
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		addr := strings.TrimPrefix(strings.TrimSpace(line), "http://")
		ask := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialUnix(admin)}}
		ready := func() int {
			resp, err := ask.Get("http://admin/readyz")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		if got := ready(); got != 200 {
			t.Fatalf("/readyz: %d", got)
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /ipfs/%s/data.bin HTTP/1.1\r\nHost: %s\r\n\r\n", root, addr)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v, %v", resp, err)
		}
		cmd.Process.Signal(syscall.SIGTERM)
		for ready() != 503 {
			time.Sleep(5 * time.Millisecond)
		}
		for {
			probe, err := net.Dial("tcp", addr)
			if err != nil {
				break
			}
			probe.Close()
			time.Sleep(5 * time.Millisecond)
		}
		if twice {
			cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err == nil {
				t.Error("a second signal does not end the server there and then")
			}
			continue
		}
		got, err := io.ReadAll(resp.Body)
		if err != nil || sha256.Sum256(got) != sha256.Sum256(data) {
			t.Errorf("the running answer: %d bytes, %v", len(got), err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server ends with %v", err)
		}
	}
}
