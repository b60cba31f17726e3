package index

import (
	"encoding/json"
	"math"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
)

// Limits of a page.
const (
	// DefaultLimit is the page when a query names none.
	DefaultLimit = 100
	// MaxLimit is the largest page: what one answer may hold in memory.
	MaxLimit = 1000
	// maxScan bounds the versions that one page reads: a query of several terms
	// may have to pass over many that hold one and not the other.
	maxScan = 20 * MaxLimit
)

// A Snapshot answers queries at one size of the log. Its methods return
// fault.NotFound for what is not there, and an empty list where a list of a
// known thing is empty. What cannot be true of an index is ErrRebuild.
type Snapshot struct {
	reader
	applied uint64
	digest  [32]byte
}

// Applied is the size of the log that the snapshot describes.
func (s *Snapshot) Applied() uint64 { return s.applied }

// Digest is the fold's digest at that size.
func (s *Snapshot) Digest() [32]byte { return s.digest }

// Fold returns the state as the fold sees it, to judge an entry before it is
// logged. It must not be used after the snapshot.
func (s *Snapshot) Fold() (fold.View, error) {
	reg, ok, err := s.reader.registry()
	if err != nil {
		return nil, err
	}
	v := view{reader: s.reader}
	if ok {
		v.inForce = &reg.SetRegistry
	}
	return v, nil
}

// Party returns the identity that a key belongs to, and whether the key signs for
// it now: it was neither revoked nor replaced. A key that the log does not know is
// the first of its own identity.
func (s *Snapshot) Party(id sign.KeyID) (identity sign.KeyID, signs bool, err error) {
	if !fitsKey(string(id)) {
		return id, false, nil
	}
	identity, not, err := fold.PartyOf(view{reader: s.reader}, id)
	return identity, not == "" && err == nil, err
}

// Who returns the identity that a text names: its did:key, that of any of its keys,
// or a handle. A handle that nobody has is fault.NotFound.
func (s *Snapshot) Who(text string) (sign.KeyID, error) {
	if id, err := sign.ParseKeyID(text); err == nil {
		id, _, err = s.Party(id)
		return id, err
	}
	p, err := s.ByHandle(text)
	return p.Identity, err
}

// CurrentKey returns the key that signs for an identity; false when none does any
// more, and for a later key of another identity.
func (s *Snapshot) CurrentKey(identity sign.KeyID) (sign.KeyID, bool, error) {
	if !fitsKey(string(identity)) {
		return "", false, nil
	}
	return fold.CurrentKey(view{reader: s.reader}, identity)
}

// Announced returns the digest of the only key that may follow the one that signs
// for an identity now; "" for any.
func (s *Snapshot) Announced(identity sign.KeyID) (string, error) {
	if !fitsKey(string(identity)) {
		return "", nil
	}
	c, _, err := getRow[chainRow](s.reader, key(tIdentity, string(identity)))
	return c.Next, err
}

// Entry returns the log entry at index i.
func (s *Snapshot) Entry(i uint64) (Entry, error) {
	if i >= s.applied {
		return Entry{}, fault.New(fault.NotFound, "no entry %d in a log of %d", i, s.applied)
	}
	e, ok, err := s.reader.entry(i)
	if err == nil && !ok {
		err = damaged("entry %d of %d is missing", i, s.applied)
	}
	return e, err
}

// Statement returns how the statement c was decided, and who signed it.
func (s *Snapshot) Statement(c cid.Cid) (Statement, error) {
	row, ok, err := s.reader.statement(c)
	if err != nil {
		return Statement{}, err
	}
	if !ok {
		return Statement{}, fault.New(fault.NotFound, "no statement %s", c)
	}
	out := Statement{
		Statement: cjson.CID{Cid: c},
		Index:     row.Index,
		Verdict:   row.Verdict,
		Code:      row.Code,
		Kind:      row.Kind,
		Envelope:  row.Envelope,
	}
	out.Signers, err = s.signers(c)
	return out, err
}

func (s *Snapshot) signers(c cid.Cid) ([]Signer, error) {
	var out []Signer
	err := s.scan(key(tSigner, c.String()), nil, func(k, payload []byte) (bool, error) {
		_, parts, ok := parseKey(k)
		var row signerRow
		if !ok || json.Unmarshal(payload, &row) != nil {
			return false, damaged("row %q is no signer", k)
		}
		out = append(out, Signer{ID: sign.KeyID(parts[1].(string)), Index: row.Index, Key: row.Key})
		return true, nil
	})
	return out, err
}

// Envelope returns the first entry with the envelope c.
func (s *Snapshot) Envelope(c cid.Cid) (Entry, error) {
	i, ok, err := getRow[uint64](s.reader, key(tEnvelope, c.String()))
	if err != nil {
		return Entry{}, err
	}
	if !ok {
		return Entry{}, fault.New(fault.NotFound, "no entry with envelope %s", c)
	}
	return s.Entry(i)
}

