package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// lockWait is how long a command waits for a home that another process holds
// without answering on its socket: long enough for a short command to end,
// short enough for a person to wait.
const lockWait = 10 * time.Second

// lockPoll is how often it looks.
const lockPoll = 50 * time.Millisecond

// errLocked says that another process holds the home's lock.
var errLocked = errors.New("the home is held by another process")

// lock takes the flock on the home's lock file, at once or not at all. The
// file itself stays: its existence means nothing. The kernel drops the lock
// when the process ends, however it ends.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fault.Mark(fault.Internal, &os.PathError{Op: "flock", Path: f.Name(), Err: err})
	}
	return f, nil
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
