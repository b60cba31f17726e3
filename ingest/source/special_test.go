package source_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cairn-registry/cairn/ingest/source"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// TestRoots gives every kind of thing as the path to add. A link that the user
// names is followed, for they named it; what it leads to has the target's name.
func TestRoots(t *testing.T) {
	dir := tree(t, map[string]string{
		"folder/a": "1", "file.csv": "2", ".hidden": "3", ".dir/b": "4", "sub/toFolder": "->../folder", "sub/toFile": "->../file.csv",
		"sub/twice": "->toFile", "sub/nowhere": "->gone", "sub/round": "->round", "bad\x01": "5", "empty/": "",
	})
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Symlink(fifo, filepath.Join(dir, "toFifo")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, want string }{
		{"folder", "/ a"},
		{"folder/", "/ a"},
		{"folder/../folder/.", "/ a"},
		{"empty", "/"},
		{"sub/toFolder", "/ a"},
		{"sub/toFolder/a", "a"},
		{"file.csv", "file.csv"},
		{"sub/toFile", "file.csv"},
		{"sub/twice", "file.csv"},
		{".hidden", ".hidden"},
		{".dir", "/ b"},
	} {
		got, _, err := walk(t, filepath.Join(dir, tt.path), source.Options{})
		if s := strings.Join(got, " "); err != nil || s != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.path, s, err, tt.want)
		}
	}
	for _, tt := range []struct {
		path, says string
		want       fault.Code
	}{
		{filepath.Join(dir, "fifo"), "fifo is a FIFO", fault.Invalid},
		{filepath.Join(dir, "toFifo"), "fifo is a FIFO", fault.Invalid},
		{filepath.Join(dir, "s"), "s is a socket", fault.Invalid},
		{"/dev/null", "null is a device", fault.Invalid},
		{filepath.Join(dir, "bad\x01"), `"bad\x01"`, fault.Invalid},
		{filepath.Join(dir, "gone"), "gone", fault.NotFound},
		{filepath.Join(dir, "sub/nowhere"), "nowhere", fault.NotFound},
		{filepath.Join(dir, "sub/round"), "round", fault.Invalid},
	} {
		got, _, err := walk(t, tt.path, source.Options{})
		if fault.Of(err) != tt.want || len(got) > 0 || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q: %q, %v; want %s and %q", tt.path, got, err, tt.want, tt.says)
		}
	}
}

// TestSpecialFilesAreNamed finds all of them in one walk, waits for none, and
// says what to do.
func TestSpecialFilesAreNamed(t *testing.T) {
	dir := tree(t, map[string]string{"a/x": "", "z": ""})
	if err := syscall.Mkfifo(filepath.Join(dir, "a/pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := []string{"a/pipe is a FIFO", "sock is a socket"}
	const null = 1<<8 | 3
	if err := syscall.Mknod(filepath.Join(dir, "null"), syscall.S_IFCHR|0o600, null); err == nil {
		want = append(want, "null is a device")
	} else {
		t.Logf("no device can be made here: %v", err)
	}
	got, _, err := walk(t, dir, source.Options{})
	if !errors.Is(err, fault.Invalid) || !strings.Contains(fault.Hint(err), source.IgnoreFile) {
		t.Fatalf("%v, hint %q", err, fault.Hint(err))
	}
	for _, s := range want {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q is not said by\n%v", s, err)
		}
	}
	if !slices.Contains(got, "a/x") || !slices.Contains(got, "z") {
		t.Errorf("the walk ended at the first: %q", got)
	}

	// Listed in an ignore file, they are in nobody's way.
	if err := os.WriteFile(filepath.Join(dir, source.IgnoreFile), []byte("pipe\nsock\nnull\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if got, _, err := walk(t, dir, source.Options{}); err != nil || strings.Join(got, " ") != "/ a/ a/x z" {
		t.Errorf("when ignored: %q, %v", got, err)
	}
}

// TestUnreadable names what may not be read; root may read everything.
func TestUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("NOT RUN: root can read every file")
	}
	dir := tree(t, map[string]string{"locked/x": "", "secret": "", "open": ""})
	for name, mode := range map[string]os.FileMode{"locked": 0, "secret": 0} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { os.Chmod(filepath.Join(dir, "locked"), 0o700) })
	if _, _, err := walk(t, dir, source.Options{}); !errors.Is(err, fault.Denied) || !strings.Contains(err.Error(), "locked") {
		t.Errorf("a locked folder: %v, want denied", err)
	}
	_, err := source.Walk(t.Context(), filepath.Join(dir, "secret"), source.Options{}, func(it *source.Item) error {
		defer it.Release()
		_, _, err := it.Open()
		return err
	})
	if !errors.Is(err, fault.Denied) || !strings.Contains(err.Error(), "secret") {
		t.Errorf("a secret file: %v, want denied", err)
	}
}

