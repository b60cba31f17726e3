package access_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// A key that was revoked reads no gated data, by token, by signature or as a peer,
// and gets no token.
func TestRevokedKeyReadsNothing(t *testing.T) {
	s := newSite(t)
	terms := s.space("one")
	s.accept("ana", terms)
	s.accept("ben", terms)
	got, err := s.client("ana").Access(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := s.opens(got.Token, terms); status != 200 {
		t.Fatalf("before it was revoked, the token gets %d", status)
	}
	ana := foldtest.ID("ana")
	_, err = s.reg.Submit(t.Context(), seal(t, manifests.New(&manifests.Key{Common: common(t), Identity: ana, Key: ana, Op: manifests.KeyRevoke}), "ana"))
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := s.opens(got.Token, terms); status != 401 {
		t.Errorf("the token gets %d, want 401", status)
	}
	if _, err := s.client("ana").Access(t.Context()); err == nil {
		t.Error("a token is given out")
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/opens/"+terms.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Signed(nil, foldtest.Key("ana"), time.Now).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 401 {
		t.Errorf("a signed request gets %d, want 401", resp.StatusCode)
	}
	if opened, err := s.access.Opened(ana); err != nil || len(opened) > 0 {
		t.Errorf("as a peer it opens %v, %v", opened, err)
	}
	if opened, err := s.access.Opened(foldtest.ID("ben")); err != nil || len(opened) != 1 {
		t.Errorf("another key opens %v, %v", opened, err)
	}
}
