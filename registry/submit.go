package registry

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/index"
)

// submitWait bounds the wait for a published checkpoint and the index: many
// checkpoint intervals.
const submitWait = 60 * time.Second

// Submitted is the answer to a statement.
type Submitted struct {
	Index     uint64 // of the entry that decided the statement, or added its signers
	Statement cid.Cid
	Envelope  cid.Cid
	Verdict   fold.Verdict
	Code      fold.Code
	Receipt   []byte // tlog-proof text
	// Warnings are what was found at the door and did not keep the statement out:
	// terms that contradict those of its sources. Asked again, the answer has none.
	Warnings []string
}

// Submit takes a statement through the door. When it returns nil, the envelope
// is durable, its leaf is in the published log, and the index has applied it;
// the answer carries the verdict. Submitting the same statement with the same
// signers again gives the same answer and logs nothing.
//
// Refused before anything is logged: fault.Invalid for an envelope, statement,
// manifest or dataset that breaks a rule, and for terms that contradict those of
// the sources where Config.TermsPolicy says so; fault.Unverified for a signature that
// does not hold; fault.NotFound for a manifest, terms document or block of the
// dataset that is not in the store; fault.Conflict for what the log's rules
// would reject (a stale version, a taken name), with the rule's code, and for an
// allocation or payout that the engine's run does not bear out. fault.Busy
// and fault.Pending can be tried again; after fault.Pending the statement may
// be in the log.
func (r *Registry) Submit(ctx context.Context, envelope []byte) (*Submitted, error) {
	e, s, err := r.open(envelope)
	if err != nil {
		return nil, err
	}
	encoded, err := e.Encode()
	if err != nil {
		return nil, err
	}
	return r.pending.do(ctx, cjson.RawCID(encoded), func() (*Submitted, error) {
		return r.submit(ctx, e, encoded, s)
	})
}

// A Parcel is an envelope that was read, before anything is done with it.
type Parcel struct {
	Statement *manifests.Statement
	CID       cid.Cid      // of the statement
	Signers   []sign.KeyID // the keys whose signatures hold
	Parties   []sign.KeyID // the identities that those belong to, in the same order
	Envelope  []byte       // normalised
	leaf      []byte
}

