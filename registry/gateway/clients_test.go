package gateway_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/manifests/toolstest"
	"github.com/cairn-registry/cairn/registry/gateway"
)

// Clients that nobody here wrote, unmodified, on loopback. .ci/install installs
// them.

// clientsTime bounds one run of a client: a browser on a busy machine is slow.
const clientsTime = 3 * time.Minute

func needBig(t *testing.T) {
	t.Helper()
	if os.Getenv("CAIRN_BIG") == "" {
		t.Skip("NOT RUN: foreign clients (set CAIRN_BIG=1; the gate does)")
	}
}

// script runs a file of testdata with Node 22 and the packages of .ci/install,
// and returns what it prints.
func script(t *testing.T, packages []string, name string, args ...string) string {
	t.Helper()
	node, tools := toolstest.Node(t, packages...)
	modules := filepath.Join(tools, "node_modules")
	// Modules are looked for beside the script.
	dir := t.TempDir()
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return run(t, node, append([]string{filepath.Join(dir, name)}, args...)...)
}

// run runs a program that must succeed, and returns its standard output.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, errs, err := try(t, program, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(program), strings.Join(args, " "), err, out, errs)
	}
	return out
}

func try(t *testing.T, program string, args ...string) (string, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientsTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "http_proxy=", "HTTP_PROXY=", "https_proxy=", "HTTPS_PROXY=", "ALL_PROXY=", "all_proxy=", "NODE_USE_ENV_PROXY=")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return out.String(), errs.String(), err
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// clientSite is what the clients read.
func clientSite(t *testing.T) files {
	t.Helper()
	table, err := os.ReadFile("testdata/table.parquet")
	if err != nil {
		t.Fatal(err)
	}
	f := files{
		"big.bin": noise(4, 20<<20+5), "notes.txt": "some notes\n", "dir/ü &.txt": "two", "table.parquet": string(table),
		"page.html": `<!doctype html><link rel="stylesheet" href="style.css"><title>before</title><h1>x</h1><script>document.title = "after"; document.cookie = "a=b"</script>`,
		"style.css": "h1 { color: green }",
	}
	for i := range 6000 {
		f[fmt.Sprintf("many/%04d.txt", i)] = fmt.Sprint(i)
	}
	return f
}

