package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20"

	"github.com/cairn-registry/cairn/ingest/ingesttest"
)

// big says whether the tests that take minutes and gigabytes run. The gate
// sets it; a plain "go test ./..." says loudly what it leaves out.
func big(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CAIRN_BIG") == "" {
		t.Skipf("NOT RUN: %s (set CAIRN_BIG=1; the gate does)", what)
	}
}

// binary builds the real command once, without the race detector or coverage,
// so that its memory and its behaviour under kill are those of the product.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "cairn-bin-")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "cairn")
	out, err := exec.Command("go", "build", "-o", name, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return name, nil
})

// A person runs the command in a home of their own.
type person struct {
	t    *testing.T
	bin  string
	home string
}

func newPerson(t *testing.T) *person {
	t.Helper()
	bin, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return &person{t, bin, filepath.Join(t.TempDir(), "home")}
}

func (p *person) command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.bin, args...)
	cmd.Env = append(os.Environ(), "CAIRN_HOME="+p.home, "HOME="+filepath.Dir(p.home))
	return cmd
}

// run runs a command that must succeed, and returns its standard output.
func (p *person) run(args ...string) string {
	p.t.Helper()
	cmd := p.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("cairn %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// peak runs a command that must succeed and returns the highest resident
// memory it had (VmHWM), in bytes, beside its standard output.
func (p *person) peak(args ...string) (int64, string) {
	p.t.Helper()
	cmd := p.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	var high int64
	done := make(chan struct{})
	polled := make(chan struct{})
	go func() {
		defer close(polled)
		for {
			if n := vmHWM(cmd.Process.Pid); n > high {
				high = n
			}
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	err := cmd.Wait()
	close(done)
	<-polled
	if err != nil {
		p.t.Fatalf("cairn %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	if high == 0 {
		p.t.Fatal("no memory figure was read")
	}
	return high, strings.TrimSpace(stdout.String())
}

func vmHWM(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return n << 10
		}
	}
	return 0
}

// serve starts the server and returns its base URL; it is stopped with the test.
func (p *person) serve(args ...string) string {
	p.t.Helper()
	url, stop := p.serveUntil(args...)
	p.t.Cleanup(stop)
	return url
}

// serveUntil is serve with a function that stops the server.
func (p *person) serveUntil(args ...string) (url string, stop func()) {
	p.t.Helper()
	cmd := p.command(append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	url, err := startServer(cmd)
	if err != nil {
		p.t.Fatal(err)
	}
	return url, sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(40*time.Second, func() { cmd.Process.Kill() })
		defer timer.Stop()
		if err := cmd.Wait(); err != nil {
			p.t.Errorf("serve ended with %v after SIGTERM, want status 0", err)
		}
	})
}

// keystream writes n bytes that do not compress, the same for the same seed.
func keystream(t *testing.T, name string, n int64, seed string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	key := make([]byte, 32)
	copy(key, seed)
	c, err := chacha20.NewUnauthenticatedCipher(key, make([]byte, 12))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1<<20)
	for n > 0 {
		clear(buf)
		p := buf[:min(n, int64(len(buf)))]
		c.XORKeyStream(p, p)
		if _, err := f.Write(p); err != nil {
			t.Fatal(err)
		}
		n -= int64(len(p))
	}
}

// smallFiles makes count files of 4 KiB in 100 directories.
func smallFiles(t *testing.T, dir string, count, size int) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	buf := make([]byte, size)
	for i := range count {
		d := filepath.Join(dir, fmt.Sprintf("%03d", i%100))
		if i < 100 {
			if err := os.MkdirAll(d, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		for j := range buf {
			buf[j] = byte(r.Uint32())
		}
		if err := os.WriteFile(filepath.Join(d, fmt.Sprintf("%06d.bin", i)), buf, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func scriptsTree(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{
		"ascii.txt", "ąę/źdźbło.txt", "日本語/ファイル.txt", "עברית.txt", "العربية/ملف.txt", "ไทย.txt",
		"русский/файл.txt", "ελληνικά.txt", "한국어.txt", "emoji 🪨🪨🪨.txt", "with space/a b.txt", "per%cent+plus.txt",
		"quote'\".txt", "dash-_.~.txt", "deep/a/b/c/d/e/f.txt", "UPPER.TXT",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("ascii.txt", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "empty"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "nothing.bin"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
}

// roundTrip adds path in one home, serves it, fetches a CAR and the tree from
// another home, and compares.
func roundTrip(t *testing.T, path, name string, flags ...string) {
	t.Helper()
	contributor, trainer := newPerson(t), newPerson(t)
	root := contributor.run(append([]string{"add", path, "--name", name, "--license", "CC0-1.0"}, flags...)...)
	url := contributor.serve()
	out := filepath.Join(t.TempDir(), "out")
	trainer.run("get", root, "--from", url, "-o", out)
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	compare := func(got string) {
		t.Helper()
		if info.IsDir() {
			err = sameTree(path, got)
		} else {
			var same bool
			if same, err = sameFile(path, got); err == nil && !same {
				err = errors.New("the bytes differ")
			}
		}
		if err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
	compare(out)

	car := filepath.Join(t.TempDir(), "root.car")
	download(t, url+"/ipfs/"+root+"?format=car", car)
	if got := trainer.run("car", "import", car); got != root {
		t.Errorf("the CAR's root is %s, want %s", got, root)
	}
	os.Remove(car)
	again := filepath.Join(t.TempDir(), "again")
	trainer.run("get", root, "-o", again)
	compare(again)
	contributor.run("audit", name, "--registry", url)
}

func download(t *testing.T, url, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", url, resp.Status)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.Copy(f, resp.Body); err != nil {
		t.Fatalf("GET %s: %v", url, err)
	}
}

func TestE2ERoundTripSmall(t *testing.T) {
	t.Run("names in many scripts", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "tree")
		scriptsTree(t, dir)
		roundTrip(t, dir, "scripts")
	})
	t.Run("empty directory", func(t *testing.T) {
		roundTrip(t, t.TempDir(), "empty-dir")
	})
	t.Run("empty file", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "empty")
		if err := os.WriteFile(name, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		roundTrip(t, name, "empty-file")
	})
	t.Run("v0 profile", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "tree")
		scriptsTree(t, dir)
		keystream(t, filepath.Join(dir, "big.bin"), 3<<20+5, "v0")
		roundTrip(t, dir, "v0", "--profile", "unixfs-v0-2015")
	})
}

func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestE2ERoundTripBig(t *testing.T) {
	big(t, "round trips of the Go source tree, 50,000 files and a 2 GiB file")
	t.Run("Go source tree", func(t *testing.T) {
		roundTrip(t, filepath.Join(goroot(t), "src"), "go-source", "--hidden")
	})
	t.Run("50,000 files", func(t *testing.T) {
		dir := t.TempDir()
		smallFiles(t, dir, 50_000, 4096)
		roundTrip(t, dir, "small-files")
	})
	t.Run("one file of 2 GiB", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "big.bin")
		keystream(t, name, 2<<30, "big")
		roundTrip(t, name, "big-file")
	})
}

