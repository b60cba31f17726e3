package cli

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/wire"
)

// common returns what each statement for a registry has: its origin, a new
// nonce, the time.
func (env *Env) common(origin string) (manifests.Common, error) {
	nonce, err := manifests.NewNonce(rand.Reader)
	return manifests.Common{Registry: origin, Nonce: nonce, IssuedAt: env.Now().UTC().Format(time.RFC3339)}, err
}

// seal encodes and signs a statement and returns the envelope's bytes.
func seal(s *manifests.Statement, signer sign.Signer) ([]byte, error) {
	payload, err := manifests.Encode(s)
	if err != nil {
		return nil, err
	}
	e, err := sign.Seal(payload, signer)
	if err != nil {
		return nil, err
	}
	return e.Encode()
}

// state makes the statement that p says about the registry's own affairs, signs
// and logs it.
func (env *Env) state(ctx context.Context, c *daemon.Conn, p manifests.Predicate, signer sign.Signer) (*wire.Submitted, error) {
	status, err := c.API.Status(ctx)
	if err != nil {
		return nil, err
	}
	if *p.Base(), err = env.common(status.Origin); err != nil {
		return nil, err
	}
	envelope, err := seal(manifests.New(p), signer)
	if err != nil {
		return nil, err
	}
	sub, err := c.API.Submit(ctx, envelope)
	if err != nil {
		return nil, err
	}
	if sub.Verdict != "accepted" {
		return nil, fault.New(fault.Conflict, "the log recorded the statement as %s: %s (entry %d)", sub.Verdict, sub.Code, sub.Index)
	}
	return sub, nil
}
