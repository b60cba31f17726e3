package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/translog"
)

// Envelope returns the envelope that decided a statement; fault.Gone when it is
// erased.
func (r *Registry) Envelope(ctx context.Context, statement cid.Cid) ([]byte, error) {
	var st index.Statement
	err := r.View(func(s *index.Snapshot) (err error) {
		if st, err = s.Statement(statement); err != nil {
			return err
		}
		return present(s, st.Index)
	})
	if err != nil {
		return nil, err
	}
	return r.cfg.Blocks.Block(ctx, st.Envelope.Cid)
}

// Party returns the identity that a key belongs to, and whether it signs for it, as
// far as the index has read the log: a key that was revoked or replaced does not. It
// is for the door: whether an entry's signers could sign is judged at its index.
func (r *Registry) Party(id sign.KeyID) (identity sign.KeyID, signs bool, err error) {
	err = r.View(func(s *index.Snapshot) error {
		identity, signs, err = s.Party(id)
		return err
	})
	return identity, signs, err
}

// Live returns the identity that a key or an identity's name belongs to, and whether
// any key signs for it still.
func (r *Registry) Live(id sign.KeyID) (identity sign.KeyID, live bool, err error) {
	err = r.View(func(s *index.Snapshot) error {
		if identity, _, err = s.Party(id); err != nil {
			return err
		}
		_, live, err = s.CurrentKey(identity)
		return err
	})
	return identity, live, err
}

// Document returns a manifest or terms document by its CID, as the store has it.
func (r *Registry) Document(ctx context.Context, c cid.Cid) ([]byte, error) {
	if c.Prefix().Codec != cid.DagJSON {
		return nil, fault.New(fault.Invalid, "%s is no document", c)
	}
	return r.cfg.Blocks.Block(ctx, c)
}

// Receipt returns the receipt of the entry that decided a statement, against
// the published checkpoint.
func (r *Registry) Receipt(_ context.Context, statement cid.Cid) ([]byte, error) {
	var st index.Statement
	err := r.View(func(s *index.Snapshot) (err error) {
		st, err = s.Statement(statement)
		return err
	})
	if err != nil {
		return nil, err
	}
	rec, err := r.tlog.Receipt(st.Index)
	if err != nil {
		return nil, err
	}
	return rec.Encode(), nil
}

// Bundle returns all that offline verification of a statement needs: its
// envelope, leaf and receipt, and the key events of its signers. Of more than
// [proof.MaxKeyEvents], or where the body of one is erased, it has those up to the
// entry, of the keys that signed it, by which it is judged: fault.TooLarge when these
// are too many still, fault.Gone when one of them is erased, or the statement itself.
func (r *Registry) Bundle(ctx context.Context, statement cid.Cid) ([]byte, error) {
	var st index.Statement
	var events []index.KeyEvent
	err := r.View(func(s *index.Snapshot) (err error) {
		if st, err = s.Statement(statement); err != nil {
			return err
		}
		if err := present(s, st.Index); err != nil {
			return err
		}
		entry, err := s.Entry(st.Index)
		if err != nil {
			return err
		}
		events, err = keyEvents(s, st.Index, entry.Keys, st.Signers)
		return err
	})
	if err != nil {
		return nil, err
	}
	// All receipts are of one checkpoint, however many are published meanwhile.
	at := r.tlog.Published()
	b := proof.Bundle{}
	if b.Entry, err = r.entry(ctx, at, st.Index, st.Envelope.Cid); err != nil {
		return nil, err
	}
	for _, k := range events {
		env, err := r.envelopeOf(k.Statement.Cid)
		if err != nil {
			return nil, err
		}
		e, err := r.entry(ctx, at, k.Index, env)
		if err != nil {
			return nil, fmt.Errorf("the key event at entry %d: %w", k.Index, err)
		}
		b.KeyEvents = append(b.KeyEvents, e)
	}
	return b.Encode()
}

// keyEvents returns the key events of the identities behind the keys that signed the
// entry at an index, and of those who signed its statement later, in the order of the
// log. Where a bundle cannot hold them, what came after the entry, or is of somebody
// else, is left out: no signer takes its proof from a statement that others made.
func keyEvents(s *index.Snapshot, at uint64, keys []sign.KeyID, signers []index.Signer) ([]index.KeyEvent, error) {
	all := slices.Clone(keys)
	for _, g := range signers {
		all = append(all, g.ID)
	}
	events, err := eventsOf(s, all, math.MaxUint64)
	if code := fault.Of(err); code == fault.TooLarge || code == fault.Gone {
		return eventsOf(s, keys, at)
	}
	return events, err
}