func TestE2EMemoryBig(t *testing.T) {
	big(t, "memory while adding a 2 GiB file and a tree of a million entries")
	t.Run("2 GiB file", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "big.bin")
		keystream(t, name, 2<<30, "memory")
		p := newPerson(t)
		p.run("init")
		rss, _ := p.peak("add", name, "--name", "big", "--license", "CC0-1.0")
		t.Logf("VmHWM %.1f MiB", float64(rss)/(1<<20))
		if rss > 64<<20 {
			t.Errorf("adding 2 GiB took %d MiB of memory, the limit is 64", rss>>20)
		}
	})
	t.Run("1 GiB of records", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "big.jsonl")
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w := bufio.NewWriter(f)
		for i, n := 0, 0; n < 1<<30; i++ {
			k, _ := fmt.Fprintf(w, "{\"id\":%d,\"text\":\"%s %d\",\"n\":%d.5}\n", i, strings.Repeat("a sentence of a text; ", 20), i*7919, i)
			n += k
		}
		if err := errors.Join(w.Flush(), f.Close()); err != nil {
			t.Fatal(err)
		}
		p := newPerson(t)
		p.run("init")
		rss, _ := p.peak("add", name, "--name", "lines", "--license", "CC0-1.0")
		t.Logf("VmHWM %.1f MiB", float64(rss)/(1<<20))
		if rss > 64<<20 {
			t.Errorf("adding 1 GiB of records took %d MiB of memory, the limit is 64", rss>>20)
		}
	})
	t.Run("a million entries", func(t *testing.T) {
		dir := t.TempDir()
		for i := range 1000 {
			d := filepath.Join(dir, fmt.Sprintf("%03d", i))
			if err := os.Mkdir(d, 0o777); err != nil {
				t.Fatal(err)
			}
			for j := range 1000 {
				if err := os.WriteFile(filepath.Join(d, fmt.Sprintf("%03d", j)), []byte(strconv.Itoa(i*1000+j)), 0o666); err != nil {
					t.Fatal(err)
				}
			}
		}
		p := newPerson(t)
		p.run("init")
		start := time.Now()
		rss, _ := p.peak("add", dir, "--name", "million", "--license", "CC0-1.0")
		t.Logf("VmHWM %.1f MiB, %v", float64(rss)/(1<<20), time.Since(start))
		if rss > 256<<20 {
			t.Errorf("adding a million entries took %d MiB of memory, the limit is 256", rss>>20)
		}
	})
}

