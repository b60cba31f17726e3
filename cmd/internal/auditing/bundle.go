package auditing

import (
	"fmt"
	"strings"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry/audit"
)

// ReadBundle reads a bundle's file. One that is larger than any bundle is
// handed on cut: it is evidence, and it does not hold.
func ReadBundle(name string) ([]byte, error) {
	b, err := ReadBounded(name, proof.MaxBundle)
	if fault.Of(err) == fault.TooLarge {
		return b, nil
	}
	return b, err
}

// Bundle checks a bundle offline. Which log it is about stands in the bundle;
// whether that log is trusted, does not.
func Bundle(b []byte, trust Trust) (*audit.Report, error) {
	r := &audit.Report{Kind: "bundle", Result: audit.Holds}
	bundle, err := proof.ParseBundle(b)
	origin := ""
	if err == nil {
		origin, err = originOf(bundle.Receipt)
	}
	if err != nil {
		// Malformed evidence does not hold, whomever one trusts.
		r.Result = audit.DoesNotHold
		r.Findings = []proof.Finding{{Check: proof.CheckBundle, Status: proof.Fails, Detail: err.Error()}}
		return r, nil
	}
	p, err := trust.Policy(origin, "")
	if err != nil {
		return nil, err
	}
	v, err := proof.VerifyBundle(b, p.Policy)
	if err != nil {
		return nil, err
	}
	r.Trust, r.Origin, r.Size, r.Signers, r.Findings = p.From, v.Origin, v.Size, v.Signers, v.Findings
	r.Statement, r.Index = cjson.CID{Cid: v.Statement}, &v.Index
	if !v.Holds() {
		r.Result = audit.DoesNotHold
	}
	return r, nil
}

// originOf returns the origin that a receipt's checkpoint claims.
func originOf(receipt []byte) (string, error) {
	rec, err := proof.ParseReceipt(receipt)
	if err != nil {
		return "", err
	}
	text, _, ok := strings.Cut(string(rec.Checkpoint), "\n\n")
	if !ok {
		return "", fault.New(fault.Unverified, "the receipt's checkpoint is no signed note")
	}
	c, err := proof.ParseCheckpoint([]byte(text + "\n"))
	if err != nil {
		return "", fmt.Errorf("the receipt's checkpoint: %w", err)
	}
	return c.Origin, nil
}