// eventsOf returns the key events up to the entry at an index, itself included, of the
// identities behind keys. fault.TooLarge when they are more than a bundle holds,
// fault.Gone when the body of one is erased.
func eventsOf(s *index.Snapshot, keys []sign.KeyID, to uint64) (events []index.KeyEvent, err error) {
	seen := make(map[sign.KeyID]bool)
	for _, k := range keys {
		id, _, err := s.Party(k)
		if err != nil {
			return nil, err
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		page, next, err := s.KeyEvents(id, nil, proof.MaxKeyEvents)
		if err != nil {
			return nil, err
		}
		if later := slices.IndexFunc(page, func(e index.KeyEvent) bool { return e.Index > to }); later >= 0 {
			page, next = page[:later], nil
		}
		if events = append(events, page...); next != nil || len(events) > proof.MaxKeyEvents {
			return nil, fault.WithHint(fault.New(fault.TooLarge, "the signers have more key events than the %d that a bundle carries", proof.MaxKeyEvents),
				"the log has them: cairn-audit log reads it, and a replay judges them")
		}
	}
	for _, e := range events {
		if err := present(s, e.Index); err != nil {
			return nil, fmt.Errorf("a key event of the signers: %w", err)
		}
	}
	slices.SortFunc(events, func(a, b index.KeyEvent) int { return cmp.Compare(a.Index, b.Index) })
	return events, nil
}

func (r *Registry) envelopeOf(statement cid.Cid) (env cid.Cid, err error) {
	err = r.View(func(s *index.Snapshot) error {
		st, err := s.Statement(statement)
		env = st.Envelope.Cid
		return err
	})
	return env, err
}

// entry returns the entry at index i with its receipt against the checkpoint at.
func (r *Registry) entry(ctx context.Context, at translog.Published, i uint64, envelope cid.Cid) (proof.Entry, error) {
	var e proof.Entry
	err := r.tlog.Leaves(ctx, i, i+1, func(_ uint64, leaf []byte) error {
		e.Leaf = slices.Clone(leaf)
		return nil
	})
	if err != nil {
		return e, err
	}
	path, err := r.tlog.Proof(i, at.Size)
	if err != nil {
		return e, err
	}
	e.Receipt = (&proof.Receipt{Index: i, Path: path, Checkpoint: at.Note}).Encode()
	e.Envelope, err = r.cfg.Blocks.Block(ctx, envelope)
	return e, err
}

// What a REF can be.
const (
	KindName      = "name"
	KindStatement = "statement"
	KindManifest  = "manifest"
	KindRoot      = "root"
)

// A Resolution is what a REF names.
type Resolution struct {
	Applied  uint64 // the size it was answered at
	Kind     string
	Root     cid.Cid
	Datasets []index.Dataset // newest first
}

// Resolve finds what ref names, in this order: with a slash, a publisher's
// did:key or handle and a name, perhaps with @version; a CID of a statement, a
// manifest, or a data root (compared by hash). A name without a publisher is
// not resolved here: whose it is, only the caller knows. What is not found is
// fault.NotFound; a ref of no form is fault.Invalid.
func (r *Registry) Resolve(ref string) (Resolution, error) {
	var out Resolution
	err := r.View(func(s *index.Snapshot) (err error) {
		out.Applied = s.Applied()
		if strings.Contains(ref, "/") {
			return out.name(s, ref)
		}
		c, err := cjson.ParseCID(ref)
		if err != nil {
			return fault.WithHint(fault.New(fault.Invalid, "%s is neither a CID nor publisher/name", fault.Quote(ref)),
				"a REF is a CID, or did:key:…/name[@version], or handle/name[@version]")
		}
		return out.cid(s, c)
	})
	return out, err
}

func (out *Resolution) name(s *index.Snapshot, ref string) error {
	publisher, name, _ := strings.Cut(ref, "/")
	name, version, exact := strings.Cut(name, "@")
	id, err := s.Who(publisher)
	if err != nil {
		return err
	}
	var d index.Dataset
	if exact {
		d, err = s.ByVersion(id, name, version)
	} else {
		d, err = s.ByName(id, name)
	}
	if err != nil {
		return err
	}
	out.Kind, out.Root, out.Datasets = KindName, d.Root.Cid, []index.Dataset{d}
	return nil
}

func (out *Resolution) cid(s *index.Snapshot, c cid.Cid) error {
	if d, err := s.Dataset(c); err == nil {
		out.Kind, out.Root, out.Datasets = KindStatement, d.Root.Cid, []index.Dataset{d}
		return nil
	} else if !errors.Is(err, fault.NotFound) {
		return err
	}
	p, err := s.List(index.Query{Manifest: c, Limit: index.MaxLimit})
	if err != nil {
		return err
	}
	if len(p.Datasets) > 0 {
		out.Kind, out.Root, out.Datasets = KindManifest, p.Datasets[0].Root.Cid, p.Datasets
		return nil
	}
	ds, err := s.ByRoot(c)
	if err != nil {
		return err
	}
	if len(ds) == 0 {
		return fault.New(fault.NotFound, "the log knows no statement, manifest or root %s", c)
	}
	out.Kind, out.Root, out.Datasets = KindRoot, ds[0].Root.Cid, ds
	return nil
}

// Accepted is the verdict of an entry that took effect.
const Accepted = fold.Accepted
