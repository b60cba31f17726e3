package tlscert_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/cmd/internal/tlscert"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// pair writes a new certificate for name into dir.
func pair(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for _, f := range []struct {
		name, kind string
		der        []byte
	}{{certFile, "CERTIFICATE", cert}, {keyFile, "PRIVATE KEY", der}} {
		if err := os.WriteFile(f.name, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// nameOf is whose certificate a configuration answers with.
func nameOf(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	c, err := cfg.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.Subject.CommonName
}

func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := pair(t, dir, "first.example")
	var failed error
	// The clock: no look at the files is older than any other.
	tlscert.SetCheckEvery(t, 0)
	cfg, err := tlscert.Files(cert, key, func(err error) { failed = err })
	if err != nil {
		t.Fatal(err)
	}
	if got := nameOf(t, cfg); got != "first.example" {
		t.Errorf("the certificate of %s", got)
	}
	pair(t, dir, "second.example")
	if got := nameOf(t, cfg); got != "second.example" || failed != nil {
		t.Errorf("after the files changed: the certificate of %s, %v", got, failed)
	}
	if err := os.WriteFile(key, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := nameOf(t, cfg); got != "second.example" || !errors.Is(failed, fault.Invalid) {
		t.Errorf("after a key that is none: the certificate of %s, %v", got, failed)
	}
	pair(t, dir, "third.example")
	if got := nameOf(t, cfg); got != "third.example" {
		t.Errorf("after it was mended: the certificate of %s", got)
	}
}

func TestFilesRefuses(t *testing.T) {
	cert, key := pair(t, t.TempDir(), "a.example")
	_, otherKey := pair(t, t.TempDir(), "b.example")
	if _, err := tlscert.Files(cert, otherKey, nil); !errors.Is(err, fault.Invalid) {
		t.Errorf("a key of another certificate: %v", err)
	}
	if _, err := tlscert.Files(cert, key+"x", nil); !errors.Is(err, fault.Invalid) {
		t.Errorf("no key: %v", err)
	}
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := tlscert.Files(cert, key, nil); !errors.Is(err, fault.Denied) || fault.Hint(err) == "" {
		t.Errorf("a key for everybody: %v", err)
	}
}

// TestACMEContactsNobodyEarly: the authority hears nothing before a handshake
// asks for one of the names, and nothing of other names, ever.
func TestACMEContactsNobodyEarly(t *testing.T) {
	var asked atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	authority := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		cancel() // certmagic would try again for minutes
		http.Error(w, "not today", http.StatusForbidden)
	}))
	defer authority.Close()
	roots := x509.NewCertPool()
	roots.AddCert(authority.Certificate())
	cache := filepath.Join(t.TempDir(), "acme")
	var log bytes.Buffer
	cfg, stop, err := tlscert.ACME(tlscert.ACMEOptions{
		Domains: []string{"Registry.Example.org"}, Directory: authority.URL + "/directory", Cache: cache, Roots: roots,
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if _, err := os.Stat(cache); err == nil || asked.Load() != 0 {
		t.Errorf("before a handshake: %d requests, cache there: %t", asked.Load(), err == nil)
	}
	for _, name := range []string{"other.example.org", "", "registry.example.org.evil.example"} {
		if err := shake(ctx, cfg, name); err == nil {
			t.Errorf("a handshake for %q succeeds", name)
		}
	}
	if asked.Load() != 0 {
		t.Errorf("the authority heard %d times of other names", asked.Load())
	}
	if err := shake(ctx, cfg, "registry.example.org"); err == nil {
		t.Error("a handshake without a certificate succeeds")
	}
	if asked.Load() == 0 {
		t.Error("the authority was not asked for the name: the test shows nothing")
	}
}

// shake makes one handshake over a pipe.
func shake(ctx context.Context, cfg *tls.Config, name string) error {
	here, there := net.Pipe()
	defer here.Close()
	defer there.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tls.Server(there, cfg).HandshakeContext(ctx)
		there.Close()
	}()
	err := tls.Client(here, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
	here.Close()
	<-done
	return err
}

func TestACMERefuses(t *testing.T) {
	for _, o := range []tlscert.ACMEOptions{
		{},
		{Domains: []string{"localhost"}}, {Domains: []string{"*.example.org"}}, {Domains: []string{"127.0.0.1"}}, {Domains: []string{"a b"}}, {Domains: []string{""}},
		{Domains: []string{"a.example.org"}, Directory: "http://authority.example/directory"}, {Domains: []string{"a.example.org"}, Directory: "://"},
	} {
		o.Cache = t.TempDir()
		if _, _, err := tlscert.ACME(o); !errors.Is(err, fault.Invalid) {
			t.Errorf("%+v: %v, want an error marked invalid", o, err)
		}
	}
}

func TestACMESpeaksHTTP(t *testing.T) {
	cfg, stop, err := tlscert.ACME(tlscert.ACMEOptions{Domains: []string{"bücher.example.org"}, Cache: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if got := cfg.NextProtos; len(got) != 3 || got[0] != "h2" || got[1] != "http/1.1" || got[2] != "acme-tls/1" || cfg.MinVersion != tls.VersionTLS12 {
		t.Errorf("protocols %q, version %x", got, cfg.MinVersion)
	}
}
