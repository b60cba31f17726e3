package upload

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/wire"
)

// minShard is the smallest shard there can be, in bytes: a header and an empty block.
const minShard = 64

// decided answers for a statement that the log has accepted: its content is
// there, and no upload is needed. Signatures that are new are added. nil for any
// other statement.
func (s *Server) decided(r *http.Request, owner string, p *registry.Parcel) (*wire.Upload, error) {
	var known, more bool
	err := s.o.Registry.View(func(v *index.Snapshot) error {
		st, err := v.Statement(p.CID)
		if errors.Is(err, fault.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		known = st.Verdict == fold.Accepted
		signers := p.Parties
		if p.Statement.Authority() != "" {
			signers = p.Signers
		}
		more = slices.ContainsFunc(signers, func(id sign.KeyID) bool {
			return !slices.ContainsFunc(st.Signers, func(have index.Signer) bool { return have.ID == id })
		})
		return nil
	})
	if err != nil || !known {
		return nil, err
	}
	if more {
		if err := s.book.statement(owner, s.now()); err != nil {
			return nil, err
		}
	}
	out, err := s.o.Registry.Submit(r.Context(), p.Envelope)
	if err != nil {
		return nil, err
	}
	return &wire.Upload{State: wire.UploadCommitted, Missing: []string{}, Result: submitted(out)}, nil
}

// checkOpen checks a declaration by itself and against its statement.
func (s *Server) checkOpen(ask *wire.OpenUpload, p *registry.Parcel) error {
	content := p.Statement.Content()
	switch {
	case len(content) == 0:
		return fault.WithHint(fault.New(fault.Invalid, "a statement of kind %s needs no blocks", p.Statement.Kind), "POST /v1/entries takes it")
	case !ask.Root.Equals(content[0]):
		return fault.New(fault.Invalid, "root is %s, the statement's content begins at %s", ask.Root, content[0])
	case len(ask.Shards) > wire.MaxShards:
		return fault.New(fault.TooLarge, "%d shards, at most %d", len(ask.Shards), wire.MaxShards)
	case len(ask.Bases) > wire.MaxBases:
		return fault.New(fault.TooLarge, "%d bases, at most %d", len(ask.Bases), wire.MaxBases)
	case ask.TotalBlocks < 1 || ask.TotalBytes < 0:
		return fault.New(fault.Invalid, "totalBlocks or totalBytes is not a count")
	case ask.TotalBlocks > maxWalk:
		return fault.New(fault.TooLarge, "%d blocks, an upload has at most %d", ask.TotalBlocks, maxWalk)
	}
	seen := make(map[string]bool, len(ask.Shards))
	for i, sh := range ask.Shards {
		switch {
		case !isSum(sh.SHA256) || seen[sh.SHA256]:
			return fault.New(fault.Invalid, "shards[%d].sha256 is no SHA-256 in lower-case hex, or stands there twice", i)
		case sh.Bytes < minShard:
			return fault.New(fault.Invalid, "shards[%d].bytes: a shard has at least %d", i, minShard)
		case sh.Bytes > wire.MaxShard:
			return fault.New(fault.TooLarge, "shards[%d].bytes: a shard has at most %d", i, wire.MaxShard)
		}
		seen[sh.SHA256] = true
	}
	return nil
}

// checkBases refuses bases that are not this identity's own: accepted versions whose
// content it sent itself, by publishing them. Whether a statement of
// somebody else is there is not told. Bases of data lie in the space that the
// upload goes to: nothing is shared between spaces.
func (s *Server) checkBases(id sign.KeyID, space cid.Cid, bases []cjson.CID) error {
	return s.o.Registry.View(func(v *index.Snapshot) error {
		for i, b := range bases {
			own := false
			st, err := v.Statement(b.Cid)
			if err == nil && st.Verdict == fold.Accepted {
				d, err := v.Version(b.Cid)
				switch {
				case err == nil:
					if d.Rules.GatesBytes() && !d.Terms.Equals(space) || !d.Rules.GatesBytes() && space.Defined() {
						return fault.New(fault.Invalid, "bases[%d]: the data of %s is in another space: its terms gate other bytes", i, b)
					}
					own = d.Publisher == id && slices.ContainsFunc(st.Signers, func(g index.Signer) bool { return g.ID == id && g.Index == st.Index })
				case errors.Is(err, fault.NotFound):
					// Another kind: it is the only signer's.
					own = len(st.Signers) == 1 && st.Signers[0].ID == id
				default:
					return err
				}
			} else if err != nil && !errors.Is(err, fault.NotFound) {
				return err
			}
			if !own {
				return fault.New(fault.NotFound, "bases[%d]: %s is no statement that %s had accepted here", i, b, id)
			}
		}
		return nil
	})
}

// begin returns the owner's session for a statement: the one that there is, if it
// was declared in the same words, else a new one.
func (s *Server) begin(owner string, key sign.KeyID, p *registry.Parcel, ask wire.OpenUpload) (one *session, fresh bool, err error) {
	// One at a time for an owner: two that open the same must get one session.
	defer s.lockOwner("open " + owner)()
	s.mu.Lock()
	one = s.sessions[s.byStatement[owner+" "+p.CID.String()]]
	s.mu.Unlock()
	if one != nil {
		one.mu.Lock()
		over, committed := one.gone || !one.expires.After(s.now()), one.rec.Stage == stageCommitted
		one.mu.Unlock()
		switch {
		case over && one.idle():
			if _, err := s.drop(one); err != nil {
				return nil, false, err
			}
		case committed || one.rec.Envelope.Equals(cjson.RawCID(p.Envelope)) && sameDeclaration(one.rec.Open, ask):
			s.touch(one)
			return one, false, nil
		default:
			return nil, false, fault.WithHint(fault.New(fault.Conflict, "an upload of this statement is open, with other shards: %s", one.rec.ID),
				"send DELETE /v1/uploads/%s to begin anew", one.rec.ID)
		}
	}
	now := s.now()
	rec := record{
		ID: newID(), Owner: owner, Key: key, Stage: stageOpen, Opened: now.Unix(), Expires: now.Add(s.o.Lease).Unix(),
		Statement: cjson.CID{Cid: p.CID}, Envelope: cjson.CID{Cid: cjson.RawCID(p.Envelope)}, Open: ask,
		Claims: claimed(p.Statement),
	}
	hold := rec.holding()
	if err := s.room(hold.bytes); err != nil {
		return nil, false, err
	}
	if err := s.book.reserve(owner, hold, now, func() (int64, error) { return s.stored(owner, key) }); err != nil {
		return nil, false, err
	}
	one = newSession(filepath.Join(s.o.Dir, rec.ID), rec)
	err = os.Mkdir(one.dir, 0o700)
	if err == nil {
		err = durable.WriteFile(filepath.Join(one.dir, signedFile), p.Envelope, 0o600)
	}
	if err == nil {
		err = one.save()
	}
	if err == nil {
		err = durable.Sync(s.o.Dir)
	}
	if err != nil {
		s.book.release(owner, hold, 0)
		return nil, false, errors.Join(durable.NoSpace(err), os.RemoveAll(one.dir))
	}
	s.add(one)
	s.log.Info("upload opened", "session", rec.ID, "owner", owner, "statement", p.CID, "shards", len(ask.Shards), "bytes", hold.bytes)
	return one, true, nil
}

func sameDeclaration(a, b wire.OpenUpload) bool {
	return a.Root.Equals(b.Root.Cid) && a.TotalBlocks == b.TotalBlocks && a.TotalBytes == b.TotalBytes &&
		slices.Equal(a.Shards, b.Shards) && slices.EqualFunc(a.Bases, b.Bases, func(x, y cjson.CID) bool { return x.Equals(y.Cid) })
}

// claimed returns the bytes of files that a statement adds to what its key has
// stored: what the log gives back.
func claimed(s *manifests.Statement) int64 {
	if c, ok := s.Predicate.(*manifests.Contribution); ok {
		return c.Dataset.Bytes
	}
	return 0
}
