package fold

import (
	"slices"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// KeyState is what the log says of a key.
type KeyState struct {
	// Identity is whose key it is, for ever: the first key of the chain.
	Identity sign.KeyID
	// From is the index of the rotation that made it the identity's; 0 for a first
	// key, which is valid from entry 0 on. It signs entries above From.
	From       uint64
	Replaced   bool
	ReplacedAt uint64 // index of the rotation that replaced it, when Replaced
	Revoked    bool
	RevokedAt  uint64 // index of the revocation, when Revoked
}

// Replace returns k after the rotation at index i put another key in its place.
func (k KeyState) Replace(i uint64) KeyState {
	k.Replaced, k.ReplacedAt = true, i
	return k
}

// Revoke returns k after its revocation at index i.
func (k KeyState) Revoke(i uint64) KeyState {
	k.Revoked, k.RevokedAt = true, i
	return k
}

// Chain is what the key events of an identity come to.
type Chain struct {
	Events uint64     // how many were accepted; at least 1
	Key    sign.KeyID // the newest key, revoked or not
	Next   string     // digest of the only key that may follow; "" for any
}

// With returns c after one more key event: an AddKey, RotateKey or RevokeKey.
func (c Chain) With(e Effect) Chain {
	c.Events++
	switch e := e.(type) {
	case AddKey:
		c.Key, c.Next = e.Key, e.Next
	case RotateKey:
		c.Key, c.Next = e.Key, e.Next
	case RevokeKey:
		if c.Key == "" {
			c.Key = e.Identity // its first event
		}
	}
	return c
}

// Keys is the part of a [View] that says whose key a key is.
type Keys interface {
	Key(key sign.KeyID) (KeyState, bool, error)
}

// PartyOf returns the identity that a key belongs to, as the state stands, and
// why it does not sign for it now: [KeyRevoked], [KeyReplaced], or "" when it
// does. Whoever compares a signer with a party of a statement asks here. A key
// that the log does not know is the first, and only, key of its own identity.
func PartyOf(v Keys, key sign.KeyID) (party sign.KeyID, not Code, err error) {
	k, ok, err := v.Key(key)
	switch {
	case err != nil:
		return "", "", err
	case !ok:
		return key, "", nil
	case k.Revoked:
		return k.Identity, KeyRevoked, nil
	case k.Replaced:
		return k.Identity, KeyReplaced, nil
	}
	return k.Identity, "", nil
}

// CurrentKey returns the key that signs for an identity as the state v stands;
// false when none does any more, and for a text that is a later key of another
// identity.
func CurrentKey(v View, identity sign.KeyID) (sign.KeyID, bool, error) {
	key := identity
	if c, ok, err := v.Chain(identity); err != nil {
		return "", false, err
	} else if ok {
		key = c.Key
	}
	party, not, err := PartyOf(v, key)
	return key, err == nil && not == "" && party == identity, err
}

// A signature is a key that signed an entry, and what it stands for.
type signature struct {
	key   sign.KeyID
	party sign.KeyID
	not   Code // why it does not count; "" when it does
}

func signatures(v Keys, keys []sign.KeyID) ([]signature, error) {
	out := make([]signature, len(keys))
	for i, k := range keys {
		party, not, err := PartyOf(v, k)
		if err != nil {
			return nil, err
		}
		out[i] = signature{k, party, not}
	}
	return out, nil
}

// partiesOf returns who signed, sorted, each once.
func partiesOf(list []signature) []sign.KeyID {
	out := make([]sign.KeyID, len(list))
	for i, s := range list {
		out[i] = s.party
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// parties returns who signed the entry.
func (j *judge) parties() []sign.KeyID { return partiesOf(j.signed) }

// mayAll checks that each signer of the entry is one of the allowed, and that
// its key signs for them.
func (j *judge) mayAll(allowed []sign.KeyID) Code { return may(j.signed, allowed) }

func may(list []signature, allowed []sign.KeyID) Code {
	for _, s := range list {
		if !slices.Contains(allowed, s.party) {
			return UnexpectedSigner
		}
	}
	return current(list)
}

// current checks that every key signs for its identity now.
func current(list []signature) Code {
	for _, not := range []Code{KeyRevoked, KeyReplaced} {
		if slices.ContainsFunc(list, func(s signature) bool { return s.not == not }) {
			return not
		}
	}
	return ""
}

// keysAmong checks that each signer of a group's statement is one of the keys
// that the registry/v1 lists, and that none is revoked. A group is of keys, not
// of identities: a rotation neither moves a place in it nor ends one.
func (j *judge) keysAmong(keys []sign.KeyID) Code {
	for _, s := range j.signed {
		if !slices.Contains(keys, s.key) {
			return UnexpectedSigner
		}
	}
	if slices.ContainsFunc(j.signed, func(s signature) bool { return s.not == KeyRevoked }) {
		return KeyRevoked
	}
	return ""
}

// recorded returns what the state keeps of who signed the first entry of a
// statement.
func (j *judge) recorded() []sign.KeyID {
	if j.entry.Statement.Authority() != "" {
		return j.entry.signers
	}
	if k, ok := j.entry.Statement.Predicate.(*manifests.Key); ok {
		return []sign.KeyID{k.Identity} // in a rotation, by two of its keys
	}
	return j.parties()
}

// firstKeys checks that the identities that effects put on a list are identities: a
// later key of one is not another. A version, or an agreement, may keep whom the work
// has had before: somebody who was listed, never signed, and then made the key another
// identity's, must not be able to end the work for the others.
func (j *judge) firstKeys(effects []Effect) (Code, error) {
	for _, e := range effects {
		var had map[sign.KeyID]bool // read once, and only when it matters
		for _, id := range listed(e) {
			k, ok, err := j.Key(id)
			if err != nil {
				return "", err
			}
			if !ok || k.Identity == id {
				continue
			}
			if had == nil {
				if had, err = j.had(e); err != nil {
					return "", err
				}
			}
			if !had[id] {
				return LaterKey, nil
			}
		}
	}
	return "", nil
}

// listed returns the identities that an effect names beside those who had to sign.
func listed(effect Effect) []sign.KeyID {
	switch e := effect.(type) {
	case AddVersion:
		return holders(e.Contributors)
	case AddModel:
		return holders(e.Contributors)
	case AddAgreement:
		return holders(e.Shares)
	case AddResolution:
		return holders(e.Shares)
	case AddAcceptance:
		return e.Fetchers
	}
	return nil
}

func holders(list []Share) []sign.KeyID {
	out := make([]sign.KeyID, len(list))
	for i, s := range list {
		out[i] = s.ID
	}
	return out
}

// had returns whom the work of a version or an agreement has had before.
func (j *judge) had(effect Effect) (map[sign.KeyID]bool, error) {
	var before []Shares
	var err error
	switch e := effect.(type) {
	case AddVersion:
		before, err = j.hadBefore(e.Node)
	case AddModel:
		before, err = j.hadBefore(e.Node)
	case AddAgreement:
		before, _, err = distributions(j, e)
	}
	had := make(map[sign.KeyID]bool)
	for _, list := range before {
		for _, s := range list.Shares {
			had[s.ID] = true
		}
	}
	return had, err
}

func (j *judge) hadBefore(n Node) ([]Shares, error) {
	if !n.Supersedes.Defined() {
		return nil, nil
	}
	v, _, err := j.Version(n.Supersedes.Cid)
	return []Shares{{Shares: v.Contributors, Total: v.Total}}, err
}

// Acted returns who becomes known with an effect: those who signed. A key that has
// signed is never another identity's; whom others name is not asked.
func Acted(effect Effect) []sign.KeyID {
	if s, ok := effect.(AddSigners); ok {
		return s.Signers
	}
	return nil
}

// key judges a key/v1. An identity is named by its first key, and belongs to
// whoever holds the newest.
func (j *judge) key(p *manifests.Key) ([]Effect, Code, error) {
	switch p.Op {
	case manifests.KeyRotate:
		return j.rotate(p)
	case manifests.KeyRevoke:
		return j.revoke(p)
	}
	if code, err := j.signedBy(p.Identity, []sign.KeyID{p.Identity}); code != "" || err != nil {
		return nil, code, err
	}
	switch _, ok, err := j.Chain(p.Identity); {
	case err != nil:
		return nil, "", err
	case ok:
		return nil, KeyExists, nil
	}
	return []Effect{AddKey{Statement: j.stmt(), Identity: p.Identity, Key: p.Key, Next: p.Next}}, "", nil
}

// rotate judges the rotation of a key: the one that signs for the identity and
// the new one sign it both. The new key must have signed nothing before: so no key
// is of two identities, no key comes back, and nobody's statements become another's.
// That others have named it does not matter, or anybody who saw it, in another log
// say, could keep it from being used.
func (j *judge) rotate(p *manifests.Key) ([]Effect, Code, error) {
	var old []signature
	signed := false
	for _, s := range j.signed {
		switch {
		case s.key == p.Key:
			signed = true
		case s.party != p.Identity:
			return nil, UnexpectedSigner, nil
		default:
			old = append(old, s)
		}
	}
	if code := current(old); code != "" {
		return nil, code, nil
	}
	if !signed || len(old) == 0 {
		return nil, MissingSignature, nil
	}
	if code := j.anchor(); code != "" {
		return nil, code, nil
	}
	switch _, known, err := j.Key(p.Key); {
	case err != nil:
		return nil, "", err
	case known:
		return nil, KeyExists, nil
	}
	chain, _, err := j.Chain(p.Identity)
	if err != nil {
		return nil, "", err
	}
	if chain.Next != "" && chain.Next != manifests.KeyDigest(p.Key) {
		return nil, NextKey, nil
	}
	return []Effect{RotateKey{Statement: j.stmt(), Identity: p.Identity, Key: p.Key, Replaces: old[0].key, Next: p.Next}}, "", nil
}

// revoke judges the revocation of a key, which the identity's current key signs:
// of itself, or of one that was replaced, whose entries are then to be doubted.
func (j *judge) revoke(p *manifests.Key) ([]Effect, Code, error) {
	if code, err := j.signedBy(p.Identity, []sign.KeyID{p.Identity}); code != "" || err != nil {
		return nil, code, err
	}
	switch party, not, err := PartyOf(j, p.Key); {
	case err != nil:
		return nil, "", err
	case party != p.Identity:
		return nil, UnknownKey, nil
	case not == KeyRevoked:
		return nil, KeyRevoked, nil
	}
	if p.CompromisedSince != nil && *p.CompromisedSince > j.index {
		return nil, CompromisedSince, nil
	}
	return []Effect{RevokeKey{Statement: j.stmt(), Identity: p.Identity, Key: p.Key, CompromisedSince: p.CompromisedSince}}, "", nil
}
