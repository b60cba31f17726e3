//go:build !linux

package direct

import (
	"errors"
	"os"
)

// Flag is 0 where files cannot be written directly.
const Flag = 0

func open(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func unsupported(error) bool { return false }
