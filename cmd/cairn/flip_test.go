package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/cmd/internal/auditcli"
	"github.com/cairn-registry/cairn/cmd/internal/cli"
)

// inProcess runs a cairn command in this process: a flip per byte would take
// too long with a process each.
func inProcess(t *testing.T, home string, args ...string) (status int, out string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := &cli.Env{
		Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Now: time.Now,
		Getenv: func(k string) string { return map[string]string{"CAIRN_HOME": home}[k] },
	}
	status = cli.Run(t.Context(), env, args)
	return status, stdout.String() + stderr.String()
}

func auditInProcess(t *testing.T, home string, args ...string) (status int, out string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = auditcli.Run(t.Context(), &auditcli.Env{
		Stdout: &stdout, Stderr: &stderr,
		Getenv: func(k string) string { return map[string]string{"CAIRN_HOME": home}[k] },
	}, args)
	return status, stdout.String() + stderr.String()
}

// TestFlipEveryByte changes single bytes of everything that is evidence: packs,
// tiles, entry bundles, the checkpoint, a receipt bundle. The command that the
// format document names for the file must exit with 3 and name it. By default
// it samples, with CAIRN_BIG more of them; with CAIRN_FLIP=all it takes every byte,
// which takes five minutes.
func TestFlipEveryByte(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "a.csv"), []byte("a,b\n1,2\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if status, out := inProcess(t, home, "add", data, "--name", "iris", "--license", "CC0-1.0"); status != 0 {
		t.Fatalf("add exits with %d: %s", status, out)
	}
	bundle := filepath.Join(t.TempDir(), "iris.cairn.json")
	if status, out := inProcess(t, home, "receipt", "iris", "-o", bundle); status != 0 {
		t.Fatalf("receipt exits with %d: %s", status, out)
	}
	policy := filepath.Join(home, "trust", "log.vkey")
	// most is how many bytes of a file are tried, spread over it evenly.
	most := 25
	switch {
	case os.Getenv("CAIRN_FLIP") == "all":
		most = math.MaxInt
	case os.Getenv("CAIRN_BIG") != "":
		most = 400
	}
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)

	check := func(t *testing.T, name string, judge func() (int, string), mention string) {
		t.Helper()
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		defer os.WriteFile(name, whole, 0o600)
		flipped := 0
		step := max(1, len(whole)/most)
		for off := r.IntN(step); off < len(whole); off += step {
			bad := bytes.Clone(whole)
			bad[off] ^= 1 << (off % 8)
			if err := os.WriteFile(name, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			status, out := judge()
			if status != 3 || !strings.Contains(out, mention) {
				t.Fatalf("byte %d of %s changed (%q, was %q): exit status %d, want 3 and a word of %q:\n%s",
					off, filepath.Base(name), bad[off], whole[off], status, mention, out)
			}
			flipped++
		}
		if err := os.WriteFile(name, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		if status, out := judge(); status != 0 {
			t.Fatalf("%s restored: exit status %d: %s", name, status, out)
		}
		t.Logf("%s: %d of %d bytes flipped, all found", filepath.Base(name), flipped, len(whole))
	}
	checkHome := func() (int, string) { return inProcess(t, home, "check") }

	t.Run("receipt bundle", func(t *testing.T) {
		check(t, bundle, func() (int, string) { return auditInProcess(t, home, "bundle", bundle, "--policy", policy) }, "fails")
	})
	packs, err := filepath.Glob(filepath.Join(home, "blocks", "packs", "*.car"))
	if err != nil || len(packs) != 2 {
		t.Fatalf("packs: %v, %v", packs, err)
	}
	for _, name := range packs {
		t.Run(filepath.Base(name), func(t *testing.T) {
			check(t, name, checkHome, strings.TrimSuffix(filepath.Base(name), ".car"))
		})
	}
	var tiles []string
	err = filepath.WalkDir(filepath.Join(home, "log"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == ".state" {
			return fs.SkipDir
		}
		// Partial tiles of earlier sizes are no longer implied by the checkpoint.
		if err == nil && d.Type().IsRegular() && (d.Name() == "2" || d.Name() == "checkpoint") {
			tiles = append(tiles, path)
		}
		return err
	})
	if err != nil || len(tiles) != 3 {
		t.Fatalf("log files: %v, %v", tiles, err)
	}
	for _, name := range tiles {
		rel, _ := filepath.Rel(home, name)
		t.Run(rel, func(t *testing.T) {
			mention := "tile"
			if d := filepath.Base(name); d == "checkpoint" {
				mention = "checkpoint"
			}
			check(t, name, checkHome, mention)
		})
	}
}

// TestAuditNamesTheFlippedBlock audits one dataset over a damaged pack.
func TestAuditNamesTheFlippedBlock(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	data := filepath.Join(t.TempDir(), "data.txt")
	if err := os.WriteFile(data, bytes.Repeat([]byte("cairn\n"), 1000), 0o666); err != nil {
		t.Fatal(err)
	}
	if status, out := inProcess(t, home, "add", data, "--name", "text", "--license", "CC0-1.0"); status != 0 {
		t.Fatalf("add exits with %d: %s", status, out)
	}
	pack := filepath.Join(home, "blocks", "packs", "data-00000001.car")
	for _, off := range []int64{100, 500, 3000, 6000} {
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			if err := flipByte(pack, off); err != nil {
				t.Fatal(err)
			}
			status, out := inProcess(t, home, "audit", "text")
			if status != 3 {
				t.Errorf("audit exits with %d, want 3: %s", status, out)
			}
			dst := filepath.Join(t.TempDir(), "out")
			if status, _ := inProcess(t, home, "get", "text", "-o", dst); status != 3 {
				t.Errorf("get exits with %d, want 3", status)
			}
			if _, err := os.Stat(dst); err == nil {
				t.Error("get left a file that did not verify")
			}
			if err := flipByte(pack, off); err != nil {
				t.Fatal(err)
			}
		})
	}
	if status, out := inProcess(t, home, "audit", "text"); status != 0 {
		t.Errorf("audit of the repaired pack exits with %d: %s", status, out)
	}
}
