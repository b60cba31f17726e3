package translog

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"k8s.io/klog/v2"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// defaultHost begins the origin of a log that nobody named: no host has such a
// name, RFC 6761.
const defaultHost = "cairn.invalid/"

// NewLogKey makes a new Ed25519 log key in the text forms of signed-note: the
// secret to keep, and the verifier key to give away. The origin becomes the
// key's name. An empty one becomes cairn.invalid/ and 16 hex digits of the
// SHA-256 of the public key: unique, and plainly no host. An origin that is no
// name of a note key is fault.Invalid.
func NewLogKey(origin string) (skey, vkey string, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", "", fault.Mark(fault.Internal, err)
	}
	if origin == "" {
		sum := sha256.Sum256(pub)
		origin = defaultHost + hex.EncodeToString(sum[:8])
	}
	vkey, err = note.NewEd25519VerifierKey(origin, pub)
	if err == nil {
		_, err = note.NewVerifier(vkey)
	}
	if err != nil {
		return "", "", fault.New(fault.Invalid, "origin %s: it must not be empty nor hold spaces or \"+\"", fault.Quote(origin))
	}
	hash := strings.SplitN(vkey, "+", 3)[1]
	seed := base64.StdEncoding.EncodeToString(append([]byte{1}, priv.Seed()...))
	return fmt.Sprintf("PRIVATE+KEY+%s+%s+%s", origin, hash, seed), vkey, nil
}

// LoadKey reads a secret made by [NewLogKey]: the signer, and the verifier key
// that belongs to it. The secret never enters an error.
func LoadKey(skey string) (s note.Signer, vkey string, err error) {
	s, err = note.NewSigner(skey)
	if err != nil {
		return nil, "", fault.New(fault.Invalid, "the log key is not a signed-note key")
	}
	// PRIVATE+KEY+<name>+<hash>+<base64 of type and seed>; NewSigner checked it.
	b, err := base64.StdEncoding.DecodeString(skey[strings.LastIndexByte(skey, '+')+1:])
	if err != nil || len(b) != 1+ed25519.SeedSize {
		// A base64 text may hold "+" itself: take the fifth field whole.
		if f := strings.SplitN(skey, "+", 5); len(f) == 5 {
			b, err = base64.StdEncoding.DecodeString(f[4])
		}
	}
	if err != nil || len(b) != 1+ed25519.SeedSize {
		return nil, "", fault.New(fault.Invalid, "the log key is not a signed-note key")
	}
	pub := ed25519.NewKeyFromSeed(b[1:]).Public().(ed25519.PublicKey)
	vkey, err = note.NewEd25519VerifierKey(s.Name(), pub)
	if err != nil {
		return nil, "", fault.Mark(fault.Invalid, err)
	}
	return s, vkey, nil
}

// klogOnce: klog, which Tessera logs to, has one logger for the whole process
// and must not be given another while it is in use.
var klogOnce sync.Once

func setKlog(log *slog.Logger) {
	klogOnce.Do(func() { klog.SetSlogLogger(slog.New(demote{log.Handler()})) })
}

// demote passes Tessera's informational messages on as debugging ones: they
// tell of its steps, not of changes of state.
type demote struct{ slog.Handler }

func (d demote) Enabled(ctx context.Context, l slog.Level) bool {
	return d.Handler.Enabled(ctx, demoted(l))
}

func (d demote) Handle(ctx context.Context, r slog.Record) error {
	r.Level = demoted(r.Level)
	return d.Handler.Handle(ctx, r)
}

func (d demote) WithAttrs(a []slog.Attr) slog.Handler { return demote{d.Handler.WithAttrs(a)} }
func (d demote) WithGroup(n string) slog.Handler      { return demote{d.Handler.WithGroup(n)} }

func demoted(l slog.Level) slog.Level {
	if l < slog.LevelWarn {
		return slog.LevelDebug
	}
	return l
}