// Read reads a foreign envelope as [Registry.Submit] does, and changes nothing.
// Errors are those of Submit for what can be told from the envelope alone.
func (r *Registry) Read(envelope []byte) (*Parcel, error) {
	e, s, err := r.open(envelope)
	if err != nil {
		return nil, err
	}
	encoded, err := e.Encode()
	if err != nil {
		return nil, err
	}
	l, err := proof.NewLeaf(e, encoded)
	if err != nil {
		return nil, err
	}
	leaf, err := l.Encode()
	if err != nil {
		return nil, err
	}
	p := &Parcel{Statement: s, CID: manifests.StatementCID(e.Payload), Envelope: encoded, leaf: leaf}
	for _, sig := range e.Signatures {
		p.Signers = append(p.Signers, sig.KeyID)
	}
	err = r.View(func(v *index.Snapshot) error {
		for _, k := range p.Signers {
			id, _, err := v.Party(k)
			if err != nil {
				return err
			}
			p.Parties = append(p.Parties, id)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Examine checks what Submit checks of a statement's content, of its terms beside
// those of its sources, and of the rules of the log, with the content read from blocks, and changes nothing: for content
// that is not in the registry's store yet. Errors are those of Submit.
func (r *Registry) Examine(ctx context.Context, p *Parcel, blocks unixfs.Blocks) error {
	if err := r.stalled(); err != nil {
		return err
	}
	var space func(cid.Cid) unixfs.Blocks
	if r.cfg.Space != nil {
		// What is not in the store yet is in no space either.
		space = func(cid.Cid) unixfs.Blocks { return blocks }
	}
	if err := r.admit(ctx, blocks, space, p.Statement); err != nil {
		return err
	}
	if err := r.foresee(p.leaf, p.Envelope); err != nil {
		return err
	}
	_, err := r.admitSources(ctx, blocks, p.Statement)
	return err
}

// open reads a foreign envelope: who signed it follows from the statement.
func (r *Registry) open(envelope []byte) (*sign.Envelope, *manifests.Statement, error) {
	// The signers' keys are found among those the statement lists, so the
	// payload is looked at before its signatures; nothing is believed yet.
	peek, err := sign.Peek(envelope)
	if err != nil {
		return nil, nil, fmt.Errorf("the envelope: %w", err)
	}
	s, err := manifests.Decode(peek)
	if err != nil {
		return nil, nil, fmt.Errorf("the statement: %w", err)
	}
	candidates, err := r.candidates(s)
	if err != nil {
		return nil, nil, err
	}
	e, err := sign.Normalize(envelope, candidates)
	if err != nil {
		return nil, nil, fmt.Errorf("the envelope: %w", err)
	}
	if err := s.CheckSubject(); err != nil {
		return nil, nil, err
	}
	if o := s.Predicate.Base().Registry; o != r.origin {
		return nil, nil, fault.New(fault.Invalid, "the statement is for the registry %s; this one is %s", fault.Quote(o), r.origin)
	}
	return e, s, nil
}

// candidates are the keys that may have signed s, as the log stands.
func (r *Registry) candidates(s *manifests.Statement) (ids []sign.KeyID, err error) {
	err = r.View(func(v *index.Snapshot) error {
		state, err := v.Fold()
		if err != nil {
			return err
		}
		ids, err = fold.Candidates(state, s)
		return err
	})
	return ids, err
}

func (r *Registry) submit(ctx context.Context, e *sign.Envelope, encoded []byte, s *manifests.Statement) (*Submitted, error) {
	id := manifests.StatementCID(e.Payload)
	if s.Kind == manifests.KindPayout {
		// Two payouts that are let in at the same time could pay the same twice.
		r.paying.Lock()
		defer r.paying.Unlock()
	}
	if out, err := r.known(id, e, s); out != nil || err != nil {
		return out, err
	}
	if err := r.stalled(); err != nil {
		return nil, err
	}
	l, err := proof.NewLeaf(e, encoded)
	if err != nil {
		return nil, err
	}
	leaf, err := l.Encode()
	if err != nil {
		return nil, err
	}
	if err := r.admit(ctx, r.cfg.Blocks, r.cfg.Space, s); err != nil {
		return nil, err
	}
	if err := r.foresee(leaf, encoded); err != nil {
		return nil, err
	}
	warnings, err := r.admitSources(ctx, r.cfg.Blocks, s)
	if err != nil {
		return nil, err
	}
	if err := r.admitCredit(ctx, s.Predicate); err != nil {
		return nil, err
	}
	env, err := block.NewBlockWithCid(encoded, l.Env.Cid)
	if err != nil {
		return nil, err
	}
	payload, err := block.NewBlockWithCid(e.Payload, id)
	if err != nil {
		return nil, err
	}
	if err := r.cfg.Blocks.PutRecords(ctx, env, payload); err != nil {
		return nil, fmt.Errorf("storing the statement: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, submitWait)
	defer cancel()
	i, err := r.tlog.Append(ctx, leaf)
	if err != nil {
		return nil, err
	}
	if _, err := r.wait(ctx, i+1); err != nil {
		return nil, err
	}
	out, err := r.answer(i, id, s)
	if err == nil {
		out.Warnings = warnings
	}
	return out, err
}

// stalled keeps the door shut while the follower does not go on: an entry would
// be judged by a state that is not that of the log, and a statement that waits
// there to be applied would be logged twice.
func (r *Registry) stalled() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(r.stopped, errMissingBody):
		return fault.New(fault.Busy, "the registry takes no statements: %w", r.stopped)
	case r.stopped != nil:
		return fault.New(fault.Internal, "the registry takes no statements: %w", r.stopped)
	}
	return nil
}

// known answers for a statement that is decided and whose signers are all
// recorded, and for a payment that was stated before in the same words; nil when
// it has to be logged.
func (r *Registry) known(id cid.Cid, e *sign.Envelope, s *manifests.Statement) (*Submitted, error) {
	var st index.Statement
	repeats, added := false, false
	err := r.View(func(v *index.Snapshot) (err error) {
		if st, err = v.Statement(id); err == nil {
			added, err = adds(v, e, s, st.Signers)
		}
		if !errors.Is(err, fault.NotFound) {
			return err
		}
		first, ok, err := stated(v, s)
		if err != nil || !ok {
			return err
		}
		repeats, id = true, first
		st, err = v.Statement(first)
		return err
	})
	if err != nil || !st.Statement.Defined() {
		return nil, err
	}
	if st.Verdict == fold.Accepted && !repeats && added {
		return nil, nil
	}
	return r.answer(st.Index, id, s)
}

// adds reports whether the envelope of an accepted statement carries signatures of
// somebody whose signature is not recorded, by whichever key.
func adds(v *index.Snapshot, e *sign.Envelope, s *manifests.Statement, recorded []index.Signer) (bool, error) {
	for _, sig := range e.Signatures {
		id := sig.KeyID
		if s.Authority() == "" {
			var err error
			if id, _, err = v.Party(id); err != nil {
				return false, err
			}
		}
		if !slices.ContainsFunc(recorded, func(o index.Signer) bool { return o.ID == id }) {
			return true, nil
		}
	}
	return false, nil
}

// stated returns the payment that has the key of s and says the same; false for
// none, and for what is no payment.
func stated(v *index.Snapshot, s *manifests.Statement) (first cid.Cid, ok bool, err error) {
	key := ""
	switch p := s.Predicate.(type) {
	case *manifests.Revenue:
		key = p.Key
	case *manifests.Payout:
		key = p.Key
	default:
		return cid.Undef, false, nil
	}
	state, err := v.Fold()
	if err != nil {
		return cid.Undef, false, err
	}
	body, err := s.Body()
	if err != nil {
		return cid.Undef, false, err
	}
	p, ok, err := state.Payment(string(s.Kind), key)
	return p.Statement, ok && p.Body == body, err
}

// answer describes the entry at index i of the statement id. A duplicate is
// answered with the entry that decided the statement, or the payment that it
// repeats.
func (r *Registry) answer(i uint64, id cid.Cid, stmt *manifests.Statement) (*Submitted, error) {
	var e index.Entry
	err := r.View(func(s *index.Snapshot) (err error) {
		if e, err = s.Entry(i); err != nil || e.Verdict != fold.Duplicate {
			return err
		}
		st, err := s.Statement(id)
		if errors.Is(err, fault.NotFound) {
			first, ok, failed := stated(s, stmt)
			if failed != nil || !ok {
				return errors.Join(err, failed)
			}
			id = first
			st, err = s.Statement(first)
		}
		if err != nil {
			return err
		}
		e, err = s.Entry(st.Index)
		return err
	})
	if err != nil {
		return nil, err
	}
	rec, err := r.tlog.Receipt(e.Index)
	if err != nil {
		return nil, err
	}
	return &Submitted{
		Index: e.Index, Statement: id, Envelope: e.Envelope.Cid,
		Verdict: e.Verdict, Code: e.Code, Receipt: rec.Encode(),
	}, nil
}

// foresee judges an entry as the log stands now, and refuses what would be
// rejected: a user is told before a useless entry is made. It decides nothing;
// the fold does, at the entry's own index.
func (r *Registry) foresee(leaf, envelope []byte) error {
	return r.View(func(s *index.Snapshot) error {
		v, err := s.Fold()
		if err != nil {
			return err
		}
		// The index may stand behind the published log, which the signer saw.
		at := max(s.Applied(), r.tlog.Published().Size)
		res, err := fold.Apply(v, r.origin, at, leaf, envelope)
		if err != nil || res.Verdict != fold.Rejected {
			return err
		}
		err = fault.New(fault.Conflict, "the log would reject the statement: %s", res.Code)
		switch res.Code {
		case fold.Stale:
			err = fault.WithHint(err, "another version of this name was accepted meanwhile; sign again with the newest one as supersedes")
		case fold.VersionTaken:
			err = fault.WithHint(err, "choose another version")
		case fold.HandleTaken:
			err = fault.WithHint(err, "choose another handle")
		case fold.Reference:
			err = fault.WithHint(err, "every statement that is named must have been accepted in this log before, and be of a kind that can stand there")
		case fold.Underpaid, fold.Floor:
			err = fault.WithHint(err, "the terms of a parent ask for an edge of a larger weight")
		case fold.PastPeriod:
			err = fault.WithHint(err, "an agreement begins at the earliest with the period after the open one")
		case fold.KeyReplaced:
			err = fault.WithHint(err, "another key took the place of the one that signed: sign with the identity's newest key")
		case fold.KeyExists:
			err = fault.WithHint(err, "a rotation is to a key that has signed nothing in this log: make a new one")
		case fold.NextKey:
			err = fault.WithHint(err, "the identity announced the digest of the key that follows; no other may")
		case fold.LaterKey:
			err = fault.WithHint(err, "people are named by the first key of their identity: GET /v1/keys/KEY says which it is")
		case fold.KeyTaken:
			err = fault.WithHint(err, "another payment has this key; a payment is stated once")
		}
		return err
	})
}

// admit checks what a statement names beside other statements: that it is in blocks,
// and gated data in space, and agrees with what the statement repeats of it.
func (r *Registry) admit(ctx context.Context, blocks unixfs.Blocks, space func(cid.Cid) unixfs.Blocks, s *manifests.Statement) error {
	has := func(what string, c cid.Cid) error {
		if _, err := blocks.Size(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
	switch p := s.Predicate.(type) {
	case *manifests.Contribution:
		return r.admitDataset(ctx, blocks, space, s, p)
	case *manifests.Model:
		return r.admitModel(ctx, blocks, p)
	case *manifests.Attribution:
		return has("the scores", p.Scores.Cid)
	case *manifests.Payout:
		return has("the lines", p.Lines.Cid)
	}
	return nil
}

// admitModel checks a model's terms, and that its rules are those that they set.
// Its artifact may be elsewhere.
func (r *Registry) admitModel(ctx context.Context, blocks unixfs.Blocks, m *manifests.Model) error {
	b, err := blocks.Block(ctx, m.Terms.Cid)
	if err != nil {
		return fmt.Errorf("the terms: %w", err)
	}
	if err := manifests.AgreeTerms(m.Rules, b); err != nil {
		return err
	}
	return r.admitTerms(ctx, blocks, b)
}

// admitTerms checks what a terms document names: identifiers of licences, and a
// licence's text.
func (r *Registry) admitTerms(ctx context.Context, blocks unixfs.Blocks, document []byte) error {
	t, err := terms.Decode(document)
	if err != nil {
		return fmt.Errorf("the terms: %w", err)
	}
	if _, _, err := terms.ParseExpression(t.Base.SPDX); err != nil {
		return fmt.Errorf("the terms: %w", err)
	}
	if t.Base.Text.Defined() {
		if _, err := blocks.Size(ctx, t.Base.Text.Cid); err != nil {
			return fmt.Errorf("the licence text: %w", err)
		}
	}
	return nil
}

// admitDataset checks a contribution's content: manifest and terms are there and agree
// with the statement, licence identifiers are known, the dataset's DAG is
// complete, and its files, bytes and counts are those the manifest claims.
func (r *Registry) admitDataset(ctx context.Context, blocks unixfs.Blocks, space func(cid.Cid) unixfs.Blocks, s *manifests.Statement, c *manifests.Contribution) error {
	mb, err := blocks.Block(ctx, c.Dataset.Manifest.Cid)
	if err != nil {
		return fmt.Errorf("the manifest: %w", err)
	}
	tb, err := blocks.Block(ctx, c.Terms.Cid)
	if err != nil {
		return fmt.Errorf("the terms: %w", err)
	}
	m, _, err := manifests.Documents(s, mb, tb)
	if err != nil {
		return err
	}
	if err := r.admitTerms(ctx, blocks, tb); err != nil {
		return err
	}
	if c.Attachments.Defined() {
		if err := unixfs.Closure(ctx, blocks, []cid.Cid{c.Attachments.Cid}, 0, false, func(cid.Cid, []byte) error { return nil }); err != nil {
			return fmt.Errorf("the attachments: %w", err)
		}
	}
	data, err := dataOf(blocks, space, c)
	if err != nil {
		return err
	}
	anywhere := either{data, blocks}
	if m.Sketch != nil {
		if _, err := anywhere.Size(ctx, m.Sketch.CID.Cid); err != nil {
			return fmt.Errorf("the sketch: %w", err)
		}
	}
	if m.Fingerprint != nil {
		if err := unixfs.Closure(ctx, anywhere, []cid.Cid{m.Fingerprint.CID.Cid}, 0, false, func(c cid.Cid, _ []byte) error {
			_, err := anywhere.Size(ctx, c) // leaves are not read
			return err
		}); err != nil {
			return fmt.Errorf("the fingerprint: %w", err)
		}
	}
	next, stop := iter.Pull2(m.ListedFiles(ctx, anywhere))
	defer stop()
	sum, err := unixfs.Check(ctx, data, m.Data.Root.Cid, unixfs.Limits{}, func() (unixfs.Listed, bool, error) {
		f, err, ok := next()
		if !ok || err != nil {
			return unixfs.Listed{}, false, err
		}
		return unixfs.Listed{Path: f.Path, CID: f.CID.Cid, Size: uint64(f.Size)}, true, nil
	})
	if err != nil {
		return fmt.Errorf("the dataset: %w", err)
	}
	if sum.Files != m.Data.FileCount || sum.Bytes != m.Data.Bytes {
		return fault.New(fault.Invalid, "the dataset has %d files of %d bytes, the manifest claims %d of %d", sum.Files, sum.Bytes, m.Data.FileCount, m.Data.Bytes)
	}
	return nil
}

// dataOf returns where the data of a dataset must be complete: in the space of
// its terms, when not a byte is given out before they are accepted, else in the
// public one. Bytes that lie open are not gated by a second registration.
func dataOf(blocks unixfs.Blocks, space func(cid.Cid) unixfs.Blocks, c *manifests.Contribution) (unixfs.Blocks, error) {
	if !c.Rules.GatesBytes() {
		return blocks, nil
	}
	if space == nil {
		return nil, fault.New(fault.Denied, "this registry keeps no gated data, and the terms %s ask for it", c.Terms)
	}
	return space(c.Terms.Cid), nil
}

// either reads from the first that has a block.
type either [2]unixfs.Blocks

func (e either) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	b, err := e[0].Block(ctx, c)
	if errors.Is(err, fault.NotFound) {
		return e[1].Block(ctx, c)
	}
	return b, err
}

func (e either) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	n, err := e[0].Size(ctx, c)
	if errors.Is(err, fault.NotFound) {
		return e[1].Size(ctx, c)
	}
	return n, err
}

// flights lets concurrent submissions of one envelope share one answer.
type flights struct {
	mu sync.Mutex
	m  map[cid.Cid]*flight
}

type flight struct {
	done chan struct{}
	out  *Submitted
	err  error
}

func (f *flights) do(ctx context.Context, id cid.Cid, fn func() (*Submitted, error)) (*Submitted, error) {
	f.mu.Lock()
	if other, ok := f.m[id]; ok {
		f.mu.Unlock()
		select {
		case <-other.done:
			// The other's deadline or hang-up is not this caller's.
			if code := fault.Of(other.err); code != fault.Pending && code != fault.Interrupted && !errors.Is(other.err, context.Canceled) {
				return other.out, other.err
			}
			return fn()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	mine := &flight{done: make(chan struct{})}
	if f.m == nil {
		f.m = make(map[cid.Cid]*flight)
	}
	f.m[id] = mine
	f.mu.Unlock()
	mine.out, mine.err = fn()
	f.mu.Lock()
	delete(f.m, id)
	f.mu.Unlock()
	close(mine.done)
	return mine.out, mine.err
}
