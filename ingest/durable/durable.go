// Package durable puts small files on disk so that they outlive a power cut. It
// is for files that are replaced whole: records, states, keys. Who streams a
// large file writes it himself, and takes [Sync] and [NoSpace] from here.
//
// What durable means here is what fsync means to the file system and the device
// below: a drive that lies about its cache takes the promise with it.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// WriteFile replaces the file name by b, or makes it; perm is set whatever the
// umask says. The folder must exist. b is written to a temporary file beside
// name (.NAME.*.tmp), which is synced, then renamed, then the folder is synced.
// A crash may leave that file, to be removed when nobody writes in its folder.
//
// When WriteFile returns nil, a power cut leaves b under name: its content, its
// permissions and the name itself; folders above are the caller's. At any time
// before, and after an error, name holds all of its old content (or is missing,
// if it was) or all of b, never a part or a mix. Only the last sync, that of the
// folder, can fail when readers see b already: whether b outlives a power cut is
// then unknown, and writing it again is safe.
//
// A full disk or quota is an error that wraps syscall.ENOSPC or EDQUOT and
// carries no code of package fault; see [NoSpace]. It says what every error says:
// the temporary file is removed, and name is as it was unless the last sync failed.
//
// Calls may run at once, also for one name: one of them is the last.
func WriteFile(name string, b []byte, perm fs.FileMode) error {
	return write(name, b, perm, os.Rename)
}

// CreateFile is [WriteFile] for a name that must be free: when it is taken,
// fs.ErrExist is returned and the file there stays as it is. Of several calls
// at once for one name one makes it. The file system must know hard links.
func CreateFile(name string, b []byte, perm fs.FileMode) error {
	return write(name, b, perm, func(temp, name string) error {
		// A link is made only where nothing stands; a rename would replace it.
		err := os.Link(temp, name)
		if err == nil {
			os.Remove(temp)
		}
		return err
	})
}

// write lets put give the temporary file its name.
func write(name string, b []byte, perm fs.FileMode, put func(temp, name string) error) error {
	dir, base := filepath.Split(name)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+".*.tmp")
	if err != nil {
		return err
	}
	temp := f.Name()
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(perm)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = put(temp, name)
	}
	if err != nil {
		os.Remove(temp)
		return err
	}
	return Sync(dir)
}

// Sync waits until what name is lies on disk. Of a folder that is its names: what
// was made, renamed or removed in it before the call stays so after a power cut,
// but not what the files hold, nor what lies in folders below. Of a file it is
// the content, whoever wrote it. An error means that it is unknown how much of
// that is on disk; for a full disk see [NoSpace].
func Sync(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// NoSpace marks an error that says that the disk or a quota is full as
// fault.NoSpace, and returns every other as it is, nil too.
func NoSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.Mark(fault.NoSpace, err)
	}
	return err
}
