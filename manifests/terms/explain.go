package terms

import (
	"fmt"

	"github.com/cairn-registry/cairn/manifests/cjson"
)

// A UseExplained is what a document comes to for one use.
type UseExplained struct {
	Use         string       `json:"use"`
	Commercial  bool         `json:"commercial"`
	Verdict     Verdict      `json:"verdict"`
	Reasons     []Reason     `json:"reasons"`
	Obligations []Obligation `json:"obligations,omitempty"`
}

// An Explanation says what terms come to, use by use, and from where that is.
type Explanation struct {
	Terms    cjson.CID      `json:"terms,omitzero"`
	License  string         `json:"license"`
	Table    cjson.CID      `json:"table"`
	Licenses []License      `json:"licenses"`          // those of the expression that the table knows
	Unknown  []string       `json:"unknown,omitempty"` // … and that it does not
	Uses     []UseExplained `json:"uses"`
	Signals  []Header       `json:"signals,omitempty"` // what servers send
	Notes    []string       `json:"notes,omitempty"`
	Notice   string         `json:"notice"` // [NotLegalAdvice]
}

// Explain judges t alone for every use, commercial and not, at an instant. id is
// the CID of t, undefined when it has none yet.
func (t *Table) Explain(d *Terms, id cjson.CID, at string) (*Explanation, error) {
	root, err := parse(d.Base.SPDX)
	if err != nil {
		return nil, err
	}
	w := Work{ID: "these terms", Terms: d, TermsCID: id}
	x := &Explanation{Terms: id, License: d.Base.SPDX, Table: t.cid, Licenses: []License{}, Notice: NotLegalAdvice}
	n := notice{table: t}
	x.Licenses = append(x.Licenses, n.licenses(w)...)
	root.each(func(l *node) {
		if t.lookUp(l) == nil {
			x.Unknown = append(x.Unknown, l.id)
		}
	})
	x.Unknown = compactSorted(x.Unknown)
	for _, use := range uses {
		for _, commercial := range []bool{true, false} {
			v, err := t.Decide(Question{Use: use, Commercial: commercial, At: at}, w)
			if err != nil {
				return nil, err
			}
			u := UseExplained{Use: use, Commercial: commercial, Verdict: v.Verdict, Reasons: v.Works[0].Reasons, Obligations: v.Obligations}
			u.Reasons = append(u.Reasons, v.Findings...)
			for i := range u.Obligations {
				u.Obligations[i].Works = nil
			}
			x.Uses = append(x.Uses, u)
		}
	}
	x.Signals = SignalsOf(d).Headers("")
	if d.Payment != nil && d.paid() && d.Payment.Free != nil {
		x.Notes = append(x.Notes, "payment.free is the licensor's word; no verdict counts on it")
	}
	if d.Revocable {
		x.Notes = append(x.Notes, "the terms can be revoked: a withdrawal ends new use")
	}
	if d.ValidFrom != "" || d.ValidUntil != "" {
		x.Notes = append(x.Notes, fmt.Sprintf("in force from %s until %s", orAlways(d.ValidFrom), orAlways(d.ValidUntil)))
	}
	return x, nil
}

func orAlways(at string) string {
	if at == "" {
		return "always"
	}
	return at
}
