package index

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// dirLock is an advisory lock on a file, held until it is released or the
// process ends.
type dirLock struct{ f *os.File }

// lockWait is how long a lock is waited for. Whoever owns the home owns its
// index, so a lock that is held is that of a child process whose parent was
// killed, and which is about to end.
const (
	lockWait  = 2 * time.Second
	lockPause = 10 * time.Millisecond
)

// lockDir takes the lock, or returns fault.Busy when it stays taken.
func lockDir(path string) (*dirLock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for tries := lockWait / lockPause; ; tries-- {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return &dirLock{f}, nil
		case errors.Is(err, unix.EWOULDBLOCK) && tries > 0:
			time.Sleep(lockPause)
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			err = fault.New(fault.Busy, "another process has it open")
		default:
			err = fmt.Errorf("locking %s: %w", fault.Quote(path), err)
		}
		f.Close()
		return nil, err
	}
}

func (l *dirLock) release() error { return l.f.Close() }
