package index

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// dirLock is an advisory lock on a file, held until it is released or the
// process ends.
type dirLock struct{ f *os.File }

// lockDir takes the lock at once or returns fault.Busy.
func lockDir(path string) (*dirLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fault.New(fault.Busy, "another process has it open")
		}
		return nil, fmt.Errorf("locking %s: %w", fault.Quote(path), err)
	}
	return &dirLock{f}, nil
}

func (l *dirLock) release() error { return l.f.Close() }
