package daemon

import (
	"path/filepath"
	"slices"

	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/gateway"
	"github.com/cairn-registry/cairn/registry/hub"
	"github.com/cairn-registry/cairn/registry/upload"
)

// openHub lets clients of the Hugging Face Hub upload, when a token has a
// custodial key; else they read. What was sent and is not committed lies in hub/
// of the home. Its commits take from the same quotas as uploads.
func (h *Home) openHub(g *gateway.Gateway, uploads *upload.Server) error {
	custodial := func(t config.Token) bool { return t.Custodial != "" }
	if !h.writes() || !slices.ContainsFunc(h.Config.Write.Tokens, custodial) {
		return nil
	}
	c := h.Config.Hub
	o := hub.Options{
		Croissant: g.Croissant, Writer: h.auth.Writer, Store: hub.PackStore(h.store.Store), Dir: filepath.Join(h.Dir, "hub"), Log: h.Log,
		// A server has nobody to ask for a passphrase.
		Signer:  func(name string) (sign.Signer, error) { return keyring.Open(h.Dir).Load(name, nil) },
		Reserve: uploads.Reserve, Room: uploads.Room,
		Limits: hub.Limits{
			StagedBytes: int64(c.StagedBytes), StagedFiles: c.StagedFiles,
			CommitFiles: c.CommitFiles, CommitBytes: int64(c.CommitBytes), Keep: c.Keep.Std(),
		},
	}
	if len(h.Config.Write.URLs) > 0 {
		o.URL = h.Config.Write.URLs[0]
	}
	made, err := hub.New(h.reg, g.Blocks(), g.HubOptions(o))
	if err != nil {
		return err
	}
	g.TakeHub(made)
	return nil
}