// Dataset returns the version that an accepted contribution made.
func (s *Snapshot) Dataset(statement cid.Cid) (Dataset, error) {
	d, err := s.Version(statement)
	if err == nil && d.Kind != kindContribution {
		err = fault.New(fault.NotFound, "%s is no dataset version but a %s", statement, d.Kind)
	}
	if err != nil {
		return Dataset{}, err
	}
	return d, nil
}

// Version returns the version that an accepted contribution or model made.
func (s *Snapshot) Version(statement cid.Cid) (Dataset, error) {
	row, ok, err := s.reader.statement(statement)
	if err != nil {
		return Dataset{}, err
	}
	if !ok || row.Verdict != fold.Accepted || row.Kind != kindContribution && row.Kind != kindModel {
		return Dataset{}, fault.New(fault.NotFound, "no version %s", statement)
	}
	return s.at(row.Index)
}

// at returns the version that the entry at index i made; it must have made one.
func (s *Snapshot) at(i uint64) (Dataset, error) {
	row, ok, err := getRow[datasetRow](s.reader, key(tDataset, i))
	if err != nil {
		return Dataset{}, err
	}
	if !ok {
		return Dataset{}, damaged("the version of entry %d is missing", i)
	}
	return s.dataset(i, row)
}

func (s *Snapshot) dataset(i uint64, row datasetRow) (Dataset, error) {
	signers, err := s.signers(row.Statement.Cid)
	if err != nil {
		return Dataset{}, err
	}
	d := Dataset{
		Kind:       row.Kind,
		Index:      i,
		Statement:  row.Statement,
		Envelope:   row.Envelope,
		Work:       row.Work,
		Seq:        row.Seq,
		Publisher:  row.Publisher,
		Name:       row.Name,
		Version:    row.Version,
		Title:      row.Title,
		Root:       row.Root,
		Manifest:   row.Manifest,
		Terms:      row.Terms,
		License:    row.License,
		Keywords:   row.Keywords,
		MediaTypes: row.MediaTypes,
		Bytes:      row.Bytes,
		FileCount:  row.FileCount,
		Total:      row.Total,
		Edges:      row.Edges,
		SelfWeight: row.SelfWeight,
		EdgeTotal:  row.EdgeTotal,
		Sources:    row.Declared,
		Supersedes: row.Supersedes,
		IssuedAt:   row.IssuedAt,

		Artifact:    row.Artifact,
		Usages:      row.Usages,
		Attribution: row.Attribution,
		Agreement:   row.Agreement,
		Rules:       row.Rules,

		AfterWithdrawal: row.AfterWithdrawal,
	}
	if i, ok, err := getRow[uint64](s.reader, key(tWithdrawn, row.Statement.String())); err != nil {
		return Dataset{}, err
	} else if ok {
		d.Withdrawn = &i
	}
	if t, ok, err := s.Tombstone(d.Index); err != nil {
		return Dataset{}, err
	} else if ok {
		d.Erased = &t.Index
	}
	if d.Sources == nil {
		for _, c := range row.Sources {
			d.Sources = append(d.Sources, Source{Rel: c.Rel, Statement: c.Statement, CID: c.CID})
		}
	}
	d.Contributors = make([]Contributor, len(row.Contributors))
	for n, c := range row.Contributors {
		d.Contributors[n] = Contributor{ID: c.ID, Weight: c.Weight}
		if i := slices.IndexFunc(signers, func(sg Signer) bool { return sg.ID == c.ID }); i >= 0 {
			d.Contributors[n].Signed, d.Contributors[n].Key = true, signers[i].Key
		}
	}
	return d, nil
}

// Newest returns the newest version of a publisher's name, of a dataset or model.
func (s *Snapshot) Newest(publisher sign.KeyID, name string) (Dataset, error) {
	if !fitsKey(string(publisher), name) {
		return Dataset{}, fault.New(fault.NotFound, "no such name")
	}
	h, ok, err := s.head(publisher, name)
	if err != nil {
		return Dataset{}, err
	}
	if !ok {
		return Dataset{}, fault.New(fault.NotFound, "%s has no dataset named %s", publisher, fault.Quote(name))
	}
	return s.at(h.Index)
}

// ByName returns the newest version of a publisher's name, of a dataset.
func (s *Snapshot) ByName(publisher sign.KeyID, name string) (Dataset, error) {
	d, err := s.Newest(publisher, name)
	if err == nil && d.Kind != kindContribution {
		return Dataset{}, fault.New(fault.NotFound, "%s of %s is no dataset but a %s", fault.Quote(name), publisher, d.Kind)
	}
	return d, err
}

// ByVersion returns one version of a publisher's name, of a dataset.
func (s *Snapshot) ByVersion(publisher sign.KeyID, name, version string) (Dataset, error) {
	d, err := s.VersionNamed(publisher, name, version)
	if err == nil && d.Kind != kindContribution {
		return Dataset{}, fault.New(fault.NotFound, "%s of %s is no dataset but a %s", fault.Quote(name), publisher, d.Kind)
	}
	return d, err
}

