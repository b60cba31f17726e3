// Package tlscert gets the certificates of a server: from files, which are read
// again when they change, or from an ACME authority (RFC 8555). It is the only
// importer of certmagic.
package tlscert

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// checkEvery is how often the files are looked at, at most, when connections
// come in: a renewed certificate is in use within this time.
var checkEvery = 10 * time.Second // a variable for its test

// minVersion is TLS 1.2 (RFC 8446 leaves nothing older that is safe).
const minVersion = tls.VersionTLS12

// Files returns a configuration that answers with the certificate in certFile
// and the key in keyFile, both PEM. They are read now, and again when one of
// them has changed; a pair that cannot be read then is reported to failed, and
// the one before stays in use. A pair that cannot be read now is an error:
// fault.Denied when others may read the key, else fault.Invalid.
func Files(certFile, keyFile string, failed func(error)) (*tls.Config, error) {
	f := &files{cert: certFile, key: keyFile, failed: failed}
	if err := f.load(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: minVersion, GetCertificate: f.get}, nil
}

type files struct {
	cert, key string
	failed    func(error)

	mu      sync.Mutex
	pair    *tls.Certificate
	seen    [2]stamp // of the files when they were read last
	checked time.Time
}

// A stamp tells one state of a file from another.
type stamp struct {
	size  int64
	mtime time.Time
}

func stampOf(name string) (stamp, fs.FileMode, error) {
	info, err := os.Stat(name)
	if err != nil {
		return stamp{}, 0, err
	}
	return stamp{info.Size(), info.ModTime()}, info.Mode(), nil
}

func (f *files) stamps() (s [2]stamp, err error) {
	var mode fs.FileMode
	if s[0], _, err = stampOf(f.cert); err != nil {
		return s, err
	}
	if s[1], mode, err = stampOf(f.key); err != nil {
		return s, err
	}
	if mode.Perm()&0o007 != 0 {
		return s, fault.WithHint(fault.New(fault.Denied, "everybody may read the TLS key %s", f.key), "chmod 600 %s", f.key)
	}
	return s, nil
}

func (f *files) load() error {
	f.checked = time.Now()
	s, err := f.stamps()
	if err != nil {
		if errors.Is(err, fault.Denied) {
			return err
		}
		return fault.New(fault.Invalid, "the TLS certificate: %w", err)
	}
	f.seen = s
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fault.New(fault.Invalid, "the TLS certificate %s with the key %s: %w", f.cert, f.key, err)
	}
	f.pair = &pair
	return nil
}

func (f *files) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) < checkEvery {
		return f.pair, nil
	}
	f.checked = time.Now()
	if s, err := f.stamps(); err == nil && s == f.seen {
		return f.pair, nil
	}
	if err := f.load(); err != nil && f.failed != nil {
		f.failed(err)
	}
	return f.pair, nil
}
