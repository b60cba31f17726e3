// Package audit is the auditor: it checks what a registry says about a dataset,
// or about its whole log, against signatures and hashes, and reports finding by
// finding. It imports manifests alone, gets its evidence through an interface,
// and believes nothing that it gets.
package audit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// Evidence is where an auditor gets what it checks. What is not there is
// fault.NotFound; what was looked at and is wrong, fault.Unverified.
type Evidence interface {
	// Bundle returns a statement's bundle.
	Bundle(ctx context.Context, statement cid.Cid) ([]byte, error)
	// Checkpoint returns the log's latest signed checkpoint.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Tile returns the log's file at a path: see [proof.TilePath].
	Tile(ctx context.Context, path string) ([]byte, error)
	// Blocks gives blocks hashed against their CIDs. Size may be the operator's
	// word: where it matters, the block is read.
	unixfs.Blocks
}

// The checks that an audit adds to those of a bundle.
const (
	CheckGrowth    = "growth"     // the log contains what was seen of it before
	CheckLog       = "log"        // the log, recomputed from its entry bundles
	CheckRegistry  = "registry"   // entry 0 is this log's registry/v1
	CheckKeyEvents = "key-events" // the bundle holds every key event of its signers
	CheckLineage   = "lineage"    // a source is registered, at a smaller index
	CheckManifest  = "manifest"   // manifest and statement agree
	CheckTerms     = "terms"      // terms and statement agree
	CheckTermsText = "terms-text" // the licence's text is there
	CheckStructure = "structure"  // the data's DAG, its counts and its file list
	CheckBlocks    = "blocks"     // the data's blocks
	CheckFiles     = "files"      // SHA-256 of whole files
	CheckSketch    = "sketch"     // the sketch and fingerprint that the manifest names
	CheckOverlap   = "overlap"    // what the data shares with earlier datasets
)

// WrongRegistry is the code of a registry/v1 that is for another log.
const WrongRegistry = "wrong-registry"

// A Mode says which blocks of the data are read.
type Mode string

// The modes.
const (
	All    Mode = "all"    // every block
	Sample Mode = "sample" // all structure, and a seeded sample of the leaves
	None   Mode = "none"   // structure alone
)

// Options are the choices of an audit.
type Options struct {
	// Policy is the auditor's own; it never comes out of the evidence.
	Policy *proof.Policy
	// Trust says where the policy came from; it goes into the report.
	Trust string
	// Since is a checkpoint of the log that was seen earlier, nil for none.
	Since []byte
	// Blocks is All when empty. Seed draws the sample.
	Blocks Mode
	Seed   uint64
	// Progress, when set, is told how many bytes of how many were read.
	Progress func(done, total int64)
	// Sketch, when set, computes the sketch and fingerprint that a manifest names
	// from the data again, when all blocks are read: fault.Unverified for others.
	Sketch func(ctx context.Context, b unixfs.Blocks, m *manifests.Manifest) error
	// Overlap, when set, gives what the registry finds undeclared. It is the
	// registry's word, and no verdict about the dataset follows from it.
	Overlap func(ctx context.Context, statement cid.Cid) ([]Undeclared, error)
	// Leaf, when set, is handed each entry of the log that [Log] recomputes, in
	// order, before it is known whether the whole holds. An error ends the work.
	Leaf func(c proof.Checkpoint, i uint64, leaf []byte) error
}

// Undeclared is an earlier dataset that shares something, and that no declared
// relation leads to.
type Undeclared struct {
	Statement cid.Cid
	Code      string
	Detail    string // how much, for people
}

// The results of an audit, the same words as in attestation/v1. Only the first
// two are verdicts.
const (
	Holds       = "holds"
	DoesNotHold = "does-not-hold"
	Incomplete  = "incomplete" // nothing fails, and something could not be checked
)

