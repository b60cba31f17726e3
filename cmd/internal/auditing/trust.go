// Package auditing is what the two commands share about audits: whom an auditor
// trusts and what it has seen, how a REF is resolved at a registry, where the
// evidence comes from, and how a report is printed.
package auditing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry/client"
)

// maxPolicy bounds a policy file: a log, and some dozen witnesses.
const maxPolicy = 64 << 10

// Trust says where an auditor's policy comes from. It is never taken out of
// evidence.
type Trust struct {
	Home       string // home folder: trust/ in it is looked at; "" for none
	PolicyFile string // --policy
	FirstUse   bool   // --trust-on-first-use
}

// A Policy is a policy with its history.
type Policy struct {
	*proof.Policy
	// From says where it came from, for the report.
	From string
	// Seen is the last checkpoint that an audit from here verified, or nil.
	Seen []byte

	home string
}

// known is where the keys of logs that were trusted on first use are kept, and
// the last checkpoints that audits verified, a pair of files each.
const known = "trust/known"

func file(home, origin, suffix string) string {
	sum := sha256.Sum256([]byte(origin))
	return filepath.Join(home, known, hex.EncodeToString(sum[:8])+suffix)
}

// Policy returns the policy for the log of the given origin: that of the policy
// file, else of the home's own log, else of a log that was trusted on first use
// before, else, with FirstUse, of vkey, which is what the registry says of
// itself. Otherwise the error is fault.Internal: it could not be checked. The
// error prints vkey, for a person to compare.
func (t Trust) Policy(origin, vkey string) (*Policy, error) {
	if t.PolicyFile != "" {
		b, err := ReadBounded(t.PolicyFile, maxPolicy)
		if err != nil {
			return nil, fmt.Errorf("--policy: %w", err)
		}
		return t.policy(b, origin, "policy file "+t.PolicyFile)
	}
	if t.Home != "" {
		for _, at := range []struct{ name, from string }{
			{filepath.Join(t.Home, "trust/log.vkey"), "the home's own log"},
			{file(t.Home, origin, ".vkey"), "trusted on first use, earlier"},
		} {
			b, err := ReadBounded(at.name, maxPolicy)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			p, err := t.policy(b, origin, at.from)
			if err != nil || knows(p.Policy, origin) {
				return p, err
			}
		}
	}
	if vkey == "" {
		return nil, fault.WithHint(fault.New(fault.Internal, "it could not be checked: no policy says which key the log %s has", fault.Quote(origin)),
			"pass --policy FILE: the log's verifier key, from somebody you believe, or a tlog-policy")
	}
	if !t.FirstUse {
		return nil, fault.WithHint(fault.New(fault.Internal, "it could not be checked: no policy says which key the log %s has. It says of itself:\n%s", fault.Quote(origin), fault.Printable(vkey)),
			"compare that key with one from somebody you believe and pass it with --policy FILE, or --trust-on-first-use")
	}
	p, err := t.policy([]byte(vkey+"\n"), origin, "trusted on first use, now: nobody vouched for the key "+vkey)
	if err != nil || t.Home == "" {
		return p, err
	}
	return p, keep(file(t.Home, origin, ".vkey"), []byte(vkey+"\n"))
}

func (t Trust) policy(b []byte, origin, from string) (*Policy, error) {
	p, err := proof.ParsePolicy(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", from, err)
	}
	out := &Policy{Policy: p, From: from, home: t.Home}
	if t.Home != "" {
		seen, err := ReadBounded(file(t.Home, origin, ".checkpoint"), proof.MaxCheckpoint)
		if err == nil {
			out.Seen = seen
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return out, nil
}

func knows(p *proof.Policy, origin string) bool {
	for _, o := range p.Origins() {
		if o == origin {
			return true
		}
	}
	return false
}

// Saw remembers a checkpoint that was verified, so that the next audit holds
// the log to it.
func (p *Policy) Saw(origin string, checkpoint []byte) error {
	if p.home == "" || len(checkpoint) == 0 {
		return nil
	}
	return keep(file(p.home, origin, ".checkpoint"), checkpoint)
}

func keep(name string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	tmp := name + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

// ReadBounded reads a file of at most limit bytes.
func ReadBounded(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Mark(fault.NotFound, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fault.New(fault.TooLarge, "%s has more than %d bytes", name, limit)
	}
	return b, err
}

// At asks a registry for its origin and key, and returns the policy for it.
func (t Trust) At(ctx context.Context, api *client.Client) (*Policy, error) {
	s, err := api.Status(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := note.NewVerifier(s.VKey); err != nil {
		return nil, fault.New(fault.Unverified, "the registry's verifier key %s is none: %w", fault.Quote(s.VKey), err)
	}
	return t.Policy(s.Origin, s.VKey)
}
