package auth_test

import (
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/client"
)

// TestRotatedKeys: the caller is the identity, by whichever of its keys signs for it
// now. Lists and tokens of the policy that name it, by its first key or a later one,
// go on; what was given out to the key before does not.
func TestRotatedKeys(t *testing.T) {
	first, second, third, dead := signer(1), signer(2), signer(3), signer(9)
	of := map[sign.KeyID]sign.KeyID{second.ID(): first.ID(), third.ID(): first.ID()}
	whose := func(id sign.KeyID) sign.KeyID {
		if i, ok := of[id]; ok {
			return i
		}
		return id
	}
	party := func(id sign.KeyID) (sign.KeyID, bool, error) {
		return whose(id), id != first.ID() && id != second.ID() && id != dead.ID(), nil
	}
	live := func(id sign.KeyID) (sign.KeyID, bool, error) { return whose(id), id != dead.ID(), nil }
	give := func() (string, string) {
		token, hash, err := auth.NewToken(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return token, hash
	}
	bound, boundHash := give()
	later, laterHash := give()
	lost, lostHash := give()
	before, _ := give()
	now, _ := give()
	issued := map[[sha256.Size]byte]sign.KeyID{sha256.Sum256([]byte(before)): second.ID(), sha256.Sum256([]byte(now)): third.ID()}
	tokens := []auth.Token{
		{Name: "bound", SHA256: boundHash, Key: first.ID()}, {Name: "later", SHA256: laterHash, Key: second.ID()}, {Name: "lost", SHA256: lostHash, Key: dead.ID()},
	}
	for name, policy := range map[string]auth.Policy{
		"open":                {Write: auth.Open, Tokens: tokens},
		"list by the name":    {Write: auth.Allowlist, Allow: []sign.KeyID{first.ID()}, Tokens: tokens},
		"list by an old key":  {Write: auth.Allowlist, Allow: []sign.KeyID{signer(7).ID(), second.ID()}, Tokens: tokens},
		"list by the new key": {Write: auth.Allowlist, Allow: []sign.KeyID{third.ID()}, Tokens: tokens},
		"a list without":      {Write: auth.Allowlist, Allow: []sign.KeyID{signer(7).ID()}, Tokens: tokens},
	} {
		c0 := &clock{t: time.Unix(1_700_000_000, 0)}
		_, s := start(t, auth.Options{Policy: policy, Now: c0.now, Party: party, Live: live, Issued: func(sum [sha256.Size]byte) (auth.Caller, bool) {
			key, ok := issued[sum]
			return auth.Caller{Key: key, Role: auth.Reader, Token: "access"}, ok
		}})
		c0.add(time.Minute)
		for who, c := range map[string]struct {
			rt     http.RoundTripper
			status int
		}{
			"the first key":           {client.Signed(noDate{http.DefaultTransport}, first, c0.now), 401},
			"the second":              {client.Signed(noDate{http.DefaultTransport}, second, c0.now), 401},
			"the third":               {client.Signed(noDate{http.DefaultTransport}, third, c0.now), 200},
			"a token of the identity": {client.Bearer(nil, bound), 200},
			"a token of an old key":   {client.Bearer(nil, later), 200},
			"a token of nobody":       {client.Bearer(nil, lost), 401},
			"given out to an old key": {client.Bearer(nil, before), 401},
			"given out to the new":    {client.Bearer(nil, now), 403}, // it reads
		} {
			want := c.status
			if name == "a list without" && who == "the third" {
				want = 403
			}
			status, body := send(t, c.rt, "POST", s.URL+"/x", "body", nil)
			if status != want || status == 200 && !strings.HasPrefix(body, string(first.ID())+" ") {
				t.Errorf("%s, %s: %d %q, want %d and the identity", name, who, status, body, want)
			}
		}
	}
}

// An index that cannot be read says nothing about a caller.
func TestPartyUnknown(t *testing.T) {
	c0 := &clock{t: time.Unix(1_700_000_000, 0)}
	_, s := start(t, auth.Options{Policy: auth.Policy{Write: auth.Open}, Now: c0.now,
		Party: func(sign.KeyID) (sign.KeyID, bool, error) {
			return "", false, fault.New(fault.Internal, "it is damaged")
		}})
	c0.add(time.Minute)
	if status, _ := send(t, client.Signed(noDate{http.DefaultTransport}, signer(1), c0.now), "POST", s.URL+"/x", "body", nil); status != 500 {
		t.Errorf("%d, want 500", status)
	}
}