// A Report is the outcome of an audit.
type Report struct {
	Kind      string          `json:"kind"` // dataset or log
	Origin    string          `json:"origin,omitempty"`
	Trust     string          `json:"trust,omitempty"`
	Size      uint64          `json:"size"`           // of the checkpoint that was checked against
	Root      string          `json:"root,omitempty"` // base64, of that tree
	Statement cjson.CID       `json:"statement,omitzero"`
	Index     *uint64         `json:"index,omitempty"`
	Name      string          `json:"name,omitempty"`
	Version   string          `json:"version,omitempty"`
	Data      cjson.CID       `json:"data,omitzero"` // the data's root
	Signers   []sign.KeyID    `json:"signers,omitempty"`
	Blocks    Mode            `json:"blocks,omitempty"`
	Seed      *uint64         `json:"seed,omitempty"`
	Result    string          `json:"result"` // holds, does-not-hold or incomplete
	Findings  []proof.Finding `json:"findings"`

	// Latest is the newest checkpoint that was verified: the Since of the next
	// audit.
	Latest []byte `json:"-"`

	unable []error
}

// Err returns what the audit's exit status follows from: an error marked
// fault.Unverified when a check fails, else what kept a check from being made,
// else nil.
func (r *Report) Err() error {
	if r.Result == DoesNotHold {
		return fault.New(fault.Unverified, "it does not hold")
	}
	return errors.Join(r.unable...)
}

// Text writes the report for people: a line a finding, the verdict last.
func (r *Report) Text(w io.Writer) {
	for _, f := range r.Findings {
		fmt.Fprintln(w, f)
	}
	switch r.Result {
	case DoesNotHold:
		fmt.Fprintln(w, "DOES NOT HOLD")
	case Incomplete:
		fmt.Fprintln(w, "could not be checked completely")
	default:
		fmt.Fprintln(w, "holds")
	}
}

// auditor is one audit on its way.
type auditor struct {
	ctx context.Context
	ev  Evidence
	o   Options
	r   *Report
}

func newAuditor(ctx context.Context, ev Evidence, o Options, kind string) (*auditor, error) {
	if o.Policy == nil {
		return nil, fault.New(fault.Internal, "an audit without a policy: whose log is trusted?")
	}
	return &auditor{ctx, ev, o, &Report{Kind: kind, Trust: o.Trust, Result: Holds}}, nil
}

// judge adds a finding. An error that says the evidence is wrong fails the
// check; any other says that it could not be made.
func (a *auditor) judge(check, subject string, err error, detail string) bool {
	f := proof.Finding{Check: check, Status: proof.Holds, Subject: subject, Detail: detail}
	switch code := fault.Of(err); code {
	case "":
	case fault.Unverified, fault.Invalid:
		f.Status, f.Detail = proof.Fails, err.Error()
		a.r.Result = DoesNotHold
	default:
		f.Status, f.Detail, f.Code = proof.NotChecked, err.Error(), string(code)
		if a.r.Result == Holds {
			a.r.Result = Incomplete
		}
		a.r.unable = append(a.r.unable, fmt.Errorf("%s: %w", check, err))
	}
	a.r.Findings = append(a.r.Findings, f)
	return err == nil
}

func (a *auditor) skip(check, subject, detail string) {
	a.r.Findings = append(a.r.Findings, proof.Finding{Check: check, Status: proof.NotChecked, Subject: subject, Detail: detail})
}

// checkpoint verifies the latest checkpoint, and that it contains the tree of
// every earlier one: that of the last audit, and earlier, unless zero.
func (a *auditor) checkpoint(earlier *proof.Verified) (*proof.Verified, bool) {
	note, err := a.ev.Checkpoint(a.ctx)
	if err != nil {
		return nil, a.judge(proof.CheckCheckpoint, "latest", err, "")
	}
	latest, err := a.o.Policy.Verify(note)
	if !a.judge(proof.CheckCheckpoint, "latest", err, fmt.Sprintf("%s signed size %d", latest.Origin, latest.Size)) {
		return nil, false
	}
	a.r.Origin, a.r.Size, a.r.Root = latest.Origin, latest.Size, base64.StdEncoding.EncodeToString(latest.Root[:])
	ok := true
	if earlier != nil {
		ok = a.grown("the receipt's", earlier, &latest)
	}
	if a.o.Since == nil {
		a.skip(CheckGrowth, "since the last audit", "no earlier checkpoint of this log is known here")
	} else if since, err := a.o.Policy.Verify(a.o.Since); err != nil {
		ok = a.judge(CheckGrowth, "since the last audit", err, "") && ok
	} else {
		ok = a.grown("since the last audit", &since, &latest) && ok
	}
	if ok {
		a.r.Latest = note
	}
	return &latest, ok
}

