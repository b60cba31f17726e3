package daemon

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/fetches"
	"github.com/cairn-registry/cairn/registry/gateway"
)

// openFetches makes what counts downloads and signs their records, and mounts it on
// g; nil when the home has no gateway key. What was counted lies in fetches/ of the
// home.
func (h *Home) openFetches(g *gateway.Gateway) (*fetches.Fetches, error) {
	name := h.Config.Gateway.Key
	if name == "" {
		return nil, nil
	}
	// A server has nobody to ask for a passphrase.
	signer, err := keyring.Open(h.Dir).Load(name, nil)
	if errors.Is(err, fault.NotFound) || errors.Is(err, fault.Unauthenticated) {
		h.Log.Info("no fetch records are signed", "key", name, "cause", err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := fetches.New(fetches.Options{
		Registry: h.reg, Blocks: h.store.All(), May: g.May, Signer: signer, Dir: filepath.Join(h.Dir, "fetches"), Log: h.Log,
	})
	if err != nil {
		return nil, err
	}
	g.TakeFetches(f)
	return f, nil
}

// aboutFetches reports whether a request opens a fetch or asks for its record: who
// sends it matters even where everybody may read the same.
func aboutFetches(r *http.Request) bool {
	return r.URL.Path == fetches.Path || strings.HasPrefix(r.URL.Path, fetches.Path+"/")
}
