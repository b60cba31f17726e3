package proof

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// A Chain is what some key events say of whose keys are whose. It knows the events
// that it was given and no others: whether the log accepted them, and whether there
// are more, takes a replay.
type Chain struct {
	keys map[sign.KeyID]*chainKey
	next map[sign.KeyID]string // by identity: the digest of the key that follows
	last uint64
	any  bool
}

type chainKey struct {
	identity          sign.KeyID
	from              uint64
	replaced, revoked *uint64
}

// NewChain returns a Chain without events.
func NewChain() *Chain {
	return &Chain{keys: make(map[sign.KeyID]*chainKey), next: make(map[sign.KeyID]string)}
}

func (c *Chain) key(id sign.KeyID) *chainKey {
	if k, ok := c.keys[id]; ok {
		return k
	}
	return &chainKey{identity: id}
}

// Add adds the event at an index, which signers signed; indexes rise. It is
// fault.Unverified for an event that does not follow from those before it, which
// the log rejects, or of which an earlier one is not known here. It is then left
// out.
func (c *Chain) Add(index uint64, k *manifests.Key, signers []sign.KeyID) error {
	old, err := c.follows(index, k, signers)
	if err != nil {
		return err
	}
	at := &index
	switch k.Op {
	case manifests.KeyFirst:
		c.keys[k.Identity], c.next[k.Identity] = c.key(k.Identity), k.Next
	case manifests.KeyRotate:
		was := c.key(old)
		was.replaced = at
		c.keys[old] = was
		c.keys[k.Key], c.next[k.Identity] = &chainKey{identity: k.Identity, from: index}, k.Next
	case manifests.KeyRevoke:
		gone := c.key(k.Key)
		gone.revoked = at
		c.keys[k.Key] = gone
	}
	c.last, c.any = index, true
	return nil
}

// Follows reports what Add would, and adds nothing.
func (c *Chain) Follows(index uint64, k *manifests.Key, signers []sign.KeyID) error {
	_, err := c.follows(index, k, signers)
	return err
}

// follows returns the key of the identity that signed the event.
func (c *Chain) follows(index uint64, k *manifests.Key, signers []sign.KeyID) (old sign.KeyID, err error) {
	not := func(format string, args ...any) (sign.KeyID, error) {
		return "", fault.New(fault.Unverified, "the key event at entry %d does not follow from those before it: %s", index, fmt.Sprintf(format, args...))
	}
	if c.any && index <= c.last {
		return not("it does not come after entry %d", c.last)
	}
	signed := 0
	for _, s := range signers {
		if k.Op == manifests.KeyRotate && s == k.Key {
			continue
		}
		now := c.key(s)
		if now.identity != k.Identity || now.replaced != nil || now.revoked != nil {
			return not("%s is not the key of %s there", s, k.Identity)
		}
		old, signed = s, signed+1
	}
	if signed != 1 {
		return not("%d keys of %s signed it", signed, k.Identity)
	}
	_, known := c.keys[k.Key]
	switch k.Op {
	case manifests.KeyFirst:
		if known {
			return not("it is not the first of %s", k.Identity)
		}
	case manifests.KeyRotate:
		switch next := c.next[k.Identity]; {
		case !slices.Contains(signers, k.Key):
			return not("%s did not sign it", k.Key)
		case known || k.Key == k.Identity:
			return not("%s is a key already", k.Key)
		case next != "" && next != manifests.KeyDigest(k.Key):
			return not("another key than %s was announced", k.Key)
		}
	case manifests.KeyRevoke:
		if gone := c.key(k.Key); gone.identity != k.Identity || gone.revoked != nil {
			return not("%s is no key of %s, or revoked", k.Key, k.Identity)
		}
	}
	return old, nil
}

// Party returns the identity that a key belonged to at an entry, the entry from
// which it did (0 for a first key), and an error, fault.Unverified, when it did not
// sign for it there any more.
func (c *Chain) Party(id sign.KeyID, index uint64) (identity sign.KeyID, from uint64, err error) {
	k := c.key(id)
	switch {
	case k.identity != id && k.from >= index:
		return id, 0, nil
	case k.revoked != nil && *k.revoked < index:
		err = fault.New(fault.Unverified, "%s was revoked at entry %d, before entry %d", id, *k.revoked, index)
	case k.replaced != nil && *k.replaced < index:
		err = fault.New(fault.Unverified, "%s was replaced at entry %d, before entry %d", id, *k.replaced, index)
	}
	return k.identity, k.from, err
}

// Revoked returns the entry below index that revoked a key; false for none.
func (c *Chain) Revoked(id sign.KeyID, index uint64) (uint64, bool) {
	if k := c.key(id); k.revoked != nil && *k.revoked < index {
		return *k.revoked, true
	}
	return 0, false
}

// chainAt is a chain, and the entry that is judged by it.
type chainAt struct {
	*Chain
	index uint64
}

// A keyEvent is what became of a key event of a bundle.
type keyEvent struct {
	index  uint64
	detail string
	err    error
}

