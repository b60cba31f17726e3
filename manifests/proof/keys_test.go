package proof_test

import (
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
)

func rotate(n byte, identity, to sign.Signer, next sign.Signer) *manifests.Statement {
	k := &manifests.Key{Common: common(n), Identity: identity.ID(), Key: to.ID(), Op: manifests.KeyRotate}
	if next != nil {
		k.Next = manifests.KeyDigest(next.ID())
	}
	return manifests.New(k)
}

// TestBundleOfRotatedKeys: a bundle shows by which chain of keys a signer was a
// party's key at the entry, and whatever does not follow fails.
func TestBundleOfRotatedKeys(t *testing.T) {
	w := newWorld(t)
	w.append([]byte("a"))
	first, second, third, fourth := contributor(3), contributor(4), contributor(5), contributor(6)
	var entries []proof.Entry
	var at []uint64
	log := func(s *manifests.Statement, signers ...sign.Signer) int {
		e, i := w.submit(s, signers...)
		entries, at = append(entries, e), append(at, i)
		return len(entries) - 1
	}
	early := log(profile(1, first), second) // not yet its key
	one := log(rotate(2, first, second, third), first, second)
	old := log(profile(3, first), first) // replaced
	good := log(profile(4, first), second)
	thief := log(rotate(5, first, fourth, nil), second, fourth) // not the one announced
	stale := log(rotate(6, first, third, nil), first, third)    // by a key that was replaced
	two := log(rotate(7, first, third, nil), second, third)
	late := log(profile(8, first), second)
	last := log(profile(9, first), third)
	stolen := log(profile(10, first), fourth)
	gone := log(manifests.New(&manifests.Key{Common: common(11), Identity: first.ID(), Key: third.ID(), Op: manifests.KeyRevoke}), third)
	dead := log(profile(12, first), third)
	for i := range entries {
		entries[i].Receipt = w.receipt(at[i])
	}
	p := policy(t, logVKey)
	verify := func(entry int, events ...int) *proof.BundleReport {
		t.Helper()
		b := proof.Bundle{Entry: entries[entry]}
		for _, e := range events {
			b.KeyEvents = append(b.KeyEvents, entries[e])
		}
		enc, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		r, err := proof.VerifyBundle(enc, p)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, c := range map[string]struct {
		r    *proof.BundleReport
		want string // the checks that fail
	}{
		"the second key":                 {verify(good, one), ""},
		"the second key, all events":     {verify(good, one, two, gone), ""},
		"the third key":                  {verify(last, one, two), ""},
		"a rotation itself":              {verify(two, one, two), ""},
		"the first rotation":             {verify(one, one, two), ""},
		"the revocation":                 {verify(gone, one, two, gone), ""},
		"without events":                 {verify(good), proof.CheckSigners},
		"with half of the chain":         {verify(last, two), proof.CheckSigners + " " + proof.CheckKeys},
		"before it was its key":          {verify(early, one), proof.CheckSigners},
		"the first key, replaced":        {verify(old, one), proof.CheckKeys},
		"the second key, replaced":       {verify(late, one, two), proof.CheckKeys},
		"the third key, revoked":         {verify(dead, one, two, gone), proof.CheckKeys},
		"a key that was not announced":   {verify(stolen, one, thief), proof.CheckSigners + " " + proof.CheckKeys},
		"rotated by a replaced key":      {verify(last, one, stale), proof.CheckSigners + " " + proof.CheckKeys},
		"events in another order":        {verify(last, two, one), proof.CheckSigners + " " + proof.CheckKeys},
		"an event twice":                 {verify(good, one, one), proof.CheckKeys},
		"a profile among the key events": {verify(good, one, last), proof.CheckKeys},
	} {
		if got := strings.Join(failing(c.r), " "); got != c.want {
			t.Errorf("%s: fails %q, want %q: %+v", name, got, c.want, c.r.Findings)
		}
	}
	r := verify(last, one, two)
	if len(r.Parties) != 1 || r.Parties[0] != first.ID() || r.Signers[0] != third.ID() {
		t.Errorf("signers %s, parties %s", r.Signers, r.Parties)
	}
	said := false
	for _, f := range r.Findings {
		said = said || f.Check == proof.CheckSigners && strings.Contains(f.Detail, string(third.ID())+" signed, which was the key of "+string(first.ID())+" from entry")
	}
	if !said {
		t.Errorf("nothing says whose key it is: %+v", r.Findings)
	}
	if r := proof.CheckEntry(entries[last].Envelope, entries[last].Leaf); !r.Holds() {
		t.Errorf("without key events it is not known who signed, and it fails: %+v", r.Findings)
	}
}

// TestChain: what does not follow is refused and leaves the chain as it was.
func TestChain(t *testing.T) {
	a, b := contributor(3).ID(), contributor(4).ID()
	c := proof.NewChain()
	event := func(op string, key sign.KeyID) *manifests.Key { return &manifests.Key{Identity: a, Key: key, Op: op} }
	if err := c.Add(3, event(manifests.KeyRotate, b), []sign.KeyID{a, b}); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"back to the first": c.Add(5, event(manifests.KeyRotate, a), []sign.KeyID{b, a}),
		"the same index":    c.Add(3, event(manifests.KeyRevoke, b), []sign.KeyID{b}),
		"an old key":        c.Add(5, event(manifests.KeyRevoke, b), []sign.KeyID{a}),
		"nobody":            c.Add(5, event(manifests.KeyRevoke, b), nil),
		"a first one":       c.Add(5, event(manifests.KeyFirst, a), []sign.KeyID{b}),
	} {
		if fault.Of(err) != fault.Unverified {
			t.Errorf("%s: %v", name, err)
		}
	}
	for index, want := range map[uint64]sign.KeyID{3: b, 4: a} {
		if id, _, err := c.Party(b, index); id != want || err != nil {
			t.Errorf("at entry %d the second key is of %s, %v", index, id, err)
		}
	}
	if id, _, err := c.Party(a, 3); id != a || err != nil {
		t.Errorf("at its last entry the first key is of %s, %v", id, err)
	}
	if _, _, err := c.Party(a, 4); fault.Of(err) != fault.Unverified {
		t.Errorf("the first key after the rotation: %v", err)
	}
}
