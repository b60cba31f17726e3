package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A pushServer is a "cairn serve" that takes uploads and can be killed and begun
// again on the same address. Its log is kept over all of its lives.
type pushServer struct {
	t    *testing.T
	p    *person
	addr string
	args []string
	log  string
	cmd  *exec.Cmd
}

func newPushServer(t *testing.T, args ...string) *pushServer {
	t.Helper()
	s := &pushServer{t: t, p: newPerson(t), args: args, log: filepath.Join(t.TempDir(), "server.log")}
	s.p.run("init", "--origin", "registry.example/push")
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	ln.Close()
	t.Cleanup(func() { s.end(syscall.SIGTERM) })
	return s
}

func (s *pushServer) start() {
	s.t.Helper()
	s.cmd = s.p.command(append([]string{"serve", "--listen", s.addr, "--write", "open"}, s.args...)...)
	f, err := os.OpenFile(s.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	s.cmd.Stderr = f
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for range 600 {
		if conn, err := net.Dial("tcp", s.addr); err == nil {
			conn.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatal("the server does not answer")
}

func (s *pushServer) end(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Signal(sig)
	s.cmd.Wait()
	s.cmd = nil
}

var shardLine = regexp.MustCompile(`msg="shard received" .*shard=([0-9a-f]{64})`)

// received counts, by shard, how often the server received one whole.
func (s *pushServer) received() map[string]int {
	s.t.Helper()
	b, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	out := make(map[string]int)
	for _, m := range shardLine.FindAllSubmatch(b, -1) {
		out[string(m[1])]++
	}
	return out
}

// vkey writes the registry's verifier key, and returns the file's name.
func (s *pushServer) vkey() string {
	s.t.Helper()
	name := filepath.Join(s.t.TempDir(), "registry.vkey")
	if err := os.WriteFile(name, []byte(s.p.run("log", "key")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// A cutter is a TCP proxy that breaks connections when told. It is slow enough
// that a push takes a while.
type cutter struct {
	ln net.Listener
	to string

	mu    sync.Mutex
	conns map[*net.TCPConn]bool
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{ln: ln, to: to, conns: make(map[*net.TCPConn]bool)}
	t.Cleanup(func() { ln.Close(); c.cut() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go c.pass(conn.(*net.TCPConn))
		}
	}()
	return c
}

func (c *cutter) pass(in *net.TCPConn) {
	conn, err := net.Dial("tcp", c.to)
	if err != nil {
		in.SetLinger(0)
		in.Close()
		return
	}
	out := conn.(*net.TCPConn)
	c.mu.Lock()
	c.conns[in], c.conns[out] = true, true
	c.mu.Unlock()
	copyTo := func(to, from *net.TCPConn, pause time.Duration) {
		buf := make([]byte, 256<<10)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				if _, err := to.Write(buf[:n]); err != nil {
					break
				}
				time.Sleep(pause)
			}
			if err != nil {
				break
			}
		}
		to.CloseWrite()
	}
	go copyTo(in, out, 0)
	copyTo(out, in, time.Millisecond)
}

// cut resets every connection.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		conn.SetLinger(0)
		conn.Close()
	}
	clear(c.conns)
}

// TestE2EPushCut pushes 2 GiB and cuts the push five times: two connections reset,
// two clients and the server killed. No shard that was acknowledged, or finished,
// is received again; the receipt verifies, and the data is whole.
func TestE2EPushCut(t *testing.T) {
	big(t, "a push of 2 GiB that is cut five times")
	data := filepath.Join(t.TempDir(), "big.bin")
	keystream(t, data, 2<<30, "push")
	me := newPerson(t)
	root := me.run("add", data, "--name", "big", "--license", "CC0-1.0")

	s := newPushServer(t)
	proxy := newCutter(t, s.addr)
	url := "http://" + proxy.ln.Addr().String()
	s.args = []string{"--public-url", url}
	s.start()
	policy := s.vkey()

	var stdout, stderr bytes.Buffer
	var push *exec.Cmd
	done := make(chan error, 1)
	begin := func() {
		push = me.command("push", "big", "--registry", url, "--policy", policy, "--json")
		stdout.Reset()
		push.Stdout, push.Stderr = &stdout, &stderr
		if err := push.Start(); err != nil {
			t.Fatal(err)
		}
		go func(cmd *exec.Cmd) { done <- cmd.Wait() }(push)
	}
	until := func(shards int) {
		t.Helper()
		for deadline := time.Now().Add(5 * time.Minute); len(s.received()) < shards; time.Sleep(2 * time.Millisecond) {
			select {
			case err := <-done:
				t.Fatalf("the push ended before it was cut: %v\n%s", err, stderr.String())
			default:
			}
			if time.Now().After(deadline) {
				t.Fatalf("only %d shards came", len(s.received()))
			}
		}
	}
	kill := func() {
		push.Process.Kill()
		<-done
	}
	begin()
	cuts := []struct {
		name string
		cut  func()
	}{
		{"connections reset", proxy.cut},
		{"client killed", func() { kill(); begin() }},
		{"server killed", func() { s.end(syscall.SIGKILL); s.start() }},
		{"connections reset again", proxy.cut},
		{"client killed again", func() { kill(); begin() }},
	}
	for i, c := range cuts {
		until(3 + 5*i)
		c.cut()
		t.Logf("%s after %d shards", c.name, len(s.received()))
	}
	if err := <-done; err != nil {
		t.Fatalf("push: %v\n%s", err, stderr.String())
	}
	var out struct {
		Root, Proof string
		Shards      int
	}
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil || out.Root != root {
		t.Fatalf("push says %s, %v", stdout.String(), err)
	}
	got := s.received()
	// What the server had finished at the moment it was killed is not in its log,
	// and is not sent again either: at most the four that were on their way.
	if len(got) > out.Shards || len(got) < out.Shards-4 || out.Shards < 30 {
		t.Errorf("the server received %d shards, the upload has %d", len(got), out.Shards)
	}
	for sum, n := range got {
		if n != 1 {
			t.Errorf("shard %s was received %d times", sum, n)
		}
	}
	if status, out := auditInProcess(t, filepath.Join(t.TempDir(), "auditor"), "bundle", out.Proof, "--policy", policy); status != 0 {
		t.Errorf("the receipt does not verify: %d\n%s", status, out)
	}
	if out := s.p.run("audit", root, "--blocks", "all"); !bytes.Contains([]byte(out), []byte("holds")) {
		t.Errorf("audit: %s", out)
	}
	// What is left in the pushers' homes: nothing that is on its way.
	if left, _ := filepath.Glob(filepath.Join(me.home, "pushes", "*")); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestE2EPushMemory has sixteen contributors push at once: the server's memory
// stays within 256 MiB.
func TestE2EPushMemory(t *testing.T) {
	big(t, "sixteen pushes of 128 MiB at once")
	const limit = 256 << 20
	s := newPushServer(t)
	s.start()
	policy := s.vkey()
	dir := t.TempDir()
	var people []*person
	for i := range 16 {
		data := filepath.Join(dir, fmt.Sprintf("%d.bin", i))
		keystream(t, data, 128<<20, fmt.Sprint(i))
		p := newPerson(t)
		p.run("add", data, "--name", "mine", "--license", "CC0-1.0")
		os.Remove(data)
		people = append(people, p)
	}
	var wg sync.WaitGroup
	for _, p := range people {
		wg.Go(func() {
			out, err := p.command("push", "mine", "--registry", "http://"+s.addr, "--policy", policy).CombinedOutput()
			if err != nil {
				t.Errorf("push: %v\n%s", err, out)
			}
		})
	}
	wg.Wait()
	high := vmHWM(s.cmd.Process.Pid)
	t.Logf("the server's memory was at most %d MiB", high>>20)
	if high == 0 || high > limit {
		t.Errorf("the server had %d MiB, the limit is %d", high>>20, limit>>20)
	}
	if n := len(bytes.Fields([]byte(s.p.run("ls")))); n == 0 {
		t.Error("nothing is registered")
	}
}
