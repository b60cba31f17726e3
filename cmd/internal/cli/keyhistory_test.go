package cli

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A key's revocation is found on whichever page of the events it stands, and a list
// that does not go on comes to an end.
func TestKeyHistoryPages(t *testing.T) {
	const id = sign.KeyID("did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp")
	stmt := cjson.CID{Cid: cjson.RawCID([]byte("event"))}
	pages := map[string]wire.Identity{
		"":  {Next: 3, Events: []wire.KeyEvent{{Index: 3, Op: manifests.KeyFirst, Identity: id, Key: id, Statement: stmt}}},
		"3": {Events: []wire.KeyEvent{{Index: 7, Op: manifests.KeyRevoke, Identity: id, Key: id, Statement: stmt}}},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(pages[r.URL.Query().Get("after")])
	}))
	defer s.Close()
	api := client.New(s.URL, nil)
	if e, err := revoked(t.Context(), api, id); err != nil || e == nil || e.Index != 7 {
		t.Errorf("%+v, %v", e, err)
	}
	pages["3"] = wire.Identity{Next: 3}
	if _, err := keyHistory(t.Context(), api, id); !errors.Is(err, fault.Unverified) {
		t.Errorf("a list that turns in a circle: %v", err)
	}
}
