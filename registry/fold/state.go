package fold

import (
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/sign"
)

// A State is the fold's state in memory: a [View] that grows by its own
// results. It is for replays that want verdicts and digest and no lookups, and
// costs some hundred bytes a statement. It is not safe for concurrent use.
type State struct {
	origin string
	size   uint64
	digest [32]byte

	registry   *SetRegistry
	statements map[cid.Cid]Decided
	signers    map[signer]bool
	heads      map[nameKey]Head
	taken      map[versionKey]bool
	handles    map[string]sign.KeyID
	keys       map[sign.KeyID]KeyState
	chains     map[sign.KeyID]Chain

	creditState
	standingState
}

type (
	signer struct {
		statement cid.Cid
		id        sign.KeyID
	}
	nameKey struct {
		publisher sign.KeyID
		name      string
	}
	versionKey struct {
		nameKey
		version string
	}
)

var _ View = (*State)(nil)

// NewState returns the state of the empty log of the given origin.
func NewState(origin string) *State {
	return &State{
		origin:     origin,
		digest:     Genesis(origin),
		statements: make(map[cid.Cid]Decided),
		signers:    make(map[signer]bool),
		heads:      make(map[nameKey]Head),
		taken:      make(map[versionKey]bool),
		handles:    make(map[string]sign.KeyID),
		keys:       make(map[sign.KeyID]KeyState),
		chains:     make(map[sign.KeyID]Chain),

		creditState:   newCreditState(),
		standingState: newStandingState(),
	}
}

// Apply judges e as the next entry of the log, and applies what follows.
func (s *State) Apply(e *Entry) Result {
	r, err := e.Judge(s, s.origin, s.size)
	if err != nil {
		panic(fmt.Sprintf("fold: a map failed: %v", err)) // this View never fails
	}
	if r.Decides() {
		s.statements[e.Leaf.Stmt.Cid] = Decided{Index: s.size, Verdict: r.Verdict, Kind: e.Kind()}
	}
	for _, effect := range r.Effects {
		for _, id := range Acted(effect) {
			s.keys[id] = s.key(id)
		}
	}
	for _, effect := range r.Effects {
		s.apply(effect)
		s.creditState.apply(effect, s.size)
		s.standingState.apply(effect)
	}
	before := s.digest
	s.digest = Next(before, s.size, e.LeafHash, r)
	s.entries = append(s.entries, LoggedState{Statement: e.Leaf.Stmt.Cid, Before: before, After: s.digest})
	s.size++
	return r
}

func (s *State) apply(effect Effect) {
	switch e := effect.(type) {
	case SetRegistry:
		s.registry = &e
	case AddVersion:
		s.applyNode(e.Node)
	case AddModel:
		s.applyNode(e.Node)
	case AddSigners:
		for _, id := range e.Signers {
			s.signers[signer{e.Statement.Cid, id}] = true
		}
	case SetProfile:
		if e.Handle != "" {
			s.handles[e.Handle] = e.Identity
		}
	case AddKey:
		s.chains[e.Identity] = s.chains[e.Identity].With(e)
	case RotateKey:
		s.chains[e.Identity] = s.chains[e.Identity].With(e)
		s.keys[e.Replaces] = s.key(e.Replaces).Replace(s.size)
		s.keys[e.Key] = KeyState{Identity: e.Identity, From: s.size}
	case RevokeKey:
		s.chains[e.Identity] = s.chains[e.Identity].With(e)
		s.keys[e.Key] = s.key(e.Key).Revoke(s.size)
	}
}

// key returns what is known of a key: without more, it is the first of its own
// identity.
func (s *State) key(id sign.KeyID) KeyState {
	if k, ok := s.keys[id]; ok {
		return k
	}
	return KeyState{Identity: id}
}

func (s *State) applyNode(n Node) {
	name := nameKey{n.Publisher, n.Name}
	s.heads[name] = Head{Statement: n.Statement.Cid, Work: n.Work, Seq: n.Seq}
	s.taken[versionKey{name, n.Version}] = true
}

// Size returns how many entries were applied.
func (s *State) Size() uint64 { return s.size }

// Digest returns the digest after the last entry applied.
func (s *State) Digest() [32]byte { return s.digest }

// Registry implements [View].
func (s *State) Registry() (SetRegistry, bool, error) {
	if s.registry == nil {
		return SetRegistry{}, false, nil
	}
	return *s.registry, true, nil
}

// Statement implements [View].
func (s *State) Statement(c cid.Cid) (Decided, bool, error) {
	d, ok := s.statements[c]
	return d, ok, nil
}

// Signed implements [View].
func (s *State) Signed(c cid.Cid, id sign.KeyID) (bool, error) {
	return s.signers[signer{c, id}], nil
}

// Head implements [View].
func (s *State) Head(publisher sign.KeyID, name string) (Head, bool, error) {
	h, ok := s.heads[nameKey{publisher, name}]
	return h, ok, nil
}

// VersionTaken implements [View].
func (s *State) VersionTaken(publisher sign.KeyID, name, version string) (bool, error) {
	return s.taken[versionKey{nameKey{publisher, name}, version}], nil
}

// Handle implements [View].
func (s *State) Handle(handle string) (sign.KeyID, bool, error) {
	id, ok := s.handles[handle]
	return id, ok, nil
}

// Key implements [View].
func (s *State) Key(key sign.KeyID) (KeyState, bool, error) { return lookup(s.keys, key) }

// Chain implements [View].
func (s *State) Chain(identity sign.KeyID) (Chain, bool, error) { return lookup(s.chains, identity) }