// VersionNamed returns one version of a publisher's name, of a dataset or model.
func (s *Snapshot) VersionNamed(publisher sign.KeyID, name, version string) (Dataset, error) {
	if !fitsKey(string(publisher), name, version) {
		return Dataset{}, fault.New(fault.NotFound, "no such name")
	}
	i, ok, err := getRow[uint64](s.reader, key(tVersion, string(publisher), name, version))
	if err != nil {
		return Dataset{}, err
	}
	if !ok {
		return Dataset{}, fault.New(fault.NotFound, "%s has no version %s of %s", publisher, fault.Quote(version), fault.Quote(name))
	}
	return s.at(i)
}

// ByHandle returns the current profile of the identity that owns a handle. The
// profile may by now show another handle of the same identity.
func (s *Snapshot) ByHandle(handle string) (Profile, error) {
	if !fitsKey(handle) {
		return Profile{}, fault.New(fault.NotFound, "no such handle")
	}
	h, ok, err := getRow[handleRow](s.reader, key(tHandle, handle))
	if err != nil {
		return Profile{}, err
	}
	if !ok {
		return Profile{}, fault.New(fault.NotFound, "nobody has the handle %s", fault.Quote(handle))
	}
	return s.Profile(h.Identity)
}

// Profile returns the current profile of an identity.
func (s *Snapshot) Profile(identity sign.KeyID) (Profile, error) {
	if !fitsKey(string(identity)) {
		return Profile{}, fault.New(fault.NotFound, "no such identity")
	}
	p, ok, err := getRow[Profile](s.reader, key(tProfile, string(identity)))
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "%s has no profile", identity)
	}
	return p, err
}

// KeyEvents returns the accepted key events of an identity, oldest first: at most
// limit (0: [DefaultLimit]; at most [MaxLimit]) of those above the entry after (nil:
// from the first), and the after of the next page (nil: there are no more).
// Without any, its key is valid from entry 0 on and never revoked.
func (s *Snapshot) KeyEvents(identity sign.KeyID, after *uint64, limit int) (events []KeyEvent, next *uint64, err error) {
	if !fitsKey(string(identity)) {
		return nil, nil, nil
	}
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	prefix, from := key(tKeyEvent, string(identity)), []byte(nil)
	if after != nil {
		if *after == math.MaxUint64 {
			return nil, nil, nil
		}
		from = key(tKeyEvent, string(identity), *after+1)
	}
	err = s.scan(prefix, from, func(k, payload []byte) (bool, error) {
		if len(events) == limit {
			last := events[limit-1].Index
			next = &last
			return false, nil
		}
		var e KeyEvent
		if err := json.Unmarshal(payload, &e); err != nil {
			return false, damaged("row %q: %w", k, err)
		}
		events = append(events, e)
		return true, nil
	})
	if err != nil || after != nil || next != nil {
		return events, next, err
	}
	state, _, err := getRow[chainRow](s.reader, key(tIdentity, string(identity)))
	if err == nil && uint64(len(events)) != state.Events {
		err = damaged("%d key events of %s, and %d are counted", len(events), identity, state.Events)
	}
	return events, nil, err
}

// Key returns from when to when a key signs for its identity. One that the log does
// not know is a first key.
func (s *Snapshot) Key(id sign.KeyID) (Key, error) {
	state, ok, err := s.keyOf(id)
	out := Key{Key: id}
	if err != nil || !ok {
		return out, err
	}
	if state.Identity != id {
		out.From = &state.From
	}
	if state.Replaced {
		out.Replaced = &state.ReplacedAt
	}
	if state.Revoked {
		out.Revoked = &state.RevokedAt
	}
	return out, nil
}

// Attestations returns the newest attestations about a statement, newest
// first, at most MaxLimit.
func (s *Snapshot) Attestations(about cid.Cid) ([]Attestation, error) {
	return rowsOf[Attestation](s.reader, key(tAttestation, about.String()))
}

// Registry returns the registry/v1 in force.
func (s *Snapshot) Registry() (Registry, error) {
	reg, ok, err := s.reader.registry()
	if err == nil && !ok {
		err = fault.New(fault.NotFound, "the log has no accepted registry/v1 yet")
	}
	return reg, err
}

// rowsOf reads the rows of a prefix, at most MaxLimit.
func rowsOf[T any](r reader, prefix []byte) ([]T, error) {
	var out []T
	err := r.scan(prefix, nil, func(k, payload []byte) (bool, error) {
		var v T
		if err := json.Unmarshal(payload, &v); err != nil {
			return false, damaged("row %q: %w", k, err)
		}
		out = append(out, v)
		return len(out) < MaxLimit, nil
	})
	return out, err
}

// fitsKey reports whether foreign text can stand in a key at all.
func fitsKey(parts ...string) bool {
	for _, p := range parts {
		if boundTerm(p) != p {
			return false
		}
	}
	return true
}
