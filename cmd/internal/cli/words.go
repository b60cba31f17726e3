package cli

import (
	"fmt"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/wire"
)

// words tells in plain words what a statement says, a line each: whoever signs
// one is shown them. Texts of strangers are made printable.
func words(s *manifests.Statement) []string {
	w := new(wording)
	w.add("%s for the registry %s", s.Kind, s.Predicate.Base().Registry)
	switch p := s.Predicate.(type) {
	case *manifests.Contribution:
		w.add("%s publishes the dataset %s@%s, %d files of %d bytes, under %s", p.Publisher, p.Dataset.Name, p.Dataset.Version, p.Dataset.FileCount, p.Dataset.Bytes, p.Dataset.License)
		w.node(p.Contributors, p.Total, p.Edges, p.SelfWeight, p.EdgeTotal, p.Rules)
	case *manifests.Model:
		w.add("%s publishes the model %s@%s", p.Publisher, p.Model.Name, p.Model.Version)
		w.list("it was made in the run %s", p.Usages)
		for _, s := range p.Sources {
			from := target(wire.Source{Statement: s.Statement, CID: s.CID, URL: s.URL})
			switch s.Rel {
			case manifests.TrainedOn:
				w.add("it is trained on %s", from)
			case manifests.DerivedFrom:
				w.add("it is made from %s", from)
			default:
				w.add("it names the source %s, by the relation %s", from, s.Rel)
			}
		}
		w.node(p.Contributors, p.Total, p.Edges, p.SelfWeight, p.EdgeTotal, p.Rules)
	case *manifests.Agreement:
		w.add("from %s on, the shares of the work %s are", p.EffectivePeriod, p.Work)
		w.shares(p.Shares, p.Total)
		w.add("whoever is not in this list gets nothing more from the work")
		if p.Retroactive {
			w.add("it is retroactive: what was paid since %s may be adjusted", p.EffectivePeriod)
		}
		w.one("it replaces the agreement %s", p.Supersedes)
		w.one("it follows the attribution %s", p.Attribution)
	case *manifests.Usage:
		w.usage(p)
	case *manifests.Revenue:
		w.revenue(p)
	case *manifests.PeriodStatement:
		w.add("the period %s is closed; nothing is counted in it any more", p.Closes)
	case *manifests.CurrencyStatement:
		w.add("%s is a unit of account with %d decimals on invoices and %d in computations, for ever", p.Code, p.MinorDigits, p.FineDigits)
	case *manifests.Dispute:
		w.add("%s contests the statement %s: %s", p.Disputant, p.Target, p.Type)
		w.list("evidence: %s", p.Evidence)
	case *manifests.Resolution:
		w.add("on the dispute %s, the arbiters rule about %s: %s", p.Dispute, p.Statement, ruling(p.Ruling))
		if len(p.Shares) > 0 {
			w.shares(p.Shares, p.Total)
		}
		w.list("evidence: %s", p.Evidence)
	case *manifests.Payee:
		w.add("%s is paid by %s, to the details behind the commitment %s", p.Identity, p.Rail, p.Commitment)
	case *manifests.Commit:
		w.add("%s holds what is behind the commitment %s", p.Identity, p.Commitment)
	case *manifests.Attribution:
		w.add("%s finds by %s, evidence class %s, how much of %s comes from each of %d parents", p.Attributor, p.Method, p.EvidenceClass, p.Data, len(p.Parents))
		w.add("the scores are %s, %d lines that add up to %s", p.Scores, p.N, p.Total)
	case *manifests.Registry:
		w.registry(p)
	case *manifests.Key:
		switch p.Op {
		case manifests.KeyRotate:
			w.add("from the next entry on, %s signs for %s, and no other key", p.Key, p.Identity)
			if p.Next != "" {
				w.add("after it only the key follows whose did:key has the SHA-256 %s", p.Next)
			}
		case manifests.KeyRevoke:
			w.add("the key %s of %s signs no more", p.Key, p.Identity)
		default:
			w.add("%s of the key %s", p.Op, p.Key)
		}
	case *manifests.Profile:
		w.add("%s is called %s, handle %s", p.Identity, fault.Printable(p.Name), p.Handle)
	case *manifests.Attestation:
		w.add("%s says of %s, as %s: %s", p.Attester, p.About, p.Type, p.Result)
	case *manifests.Allocation:
		w.add("the run %s of %s in %s: %s fine units came in, %s are held, for %d payees", p.Engine, p.Period, p.Currency, p.InFine, p.HeldFine, p.Payees.N)
		w.add("root of the payee statements: %s", p.Payees.Root)
	case *manifests.Payout:
		w.add("payout %s by %s: %d payees get %s minor units of %s together, as %s lists", p.Key, p.Rail, p.N, p.TotalMinor, p.Currency, p.Lines)
		w.list("of the allocation %s", p.Allocations)
	case *manifests.PayoutResult:
		w.add("line %d of the payout %s was %s", p.Index, p.Payout, p.Status)
	case *manifests.Adjustment:
		w.add("the allocation %s is adjusted, because of %s, for %d payees", p.Allocation, p.Reason, p.Deltas.N)
	case *manifests.Accept:
		w.add("%s accepts the terms %s, for every version that names them", p.Party, p.Terms)
		for _, f := range p.Fetchers {
			w.add("%s may fetch on their behalf", f)
		}
	case *manifests.Withdraw:
		w.add("%s withdraws %s, or flags it when they are not its publisher", p.Party, p.Statement)
		if p.Reason != "" {
			w.add("because: %s", fault.Printable(p.Reason))
		}
	case *manifests.Tombstone:
		w.add("the body of entry %d, the statement %s, is erased; its verdict is %s, with %d effects", p.Index, p.Statement, p.Verdict, len(p.Effects))
	default:
		w.add("there are no words for this kind here: read the payload")
	}
	return w.lines
}

