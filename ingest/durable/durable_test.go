package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// only fails unless dir holds these names and no other.
func only(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
}

func holds(t *testing.T, name, want string) {
	t.Helper()
	if b, err := os.ReadFile(name); err != nil || string(b) != want {
		t.Errorf("%s holds %q (%v), want %q", filepath.Base(name), b, err, want)
	}
}

func TestWriteFileReplaces(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "state")
	for _, c := range []struct {
		content string
		perm    fs.FileMode
	}{{"old", 0o600}, {"newer and longer", 0o666}, {"", 0o400}, {"again", 0o644}} {
		if err := durable.WriteFile(name, []byte(c.content), c.perm); err != nil {
			t.Fatal(err)
		}
		holds(t, name, c.content)
		if fi, err := os.Stat(name); err != nil || fi.Mode() != c.perm {
			t.Errorf("the mode is %v (%v), want %v", fi.Mode(), err, c.perm)
		}
		only(t, dir, "state")
	}
}

func TestWriteFileInTheWorkingFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := durable.WriteFile("state", []byte("here"), 0o600); err != nil {
		t.Fatal(err)
	}
	holds(t, "state", "here")
	only(t, ".", "state")
}

// TestFailuresLeaveNothing: what stood there stands, and no temporary file is left.
func TestFailuresLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(folder, []byte("x"), 0o600); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if err := durable.CreateFile(folder, []byte("x"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("creating what is there: %v, want fs.ErrExist", err)
	}
	only(t, dir, "folder")
	missing := filepath.Join(dir, "missing")
	if err := durable.WriteFile(filepath.Join(missing, "state"), nil, 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("writing into no folder: %v, want fs.ErrNotExist", err)
	}
	if err := durable.Sync(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("syncing no folder: %v, want fs.ErrNotExist", err)
	}
}

// TestReadersSeeOneOrTheOther: while many write one name, who reads it finds one
// of the contents, whole.
func TestReadersSeeOneOrTheOther(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "state")
	content := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, 10_000+i) }
	if err := durable.WriteFile(name, content(0), 0o600); err != nil {
		t.Fatal(err)
	}
	var writers, reader sync.WaitGroup
	var done atomic.Bool
	reader.Go(func() {
		for !done.Load() {
			b, err := os.ReadFile(name)
			if err != nil || len(b) < 10_000 || !bytes.Equal(b, content(len(b)-10_000)) {
				t.Errorf("read %d bytes (%v) that nobody wrote", len(b), err)
				return
			}
		}
	})
	for i := range 4 {
		writers.Go(func() {
			for range 20 {
				if err := durable.WriteFile(name, content(i), 0o600); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	done.Store(true)
	reader.Wait()
	only(t, dir, "state")
}

func TestCreateFileOnce(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "key")
	var made atomic.Pointer[string]
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			mine := fmt.Sprint("key ", i)
			switch err := durable.CreateFile(name, []byte(mine), 0o600); {
			case errors.Is(err, fs.ErrExist):
			case err != nil:
				t.Error(err)
			case made.Swap(&mine) != nil:
				t.Error("two made the same name")
			}
		})
	}
	all.Wait()
	if made.Load() == nil {
		t.Fatal("nobody made it")
	}
	holds(t, name, *made.Load())
	only(t, dir, "key")
}

func TestNoSpace(t *testing.T) {
	if err := durable.NoSpace(nil); err != nil {
		t.Errorf("no error became %v", err)
	}
	for _, c := range []struct {
		err  error
		want fault.Code
	}{
		{&os.PathError{Op: "write", Path: "state", Err: syscall.ENOSPC}, fault.NoSpace},
		{fmt.Errorf("keeping it: %w", errors.Join(fs.ErrInvalid, syscall.EDQUOT)), fault.NoSpace},
		{syscall.EIO, fault.Internal},
		{fault.Mark(fault.Denied, syscall.EROFS), fault.Denied},
	} {
		if got := durable.NoSpace(c.err); fault.Of(got) != c.want || got.Error() != c.err.Error() {
			t.Errorf("%v became %v: %v", c.err, fault.Of(got), got)
		}
	}
}
