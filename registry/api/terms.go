package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry/wire"
)

// registerTerms adds the routes about terms: documents, the licence table, and
// what may be done with a mixture. The check reads and computes only; a question
// is bounded, and so is what it makes the registry read.
func (a *API) registerTerms(mux *http.ServeMux) {
	a.raw(mux, "/v1/terms/{cid}", "application/json", immutable, a.terms)
	a.post(mux, "/v1/terms/check", wire.MaxTermsCheck, a.checkTerms)
}

func (a *API) terms(ctx context.Context, id cid.Cid) ([]byte, error) {
	if table := terms.DefaultTable(); id.Equals(table.CID().Cid) {
		return table.Bytes(), nil
	}
	b, _, err := a.reg.Terms(ctx, id)
	return b, err
}

func (a *API) checkTerms(r *http.Request, body []byte) (any, error) {
	var ask wire.TermsCheck
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields() // ignored, a member would make the answer milder than the question
	if err := d.Decode(&ask); err != nil {
		return nil, fault.New(fault.Invalid, "the question: %w", err)
	}
	switch {
	case len(ask.Works) == 0 || len(ask.Works) > wire.MaxMixture:
		return nil, fault.New(fault.Invalid, "works has %d entries, not 1 to %d", len(ask.Works), wire.MaxMixture)
	case len(ask.Uses) == 0 || len(ask.Uses) > wire.MaxTermsUses:
		return nil, fault.New(fault.Invalid, "uses has %d entries, not 1 to %d", len(ask.Uses), wire.MaxTermsUses)
	}
	if ask.At == "" {
		ask.At = a.reg.Instant()
	}
	var ids []cid.Cid
	for _, w := range ask.Works {
		if !w.Defined() {
			return nil, fault.New(fault.Invalid, "a work is missing")
		}
		ids = append(ids, w.Cid)
	}
	done, err := a.turn(r.Context())
	if err != nil {
		return nil, err
	}
	defer done()
	works, external, size, err := a.reg.Mixture(r.Context(), ids, !ask.Direct)
	if err != nil {
		return nil, err
	}
	terms.MarkAccepted(works, ask.Accepted)
	out := wire.TermsChecked{Size: size, Verdict: terms.Allow, External: external, Notice: terms.NotLegalAdvice}
	for _, use := range ask.Uses {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		q := terms.Question{Use: use, Commercial: ask.Commercial, Purposes: ask.Purposes, Territory: ask.Territory, At: ask.At}
		d, err := terms.Decide(q, works...)
		if err != nil {
			return nil, err
		}
		out.Verdict = out.Verdict.Worse(d.Verdict)
		out.Decisions = append(out.Decisions, d)
	}
	return out, nil
}