// maxWordLines bounds a list of shares or edges as it is shown: the whole of it
// is in the statement.
const maxWordLines = 40

type wording struct{ lines []string }

func (w *wording) add(format string, args ...any) {
	w.lines = append(w.lines, fmt.Sprintf(format, args...))
}

// one adds a line about a statement that may be absent.
func (w *wording) one(format string, c cjson.CID) {
	if c.Defined() {
		w.add(format, c)
	}
}

func (w *wording) list(format string, list []cjson.CID) {
	for i, c := range list {
		if i == maxWordLines {
			w.add("  … and %d more", len(list)-i)
			return
		}
		w.add(format, c)
	}
}

func (w *wording) shares(shares []manifests.Share, total string) {
	for i, s := range shares {
		if i == maxWordLines {
			w.add("  … and %d more", len(shares)-i)
			return
		}
		w.add("  %s  %s of %s", s.ID, s.Weight, total)
	}
}

// node says what a dataset and a model say alike.
func (w *wording) node(shares []manifests.Share, total string, edges []manifests.Edge, self, edgeTotal string, rules *manifests.Rules) {
	w.add("what it keeps of its revenue is shared so:")
	w.shares(shares, total)
	for i, e := range edges {
		if i == maxWordLines {
			w.add("  … and %d more", len(edges)-i)
			break
		}
		w.add("%s of %s of its revenue flows on to %s", e.Weight, edgeTotal, e.Statement)
	}
	if len(edges) > 0 {
		w.add("%s of %s stays", self, edgeTotal)
	}
	if rules != nil && rules.Payment != nil {
		w.add("it asks %d ppm of the revenue of what is made from it", rules.Payment.RatePpm)
	}
}

func (w *wording) usage(p *manifests.Usage) {
	switch p.Type {
	case manifests.UsageMetered:
		w.add("%s used %s: %s %s from %s to %s", p.Payer, p.Statement, p.Qty, p.Meter, p.From, p.To)
	case manifests.UsageHashOnly:
		w.add("%s keeps a private record of a training run, with the commitment %s", p.Trainer, p.Private)
	default:
		w.add("%s read in the training run %s:", p.Trainer, p.Run)
		for i, in := range p.Inputs {
			if i == maxWordLines {
				w.add("  … and %d more", len(p.Inputs)-i)
				break
			}
			w.add("  %s  %s %s, %s times", in.Statement, in.Units, in.Unit, millionths(in.EpochsPpm))
		}
		w.one("the inputs are pinned in %s", p.Lock)
	}
}

func (w *wording) revenue(p *manifests.Revenue) {
	who := "the operators report"
	if p.Issuer != "" {
		who = string(p.Issuer) + " declares"
	}
	w.add("%s the %s %s for the use of %s", who, p.Type, p.Key, p.Statement)
	w.add("%s minor units of %s gross, %s to be shared, by the shares of %s, settled %s", p.GrossMinor, p.Currency, p.NetMinor, p.Period, p.Settlement)
	for _, d := range p.Deductions {
		w.add("  less %s minor units for %s", d.AmountMinor, d.Code)
	}
	w.one("it settles %s", p.Settles)
	w.one("it reverses %s", p.Reverses)
}

func (w *wording) registry(p *manifests.Registry) {
	w.add("%d of these keys together operate the registry:", p.OperatorThreshold)
	w.keys(p.Operators)
	if len(p.Arbiters) > 0 {
		w.add("%d of these decide disputes:", p.ArbiterThreshold)
		w.keys(p.Arbiters)
	}
	var codes []string
	for _, c := range p.Currencies {
		codes = append(codes, fmt.Sprintf("%s:%d", c.Code, c.MinorDigits))
	}
	w.add("the calendar begins with %s; units of account: %s", p.FirstPeriod, strings.Join(codes, " "))
}

func (w *wording) keys(keys []sign.KeyID) {
	for _, k := range keys {
		w.add("  %s", k)
	}
}

func ruling(r string) string {
	switch r {
	case manifests.RulingHold:
		return "hold: what the version keeps is held from the next period on"
	case manifests.RulingRelease:
		return "release: what is held is paid, and nothing more is held"
	case manifests.RulingReallocate:
		return "reallocate: what is held goes to"
	case manifests.RulingDismiss:
		return "dismiss: there is nothing to the dispute"
	}
	return r
}

// millionths writes parts per million as a decimal number without trailing zeros.
func millionths(ppm int64) string {
	text := fmt.Sprintf("%d.%06d", ppm/1_000_000, ppm%1_000_000)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