// TestSymlinksAreData keeps links of every kind as they are, and enters none.
func TestSymlinksAreData(t *testing.T) {
	dir := tree(t, map[string]string{
		"d/f": "", "toDir": "->d", "up": "->..", "self": "->self", "abs": "->/etc", "gone": "->nowhere", "d/back": "->../d", "dots": "->../../../../..",
	})
	if err := os.Symlink("\xff\x01odd", filepath.Join(dir, "odd")); err != nil {
		t.Fatal(err)
	}
	got, _, err := walk(t, dir, source.Options{})
	want := []string{"/", "abs -> /etc", "d/", "d/back -> ../d", "d/f", "dots -> ../../../../..", "gone -> nowhere", "odd -> \xff\x01odd", "self -> self", "toDir -> d", "up -> .."}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v\nwant %q", got, err, want)
	}
}

// TestIgnoreFileOfAnyKind has everything but a file of patterns in its place.
// None is passed over: what the user meant to leave out would be published.
func TestIgnoreFileOfAnyKind(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(path string) error
		want fault.Code
	}{
		"a link":            {func(p string) error { return os.Symlink("patterns", p) }, fault.Invalid},
		"a link to nothing": {func(p string) error { return os.Symlink("gone", p) }, fault.NotFound},
		"a folder":          {func(p string) error { return os.Mkdir(p, 0o777) }, fault.Invalid},
		"a FIFO":            {func(p string) error { return syscall.Mkfifo(p, 0o600) }, fault.Invalid},
		"too long":          {func(p string) error { return os.WriteFile(p, bytes.Repeat([]byte("a\n"), 1<<19+1), 0o666) }, fault.TooLarge},
	} {
		dir := tree(t, map[string]string{"a": "", "patterns": "a\n"})
		path := filepath.Join(dir, source.IgnoreFile)
		if err := tt.make(path); err != nil {
			t.Fatal(err)
		}
		if name == "a FIFO" { // one that somebody is about to write to
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
		}
		_, _, err := walk(t, dir, source.Options{})
		if fault.Of(err) != tt.want || !strings.Contains(err.Error(), source.IgnoreFile) {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
		if _, _, err := walk(t, dir, source.Options{NoIgnore: true}); err != nil {
			t.Errorf("%s, when it is not read: %v", name, err)
		}
	}
}

// TestCollisions has pairs of names that are one name somewhere.
func TestCollisions(t *testing.T) {
	for _, pair := range [][2]string{
		{"A", "a"},
		{"readme.MD", "README.md"},
		{"caf\u00e9", "cafe\u0301"},
		{"CAF\u00c9", "cafe\u0301"},
		{"stra\u00dfe", "STRASSE"},
		{"\u212a", "k"},            // the Kelvin sign
		{"\u03c3", "\u03c2"},       // two small sigmas
		{"\u1e9b\u0323", "\u1e69"}, // composed after folding
	} {
		dir := tree(t, map[string]string{pair[0]: "", pair[1]: "", "other": ""})
		got, warnings, err := walk(t, dir, source.Options{})
		if err != nil || len(got) != 4 {
			t.Errorf("%q: %q, %v", pair, got, err)
		}
		if len(warnings) != 1 || !slices.Contains(pair[:], warnings[0].Path) {
			t.Errorf("%q: warnings %v, want one", pair, warnings)
		}
		if _, _, err := walk(t, dir, source.Options{Portable: true}); !errors.Is(err, fault.Invalid) {
			t.Errorf("%q with Portable: %v, want invalid", pair, err)
		}
	}
	// Names are compared within their folder.
	dir := tree(t, map[string]string{"a/x": "", "b/X": ""})
	if _, warnings, err := walk(t, dir, source.Options{Portable: true}); err != nil || len(warnings) > 0 {
		t.Errorf("in two folders: %v, %v", warnings, err)
	}
}

