package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Few graphs are made, and mixtures judged, at once; whoever waits for one holds nothing and can go.
func TestGraphsAreBounded(t *testing.T) {
	a := New(nil, "", slog.New(slog.DiscardHandler))
	for range maxGraphs {
		a.graphs <- struct{}{}
	}
	mux := http.NewServeMux()
	a.registerLineage(mux)
	a.registerTerms(mux)
	const id = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
	for _, target := range []string{"/v1/lineage/" + id, "/v1/lineage/" + id + "?manifests=false", "/v1/impact/" + id} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		rec := httptest.NewRecorder()
		// The registry is nil: a graph that is made panics.
		mux.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "GET", target, nil))
		if rec.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: %d, want 503", target, rec.Code)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, httptest.NewRequestWithContext(ctx, "POST", "/v1/terms/check", strings.NewReader(`{"works":["`+id+`"],"uses":["train"],"at":"2026-11-26T12:00:00Z"}`)))
	if rec.Code != http.StatusServiceUnavailable {
		t.Errorf("a mixture: %d, want 503", rec.Code)
	}
}
