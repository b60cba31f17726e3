package access_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

func (s *site) rotate(who, from, to string) {
	s.t.Helper()
	payload, err := manifests.Encode(manifests.New(&manifests.Key{Common: common(s.t), Identity: foldtest.ID(who), Key: foldtest.ID(to), Op: manifests.KeyRotate}))
	if err != nil {
		s.t.Fatal(err)
	}
	e, err := sign.Seal(payload, foldtest.Key(from), foldtest.Key(to))
	if err != nil {
		s.t.Fatal(err)
	}
	b, err := e.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	if out, err := s.reg.Submit(s.t.Context(), b); err != nil || out.Verdict != registry.Accepted {
		s.t.Fatalf("%+v, %v", out, err)
	}
}

// What an identity may read follows to its new key, as a party and as a fetcher; the
// key before, its signature, its token and its peer, read nothing.
func TestRightsFollowTheKey(t *testing.T) {
	s := newSite(t)
	one, two := s.space("one"), s.space("two")
	s.accept("ana", one)
	fetch := &manifests.Accept{Common: common(t), Party: foldtest.ID("ben"), Terms: cjson.CID{Cid: two}, Fetchers: []sign.KeyID{foldtest.ID("ana")}}
	if _, err := s.reg.Submit(t.Context(), seal(t, manifests.New(fetch), "ben")); err != nil {
		t.Fatal(err)
	}
	got, err := s.client("ana").Access(t.Context())
	if err != nil || len(got.Terms) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if status, _ := s.opens(got.Token, one); status != 200 {
		t.Fatalf("before the rotation, the token gets %d", status)
	}
	data := cjson.RawCID([]byte("data of two"))
	if may := s.access.Peer(); !may(foldtest.ID("ana"), data) || may(foldtest.ID("ana2"), data) {
		t.Fatal("before the rotation, the peers are wrong")
	}
	s.rotate("ana", "ana", "ana2")
	if status, _ := s.opens(got.Token, one); status != 401 {
		t.Errorf("the token of the key before gets %d, want 401", status)
	}
	if _, err := s.client("ana").Access(t.Context()); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("the key before: %v", err)
	}
	for who, want := range map[string]int{"ana": 401, "ana2": 200} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", s.url+"/opens/"+two.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Signed(nil, foldtest.Key(who), time.Now).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("a request that %s signed gets %d, want %d", who, resp.StatusCode, want)
		}
	}
	next, err := s.client("ana2").Access(t.Context())
	if err != nil || len(next.Terms) != 2 || next.Key != foldtest.ID("ana") {
		t.Fatalf("the new key: %+v, %v", next, err)
	}
	if status, _ := s.opens(next.Token, one); status != 200 {
		t.Errorf("its token gets %d", status)
	}
	if may := s.access.Peer(); may(foldtest.ID("ana"), data) || !may(foldtest.ID("ana2"), data) {
		t.Error("after the rotation, the peers are wrong")
	}
	// The tokens outlive the server, as they are.
	s.begin()
	for token, want := range map[string]int{got.Token: 401, next.Token: 200} {
		if status, _ := s.opens(token, one); status != want {
			t.Errorf("after a restart a token gets %d, want %d", status, want)
		}
	}
}