// TestTooDeep goes past what a dataset may hold, in folders and in bytes.
func TestTooDeep(t *testing.T) {
	for _, tt := range []struct {
		name   string
		levels int
		ok     bool
	}{
		{"d", 64, true},
		{"d", 65, false},
		{strings.Repeat("n", 255), 15, true},
		{strings.Repeat("n", 255), 16, false}, // with the file's own name
	} {
		dir := t.TempDir()
		at, err := os.OpenRoot(dir) // the whole path is longer than a system call takes
		if err != nil {
			t.Fatal(err)
		}
		for range tt.levels {
			if err := at.Mkdir(tt.name, 0o777); err != nil {
				t.Fatal(err)
			}
			sub, err := at.OpenRoot(tt.name)
			if err != nil {
				t.Fatal(err)
			}
			at.Close()
			at = sub
		}
		if err := at.WriteFile("file", nil, 0o666); err != nil {
			t.Fatal(err)
		}
		at.Close()
		got, _, err := walk(t, dir, source.Options{})
		if tt.ok && (err != nil || len(got) != tt.levels+2) {
			t.Errorf("%d levels of %d bytes: %d items, %v", tt.levels, len(tt.name), len(got), err)
		}
		if !tt.ok && !errors.Is(err, fault.TooLarge) {
			t.Errorf("%d levels of %d bytes: %v, want too-large", tt.levels, len(tt.name), err)
		}
	}
}

// TestExchanged has a file become something else between being seen and being
// opened. It is told, and nothing waits.
func TestExchanged(t *testing.T) {
	for name, tt := range map[string]struct {
		become func(path string) error
		want   fault.Code
	}{
		"nothing":  {func(string) error { return nil }, fault.NotFound},
		"a FIFO":   {func(p string) error { return syscall.Mkfifo(p, 0o600) }, fault.Invalid},
		"a folder": {func(p string) error { return os.Mkdir(p, 0o777) }, fault.Invalid},
		"a link":   {func(p string) error { return os.Symlink("other", p) }, fault.Invalid},
	} {
		dir := tree(t, map[string]string{"file": "mine", "other": "not mine"})
		_, err := source.Walk(t.Context(), filepath.Join(dir, "file"), source.Options{}, func(it *source.Item) error {
			defer it.Release()
			path := filepath.Join(dir, "file")
			if err := errors.Join(os.Remove(path), tt.become(path)); err != nil {
				t.Fatal(err)
			}
			f, _, err := it.Open()
			if err == nil {
				f.Close()
			}
			return err
		})
		if fault.Of(err) != tt.want || !strings.Contains(err.Error(), "file") {
			t.Errorf("%s instead: %v, want %s", name, err, tt.want)
		}
	}
}

// TestEnds walks until its caller has had enough.
func TestEnds(t *testing.T) {
	dir := tree(t, map[string]string{"a/1": "", "a/2": "", "b/3": ""})
	enough := errors.New("enough")
	for stop := range 9 {
		n, depth := 0, 0
		_, err := source.Walk(t.Context(), dir, source.Options{}, func(it *source.Item) error {
			switch it.Kind {
			case source.File:
				it.Release()
			case source.Enter:
				depth++
			case source.Leave:
				depth--
			}
			if n++; n > stop {
				return enough
			}
			return nil
		})
		if stop < 9 && !errors.Is(err, enough) || n != stop+1 {
			t.Errorf("stopped at item %d: %d items, %v", stop, n, err)
		}
		if (depth == 0) != (stop == 8) {
			t.Errorf("stopped at item %d: %d folders are open", stop, depth)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := source.Walk(ctx, dir, source.Options{}, func(it *source.Item) error {
		if it.Kind == source.File {
			it.Release()
		}
		cancel(enough)
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("a walk whose context ended: %v", err)
	}
}
