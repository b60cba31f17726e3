package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// A relay stands before a server, counts the raw leaves that pass, and does with
// them what it is told.
type relay struct {
	*httptest.Server
	leaves atomic.Int64
	bytes  atomic.Int64
}

// newRelay passes requests on to origin. leaf sees the n-th answer with a leaf, and
// may change it; nil changes nothing.
func newRelay(t *testing.T, origin string, leaf func(n int64, b []byte) []byte) *relay {
	t.Helper()
	to, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	proxy.ModifyResponse = func(resp *http.Response) error {
		if !strings.HasPrefix(resp.Request.URL.Path, "/ipfs/bafkrei") || resp.StatusCode != http.StatusOK {
			return nil
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		if n := r.leaves.Add(1); leaf != nil {
			b = leaf(n, b)
		}
		r.bytes.Add(int64(len(b)))
		resp.Body = io.NopCloser(bytes.NewReader(b))
		return nil
	}
	r.Server = httptest.NewServer(proxy)
	t.Cleanup(r.Close)
	return r
}

// someData makes a tree with a file of many blocks and many files of one.
func someData(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	b := make([]byte, 20<<20)
	rand.NewChaCha8([32]byte{9}).Read(b)
	write := func(name string, b []byte) {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777)
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("big.bin", b)
	for i := range 60 {
		write(filepath.Join("small", string(rune('a'+i%6)), string(rune('A'+i))), b[i*1000:][:3000])
	}
	return dir
}

// TestGetGoesOnAfterSIGKILL kills a get in its middle. The next one ends with the
// same tree, and fetches no leaf that the first had on disk.
func TestGetGoesOnAfterSIGKILL(t *testing.T) {
	p := newPerson(t)
	data := someData(t)
	root := p.run("add", data, "--name", "iris", "--license", "CC0-1.0")
	origin := p.serve()
	const enough = 40
	reached, hold := make(chan struct{}), make(chan struct{})
	first := newRelay(t, origin, func(n int64, b []byte) []byte {
		if n == enough {
			close(reached)
		}
		if n >= enough {
			<-hold
		}
		return b
	})
	trainer := newPerson(t)
	out := filepath.Join(t.TempDir(), "out")
	cmd := trainer.command("get", root, "--from", first.URL, "-o", out)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("the get ended before it was killed")
	}
	close(hold)
	second := newRelay(t, origin, nil)
	var got struct {
		Bytes, Skipped int64
		Sources        []struct {
			URL    string
			Bytes  int64
			Blocks int64
		}
	}
	if err := json.Unmarshal([]byte(trainer.run("get", root, "--from", second.URL, "-o", out, "--json")), &got); err != nil {
		t.Fatal(err)
	}
	if err := sameTree(data, out); err != nil {
		t.Error(err)
	}
	if got.Skipped == 0 || second.bytes.Load() > got.Bytes-got.Skipped {
		t.Errorf("%d bytes of leaves came, where %d of %d were on disk", second.bytes.Load(), got.Skipped, got.Bytes)
	}
	if len(got.Sources) != 1 || got.Sources[0].URL != second.URL || got.Sources[0].Bytes < second.bytes.Load() {
		t.Errorf("the summary of sources: %+v", got.Sources)
	}
	// What is whole is not fetched at all.
	third := newRelay(t, origin, nil)
	trainer.run("get", root, "--from", third.URL, "-o", out)
	if n := third.leaves.Load(); n != 0 {
		t.Errorf("%d leaves were fetched though all are there", n)
	}
}

// TestGetFromMany fetches by name from a registry, a liar, and a port where nobody
// is: the tree is whole, and the summary says who did what.
func TestGetFromMany(t *testing.T) {
	p := newPerson(t)
	data := someData(t)
	p.run("add", data, "--name", "iris", "--license", "CC0-1.0")
	vkey := filepath.Join(t.TempDir(), "vkey")
	if err := os.WriteFile(vkey, []byte(p.run("log", "key")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	origin := p.serve()
	liar := newRelay(t, origin, func(_ int64, b []byte) []byte {
		b[0] ^= 1
		return b
	})
	nobody := httptest.NewServer(nil)
	nobody.Close()
	trainer := newPerson(t)
	out := filepath.Join(t.TempDir(), "out")
	cmd := trainer.command("get", "iris", "--from", nobody.URL, "--from", origin, "--from", liar.URL, "-o", out, "--policy", vkey, "--json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if err := sameTree(data, out); err != nil {
		t.Error(err)
	}
	var got struct {
		Sources []struct {
			URL, Dropped   string
			Blocks, Errors int64
			Lied           bool
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil || len(got.Sources) != 3 {
		t.Fatalf("%v\n%s", err, stdout.String())
	}
	if s := got.Sources[0]; s.Blocks != 0 || s.Errors == 0 || s.Lied {
		t.Errorf("nobody: %+v", s)
	}
	if s := got.Sources[1]; s.Blocks == 0 || s.Dropped != "" || s.Lied {
		t.Errorf("the honest one: %+v", s)
	}
	if s := got.Sources[2]; !s.Lied || s.Dropped == "" || !strings.Contains(s.Dropped, liar.URL) {
		t.Errorf("the liar: %+v\n%s", s, stderr.String())
	}
	if b, err := trainer.command("cat", "iris", "--tar", "--from", origin, "--from", liar.URL, "--policy", vkey).CombinedOutput(); err != nil || !bytes.Contains(b, []byte(liar.URL+" is dropped, and lies")) {
		t.Errorf("a person is not told of the liar: %v", err)
	}
	// Without the honest one there is nothing to be had, and it is said why.
	cmd = trainer.command("get", "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", "--from", nobody.URL, "-o", out+"2")
	b, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != fault.Busy.ExitStatus() || !strings.Contains(string(b), nobody.URL[len("http://"):]) {
		t.Errorf("nobody alone: %v\n%s", err, b)
	}
}

// TestTarFromAfar streams a dataset from a source that breaks in the middle: tar's
// readers notice, and the exit status is that of the fault.
func TestTarFromAfar(t *testing.T) {
	p := newPerson(t)
	root := p.run("add", someData(t), "--name", "iris", "--license", "CC0-1.0")
	origin := p.serve()
	stream := func(from string) (int, error) {
		cmd := newPerson(t).command("cat", root, "--tar", "--from", from)
		b, _ := cmd.Output()
		r := tar.NewReader(bytes.NewReader(b))
		for {
			_, err := r.Next()
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			if errors.Is(err, io.EOF) {
				err = nil
			} else if err == nil {
				continue
			}
			return cmd.ProcessState.ExitCode(), err
		}
	}
	if status, err := stream(origin); status != 0 || err != nil {
		t.Errorf("an honest source: status %d, %v", status, err)
	}
	broken := newRelay(t, origin, func(n int64, b []byte) []byte {
		if n > 30 {
			b[0] ^= 1
		}
		return b
	})
	if status, err := stream(broken.URL); status != fault.Unverified.ExitStatus() || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a lying source: status %d, the reader says %v", status, err)
	}
}
