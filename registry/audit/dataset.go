package audit

import (
	"context"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// Dataset audits a statement and, when it is a contribution, the dataset that
// it registers: envelope, signatures, statement, leaf, inclusion, checkpoint,
// growth, the whole log below it, key events, manifest, terms and licence text,
// lineage, and the data. The error is for a bundle that could not be had;
// everything else is in the report.
func Dataset(ctx context.Context, ev Evidence, statement cid.Cid, o Options) (*Report, error) {
	if o.Blocks == "" {
		o.Blocks = All
	}
	if !slices.Contains([]Mode{All, Sample, None}, o.Blocks) {
		return nil, fault.New(fault.Invalid, "blocks are %s, not all, sample or none", fault.Quote(string(o.Blocks)))
	}
	a, err := newAuditor(ctx, ev, o, "dataset")
	if err != nil {
		return nil, err
	}
	raw, err := ev.Bundle(ctx, statement)
	if err != nil {
		return nil, fmt.Errorf("the bundle of %s: %w", statement, err)
	}
	a.r.Statement, a.r.Blocks = cjson.CID{Cid: statement}, o.Blocks
	if o.Blocks == Sample {
		a.r.Seed = &o.Seed
	}
	b, err := proof.VerifyBundle(raw, o.Policy)
	if err != nil {
		return nil, err
	}
	a.r.Findings = b.Findings
	a.r.Signers = b.Signers
	if !b.Holds() {
		a.r.Result = DoesNotHold
		return a.r, nil
	}
	if !b.Statement.Equals(statement) {
		a.judge(proof.CheckStatement, statement.String(), fault.New(fault.Unverified, "the bundle is about %s", b.Statement), "")
		return a.r, nil
	}
	a.r.Index = &b.Index
	bundle, err := proof.ParseBundle(raw)
	if err != nil {
		return nil, err
	}
	receipt, err := proof.ParseReceipt(bundle.Receipt)
	if err != nil {
		return nil, err
	}
	at, err := o.Policy.Verify(receipt.Checkpoint)
	if err != nil {
		return nil, err
	}
	c, _ := b.Predicate().(*manifests.Contribution)
	latest, ok := a.checkpoint(&at)
	if ok {
		a.surroundings(latest.Checkpoint, bundle, b, c)
	}
	if c != nil {
		a.documents(bundle.Envelope, c)
		a.overlap(statement)
	}
	return a.r, nil
}

// surroundings reads the whole log: what it holds about the signers' keys and
// about the sources.
func (a *auditor) surroundings(latest proof.Checkpoint, bundle *proof.Bundle, b *proof.BundleReport, c *manifests.Contribution) {
	signers := make(map[string]sign.KeyID) // by the subject of key events about them
	for _, id := range slices.Concat(b.Signers, b.Parties) {
		signers[cjson.RawCID([]byte(id)).KeyString()] = id
	}
	carried := make(map[string]int)
	for i, e := range bundle.KeyEvents {
		carried[string(e.Leaf)] = i
	}
	wanted := make(map[string]int64) // statements that are named, and their index
	if c != nil {
		for _, s := range c.Sources {
			if s.Statement.Defined() {
				wanted[s.Statement.KeyString()] = -1
			}
		}
		for _, e := range c.Edges {
			wanted[e.Statement.KeyString()] = -1
		}
		if c.Supersedes.Defined() {
			wanted[c.Supersedes.KeyString()] = -1
		}
	}
	events, missed := 0, 0
	var all []event
	ok := a.recompute(latest, func(i uint64, l proof.Leaf, raw []byte) {
		if at, ok := wanted[l.Stmt.KeyString()]; ok && at < 0 {
			wanted[l.Stmt.KeyString()] = int64(i)
		}
		if manifests.Kind(l.T) != manifests.KindKey {
			return
		}
		for _, subject := range l.Subj {
			if _, ok := signers[subject.KeyString()]; !ok {
				continue
			}
			events++
			at, ok := carried[string(raw)]
			switch {
			case ok:
				all = append(all, event{index: i, envelope: bundle.KeyEvents[at].Envelope, leaf: bundle.KeyEvents[at].Leaf})
			case i >= b.Index: // it does not bear on the entry
			case len(all) < maxEvents:
				all = append(all, event{index: i, cid: l.Env.Cid, leaf: slices.Clone(raw)})
			default:
				missed++
			}
		}
	})
	if !ok {
		return
	}
	a.keyEvents(all, b, missed, fmt.Sprintf("%d in the log up to size %d; none that counts is missing in the bundle", events, latest.Size))
	if c == nil {
		return
	}
	for _, s := range c.Sources {
		switch {
		case s.Statement.Defined():
			a.named(s.Statement, wanted, b.Index, string(s.Rel))
		case s.URL != "":
			a.skip(CheckLineage, fmt.Sprintf("%s %s", s.Rel, s.URL), "external, not checked")
		default:
			a.skip(CheckLineage, fmt.Sprintf("%s %s", s.Rel, s.CID), "external, not checked")
		}
	}
	for _, e := range c.Edges {
		a.named(e.Statement, wanted, b.Index, "edge")
	}
	if c.Supersedes.Defined() {
		a.named(c.Supersedes, wanted, b.Index, "supersedes")
	}
}

// maxEvents bounds the key events that an audit looks at: those of a bundle, and as
// many that it does not carry.
const maxEvents = 2 * proof.MaxKeyEvents

// An event is a key/v1 entry. One that a bundle does not carry is fetched.
type event struct {
	index    uint64
	cid      cid.Cid
	envelope []byte // nil: not in the bundle
	leaf     []byte
}

// keyEvents looks at the key/v1 entries about the signers that the bundle does
// not carry. Those that the log's rules reject have no effect and no place in a
// bundle. A revocation of a signer's key, below the entry, was left out; and so was
// a rotation, unless the log knew its new key before: only a replay tells. missed are
// so many more below the entry, which are not looked at.
func (a *auditor) keyEvents(all []event, b *proof.BundleReport, missed int, detail string) {
	chain := proof.NewChain()
	var wrong error
	for _, e := range all {
		envelope, left := e.envelope, e.envelope == nil
		if left {
			var err error
			if envelope, err = a.ev.Block(a.ctx, e.cid); err != nil {
				a.judge(CheckKeyEvents, fmt.Sprintf("entry %d", e.index), err, "")
				return
			}
		}
		r := proof.CheckEntry(envelope, e.leaf)
		k, ok := r.Predicate().(*manifests.Key)
		if !ok || !r.Holds() {
			continue
		}
		switch {
		case left && k.Op == manifests.KeyRotate:
			if chain.Follows(e.index, k, r.Signers) == nil {
				a.judge(CheckKeyEvents, fmt.Sprintf("entry %d", e.index), fault.New(fault.Internal,
					"the bundle leaves out a rotation from a key of %s to %s: it counts unless the log rejected it, which takes a replay", k.Identity, k.Key), "")
				return
			}
			continue
		case chain.Add(e.index, k, r.Signers) != nil:
			continue
		}
		if left && k.Op == manifests.KeyRevoke && slices.Contains(b.Signers, k.Key) {
			wrong = fault.New(fault.Unverified, "the bundle leaves out entry %d, which revokes %s", e.index, k.Key)
			break
		}
	}
	if wrong == nil && missed > 0 {
		wrong = fault.New(fault.TooLarge, "below entry %d the log has %d more key events about the signers than the %d that an audit looks at: whether the bundle leaves one out takes a replay", b.Index, missed, maxEvents)
	}
	a.judge(CheckKeyEvents, "", wrong, detail)
}

func (a *auditor) named(statement cjson.CID, at map[string]int64, index uint64, how string) {
	i := at[statement.KeyString()]
	var err error
	if i < 0 || uint64(i) >= index {
		err = fault.New(fault.Unverified, "the log has no such statement before entry %d", index)
	}
	a.judge(CheckLineage, how+" "+statement.String(), err, fmt.Sprintf("entry %d", i))
}

// documents checks manifest, terms and data of a contribution.
func (a *auditor) documents(envelope []byte, c *manifests.Contribution) {
	a.r.Name, a.r.Version = c.Dataset.Name, c.Dataset.Version
	e, err := sign.Decode(envelope)
	if err != nil {
		return // the bundle's findings say so
	}
	s, err := manifests.Decode(e.Payload)
	if err != nil {
		return
	}
	manifest, err := a.ev.Block(a.ctx, c.Dataset.Manifest.Cid)
	if err != nil {
		a.judge(CheckManifest, c.Dataset.Manifest.String(), err, "")
		return
	}
	document, err := a.ev.Block(a.ctx, c.Terms.Cid)
	if err != nil {
		a.judge(CheckTerms, c.Terms.String(), err, "")
		return
	}
	m, t, err := manifests.Documents(s, manifest, document)
	if err != nil {
		a.judge(CheckManifest, c.Dataset.Manifest.String(), err, "")
		return
	}
	a.judge(CheckManifest, c.Dataset.Manifest.String(), nil, "says what the statement says")
	a.judge(CheckTerms, c.Terms.String(), nil, t.Base.SPDX)
	a.licence(t)
	a.r.Data = cjson.CID{Cid: m.Data.Root.Cid}
	a.data(m)
	if a.o.Sketch != nil && a.o.Blocks == All && a.r.Result == Holds && (m.Sketch != nil || m.Fingerprint != nil) {
		a.judge(CheckSketch, m.Data.Root.String(), a.o.Sketch(a.ctx, a.ev, m), "the same, computed again")
	}
}

// overlap reports what the registry finds undeclared.
func (a *auditor) overlap(statement cid.Cid) {
	if a.o.Overlap == nil {
		return
	}
	list, err := a.o.Overlap(a.ctx, statement)
	if err != nil {
		a.skip(CheckOverlap, statement.String(), "the registry does not say: "+err.Error())
		return
	}
	for _, u := range list {
		a.skip(CheckOverlap, u.Statement.String(), u.Code+": "+u.Detail)
		a.r.Findings[len(a.r.Findings)-1].Code = u.Code
	}
}

// licence checks that the text of the terms is there.
func (a *auditor) licence(t *terms.Terms) {
	if !t.Base.Text.Defined() {
		_, _, err := terms.ParseExpression(t.Base.SPDX)
		if err != nil {
			a.skip(CheckTermsText, t.Base.SPDX, "not on the SPDX list that this program knows")
			return
		}
		a.judge(CheckTermsText, t.Base.SPDX, nil, "on the SPDX list")
		return
	}
	h := newDigest()
	err := unixfs.ReadFile(a.ctx, a.ev, t.Base.Text.Cid, func(p []byte) error { h.Write(p); return nil })
	if err == nil && h.hex() != t.Base.TextSHA256 {
		err = fault.New(fault.Unverified, "the text has the SHA-256 %s, the terms say %s", h.hex(), t.Base.TextSHA256)
	}
	a.judge(CheckTermsText, t.Base.Text.String(), err, fmt.Sprintf("%d bytes", h.n))
}