// TestE2EKill kills add with SIGKILL at random moments. Every dataset whose
// add returned 0 must be there, complete and provable; the next add must work.
func TestE2EKill(t *testing.T) {
	rounds := 12
	if os.Getenv("CAIRN_BIG") != "" {
		rounds = 100
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	p := newPerson(t)
	p.run("init")
	data := t.TempDir()

	// How long an undisturbed add takes, so that kills fall inside it.
	write := func(round int) string {
		dir := filepath.Join(data, fmt.Sprintf("set-%03d", round))
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		keystream(t, filepath.Join(dir, "a.bin"), 3<<20+int64(round), fmt.Sprint("a", round))
		for i := range 50 {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d.txt", i)), fmt.Appendf(nil, "%d/%d\n", round, i), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	start := time.Now()
	p.run("add", write(0), "--name", "set-0", "--license", "CC0-1.0")
	whole := time.Since(start)

	// Kills fall between 0 and span, which is steered so that about half of them
	// come too late: an add after a killed one takes longer than the first.
	span := 2 * whole
	acked := map[string]string{"set-0": filepath.Join(data, "set-000")}
	killed := 0
	for round := 1; round <= rounds; round++ {
		dir, name := write(round), fmt.Sprintf("set-%d", round)
		cmd := p.command("add", dir, "--name", name, "--license", "CC0-1.0")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		delay := time.Duration(r.Int64N(int64(span)))
		timer := time.AfterFunc(delay, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		var exit *exec.ExitError
		switch {
		case err == nil:
			acked[name] = dir
			span -= span / 8
		case errors.As(err, &exit) && exit.ExitCode() == -1:
			killed++
			span += span / 8
		default:
			t.Fatalf("round %d, killed after %v: add failed by itself: %v\n%s", round, delay, err, stderr.String())
		}
	}
	if killed < rounds/5 || len(acked) < 1+rounds/10 {
		t.Errorf("of %d adds %d were killed and %d acknowledged: the test proves little", rounds, killed, len(acked)-1)
	}
	t.Logf("%d rounds, %d killed, %d acknowledged; an undisturbed add took %v", rounds, killed, len(acked), whole)

	p.run("add", write(rounds+1), "--name", "last", "--license", "CC0-1.0")
	acked["last"] = filepath.Join(data, fmt.Sprintf("set-%03d", rounds+1))
	p.run("check")
	vkey := filepath.Join(t.TempDir(), "log.vkey")
	if err := os.WriteFile(vkey, []byte(p.run("log", "key")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for name, dir := range acked {
		p.run("audit", name)
		out := filepath.Join(t.TempDir(), "out")
		p.run("get", name, "-o", out)
		if err := sameTree(dir, out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		os.RemoveAll(out)
	}
}

// TestE2EVectors types "cairn add" for every published vector of IPIP-499.
func TestE2EVectors(t *testing.T) {
	p := newPerson(t)
	for _, v := range ingesttest.Vectors() {
		t.Run(v.Profile+"/"+v.Name, func(t *testing.T) {
			if v.Big && os.Getenv("CAIRN_BIG") == "" {
				t.Skip("NOT RUN: a vector of a gigabyte (set CAIRN_BIG=1; the gate does)")
			}
			got := p.run("add", "--dry-run", v.Make(t), "--profile", v.Profile, "--name", "vector", "--license", "CC0-1.0")
			if got != v.CID {
				t.Errorf("cairn add prints %s, want %s", got, v.CID)
			}
		})
	}
}

// TestE2EFsck lets the log engine's own checker read the log over HTTP and as
// files. Its exit status says nothing, its last line does.
func TestE2EFsck(t *testing.T) {
	fsck := os.Getenv("CAIRN_FSCK")
	if fsck == "" {
		t.Skip("NOT RUN: tessera's fsck on our log (set CAIRN_FSCK to its path; the gate does)")
	}
	p := newPerson(t)
	data := t.TempDir()
	for i := range 5 {
		if err := os.WriteFile(filepath.Join(data, fmt.Sprint(i)), fmt.Append(nil, i), 0o666); err != nil {
			t.Fatal(err)
		}
		p.run("add", data, "--name", "grows", "--license", "CC0-1.0")
	}
	vkey := filepath.Join(t.TempDir(), "log.vkey")
	if err := os.WriteFile(vkey, []byte(p.run("log", "key")+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	url := p.serve()
	for _, source := range []string{url + "/", "file://" + filepath.Join(p.home, "log") + "/"} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		out, err := exec.CommandContext(ctx, fsck, "--storage_url="+source, "--public_key="+vkey, "--ui=false", "-N=64").CombinedOutput()
		cancel()
		if err != nil || !bytes.Contains(out, []byte("Successfully fsck'd log with size")) {
			t.Errorf("fsck of %s: %v\n%s", source, err, out)
		}
	}
}

// TestE2EConcurrentAdds adds through a running server and beside it.
func TestE2EConcurrentAdds(t *testing.T) {
	p := newPerson(t)
	p.run("init")
	p.serve()
	var wg sync.WaitGroup
	data := t.TempDir()
	for i := range 4 {
		dir := filepath.Join(data, fmt.Sprint(i))
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		keystream(t, filepath.Join(dir, "a.bin"), 2<<20, fmt.Sprint(i%2)) // two pairs share their bytes
		wg.Add(1)
		go func() {
			defer wg.Done()
			out, err := p.command("add", "--json", dir, "--name", fmt.Sprint("set-", i), "--license", "CC0-1.0").Output()
			if err != nil {
				var exit *exec.ExitError
				if errors.As(err, &exit) {
					err = fmt.Errorf("%w\n%s", err, exit.Stderr)
				}
				t.Errorf("add %d beside a server: %v", i, err)
				return
			}
			var result struct {
				Root, Statement string
				Index           *uint64
			}
			if err := json.Unmarshal(out, &result); err != nil || result.Index == nil || result.Root == "" {
				t.Errorf("add %d printed %s (%v)", i, out, err)
			}
		}()
	}
	wg.Wait()
	for i := range 4 {
		p.run("audit", fmt.Sprint("set-", i))
	}
	p.run("check")
}
