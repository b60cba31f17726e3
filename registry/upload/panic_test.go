package upload_test

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/cairn-registry/cairn/registry/upload"
)

// A trap is a log that panics when a commit is reported, as long as it is set.
type trap struct {
	slog.Handler
	set atomic.Bool
}

func (h *trap) Enabled(context.Context, slog.Level) bool { return true }

func (h *trap) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "upload committed" && h.set.Load() {
		panic("a bug")
	}
	return nil
}

// A panic in a commit ends that commit, not the server; commit again finds what
// became of it.
func TestPanicInCommit(t *testing.T) {
	bug := &trap{Handler: slog.DiscardHandler}
	bug.set.Store(true)
	s := newSite(t, func(o *upload.Options) { o.Log = slog.New(bug) })
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil)
	car := d.car(t, d.closure...)
	u := s.open("ana", d.declare(t, car)).upload(t)
	s.put("ana", u.ID, car, nil)
	if a := s.commit("ana", u.ID); a.status != http.StatusInternalServerError {
		t.Errorf("with a bug: %d %s", a.status, a.body)
	}
	bug.set.Store(false)
	if a := s.commit("ana", u.ID); a.status != http.StatusCreated {
		t.Errorf("without: %d %s", a.status, a.body)
	}
	s.push("ana", newDataset(t, newMemory(), "ana", "next", "1.0.0", map[string]string{"a": "1"}, nil))
}
