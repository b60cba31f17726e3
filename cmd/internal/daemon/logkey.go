package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/translog"
)

// The log key signs checkpoints and nothing else. It lies beside the
// contributors' keys, in the text form of C2SP signed-note. Its verifier key
// lies in trust/, where it is the default policy of every check in this home.
const (
	logKeyFile = "keys/log.note"
	VKeyFile   = "trust/log.vkey"
	maxKeyFile = 4 << 10 // a note key is one line
)

// loadLogKey reads the log key, or makes one when there is none and create is
// set. A key that is there keeps its origin: another one is fault.Conflict.
func loadLogKey(dir, origin string, create bool) (note.Signer, string, error) {
	name := filepath.Join(dir, logKeyFile)
	b, err := readSmall(name)
	if errors.Is(err, fs.ErrNotExist) && create {
		skey, _, err := translog.NewLogKey(origin)
		if err != nil {
			return nil, "", err
		}
		if err := durable.WriteFile(name, []byte(skey+"\n"), 0o600); err != nil {
			return nil, "", err
		}
		b = []byte(skey)
	} else if err != nil {
		return nil, "", err
	}
	signer, vkey, err := translog.LoadKey(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	if origin != "" && origin != signer.Name() {
		return nil, "", fault.New(fault.Conflict, "this home's log is %s; an origin cannot be changed", signer.Name())
	}
	return signer, vkey, nil
}

// readSmall reads a key file, which nobody else may be able to read.
func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fault.WithHint(fault.New(fault.Denied, "others may read the key file %s", name), "chmod 600 %s", name)
	}
	if info.Size() > maxKeyFile {
		return nil, fault.New(fault.Invalid, "%s is no key file: it has %d bytes", name, info.Size())
	}
	b := make([]byte, info.Size())
	_, err = f.ReadAt(b, 0)
	if len(b) == 0 {
		return nil, fault.New(fault.Invalid, "the key file %s is empty", name)
	}
	return b, err
}

// VKey returns the verifier key of the home's log.
func VKey(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, VKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", noLog(dir)
	}
	return strings.TrimSpace(string(b)), err
}

func noLog(dir string) error {
	return fault.WithHint(fault.New(fault.NotFound, "there is no registry in %s yet", dir), `make one with "cairn init", or by adding a dataset`)
}
