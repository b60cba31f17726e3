package direct

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Flag opens a file for direct writes.
const Flag = unix.O_DIRECT

func open(name string) (*os.File, error) { return os.OpenFile(name, os.O_WRONLY|Flag, 0) }

// unsupported reports whether a direct write failed because it was direct.
func unsupported(err error) bool { return errors.Is(err, syscall.EINVAL) }
