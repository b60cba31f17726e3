package foldtest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/registry/fold"
)

// The money of these logs: the currency and the first period of [World.Registry].
const (
	Currency    = "CHF"
	FirstPeriod = "2026-11"
)

// Sorted returns CIDs in the order in which statements list them.
func Sorted(list ...cid.Cid) []cjson.CID {
	out := make([]cjson.CID, len(list))
	for i, c := range list {
		out[i] = cjson.CID{Cid: c}
	}
	slices.SortFunc(out, func(a, b cjson.CID) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(out)
}

// Shares returns a list of shares: a name and a weight in turn.
func Shares(namesAndWeights ...any) (list []manifests.Share, total string) {
	sum := 0
	for i := 0; i < len(namesAndWeights); i += 2 {
		w := namesAndWeights[i+1].(int)
		sum += w
		list = append(list, manifests.Share{ID: ID(namesAndWeights[i].(string)), Weight: fmt.Sprint(w)})
	}
	return list, fmt.Sprint(sum)
}

// SetEdges gives a contribution or model edges in parts per million.
func SetEdges(edges *[]manifests.Edge, self, total *string, ppm map[cid.Cid]int) {
	left := 1_000_000
	*edges = nil
	for _, c := range Sorted(mapKeys(ppm)...) {
		*edges = append(*edges, manifests.Edge{Statement: c, Weight: fmt.Sprint(ppm[c.Cid])})
		left -= ppm[c.Cid]
	}
	*self, *total = fmt.Sprint(left), "1000000"
}

func mapKeys(m map[cid.Cid]int) []cid.Cid {
	var list []cid.Cid
	for c := range m {
		list = append(list, c)
	}
	return list
}

// Work returns the name of the work whose first version is a statement.
func Work(first cid.Cid) string { return manifests.WorkPrefix + first.String() }

func digest(text string) string { return hex.EncodeToString(RawCID(text).Hash()[2:]) }

func root(text string) string { return base64.StdEncoding.EncodeToString(RawCID(text).Hash()[2:]) }

// Model returns a model/v1 with one contributor, its publisher.
func (w *World) Model(publisher, name, version string) *manifests.Model {
	list, total := Shares(publisher, 1)
	return &manifests.Model{
		Common: w.Common(), Publisher: ID(publisher),
		Model: manifests.ModelName{Name: name, Version: version, Title: "The " + name, Artifact: cjson.CID{Cid: RawCID("weights of " + name + " " + version)}},
		Terms: JSONCID("terms"), Contributors: list, Total: total,
	}
}

// Usage returns a training run of a person over some inputs.
func (w *World) Usage(trainer string, inputs ...cid.Cid) *manifests.Usage {
	c := w.Common()
	u := &manifests.Usage{Common: c, Run: c.Nonce, Type: manifests.UsageTraining, Trainer: ID(trainer), Lock: cjson.CID{Cid: RawCID("lock")}}
	for _, in := range Sorted(inputs...) {
		u.Inputs = append(u.Inputs, manifests.Input{Statement: in, Units: "1000", Unit: "token", EpochsPpm: 1_000_000, Terms: JSONCID("terms")})
	}
	return u
}

// Metered returns a person's metered use of a version.
func (w *World) Metered(payer string, statement cid.Cid) *manifests.Usage {
	c := w.Common()
	return &manifests.Usage{Common: c, Run: c.Nonce, Type: manifests.UsageMetered, Payer: ID(payer), Statement: cjson.CID{Cid: statement},
		Meter: "inference-token", Qty: "5000", From: "2026-11-01T00:00:00Z", To: "2026-12-01T00:00:00Z"}
}

// Attribution returns a person's attribution of data to parents.
func (w *World) Attribution(who string, data cid.Cid, atSize int, parents ...cid.Cid) *manifests.Attribution {
	return &manifests.Attribution{
		Common: w.Common(), Attributor: ID(who), Data: cjson.CID{Cid: data}, Parents: Sorted(parents...), Method: "chunk-first-seen/1",
		EvidenceClass: "A", AtSize: uint64(atSize), Scores: cjson.CID{Cid: RawCID("scores")}, N: int64(len(parents)), Total: "10", Scale: "10",
		Negatives: manifests.NegativesReject,
	}
}

// Agreement returns an agreement on a work: names and weights in turn.
func (w *World) Agreement(work, period string, supersedes cid.Cid, namesAndWeights ...any) *manifests.Agreement {
	list, total := Shares(namesAndWeights...)
	return &manifests.Agreement{Common: w.Common(), Work: work, EffectivePeriod: period, Supersedes: cjson.CID{Cid: supersedes}, Shares: list, Total: total}
}

// Period returns the closing of a period.
func (w *World) Period(closes string) *manifests.PeriodStatement {
	return &manifests.PeriodStatement{Common: w.Common(), Closes: closes}
}

// Currency returns a currency/v1.
func (w *World) Currency(code string, minor, fine int) *manifests.CurrencyStatement {
	return &manifests.CurrencyStatement{Common: w.Common(), Currency: manifests.Currency{Code: code, MinorDigits: minor, FineDigits: fine}}
}

// Income returns the operators' income of a version in the first period.
func (w *World) Income(key string, statement cid.Cid, minor string) *manifests.Revenue {
	return &manifests.Revenue{
		Common: w.Common(), Key: key, Statement: cjson.CID{Cid: statement}, Type: manifests.RevenueIncome, Settlement: manifests.SettlementGross,
		Period: FirstPeriod, OccurredAt: "2026-11-20T10:00:00Z", Currency: Currency, GrossMinor: minor, NetMinor: minor,
	}
}

// Declared returns an income that a publisher declares.
func (w *World) Declared(publisher, key string, statement cid.Cid, minor string) *manifests.Revenue {
	r := w.Income(key, statement, minor)
	r.Issuer = ID(publisher)
	return r
}

// Receipt returns the operators' receipt for a declared income.
func (w *World) Receipt(key string, statement, income cid.Cid, minor string) *manifests.Revenue {
	r := w.Income(key, statement, minor)
	r.Type, r.Settles = manifests.RevenueReceipt, cjson.CID{Cid: income}
	return r
}

// Refund returns the refund of an income.
func (w *World) Refund(key string, statement, income cid.Cid, minor string) *manifests.Revenue {
	r := w.Income(key, statement, minor)
	r.Type, r.Reverses = manifests.RevenueRefund, cjson.CID{Cid: income}
	return r
}

// Allocation returns an allocation/v1 of a period.
func (w *World) Allocation(period string, supersedes cid.Cid) *manifests.Allocation {
	return &manifests.Allocation{
		Common: w.Common(), Engine: "credit/1", Period: period, Currency: Currency, Checkpoint: manifests.Anchor{Size: 1, Root: root("checkpoint")},
		Events: manifests.Tree{N: 1, Root: root("events")}, Nodes: manifests.Tree{N: 1, Root: root("nodes")}, Payees: manifests.Tree{N: 1, Root: root("payees")},
		InFine: "1000", HeldFine: "0", Supersedes: cjson.CID{Cid: supersedes},
	}
}

// Adjustment returns an adjustment/v1.
func (w *World) Adjustment(allocation cid.Cid, reason string, cause cid.Cid) *manifests.Adjustment {
	return &manifests.Adjustment{
		Common: w.Common(), Allocation: cjson.CID{Cid: allocation}, Reason: reason, Cause: cjson.CID{Cid: cause},
		Deltas: manifests.Tree{N: 2, Root: root("deltas")},
	}
}

// Payout returns a payout/v1 of two lines.
func (w *World) Payout(key string, allocations ...cid.Cid) *manifests.Payout {
	return &manifests.Payout{
		Common: w.Common(), Key: key, Allocations: Sorted(allocations...), Rail: "csv", Currency: Currency, MinMinor: "1",
		Lines: cjson.CID{Cid: RawCID("lines")}, N: 2, TotalMinor: "10",
	}
}

// PayoutResult returns what became of a line of a payout.
func (w *World) PayoutResult(payout cid.Cid, line int64, status string) *manifests.PayoutResult {
	return &manifests.PayoutResult{Common: w.Common(), Payout: cjson.CID{Cid: payout}, Index: line, Status: status}
}

// Payee returns a payee/v1.
func (w *World) Payee(who string) *manifests.Payee {
	return &manifests.Payee{Common: w.Common(), Identity: ID(who), Rail: "csv", Commitment: digest("details of " + who)}
}

// Dispute returns a dispute/v1.
func (w *World) Dispute(who string, target cid.Cid) *manifests.Dispute {
	return &manifests.Dispute{Common: w.Common(), Disputant: ID(who), Target: cjson.CID{Cid: target}, Type: manifests.DisputePlagiarism}
}

// Resolution returns a resolution/v1 without shares.
func (w *World) Resolution(dispute, statement cid.Cid, ruling string) *manifests.Resolution {
	return &manifests.Resolution{Common: w.Common(), Dispute: cjson.CID{Cid: dispute}, Statement: cjson.CID{Cid: statement}, Ruling: ruling}
}

// Accept returns an acceptance of a terms document.
func (w *World) Accept(who, terms string, fetchers ...string) *manifests.Accept {
	a := &manifests.Accept{Common: w.Common(), Party: ID(who), Terms: JSONCID(terms)}
	for _, f := range fetchers {
		a.Fetchers = append(a.Fetchers, ID(f))
	}
	slices.Sort(a.Fetchers)
	return a
}

// Withdraw returns a withdrawal of a version.
func (w *World) Withdraw(who string, statement cid.Cid) *manifests.Withdraw {
	return &manifests.Withdraw{Common: w.Common(), Party: ID(who), Statement: cjson.CID{Cid: statement}, Reason: "no more"}
}

// Tombstone returns the tombstone of the entry at index i with a body and result.
func (w *World) Tombstone(i int, b Body, r fold.Result) *manifests.Tombstone {
	t, err := fold.NewTombstone(uint64(i), b.Leaf, r)
	if err != nil {
		panic(fmt.Sprintf("foldtest: %v", err))
	}
	t.Common = w.Common()
	return t
}

// Commit returns a commit/v1.
func (w *World) Commit(who string) *manifests.Commit {
	return &manifests.Commit{Common: w.Common(), Identity: ID(who), Commitment: digest("commitment of " + who)}
}
