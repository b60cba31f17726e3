package daemon

import (
	"path/filepath"

	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/gateway"
	"github.com/cairn-registry/cairn/registry/upload"
)

// Writes says who may write over TCP, and how much.
type Writes struct {
	Policy auth.Policy
	URLs   []string // see [auth.Options]
	Quota  upload.Quota
	Limits upload.Limits
}

// uploads makes the server of uploads and mounts it on g; nil when nobody may
// write. Unfinished uploads lie in uploads/ of the home.
func (h *Home) uploads(g *gateway.Gateway) (*upload.Server, error) {
	w := h.Writes
	if w == nil || w.Policy.Write == auth.Closed {
		return nil, nil
	}
	a, err := auth.New(auth.Options{Policy: w.Policy, URLs: w.URLs, Log: h.Log})
	if err != nil {
		return nil, err
	}
	s, err := upload.New(upload.Options{
		Dir: filepath.Join(h.Dir, "uploads"), Store: h.store, Registry: h.reg, Auth: a,
		Quota: w.Quota, Limits: w.Limits, Log: h.Log,
	})
	if err != nil {
		return nil, err
	}
	g.TakeWrites(s)
	return s, nil
}
