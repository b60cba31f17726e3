package fold

import (
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// usage judges a usage/v1. A record of use is never refused for what the terms
// of its inputs say.
func (j *judge) usage(p *manifests.Usage) ([]Effect, Code, error) {
	if code, err := j.signedBy(p.Signer(), []sign.KeyID{p.Signer()}); code != "" || err != nil {
		return nil, code, err
	}
	u := AddUsage{
		Statement: j.stmt(),
		Run:       p.Run,
		Kind:      p.Type,
		Trainer:   p.Trainer,
		Lock:      p.Lock,
		Private:   p.Private,
		Payer:     p.Payer,
		About:     p.Statement,
		Meter:     p.Meter,
		Qty:       p.Qty,
		From:      p.From,
		To:        p.To,
	}
	used := make([]cjson.CID, 0, len(p.Inputs)+1)
	for _, in := range p.Inputs {
		used = append(used, in.Statement)
		u.Inputs = append(u.Inputs, Input{Statement: in.Statement, Units: in.Units, Unit: in.Unit, EpochsPpm: in.EpochsPpm, Terms: in.Terms})
	}
	if p.Statement.Defined() {
		used = append(used, p.Statement)
	}
	for _, c := range used {
		n, ok, err := j.Node(c.Cid)
		if err != nil || !ok {
			return nil, Reference, err
		}
		switch missing, err := j.unaccepted(c.Cid, n, p.Signer()); {
		case err != nil:
			return nil, "", err
		case missing:
			u.Unaccepted = append(u.Unaccepted, c)
		}
	}
	var err error
	if u.AfterWithdrawal, err = j.withdrawn(used); err != nil {
		return nil, "", err
	}
	return []Effect{u}, "", nil
}

// attribution judges an attribution/v1. Its parents are among the entries that
// it says it looked at.
func (j *judge) attribution(p *manifests.Attribution) ([]Effect, Code, error) {
	if code, err := j.signedBy(p.Attributor, []sign.KeyID{p.Attributor}); code != "" || err != nil {
		return nil, code, err
	}
	if p.AtSize > j.index {
		return nil, Anchor, nil
	}
	for _, c := range p.Parents {
		n, ok, err := j.Node(c.Cid)
		if err != nil || !ok || n.Index >= p.AtSize {
			return nil, Reference, err
		}
	}
	return []Effect{AddAttribution{
		Statement:     j.stmt(),
		Attributor:    p.Attributor,
		Data:          p.Data,
		Parents:       p.Parents,
		Method:        p.Method,
		EvidenceClass: p.EvidenceClass,
		Scores:        p.Scores,
		N:             p.N,
		Total:         p.Total,
		Scale:         p.Scale,
		AtSize:        p.AtSize,
		CapPpm:        p.CapPpm,
	}}, "", nil
}

// dispute judges a dispute/v1: anyone may contest an accepted statement.
func (j *judge) dispute(p *manifests.Dispute) ([]Effect, Code, error) {
	if code, err := j.signedBy(p.Disputant, []sign.KeyID{p.Disputant}); code != "" || err != nil {
		return nil, code, err
	}
	if ok, err := j.accepted(p.Target.Cid); !ok || err != nil {
		return nil, Reference, err
	}
	return []Effect{AddDispute{Statement: j.stmt(), Disputant: p.Disputant, Target: p.Target, Kind: p.Type}}, "", nil
}

// resolution judges a resolution/v1: the arbiters rule about one version. When
// the dispute is about a version, it is that one.
func (j *judge) resolution(p *manifests.Resolution) ([]Effect, Code, error) {
	if code, err := j.byGroup(manifests.Arbiters); code != "" || err != nil {
		return nil, code, err
	}
	d, ok, err := j.Dispute(p.Dispute.Cid)
	if err != nil || !ok {
		return nil, Reference, err
	}
	if _, ok, err := j.Node(p.Statement.Cid); !ok || err != nil {
		return nil, Reference, err
	}
	_, about, err := j.Node(d.Target.Cid)
	if err != nil {
		return nil, "", err
	}
	c, _, err := j.Calendar()
	switch {
	case err != nil:
		return nil, "", err
	case c.Next() == "":
		return nil, WrongPeriod, nil
	case about && d.Target != p.Statement:
		return nil, Mismatch, nil
	}
	r := AddResolution{Statement: j.stmt(), Dispute: p.Dispute, About: p.Statement, Ruling: p.Ruling, Total: p.Total, From: c.Next()}
	if len(p.Shares) > 0 {
		r.Shares = shares(p.Shares)
	}
	return []Effect{r}, "", nil
}

// commit judges a commit/v1.
func (j *judge) commit(p *manifests.Commit) ([]Effect, Code, error) {
	if code, err := j.signedBy(p.Identity, []sign.KeyID{p.Identity}); code != "" || err != nil {
		return nil, code, err
	}
	return []Effect{AddCommit{Statement: j.stmt(), Identity: p.Identity, Commitment: p.Commitment}}, "", nil
}