// keyEvents reads the key events of a bundle, for what follows: nil when it is not
// known which entry they are to judge.
func (r *BundleReport) keyEvents(b *Bundle, p *Policy) (*chainAt, []keyEvent) {
	rec, err := ParseReceipt(b.Receipt)
	if err != nil {
		return nil, nil
	}
	v, err := p.Verify(rec.Checkpoint)
	if err != nil {
		return nil, nil
	}
	chain := &chainAt{NewChain(), rec.Index}
	events := make([]keyEvent, len(b.KeyEvents))
	for i, e := range b.KeyEvents {
		k, signers, index, err := openKeyEvent(e, p, v)
		if err == nil {
			err = chain.Add(index, k, signers)
		}
		events[i] = keyEvent{index: index, err: err}
		if err == nil {
			events[i].detail = fmt.Sprintf("%s of %s at entry %d", k.Op, k.Key, index)
		}
	}
	return chain, events
}

func openKeyEvent(e Entry, p *Policy, v Verified) (*manifests.Key, []sign.KeyID, uint64, error) {
	sub := CheckEntry(e.Envelope, e.Leaf)
	if !sub.Holds() {
		return nil, nil, 0, fault.New(fault.Unverified, "the key event does not hold: %s", sub.failed())
	}
	k, ok := sub.Predicate().(*manifests.Key)
	if !ok {
		return nil, nil, 0, fault.New(fault.Unverified, "an entry of kind %s is no key event", sub.Kind)
	}
	rec, err := ParseReceipt(e.Receipt)
	if err != nil {
		return nil, nil, 0, err
	}
	w, err := rec.Verify(e.Leaf, p)
	if err != nil {
		return nil, nil, 0, err
	}
	if w.Checkpoint != v.Checkpoint {
		return nil, nil, 0, fault.New(fault.Unverified, "the key event is proved against another checkpoint")
	}
	if k.Registry != w.Origin {
		return nil, nil, 0, fault.New(fault.Unverified, "the key event is for %s", fault.Quote(k.Registry))
	}
	return k, sub.Signers, rec.Index, nil
}

// signers judges who signed: by the statement, and by the key events when there
// are some to judge by.
func (r *BundleReport) signers(s *manifests.Statement, keys []sign.KeyID, chain *chainAt) {
	required, allowed := s.Signers()
	parties, detail := slices.Clone(keys), ""
	if chain != nil && s.Authority() == "" {
		for i, k := range keys {
			identity, from, _ := chain.Party(k, chain.index)
			if identity == k {
				continue
			}
			parties[i] = identity
			if detail != "" {
				detail += "; "
			}
			detail += fmt.Sprintf("%s signed, which was the key of %s from entry %d", k, identity, from)
		}
		if !slices.Equal(parties, keys) {
			r.Parties = parties
		}
	}
	if s.StateSigners() {
		if detail != "" {
			detail += "; "
		}
		detail += "the log's state names more signers than the statement; it takes a replay to judge them"
	}
	stranger := func(k sign.KeyID) bool { return !slices.Contains(allowed, k) }
	if chain == nil && !s.StateSigners() && slices.ContainsFunc(parties, stranger) {
		r.skip(CheckSigners, "keys signed that the statement does not name: whether they are keys of those whom it names takes the key events")
		return
	}
	var errs []error
	for _, k := range required {
		if !slices.Contains(parties, k) {
			errs = append(errs, fault.New(fault.Unverified, "%s had to sign and did not", k))
		}
	}
	if !s.StateSigners() {
		for _, k := range parties {
			if stranger(k) {
				errs = append(errs, fault.New(fault.Unverified, "%s signed and is not a party to the statement, nor is it a party's key by the key events in the bundle", k))
			}
		}
	}
	r.add(CheckSigners, "", errors.Join(errs...), detail)
}

// keys reports on the key events that the bundle carries, and whether the signers'
// keys were good at the entry by these. A place in a group is a key's own: a
// rotation does not end it.
func (r *BundleReport) keys(chain *chainAt, events []keyEvent, v Verified, included bool) {
	if !included || chain == nil {
		r.skip(CheckKeys, "where the entry stands is not proved")
		return
	}
	if len(events) == 0 {
		r.add(CheckKeys, "", nil, fmt.Sprintf("no key events of the signers up to size %d are in the bundle", v.Size))
		return
	}
	for i, e := range events {
		r.add(CheckKeys, fmt.Sprintf("keyEvents[%d]", i), e.err, e.detail)
	}
	group := r.statement != nil && r.statement.Authority() != ""
	for _, k := range r.Signers {
		_, _, err := chain.Party(k, chain.index)
		if at, revoked := chain.Revoked(k, chain.index); group && !revoked {
			err = nil
		} else if group {
			err = fault.New(fault.Unverified, "%s was revoked at entry %d, before entry %d", k, at, chain.index)
		}
		if err != nil {
			r.add(CheckKeys, string(k), err, "")
		}
	}
}