func TestE2EClients(t *testing.T) {
	needBig(t)
	h := newHome(t)
	f := clientSite(t)
	r := h.add(f)
	root := r.Root.String()
	h.register("ana", "clients", "1.0.0", h.add(files{"notes.txt": "x"}), &terms.Terms{})
	base := serve(t, h.gateway(gateway.Options{}).Public(true))
	url := base + "/ipfs/" + root

	t.Run("Helia", func(t *testing.T) {
		expect := map[string]any{
			"files": map[string]string{root + "/big.bin": hash(f["big.bin"]), root + "/notes.txt": hash(f["notes.txt"]), root + "/many/4321.txt": hash("4321"), root + "/dir/ü &.txt": hash("two")},
			"range": map[string]any{"path": root + "/big.bin", "from": 1048570, "to": 3145800, "sha256": hash(f["big.bin"][1048570:3145801])}, "missing": root + "/nothing",
		}
		b, err := json.Marshal(expect)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(script(t, []string{"helia", "@helia/http", "@helia/verified-fetch"}, "helia.mjs", base, string(b)))
	})
	t.Run("CAR", func(t *testing.T) {
		t.Log(script(t, []string{"@ipld/car", "@ipld/dag-pb", "multiformats"}, "car.mjs", base, root, "big.bin"))
	})
	t.Run("hyparquet", func(t *testing.T) {
		t.Log(script(t, []string{"hyparquet"}, "hyparquet.mjs", url+"/table.parquet"))
	})
	t.Run("curl", func(t *testing.T) {
		curl := toolstest.Program(t, "curl")
		big := f["big.bin"]
		status := func(args ...string) string {
			return run(t, curl, append([]string{"-s", "-o", "/dev/null", "-w", "%{http_code}"}, args...)...)
		}
		for rng, part := range map[string]string{"0-0": big[:1], "-5": big[len(big)-5:], "1048575-1048576": big[1048575:1048577], fmt.Sprintf("%d-", len(big)-1): big[len(big)-1:]} {
			if got := run(t, curl, "-s", "-f", "-r", rng, url+"/big.bin"); got != part {
				t.Errorf("-r %s: %d bytes", rng, len(got))
			}
		}
		etag := `"` + etagOf(t, url+"/big.bin") + `"`
		for what, c := range map[string]struct {
			want string
			args []string
		}{
			"behind the end":         {"416", []string{"-r", "999999999-", url + "/big.bin"}},
			"not modified":           {"304", []string{"-H", "If-None-Match: " + etag, url + "/big.bin"}},
			"If-Range, stale":        {"200", []string{"-H", `If-Range: "x"`, "-r", "0-1", url + "/big.bin"}},
			"If-Range":               {"206", []string{"-H", "If-Range: " + etag, "-r", "0-1", url + "/big.bin"}},
			"HEAD":                   {"200", []string{"-I", url + "/big.bin"}},
			"through the origin":     {"200", []string{"-L", "--connect-to", "::127.0.0.1:" + portOf(base), strings.Replace(url, "127.0.0.1", "localhost", 1) + "/notes.txt"}},
			"HTTP/1.0":               {"200", []string{"-0", url + "/notes.txt"}},
			"dot segments, as it is": {"400", []string{"--path-as-is", url + "/../../etc/passwd"}},
		} {
			if got := status(c.args...); got != c.want {
				t.Errorf("%s: %s, want %s", what, got, c.want)
			}
		}
		// A download that was cut short goes on.
		part := filepath.Join(t.TempDir(), "part")
		if err := os.WriteFile(part, []byte(big[:7_000_001]), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, curl, "-s", "-f", "-C", "-", "-o", part, url+"/big.bin")
		if b, err := os.ReadFile(part); err != nil || string(b) != big {
			t.Errorf("-C -: %d bytes, %v", len(b), err)
		}
	})
	t.Run("aria2c", func(t *testing.T) {
		aria := toolstest.Program(t, "aria2c")
		dir := t.TempDir()
		args := []string{"--no-conf", "--async-dns=false", "-q", "-x8", "-s8", "-k1M", "-c", "-d", dir, "-o", "big.bin", "--checksum=sha-256=" + hash(f["big.bin"])}
		// Cut off in the middle by a limit on the rate and a kill; then it resumes.
		ctx, cancel := context.WithCancel(t.Context())
		slow := exec.CommandContext(ctx, aria, append(args, "--max-overall-download-limit=2M", url+"/big.bin")...)
		if err := slow.Start(); err != nil {
			t.Fatal(err)
		}
		for i := 0; ; i++ {
			if _, err := os.Stat(filepath.Join(dir, "big.bin.aria2")); err == nil {
				break
			}
			if i > 3000 {
				t.Fatal("aria2c did not start")
			}
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
		slow.Wait()
		run(t, aria, append(args, url+"/big.bin")...)
		if b, err := os.ReadFile(filepath.Join(dir, "big.bin")); err != nil || string(b) != f["big.bin"] {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	})
	t.Run("Chromium", func(t *testing.T) {
		chromium := toolstest.Program(t, "chromium")
		shots := os.Getenv("CAIRN_SCREENSHOTS")
		if shots == "" {
			shots = t.TempDir()
		}
		small := make(files)
		for name, text := range f {
			if !strings.HasPrefix(name, "many/") {
				small[name] = text
			}
		}
		r := h.add(small)
		h.register("ana", "weather-of-a-long-name", "1.0.0", r, &terms.Terms{})
		t.Log(script(t, []string{"playwright-core"}, "browser.mjs", chromium, base, r.Root.String(), shots))
	})
}

func etagOf(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Head(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return strings.Trim(resp.Header.Get("Etag"), `"`)
}

func portOf(base string) string { return base[strings.LastIndex(base, ":")+1:] }
