package auth

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/httpsig"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// What is remembered of signatures is bounded, nothing is forgotten while it could
// be sent again, and no key, nor all that are not listed, fills the memory.
func TestNoncesAreBounded(t *testing.T) {
	var n nonces
	now := time.Unix(1_800_000_000, 0)
	until := now.Add(Window)
	taken := 0
	for i := range maxKeyNonces + 10 {
		switch err := n.take("one", fmt.Sprint(i), now, until, maxNonces); {
		case err == nil:
			taken++
		case !errors.Is(err, fault.Busy):
			t.Fatal(err)
		}
	}
	if taken != maxKeyNonces {
		t.Errorf("one key took %d, at most %d", taken, maxKeyNonces)
	}
	for i := taken; i < maxNonces/2; i++ {
		if err := n.take(fmt.Sprint("key", i%100), fmt.Sprint(i), now, until, maxNonces/2); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.take("stranger", "x", now, until, maxNonces/2); !errors.Is(err, fault.Busy) {
		t.Errorf("a stranger more than half: %v", err)
	}
	if err := n.take("listed", "x", now, until, maxNonces); err != nil {
		t.Errorf("a listed key, when strangers have all of theirs: %v", err)
	}
	if err := n.take("listed", "x", until.Add(-time.Second), until, maxNonces); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("again, a second before its end: %v", err)
	}
	if err := n.take("stranger", "x", until.Add(time.Second), until.Add(Window), maxNonces/2); err != nil || len(n.seen) != 1 || len(n.perKey) != 1 {
		t.Errorf("once all are over: %v, %d are remembered of %d keys", err, len(n.seen), len(n.perKey))
	}
}

// The room that strangers cannot fill is the identities' that the policy lists, by
// whichever key signs for them now; a key that was replaced is a stranger's.
func TestNoncesOfRotatedKeys(t *testing.T) {
	const first, second = sign.KeyID("did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"), sign.KeyID("did:key:z6MkjchhfUsD6mmvni8mCdXHw216Xrm9bQe2mBH1P5RDjVJG")
	now := time.Unix(1_800_000_000, 0)
	var broken error
	a, err := New(Options{
		Policy: Policy{Write: Allowlist, Allow: []sign.KeyID{first}}, Now: func() time.Time { return now },
		Party: func(key sign.KeyID) (sign.KeyID, bool, error) {
			if key == second {
				return first, true, broken
			}
			return key, key != first, broken
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	until := now.Add(Window)
	for i := range maxNonces / 2 {
		if err := a.nonces.take(fmt.Sprint("key", i%100), fmt.Sprint(i), now, until, maxNonces/2); err != nil {
			t.Fatal(err)
		}
	}
	fresh := func(key sign.KeyID) error {
		return a.fresh(httpsig.Params{KeyID: string(key), Nonce: "0123456789abcdef", Created: now.Unix(), Expires: until.Unix()})
	}
	if err := fresh("did:key:z6MknGc3ocHs3zdPiJbnaaqDi58NGb4pk1Sp9WxWufuXSdxf"); !errors.Is(err, fault.Busy) {
		t.Errorf("a stranger: %v", err)
	}
	if err := fresh(first); !errors.Is(err, fault.Busy) {
		t.Errorf("the key before: %v", err)
	}
	if err := fresh(second); err != nil {
		t.Errorf("the key that signs for who is listed: %v", err)
	}
	broken = fault.New(fault.Internal, "the index is damaged")
	var state *stateError
	if err := fresh(second); !errors.As(err, &state) {
		t.Errorf("an index that cannot be read: %v", err)
	}
}
