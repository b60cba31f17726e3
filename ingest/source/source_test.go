package source_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/cairn-registry/cairn/ingest/source"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// tree makes a tree: a name that ends in a slash is a folder, a value that
// begins with "->" a symlink.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		var err error
		switch target, link := strings.CutPrefix(text, "->"); {
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(path, 0o777)
		case link:
			err = os.Symlink(target, path)
		default:
			err = os.WriteFile(path, []byte(text), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// walk returns the paths of files and symlinks in order, "dir/" for a folder.
func walk(t *testing.T, path string, o source.Options) ([]string, []source.Warning, error) {
	t.Helper()
	var all []string
	warnings, err := source.Walk(t.Context(), path, o, func(it *source.Item) error {
		switch it.Kind {
		case source.File:
			it.Release()
			all = append(all, it.Path)
		case source.Symlink:
			all = append(all, it.Path+" -> "+it.Target)
		case source.Enter:
			all = append(all, it.Path+"/")
		}
		return nil
	})
	return all, warnings, err
}

// TestOrder walks random trees: the order is that of the manifest's paths,
// whatever order the file system gives the names in.
func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for range 20 {
		files := make(map[string]string)
		for range 60 {
			var parts []string
			for range 1 + r.IntN(3) {
				parts = append(parts, pick(r))
			}
			files[strings.Join(parts, "/")+".f"] = "x"
		}
		got, _, err := walk(t, tree(t, files), source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for _, p := range got {
			if !strings.HasSuffix(p, "/") {
				paths = append(paths, p)
			}
		}
		if len(paths) != len(files) || !slices.IsSortedFunc(paths, manifests.ComparePaths) {
			t.Fatalf("%d of %d files, in the order %q", len(paths), len(files), paths)
		}
	}
}

func pick(r *rand.Rand) string {
	letters := []rune("abAB.-_0 ~Å日")
	b := []rune{[]rune("abAB_0日")[r.IntN(7)]}
	for range r.IntN(3) {
		b = append(b, letters[r.IntN(len(letters))])
	}
	return string(append(b, []rune("xyz")[r.IntN(3)]))
}

func TestWhatIsTaken(t *testing.T) {
	dir := tree(t, map[string]string{
		"a.txt": "1", ".hidden": "2", ".git/config": "3", "b/.x/y": "4", "b/z": "5", "empty/": "", "link": "->../elsewhere", "b/up": "->../a.txt",
	})
	for _, tt := range []struct {
		o    source.Options
		want string
	}{
		{source.Options{}, "/ a.txt b/ b/up -> ../a.txt b/z empty/ link -> ../elsewhere"},
		{source.Options{Hidden: true}, "/ .git/ .git/config .hidden a.txt b/ b/.x/ b/.x/y b/up -> ../a.txt b/z empty/ link -> ../elsewhere"},
	} {
		got, _, err := walk(t, dir, tt.o)
		if s := strings.Join(got, " "); err != nil || s != tt.want {
			t.Errorf("%+v: %s, %v\nwant %s", tt.o, s, err, tt.want)
		}
	}
	got, _, err := walk(t, filepath.Join(dir, "a.txt"), source.Options{})
	if err != nil || len(got) != 1 || got[0] != "a.txt" {
		t.Errorf("a single file: %q, %v", got, err)
	}
}

func TestIgnoreFile(t *testing.T) {
	dir := tree(t, map[string]string{
		".cairnignore": "# comment\n*.log\n/build/\n!keep.log\n", "a.log": "", "keep.log": "", "build/x": "", "sub/build/y": "", "sub/b.log": "",
		"sub/.cairnignore": "y\n", "sub/y": "", "y": "",
	})
	got, _, err := walk(t, dir, source.Options{})
	if s := strings.Join(got, " "); err != nil || s != "/ keep.log sub/ sub/build/ y" {
		t.Errorf("with .cairnignore: %s, %v", s, err)
	}
	got, _, err = walk(t, dir, source.Options{NoIgnore: true})
	if s := strings.Join(got, " "); err != nil || !strings.Contains(s, "a.log") || !strings.Contains(s, "sub/y") {
		t.Errorf("without it: %s, %v", s, err)
	}
}

// TestRefused offers what cannot be added; each is named, and nothing waits.
func TestRefused(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"fifo":             func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"socket":           func(p string) error { l, err := net.Listen("unix", p); _ = l; return err },
		"control\x01":      write,
		"newline\n":        write,
		"bidi\u202egpj":    write,
		"broken\xff":       write,
		"line\u2028":       write,
		"deep/control\x7f": write,
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := make(path); err != nil {
			t.Logf("%q cannot be made here: %v", name, err)
			continue
		}
		_, _, err := walk(t, dir, source.Options{})
		if !errors.Is(err, fault.Invalid) {
			t.Errorf("%q: %v, want invalid", name, err)
			continue
		}
		if base := filepath.Base(name)[:4]; !strings.Contains(err.Error(), base) {
			t.Errorf("%q is not named by %q", name, err)
		}
		if !utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\x01\x7f\u202e\u2028") {
			t.Errorf("%q: the message would upset a terminal: %q", name, err)
		}
	}
	if _, _, err := walk(t, filepath.Join(t.TempDir(), "nowhere"), source.Options{}); !errors.Is(err, fault.NotFound) && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a path that is not there: %v", err)
	}
	if os.Getuid() != 0 {
		dir := tree(t, map[string]string{"locked/x": ""})
		if err := os.Chmod(filepath.Join(dir, "locked"), 0); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(filepath.Join(dir, "locked"), 0o700)
		if _, _, err := walk(t, dir, source.Options{}); err == nil {
			t.Error("a folder that cannot be read was passed over")
		}
	}
}

