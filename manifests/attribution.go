package manifests

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// What is done with scores below zero before they become weights.
const (
	NegativesClip   = "clip"   // they count as 0
	NegativesReject = "reject" // there are none
)

const (
	maxMethod = 64
	maxArgs   = 64
)

// An Attribution is the predicate of attribution/v1: a published vector of
// integers that says how much of a dataset comes from each of its parents, with
// how it was found. The vector is normative once it is named; a dispute attacks
// the vector, never the arithmetic behind it. Signed by whoever computed it.
type Attribution struct {
	Common

	Attributor sign.KeyID `json:"attributor"`

	// Data is the root of the child: its statement comes later and may name this one.
	Data cjson.CID `json:"data"`
	// Parents are statements, sorted.
	Parents []cjson.CID `json:"parents"`

	Method        string          `json:"method"`        // "chunk-first-seen/1"
	EvidenceClass string          `json:"evidenceClass"` // A exact, B recomputable, C statistical, D attested
	Params        json.RawMessage `json:"params,omitempty"`
	Inputs        []cjson.CID     `json:"inputs,omitempty"` // what the method read beside the data
	Code          *MethodCode     `json:"code,omitempty"`
	// AtSize is the size of the log whose entries were looked at.
	AtSize uint64 `json:"atSize"`

	// Scores is the CID of a canonical CSV, "key,integer", of N lines that add up to Total.
	Scores    cjson.CID `json:"scores"`
	N         int64     `json:"n"`
	Total     string    `json:"total"`
	Scale     string    `json:"scale"` // what a score of 1 is written as
	Negatives string    `json:"negatives"`
	// CapPpm bounds the share of one party; 0: no cap.
	CapPpm int64 `json:"capPpm,omitempty"`
}

// A MethodCode is the program that computed an attribution.
type MethodCode struct {
	Repo        string   `json:"repo,omitempty"`
	Commit      string   `json:"commit,omitempty"`      // lower hex
	ImageDigest string   `json:"imageDigest,omitempty"` // sha256:…
	Entrypoint  string   `json:"entrypoint,omitempty"`
	Args        []string `json:"args,omitempty"`
}

// Kind returns [KindAttribution].
func (*Attribution) Kind() Kind { return KindAttribution }

func (a *Attribution) subject(Subject) Subject { return dataSubject(a.Data.String(), a.Data.Cid) }

func (a *Attribution) signers() (required, allowed []sign.KeyID) { return one(a.Attributor) }

func (a *Attribution) validate(p *field.Problems) {
	p.Add(field.KeyID(a.Attributor), "predicate.attributor")
	p.Add(field.DataCID(a.Data.Cid), "predicate.data")
	if len(a.Parents) == 0 {
		p.Add("must have an entry", "predicate.parents")
	}
	validateStatements(p, "predicate.parents", a.Parents, MaxReferences)
	p.Add(checkMethod(a.Method), "predicate.method")
	p.Add(field.OneOf(a.EvidenceClass, "A", "B", "C", "D"), "predicate.evidenceClass")
	p.Object("predicate.params", a.Params, maxParams)
	p.CIDs("predicate.inputs", a.Inputs)
	a.Code.validate(p)
	if a.AtSize < 1 || a.AtSize > field.MaxInt {
		p.Add("must be from 1 to 2^53-1", "predicate.atSize")
	}
	p.Add(field.AnyCID(a.Scores), "predicate.scores")
	p.Add(field.Count(a.N), "predicate.n")
	for _, w := range []struct{ path, s string }{{"predicate.total", a.Total}, {"predicate.scale", a.Scale}} {
		_, msg := positiveWeight(w.s)
		p.Add(msg, "%s", w.path)
	}
	p.Add(field.OneOf(a.Negatives, NegativesClip, NegativesReject), "predicate.negatives")
	p.Add(field.Ppm(a.CapPpm), "predicate.capPpm")
}

func (c *MethodCode) validate(p *field.Problems) {
	if c == nil {
		return
	}
	p.Present("predicate.code", c.Repo == "" && c.Commit == "" && c.ImageDigest == "" && c.Entrypoint == "" && len(c.Args) == 0)
	p.URL("predicate.code.repo", c.Repo)
	if c.Commit != "" && !field.IsHex(c.Commit, 40) && !field.IsHex(c.Commit, 64) {
		p.Add("must be 40 or 64 lower-case hex digits", "predicate.code.commit")
	}
	if c.ImageDigest != "" {
		digest, ok := strings.CutPrefix(c.ImageDigest, "sha256:")
		if !ok || field.SHA256(digest) != "" {
			p.Add("must be sha256: and 64 lower-case hex digits", "predicate.code.imageDigest")
		}
	}
	p.Line("predicate.code.entrypoint", c.Entrypoint, maxMedium)
	for i := range p.List("predicate.code.args", len(c.Args), maxArgs) {
		p.Add(field.Text(c.Args[i], maxMedium), "predicate.code.args[%d]", i)
	}
}

// checkMethod checks the name of a method with its version, like knn-shapley/1.
func checkMethod(s string) string {
	name, version, _ := strings.Cut(s, "/")
	if len(s) > maxMethod || name == "" || strings.ContainsFunc(name, func(r rune) bool { return !nameRune(r) }) || !alnum(name[0]) ||
		!field.Number(version) || version == "0" {
		return fmt.Sprintf("must be a name of a-z 0-9 . _ -, a slash and a version from 1 on, at most %d characters", maxMethod)
	}
	return ""
}
