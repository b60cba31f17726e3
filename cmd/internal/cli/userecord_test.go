package cli

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// TestAttachFetches: fetch records are named at the inputs that they are about,
// once a gateway of the registry has signed them.
func TestAttachFetches(t *testing.T) {
	signer := func(b byte) sign.Signer {
		return sign.NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize)))
	}
	gateway, stranger := signer(1), signer(2)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(wire.Registry{Statement: cjson.CID{Cid: cjson.RawCID([]byte("registry"))}, GatewayKeys: []sign.KeyID{gateway.ID()}})
	}))
	defer srv.Close()
	api := client.New(srv.URL, srv.Client().Transport)
	raw := func(s string) cjson.CID { return cjson.CID{Cid: cjson.RawCID([]byte(s))} }

	const origin, nonce = "cairn.example/log", "EBESExQVFhcYGRobHB0eHw"
	u := &manifests.Usage{Common: manifests.Common{Registry: origin}, Inputs: []manifests.Input{{Statement: raw("one")}, {Statement: raw("two")}}}
	file := func(by sign.Signer, change func(*manifests.FetchRecord)) string {
		t.Helper()
		f := &manifests.FetchRecord{Registry: origin, Nonce: nonce, Statement: raw("one"), Root: raw("data"), Bytes: 4, CoveragePpm: 1_000_000,
			FetchedFrom: "2026-11-22T08:00:00Z", FetchedTo: "2026-11-22T08:00:01Z"}
		if change != nil {
			change(f)
		}
		b, err := manifests.NewFetchRecord(f, by)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "fetch.json")
		if err := os.WriteFile(name, append(b, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	env := &Env{Stderr: os.Stderr}

	r := &manifests.UseRecord{Inputs: []manifests.UseInput{{Statement: raw("two"), Purpose: "p"}}}
	good := file(gateway, nil)
	if err := env.attachFetches(t.Context(), api, []string{good}, r, u); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, in := range r.Inputs {
		if in.Statement == raw("one") {
			found++
			if len(in.Fetches) != 1 || !in.Fetches[0].Equals(cjson.RawCID(bytes.TrimSuffix(b, []byte("\n")))) || in.FirstUsedAt != "2026-11-22T08:00:01Z" {
				t.Errorf("%+v", in)
			}
		}
	}
	if found != 1 || len(r.Inputs) != 2 {
		t.Errorf("the inputs are %+v", r.Inputs)
	}

	for what, c := range map[string]struct {
		name string
		want fault.Code
	}{
		"signed by a stranger":        {file(stranger, nil), fault.Unverified},
		"about another registry":      {file(gateway, func(f *manifests.FetchRecord) { f.Registry = "elsewhere.example/log" }), fault.Invalid},
		"about what was not an input": {file(gateway, func(f *manifests.FetchRecord) { f.Statement = raw("three") }), fault.Invalid},
	} {
		if err := env.attachFetches(t.Context(), api, []string{c.name}, &manifests.UseRecord{}, u); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
}

// TestShare: the shares of a mixture sum to a million, whatever the units.
func TestShare(t *testing.T) {
	for _, c := range []struct {
		units []string
		unit  []string
		want  []int64
	}{
		{[]string{"1", "1", "1"}, []string{"token", "token", "token"}, []int64{333_334, 333_333, 333_333}},
		{[]string{"0", "0"}, []string{"token", "token"}, []int64{500_000, 500_000}},
		{[]string{"170141183460469231731687303715884105727", "1"}, []string{"token", "token"}, []int64{1_000_000, 0}},
		{[]string{"1", "5"}, []string{"token", "record"}, []int64{250_000, 750_000}}, // by bytes
	} {
		sizes := make(map[cid.Cid]int64)
		inputs := make([]manifests.LockInput, len(c.units))
		for i := range inputs {
			inputs[i] = manifests.LockInput{Statement: cjson.CID{Cid: cjson.RawCID([]byte{byte(i)})}, Units: c.units[i], Unit: c.unit[i], EpochsPpm: 1_000_000}
			sizes[inputs[i].Statement.Cid] = int64(100 * (1 + 2*i))
		}
		if err := share(inputs, sizes); err != nil {
			t.Fatal(err)
		}
		for i, n := range inputs {
			if n.SharePpm != c.want[i] {
				t.Errorf("%v %v: input %d has %d, want %d", c.units, c.unit, i, n.SharePpm, c.want[i])
			}
		}
	}
	if err := share([]manifests.LockInput{{Units: "many"}}, nil); !errors.Is(err, fault.Invalid) {
		t.Errorf("many units: %v", err)
	}
}
