package overlap

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sketch"
)

// Few questions are answered at once; whoever waits holds nothing and can go.
func TestQuestionsAreBounded(t *testing.T) {
	x := New(nil, Config{Dir: t.TempDir()})
	for range maxQuestions {
		x.questions <- struct{}{}
	}
	const id = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
	mux := http.NewServeMux()
	x.Register(mux)
	for _, target := range []string{"/v1/overlap/" + id, "/v1/overlap/" + id + "?with=" + id} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		rec := httptest.NewRecorder()
		// The registry is nil: a question that is answered panics.
		mux.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "GET", target, nil))
		if rec.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: %d, want 503", target, rec.Code)
		}
	}
}

// A question ends with its client.
func TestOwnersEnds(t *testing.T) {
	w := newWorld(t.TempDir(), 3)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fault.New(fault.Interrupted, "gone"))
	if _, _, err := w.x.owners(ctx, sketch.Sketch{Hashes: make([]uint64, 16384)}, ofRecord, 9); !errors.Is(err, fault.Interrupted) {
		t.Errorf("the question goes on: %v", err)
	}
}