func write(path string) error { return os.WriteFile(path, []byte("x"), 0o666) }

// TestAllProblemsAtOnce reports many bad names in one go, and not more than a
// person can read.
func TestAllProblemsAtOnce(t *testing.T) {
	files := make(map[string]string)
	for i := range 50 {
		files[fmt.Sprintf("bad\x01%02d", i)] = ""
	}
	_, _, err := walk(t, tree(t, files), source.Options{})
	if n := strings.Count(fmt.Sprint(err), "bad"); n < 10 || n > 25 {
		t.Errorf("%d of 50 bad names are told:\n%v", n, err)
	}
}

func TestWarnings(t *testing.T) {
	dir := tree(t, map[string]string{
		"Read.me": "", "read.ME": "", "cafe\u0301": "", "caf\u00e9": "", "back\\slash": "", "dot.": "", "space ": "", "fine": "", "con/x": "",
	})
	_, warnings, err := walk(t, dir, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"read.ME", "caf\u00e9", "back\\slash", "dot.", "space "} {
		if !slices.ContainsFunc(warnings, func(w source.Warning) bool { return w.Path == name || strings.Contains(w.What, name) }) {
			t.Errorf("no warning about %q: %v", name, warnings)
		}
	}
	if slices.ContainsFunc(warnings, func(w source.Warning) bool { return w.Path == "fine" }) {
		t.Error("a warning about a good name")
	}
	if _, _, err := walk(t, dir, source.Options{Portable: true}); !errors.Is(err, fault.Invalid) {
		t.Errorf("with Portable: %v, want invalid", err)
	}
}

// TestExchangedForALink replaces a file by a link between being seen and being
// opened: it leads nowhere.
func TestExchangedForALink(t *testing.T) {
	dir := tree(t, map[string]string{"a": "mine"})
	secret := filepath.Join(t.TempDir(), "secret")
	if err := write(secret); err != nil {
		t.Fatal(err)
	}
	_, err := source.Walk(t.Context(), dir, source.Options{}, func(it *source.Item) error {
		if it.Kind != source.File {
			return nil
		}
		defer it.Release()
		path := filepath.Join(dir, "a")
		if err := os.Remove(path); err != nil {
			return err
		}
		if err := os.Symlink(secret, path); err != nil {
			return err
		}
		f, _, err := it.Open()
		if err == nil {
			f.Close()
			t.Error("a link was followed")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
