package proof

import (
	"bytes"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// The checks of a bundle, in the order of their findings.
const (
	CheckBundle     = "bundle"       // the file is in its one encoding
	CheckEnvelope   = "envelope"     // the envelope is in normalised form
	CheckSignatures = "signatures"   // every signature holds
	CheckStatement  = "statement"    // the payload is a statement in its one encoding
	CheckSubject    = "subject"      // the subject is what the predicate is about
	CheckSigners    = "signers"      // who had to sign did, and nobody else
	CheckLeaf       = "leaf"         // the log's leaf is that of this envelope
	CheckCheckpoint = "checkpoint"   // a trusted log signed the checkpoint, origin and all
	CheckQuorum     = "quorum"       // enough witnesses cosigned it
	CheckOrigin     = "origin"       // the statement was made for this log
	CheckInclusion  = "inclusion"    // the leaf is in the checkpoint's tree
	CheckKeys       = "key-validity" // no signer's key was replaced or revoked before the entry
	CheckVerdict    = "verdict"      // what the log's rules made of the entry
)

// A BundleReport is the outcome of [VerifyBundle].
type BundleReport struct {
	Statement cid.Cid        `json:"-"`
	Kind      manifests.Kind `json:"kind,omitempty"`
	Index     uint64         `json:"index"`
	Size      uint64         `json:"size"`
	Origin    string         `json:"origin,omitempty"`
	Signers   []sign.KeyID   `json:"signers,omitempty"`
	// Parties are the identities that the signers' keys belonged to at the entry, by
	// the key events in the bundle, in the order of Signers; nil when each key is the
	// first of its identity.
	Parties  []sign.KeyID `json:"parties,omitempty"`
	Findings []Finding    `json:"findings"`

	statement *manifests.Statement
}

// Holds reports whether no check fails.
func (r *BundleReport) Holds() bool { return !AnyFails(r.Findings) }

// Predicate returns the statement's predicate, nil when it did not decode.
func (r *BundleReport) Predicate() manifests.Predicate {
	if r.statement == nil {
		return nil
	}
	return r.statement.Predicate
}

// Subject returns the CID that the statement is about: a contribution's data
// root. It is fault.Invalid for a statement that did not decode.
func (r *BundleReport) Subject() (cid.Cid, error) {
	if r.statement == nil {
		return cid.Undef, fault.New(fault.Invalid, "there is no statement")
	}
	return r.statement.SubjectCID()
}

func (r *BundleReport) add(check, subject string, err error, detail string) bool {
	f := Finding{Check: check, Status: Holds, Subject: subject, Detail: detail}
	if err != nil {
		f.Status, f.Detail = Fails, err.Error()
	}
	r.Findings = append(r.Findings, f)
	return err == nil
}

func (r *BundleReport) skip(check, detail string) {
	r.Findings = append(r.Findings, Finding{Check: check, Status: NotChecked, Detail: detail})
}

// VerifyBundle checks a bundle against the verifier's policy: no network, no
// clock. It reports one finding for each check; a bundle that is malformed
// fails the first and is not looked at further. A receipt proves that an entry
// was logged, not that it was accepted, so the verdict is reported as not
// checked. The error is for a nil policy only.
func VerifyBundle(b []byte, p *Policy) (*BundleReport, error) {
	if p == nil {
		return nil, fault.New(fault.Internal, "no policy to verify a bundle with")
	}
	r := new(BundleReport)
	bundle, err := ParseBundle(b)
	if !r.add(CheckBundle, "", err, "") {
		return r, nil
	}
	chain, events := r.keyEvents(bundle, p)
	r.envelope(bundle.Envelope, bundle.Leaf, chain)
	v, ok := r.inclusion(bundle.Entry, p)
	r.keys(chain, events, v, ok)
	r.skip(CheckVerdict, "a receipt proves inclusion, not acceptance: needs replay of the log, or a state/v1 entry")
	return r, nil
}

// CheckEntry reports on an envelope and its leaf by themselves: the checks from
// [CheckEnvelope] to [CheckLeaf]. Auditors that get their evidence in parts
// call it. Without key events, a signer that the statement does not name may be a
// later key of somebody whom it names: [CheckSigners] is then not checked.
func CheckEntry(envelope, leaf []byte) *BundleReport {
	r := new(BundleReport)
	r.envelope(envelope, leaf, nil)
	return r
}

func (r *BundleReport) envelope(envelope, leaf []byte, chain *chainAt) {
	e, err := sign.Decode(envelope)
	if !r.add(CheckEnvelope, "", err, "") {
		for _, c := range []string{CheckSignatures, CheckStatement, CheckSubject, CheckSigners, CheckLeaf} {
			r.skip(c, "there is no envelope to look at")
		}
		return
	}
	_, signers, err := e.Open()
	r.Signers = signers
	r.add(CheckSignatures, "", err, fmt.Sprintf("signed by %s", list(signers)))
	r.Statement = manifests.StatementCID(e.Payload)
	s, err := manifests.Decode(e.Payload)
	if !r.add(CheckStatement, r.Statement.String(), err, "") {
		for _, c := range []string{CheckSubject, CheckSigners, CheckLeaf} {
			r.skip(c, "there is no statement to look at")
		}
		return
	}
	r.statement, r.Kind = s, s.Kind
	r.add(CheckSubject, s.Subject[0].Name, s.CheckSubject(), "")
	r.signers(s, signers, chain)
	want, err := NewLeaf(e, envelope)
	if err == nil {
		var enc []byte
		if enc, err = want.Encode(); err == nil && !bytes.Equal(enc, leaf) {
			err = fault.New(fault.Unverified, "the log's leaf is not the one of this envelope")
		}
	}
	r.add(CheckLeaf, want.Env.String(), err, "")
}

func (r *BundleReport) inclusion(e Entry, p *Policy) (Verified, bool) {
	rec, err := ParseReceipt(e.Receipt)
	if !r.add("receipt", "", err, "") {
		for _, c := range []string{CheckCheckpoint, CheckQuorum, CheckOrigin, CheckInclusion} {
			r.skip(c, "there is no receipt to look at")
		}
		return Verified{}, false
	}
	r.Index = rec.Index
	v, quorum, err := p.open(rec.Checkpoint)
	if !r.add(CheckCheckpoint, v.Origin, err, fmt.Sprintf("size %d", v.Size)) {
		for _, c := range []string{CheckQuorum, CheckOrigin, CheckInclusion} {
			r.skip(c, "there is no checkpoint to rely on")
		}
		return v, false
	}
	r.Origin, r.Size = v.Origin, v.Size
	err = nil
	if !quorum {
		err = fault.New(fault.Unverified, "%d witnesses cosigned, which does not meet the policy's quorum", len(v.Witnesses))
	}
	r.add(CheckQuorum, "", err, fmt.Sprintf("%d witnesses cosigned", len(v.Witnesses)))
	if r.statement == nil {
		r.skip(CheckOrigin, "there is no statement to look at")
	} else {
		err = nil
		if o := r.statement.Predicate.Base().Registry; o != v.Origin {
			err = fault.New(fault.Unverified, "the statement is for %s, the log is %s", fault.Quote(o), fault.Quote(v.Origin))
		}
		r.add(CheckOrigin, v.Origin, err, "")
	}
	ok := r.add(CheckInclusion, fmt.Sprintf("entry %d", rec.Index), rec.included(e.Leaf, v.Checkpoint), fmt.Sprintf("in the tree of size %d", v.Size))
	return v, ok
}

func (r *BundleReport) failed() string {
	for _, f := range r.Findings {
		if f.Status == Fails {
			return f.Check + ": " + f.Detail
		}
	}
	return ""
}

// list names keys, a few of them in full.
func list(keys []sign.KeyID) string {
	const most = 4
	s := ""
	for i, k := range keys {
		if i == most {
			return fmt.Sprintf("%s and %d more", s, len(keys)-most)
		}
		if i > 0 {
			s += ", "
		}
		s += string(k)
	}
	return s
}
