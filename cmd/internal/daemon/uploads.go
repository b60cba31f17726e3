package daemon

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/access"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/gateway"
	"github.com/cairn-registry/cairn/registry/upload"
)

// Policy is who may write, as the config says. What it does not say well is
// fault.Invalid.
func Policy(c config.Write) (auth.Policy, error) {
	var p auth.Policy
	if c.Mode != "off" {
		p.Write = auth.Mode(c.Mode)
	}
	for _, a := range c.Allow {
		p.Allow = append(p.Allow, sign.KeyID(a))
	}
	for _, t := range c.Tokens {
		token := auth.Token{Name: t.Name, SHA256: t.SHA256, Role: auth.Role(t.Role), Key: sign.KeyID(t.Key), Custodial: t.Custodial}
		if t.Expires != "" {
			var err error
			if token.Expires, err = time.Parse(time.RFC3339, t.Expires); err != nil {
				return p, fault.New(fault.Invalid, "write.tokens: the token %s expires at %s, which is no time such as 2027-01-31T00:00:00Z", fault.Quote(t.Name), fault.Quote(t.Expires))
			}
		}
		p.Tokens = append(p.Tokens, token)
	}
	if err := p.Valid(); err != nil {
		return p, fmt.Errorf("write: %w", err)
	}
	return p, nil
}

// writes reports whether anybody may write over TCP.
func (h *Home) writes() bool { return h.Config.Write.Mode != "off" }

// accessFile keeps the hashes of the tokens that were given out for gated data.
const accessFile = "access.jsonl"

// openAuth makes what finds out who sends a request, and what they may read.
func (h *Home) openAuth() error {
	p, err := Policy(h.Config.Write)
	if err != nil {
		return err
	}
	ring := keyring.Open(h.Dir)
	h.access, err = access.New(access.Options{
		Registry: h.reg, Store: h.store, File: filepath.Join(h.Dir, accessFile), Log: h.Log,
		Custodial: func(name string) (sign.KeyID, error) {
			e, err := ring.Show(name)
			return e.ID, err
		},
	})
	if err != nil {
		return err
	}
	h.auth, err = auth.New(auth.Options{Policy: p, URLs: h.Config.Write.URLs, Issued: h.access.Issued, Party: h.reg.Party, Live: h.reg.Live, Log: h.Log})
	return err
}

// asks reports whether it matters here who sends a request.
func (h *Home) asks() bool { return h.writes() || len(h.Config.Write.Tokens) > 0 || h.store.Gated() }

// known finds out who sends a request, and opens what they may read. Where everybody
// may do the same, nobody is asked: some clients send tokens that are for others.
func (h *Home) known(next http.Handler) http.Handler {
	asked := h.auth.Middleware(h.access.Middleware(next))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.asks() || aboutFetches(r) {
			asked.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// callerName is how a caller is counted and logged: by the key, or the name of
// the token.
func callerName(ctx context.Context) string {
	c, ok := auth.FromContext(ctx)
	switch {
	case !ok:
		return ""
	case c.Key != "":
		return string(c.Key)
	}
	return "token " + c.Token
}

// uploads makes the server of uploads and mounts it on g, with the way to access
// tokens; nil when nobody may write. Unfinished uploads lie in uploads/ of the home.
func (h *Home) uploads(g *gateway.Gateway) (*upload.Server, error) {
	g.TakeAccess(h.access)
	if !h.writes() {
		return nil, nil
	}
	c := h.Config.Uploads
	s, err := upload.New(upload.Options{
		Dir: filepath.Join(h.Dir, "uploads"), Store: h.store, Registry: h.reg, Auth: h.auth, Log: h.Log,
		Quota: upload.Quota{
			StoredBytes: int64(c.StoredBytes), StagedBytes: int64(c.StagedBytes), StagedBlocks: c.StagedBlocks,
			Sessions: c.Sessions, Statements: c.Statements,
		},
		Limits: upload.Limits{Sessions: c.AllSessions, StagedBytes: int64(c.AllStagedBytes)},
		Lease:  c.Lease.Std(), Shards: c.Shards,
	})
	if err != nil {
		return nil, err
	}
	g.TakeWrites(s)
	if err := g.Registerer().Register(s); err != nil {
		return nil, fault.Mark(fault.Internal, err)
	}
	return s, nil
}
