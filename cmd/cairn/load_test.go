package main

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	slowClients   = 256
	fastClients   = 64
	fastRequests  = 20 // of each fast client in a round
	loadRounds    = 3
	maxServerRSS  = 256 << 20
	restlessSpare = 40 // descriptors or goroutines that a quiet server may have more of than before
)

// TestE2ELoadSlowClients holds a real server with 256 slow clients, which send a
// byte a second or read nothing, and asks with 64 fast ones, with and without
// them in turn. No fast request fails, every slow client is sent away, and
// afterwards the server holds no more than before. The 99th percentiles are
// printed, not asserted.
func TestE2ELoadSlowClients(t *testing.T) {
	big(t, "the load of slow clients")
	p := newPerson(t)
	data := filepath.Join(t.TempDir(), "data.bin")
	b := make([]byte, 32<<20)
	rand.Read(b)
	if err := os.WriteFile(data, b, 0o600); err != nil {
		t.Fatal(err)
	}
	root := p.run("add", "--license", "CC0-1.0", "--name", "load", data)
	s := startLoaded(t, p, "--set", "limits.grace=2s", "--set", "accessLog.format=off", "--set", "limits.exempt=127.0.0.0/8")
	path := "/ipfs/" + root
	if resp, err := http.Get(s.url + path + "/data.bin"); err == nil {
		if resp.StatusCode == 200 {
			path += "/data.bin"
		}
		resp.Body.Close()
	}

	s.fast(t, path) // warms up
	before := s.settled(t, nil)
	var without, with []time.Duration
	var sentAway atomic.Int64
	for range loadRounds {
		without = append(without, s.fast(t, path))
		stop := make(chan struct{})
		var wg sync.WaitGroup
		var holding atomic.Int64
		for i := range slowClients {
			wg.Go(func() { s.slow(i, path, stop, &holding, &sentAway) })
		}
		for holding.Load() < slowClients*9/10 {
			time.Sleep(10 * time.Millisecond)
		}
		with = append(with, s.fast(t, path))
		if n := holding.Load(); n < slowClients/2 {
			t.Errorf("only %d slow clients were held during the round", n)
		}
		// Until each has been sent away about once: the longest patience is 10 s.
		for want, end := sentAway.Load()+slowClients, time.Now().Add(60*time.Second); sentAway.Load() < want && time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond)
		}
		close(stop)
		wg.Wait()
	}
	if n := sentAway.Load(); n < loadRounds*slowClients {
		t.Errorf("the server closed %d slow connections, want at least %d", n, loadRounds*slowClients)
	}
	after := s.settled(t, &before)
	slices.Sort(without)
	slices.Sort(with)
	a, c := without[len(without)/2], with[len(with)/2]
	t.Logf("p99 of %d fast clients, medians of %d rounds: %v without, %v with %d slow ones: ratio %.2f; %d sent away; before %+v, after %+v",
		fastClients, loadRounds, a, c, slowClients, float64(c)/float64(a), sentAway.Load(), before, after)
}

// A loadServer is a "cairn serve" of its own process.
type loadServer struct{ url, addr, admin string }

func startLoaded(t *testing.T, p *person, flags ...string) loadServer {
	t.Helper()
	admin := filepath.Join(t.TempDir(), "admin.sock")
	cmd := p.command(append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "unix:" + admin}, flags...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { endLoaded(t, cmd) })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server does not say where it is: %v", err)
	}
	url := strings.TrimSpace(line)
	return loadServer{url, strings.TrimPrefix(url, "http://"), admin}
}

func endLoaded(t *testing.T, cmd *exec.Cmd) {
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("the server ends with %v", err)
	}
}

// fast asks with all fast clients at once, and returns the 99th percentile.
func (s loadServer) fast(t *testing.T, path string) time.Duration {
	t.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	for range fastClients {
		wg.Go(func() {
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			c := &http.Client{Transport: tr, Timeout: 2 * time.Minute}
			for range fastRequests {
				r, _ := http.NewRequest("GET", s.url+path, nil)
				r.Header.Set("Range", "bytes=0-65535")
				start := time.Now()
				resp, err := c.Do(r)
				if err != nil {
					t.Errorf("a fast request: %v", err)
					return
				}
				n, err := io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if err != nil || resp.StatusCode != 206 || n != 64<<10 {
					t.Errorf("a fast request: %d, %d bytes, %v", resp.StatusCode, n, err)
					return
				}
				d := time.Since(start)
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(took) == 0 {
		t.Fatal("no fast request succeeded")
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// slow is one slow client: it connects again when it was sent away, until stop.
func (s loadServer) slow(i int, path string, stop <-chan struct{}, holding, sentAway *atomic.Int64) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		holding.Add(1)
		switch i % 3 {
		case 0:
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX: ")
		case 1:
			io.WriteString(c, "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
		case 2:
			c.(*net.TCPConn).SetReadBuffer(4 << 10)
			fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
		}
		closed := make(chan struct{})
		if i%3 == 2 {
			close(closed) // it reads nothing: only a write can tell
		} else {
			go func() { io.Copy(io.Discard, c); close(closed) }()
		}
		gone := false
		for !gone {
			select {
			case <-stop:
				c.Close()
				holding.Add(-1)
				return
			case <-time.After(time.Second):
				if _, err := c.Write([]byte("x")); err != nil {
					gone = true
				}
			}
			if i%3 != 2 {
				select {
				case <-closed:
					gone = true
				default:
				}
			}
		}
		c.Close()
		holding.Add(-1)
		sentAway.Add(1)
	}
}

// held is what a server holds.
type held struct{ descriptors, goroutines, memory int64 }

// settled waits until the server holds about as much as at want, and returns
// what it holds. Without want it returns what it holds now.
func (s loadServer) settled(t *testing.T, want *held) held {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialUnix(s.admin)}}
	var h held
	for end := time.Now().Add(60 * time.Second); ; {
		resp, err := c.Get("http://admin/metrics")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		h = held{metric(t, b, "process_open_fds"), metric(t, b, "go_goroutines"), metric(t, b, "process_resident_memory_bytes")}
		if want == nil || h.descriptors <= want.descriptors+restlessSpare && h.goroutines <= want.goroutines+restlessSpare {
			break
		}
		if time.Now().After(end) {
			t.Errorf("the server holds %+v, before %+v", h, *want)
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	if h.memory > maxServerRSS {
		t.Errorf("the server has %d MiB", h.memory>>20)
	}
	return h
}

func metric(t *testing.T, text []byte, name string) int64 {
	t.Helper()
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil {
				t.Fatal(err)
			}
			return int64(f)
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}
