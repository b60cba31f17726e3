package upload_test

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// Blocks whose bytes are those of their CID, but are not what their codec says:
// such a shard is taken, and the commit refuses the DAG that links to one.
// Nothing of it is promoted.
func TestBadLinkedBlocks(t *testing.T) {
	s := newSite(t, nil)
	named := func(codec uint64, b []byte) cid.Cid {
		h := sha256.Sum256(b)
		return cid.NewCidV1(codec, append([]byte{0x12, sha256.Size}, h[:]...))
	}
	sha1 := cid.NewCidV1(cid.Raw, append([]byte{0x11, 20}, make([]byte, 20)...))
	leaf := named(cid.Raw, nil).Bytes()
	for i, r := range []struct {
		name  string
		codec uint64
		block []byte
		want  int
	}{
		{"dag-json as it should be", cid.DagJSON, []byte(`{"a":1,"b":2}`), http.StatusCreated},
		{"dag-json, unsorted", cid.DagJSON, []byte(`{"b":1,"a":2}`), http.StatusUnprocessableEntity},
		{"dag-json with a space", cid.DagJSON, []byte(`{"a": 1}`), http.StatusUnprocessableEntity},
		{"dag-json, a key twice", cid.DagJSON, []byte(`{"a":1,"a":2}`), http.StatusUnprocessableEntity},
		{"dag-json, an escape too many", cid.DagJSON, []byte(`{"\u0061":1}`), http.StatusUnprocessableEntity},
		{"dag-json, a number's other form", cid.DagJSON, []byte(`{"a":1.0}`), http.StatusUnprocessableEntity},
		{"dag-json and a line end", cid.DagJSON, []byte("{}\n"), http.StatusUnprocessableEntity},
		{"dag-json, nested 1,000 deep", cid.DagJSON, append(bytes.Repeat([]byte("["), 1000), bytes.Repeat([]byte("]"), 1000)...), http.StatusUnprocessableEntity},
		{"dag-json that is none", cid.DagJSON, []byte("x"), http.StatusUnprocessableEntity},
		{"dag-json with a link to sha1", cid.DagJSON, []byte(`{"/":"` + sha1.String() + `"}`), http.StatusUnprocessableEntity},
		{"dag-cbor", cid.DagCBOR, []byte{0xa0}, http.StatusUnprocessableEntity},
		{"dag-cbor that is none", cid.DagCBOR, []byte{0x9a, 0xff, 0xff, 0xff, 0xff}, http.StatusUnprocessableEntity},
		{"dag-pb as it should be", cid.DagProtobuf, []byte{0x0a, 2, 8, 1}, http.StatusCreated},
		{"dag-pb, empty", cid.DagProtobuf, nil, http.StatusUnprocessableEntity},
		{"dag-pb that is none", cid.DagProtobuf, []byte("x"), http.StatusUnprocessableEntity},
		{"dag-pb, bytes behind it", cid.DagProtobuf, []byte{0x0a, 2, 8, 1, 0}, http.StatusUnprocessableEntity},
		{"dag-pb, a link without a CID", cid.DagProtobuf, []byte{0x12, 4, 0x12, 0, 0x18, 0, 0x0a, 2, 8, 1}, http.StatusUnprocessableEntity},
		{"dag-pb, a link behind the data", cid.DagProtobuf, append([]byte{0x0a, 4, 8, 2, 0x18, 0, 0x12, byte(len(leaf) + 6), 0x0a, byte(len(leaf))}, append(bytes.Clone(leaf), 0x12, 0, 0x18, 0)...), http.StatusUnprocessableEntity},
	} {
		mine := newMemory()
		var root cid.Cid
		bad := named(r.codec, r.block)
		list := []byte(`[{"/":"` + bad.String() + `"}]`)
		batch := memoryBatch{mine}
		batch.Append(t.Context(), bad, r.block)
		batch.Append(t.Context(), cjson.JSONCID(list), list)
		d := newDataset(t, mine, "ana", "x"+string(rune('a'+i)), "1.0.0", map[string]string{"a": "1"}, func(_ *manifests.Contribution, m *manifests.Manifest) { root = m.Data.Root.Cid })
		// The closure of such a dataset cannot be walked: the two are added by hand.
		c := d.statement.Predicate.(*manifests.Contribution)
		c.Attachments = cjson.CID{Cid: cjson.JSONCID(list)}
		d.statement = manifests.NewContribution(c, root)
		d.envelope = seal(t, d.statement, "ana")
		d.closure = append(d.closure, cjson.JSONCID(list), bad)

		car := d.car(t, d.closure...)
		u := s.open("ana", d.declare(t, car)).upload(t)
		if a := s.put("ana", u.ID, car, nil); a.status != http.StatusNoContent {
			t.Errorf("%s: the shard: %d %s", r.name, a.status, a.body)
			continue
		}
		before := s.reg.Status().Size
		a := s.commit("ana", u.ID)
		if a.status != r.want {
			t.Errorf("%s: %d, want %d: %s", r.name, a.status, r.want, a.body)
		}
		if r.want == http.StatusCreated {
			continue
		}
		if code := a.code(); code != string(fault.Unverified) {
			t.Errorf("%s: %s, want %s", r.name, code, fault.Unverified)
		}
		// It is refused for what it is, not for being away or too much, and named.
		if p := a.incomplete(); p.MissingTotal+p.UnreferencedTotal != 0 || !bytes.Contains(a.body, []byte(bad.String())) {
			t.Errorf("%s: %s", r.name, a.body)
		}
		if ok, err := s.store.Has(t.Context(), bad); ok || err != nil {
			t.Errorf("%s: it is in the store (%v)", r.name, err)
		}
		if now := s.reg.Status().Size; now != before {
			t.Errorf("%s: the log grew to %d", r.name, now)
		}
		if a := s.do("ana", "DELETE", "/v1/uploads/"+u.ID, nil, nil); a.status != http.StatusNoContent {
			t.Errorf("%s: dropping it: %d %s", r.name, a.status, a.body)
		}
	}
}