func (a *auditor) grown(subject string, old, latest *proof.Verified) bool {
	var err error
	switch {
	case old.Origin != latest.Origin:
		err = fault.New(fault.Unverified, "checkpoints of two logs: %s and %s", old.Origin, latest.Origin)
	case old.Size > latest.Size:
		err = fault.New(fault.Unverified, "the log has %d entries and had %d before", latest.Size, old.Size)
	default:
		var root [32]byte
		if root, err = proof.RootAt(a.ctx, latest.Checkpoint, old.Size, a.ev.Tile); err == nil && root != old.Root {
			err = fault.New(fault.Unverified, "at size %d the log has another root than it had: it was rewritten", old.Size)
		}
	}
	return a.judge(CheckGrowth, subject, err, fmt.Sprintf("from %d to %d entries", old.Size, latest.Size))
}

// recompute reads the whole log up to c.
func (a *auditor) recompute(c proof.Checkpoint, leaf func(i uint64, l proof.Leaf, raw []byte)) bool {
	entry0 := []byte(nil)
	holds, err := proof.Recompute(a.ctx, c, a.ev.Tile, func(i uint64, b []byte) error {
		if i == 0 {
			entry0 = append(entry0, b...)
		}
		if l, err := proof.DecodeLeaf(b); err == nil {
			leaf(i, l, b)
		}
		if a.o.Leaf != nil {
			return a.o.Leaf(c, i, b)
		}
		return nil
	}, func(path string, err error) {
		a.judge(CheckLog, path, fault.Mark(fault.Unverified, err), "")
	})
	if err != nil {
		return a.judge(CheckLog, "", err, "")
	}
	if !holds {
		return false
	}
	a.judge(CheckLog, "", nil, fmt.Sprintf("%d entries, every tile and the root recomputed", c.Size))
	if c.Size > 0 {
		return a.registry(c, entry0)
	}
	return true
}

// registry checks entry 0. The log key vouches for it, so what it says must be
// about this log and this key.
func (a *auditor) registry(c proof.Checkpoint, leaf []byte) bool {
	wrong := func(format string, args ...any) bool {
		a.judge(CheckRegistry, "entry 0", fault.New(fault.Unverified, format, args...), "")
		a.r.Findings[len(a.r.Findings)-1].Code = WrongRegistry
		return false
	}
	l, err := proof.DecodeLeaf(leaf)
	if err != nil {
		return wrong("it is no leaf of a statement")
	}
	if manifests.Kind(l.T) != manifests.KindRegistry {
		return wrong("it is a %s", fault.Quote(l.T))
	}
	envelope, err := a.ev.Block(a.ctx, l.Env.Cid)
	if err != nil {
		return a.judge(CheckRegistry, "entry 0", err, "")
	}
	entry := proof.CheckEntry(envelope, leaf)
	if !entry.Holds() {
		for _, f := range entry.Findings {
			if f.Status == proof.Fails {
				return wrong("%s: %s", f.Check, f.Detail)
			}
		}
	}
	p, ok := entry.Predicate().(*manifests.Registry)
	if !ok {
		return wrong("it holds no registry/v1")
	}
	if p.Origin != c.Origin {
		return wrong("it is about the log %s", fault.Quote(p.Origin))
	}
	for _, key := range a.o.Policy.LogVKeys() {
		for _, k := range p.LogKeys {
			if k == key {
				return a.judge(CheckRegistry, "entry 0", nil, fmt.Sprintf("operated by %d of %d keys", p.OperatorThreshold, len(p.Operators)))
			}
		}
	}
	return wrong("it names other log keys than the policy")
}

// Log audits a whole log: its checkpoint, its growth, every entry bundle and
// tile, and entry 0. The error is only for an Options that no audit can be made
// with; what could not be read is in the report.
func Log(ctx context.Context, ev Evidence, o Options) (*Report, error) {
	a, err := newAuditor(ctx, ev, o, "log")
	if err != nil {
		return nil, err
	}
	latest, ok := a.checkpoint(nil)
	if !ok {
		return a.r, nil
	}
	kinds := make(map[string]int)
	a.recompute(latest.Checkpoint, func(_ uint64, l proof.Leaf, _ []byte) { kinds[l.T]++ })
	return a.r, nil
}
