package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// An Outbox holds envelopes on their way to the log, a file each, named by the
// statement's CID. An envelope is put there before it is submitted and removed
// once its receipt is here, so that a command that was killed in between is
// finished by the next one.
type Outbox struct{ dir string }

const envelopeSuffix = ".dsse.json"

// Put stores an envelope. It is durable when Put returns.
func (o Outbox) Put(statement cid.Cid, envelope []byte) error {
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(o.dir, statement.String()+envelopeSuffix), envelope, 0o600)
}

// Remove takes an envelope out; one that is not there is no error.
func (o Outbox) Remove(statement cid.Cid) error {
	err := os.Remove(filepath.Join(o.dir, statement.String()+envelopeSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Refused reports whether an error of a submission is an answer: trying the same
// again gives the same, so nothing is kept for later. What a policy denies is
// refused too: a signed statement must not come up again on the day when the
// policy changes.
func Refused(err error) bool {
	switch fault.Of(err) {
	case fault.Invalid, fault.Conflict, fault.Unverified, fault.TooLarge, fault.NotFound, fault.Denied, fault.Gone:
		return true
	}
	return false
}

// Flush submits every envelope in the outbox and removes those that got an
// answer: finished counts those with a verdict, refused has the error of each that
// is [Refused]. It stops at the first error after which trying again later can
// help.
func (o Outbox) Flush(ctx context.Context, submit func(context.Context, []byte) error) (finished int, refused []error, err error) {
	names, err := filepath.Glob(filepath.Join(o.dir, "*"+envelopeSuffix))
	if err != nil || len(names) == 0 {
		return 0, nil, err
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // its own command has finished it
		}
		if err != nil {
			return finished, refused, err
		}
		id, err := cid.Decode(strings.TrimSuffix(filepath.Base(name), envelopeSuffix))
		if err != nil || len(b) > sign.MaxEnvelope {
			continue // not a file of ours
		}
		switch err := submit(ctx, b); {
		case err == nil:
			finished++
		case Refused(err):
			refused = append(refused, err)
		default:
			return finished, refused, err
		}
		if err := o.Remove(id); err != nil {
			return finished, refused, err
		}
	}
	return finished, refused, nil
}
