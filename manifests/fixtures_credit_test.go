package manifests_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// sorted returns the CIDs in the order in which statements list them.
func sorted(list ...cjson.CID) []cjson.CID {
	slices.SortFunc(list, func(a, b cjson.CID) int { return strings.Compare(a.String(), b.String()) })
	return list
}

func hash(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

const run = "EBESExQVFhcYGRobHB0eHw"

// creditStatements are the golden statements of the kinds that credit is made of.
func creditStatements(t testing.TB) map[string]*manifests.Statement {
	t.Helper()
	statement, other := rawCID("statement"), rawCID("another statement")
	income := manifests.Revenue{
		Common: common(), Key: "stripe:in_123", Statement: statement, Type: manifests.RevenueIncome, Settlement: manifests.SettlementGross,
		Period: "2026-11", OccurredAt: "2026-11-30T23:59:59Z", Currency: "EUR", GrossMinor: "10507", NetMinor: "10507",
	}
	declared := income
	declared.Common, declared.Issuer, declared.Settlement, declared.Ref = anchored(), edKey(1), manifests.SettlementUpstream, sha("invoice")
	declared.Deductions, declared.NetMinor = []manifests.Deduction{{Code: "vat", AmountMinor: "500"}}, "10007"
	receipt := income
	receipt.Key, receipt.Type, receipt.Settles = "bank:77", manifests.RevenueReceipt, other
	refund := income
	refund.Key, refund.Type, refund.Reverses = "stripe:re_9", manifests.RevenueRefund, other
	return map[string]*manifests.Statement{
		"model-minimal": manifests.NewModel(&manifests.Model{
			Common: common(), Publisher: edKey(1), Model: manifests.ModelName{Name: "asr", Version: "1.0.0"}, Terms: jsonCID("terms"),
			Contributors: []manifests.Share{{ID: edKey(1), Weight: "1"}}, Total: "1",
		}, sha("weights that nobody publishes")),
		"model-full": manifests.New(&manifests.Model{
			Common: anchored(), Publisher: edKey(1),
			Model: manifests.ModelName{Name: "asr", Version: "2.0.0", Title: "Speech to text", Artifact: cjson.CID{Cid: dirCID(t)},
				MediaTypes: []string{"application/json", "application/octet-stream"}},
			Terms: jsonCID("terms"), Contributors: []manifests.Share{{ID: edKey(1), Weight: "2"}, {ID: edKey(2), Weight: "1"}}, Total: "3",
			Usages: sorted(rawCID("run 1"), rawCID("run 2")),
			Sources: []manifests.Source{{Rel: manifests.TrainedOn, Statement: other}, {Rel: manifests.TrainedOn, CID: rawCID("data elsewhere")},
				{Rel: manifests.DerivedFrom, URL: "https://models.example/base"}},
			Edges: []manifests.Edge{{Statement: statement, Weight: "100000"}}, SelfWeight: "900000", EdgeTotal: "1000000",
			Supersedes: rawCID("version before"), Agreement: rawCID("agreement"),
			Rules:       &manifests.Rules{Accept: "use"},
			Attachments: jsonCID("attachments"),
		}),
		"usage-training": manifests.New(&manifests.Usage{
			Common: anchored(), Run: run, Type: manifests.UsageTraining, Trainer: edKey(1), Lock: rawCID("lock"), Private: sha("salted record"),
			Inputs: []manifests.Input{{Statement: statement, Units: "123456", Unit: "token", EpochsPpm: 2_500_000, Terms: jsonCID("terms")}},
		}),
		"usage-metered": manifests.New(&manifests.Usage{
			Common: common(), Run: run, Type: manifests.UsageMetered, Payer: edKey(2), Statement: statement,
			Meter: "inference-token", Qty: "987654", From: "2026-11-01T00:00:00Z", To: "2026-12-01T00:00:00Z",
		}),
		"usage-hash-only": manifests.New(&manifests.Usage{
			Common: common(), Run: run, Type: manifests.UsageHashOnly, Trainer: edKey(1), Private: sha("salted record"),
		}),
		"attribution-minimal": manifests.New(&manifests.Attribution{
			Common: common(), Attributor: edKey(1), Data: rawCID("hello world"), Parents: []cjson.CID{statement}, Method: "chunk-first-seen/1",
			EvidenceClass: "A", AtSize: 42, Scores: rawCID("scores"), N: 1, Total: "1000000000", Scale: "1000000000", Negatives: manifests.NegativesReject,
		}),
		"attribution-full": manifests.New(&manifests.Attribution{
			Common: anchored(), Attributor: edKey(1), Data: cjson.CID{Cid: dirCID(t)}, Parents: sorted(statement, other), Method: "knn-shapley/1",
			EvidenceClass: "B", Params: json.RawMessage(`{"k":5}`), Inputs: []cjson.CID{rawCID("embeddings")},
			Code: &manifests.MethodCode{Repo: "https://example.org/method", Commit: strings.Repeat("0a", 20), ImageDigest: "sha256:" + sha("image"),
				Entrypoint: "run", Args: []string{"--k", "5"}},
			AtSize: 42, Scores: rawCID("scores"), N: 2, Total: "3", Scale: "1000000000", Negatives: manifests.NegativesClip, CapPpm: 100_000,
		}),
		"agreement-minimal": manifests.New(&manifests.Agreement{
			Common: common(), Work: "wk:" + statement.String(), EffectivePeriod: "2026-12", Shares: []manifests.Share{{ID: edKey(1), Weight: "1"}}, Total: "1",
		}),
		"agreement-full": manifests.New(&manifests.Agreement{
			Common: anchored(), Work: "wk:" + statement.String(), EffectivePeriod: "2026-10", Retroactive: true, Supersedes: other,
			Attribution: rawCID("attribution"), Shares: []manifests.Share{{ID: edKey(1), Weight: "2"}, {ID: p256Key(t), Weight: "1"}}, Total: "3",
		}),
		"period":   manifests.New(&manifests.PeriodStatement{Common: common(), Closes: "2026-11"}),
		"currency": manifests.New(&manifests.CurrencyStatement{Common: common(), Currency: manifests.Currency{Code: "JPY", FineDigits: 12}}),

		"revenue-income":   manifests.New(&income),
		"revenue-declared": manifests.New(&declared),
		"revenue-receipt":  manifests.New(&receipt),
		"revenue-refund":   manifests.New(&refund),
		"allocation": manifests.New(&manifests.Allocation{
			Common: common(), Engine: "credit/1", Period: "2026-11", Currency: "EUR", Checkpoint: manifests.Anchor{Size: 123456, Root: hash(1)},
			Events: manifests.Tree{N: 10_000, Root: hash(2)}, Nodes: manifests.Tree{N: 100_000, Root: hash(3)}, Payees: manifests.Tree{N: 910_714, Root: hash(4)},
			InFine: "100070000000000", HeldFine: "-1", Supersedes: other,
		}),
		"payout-minimal": manifests.New(&manifests.Payout{
			Common: common(), Key: "2026-11/1", Allocations: []cjson.CID{statement}, Rail: "csv", Currency: "EUR", MinMinor: "0", Lines: rawCID("lines"), N: 1, TotalMinor: "1",
		}),
		"payout-full": manifests.New(&manifests.Payout{
			Common: anchored(), Key: "2026-11/2", Allocations: sorted(statement, other), Rail: "oz-merkle", Currency: "EUR", MinMinor: "100",
			Lines: rawCID("lines"), N: 3, TotalMinor: "932", File: sha("file"), Root: "0x" + sha("root"),
		}),
		"payoutResult": manifests.New(&manifests.PayoutResult{Common: common(), Payout: statement, Index: 0, Status: manifests.PayoutReturned, Ref: sha("advice")}),
		"adjustment": manifests.New(&manifests.Adjustment{
			Common: common(), Allocation: statement, Reason: manifests.AdjustShares, Cause: other, Deltas: manifests.Tree{N: 2, Root: hash(5)},
		}),
		"dispute": manifests.New(&manifests.Dispute{
			Common: common(), Disputant: edKey(5), Target: statement, Type: manifests.DisputePlagiarism, Evidence: []cjson.CID{jsonCID("evidence")},
		}),
		"resolution-hold": manifests.New(&manifests.Resolution{Common: common(), Dispute: other, Statement: statement, Ruling: manifests.RulingHold}),
		"resolution-reallocate": manifests.New(&manifests.Resolution{
			Common: common(), Dispute: other, Statement: statement, Ruling: manifests.RulingReallocate,
			Shares: []manifests.Share{{ID: edKey(5), Weight: "1"}}, Total: "1", Evidence: []cjson.CID{jsonCID("evidence")},
		}),
		"payee":  manifests.New(&manifests.Payee{Common: common(), Identity: edKey(1), Rail: "pain.001", Commitment: sha("salt and details")}),
		"commit": manifests.New(&manifests.Commit{Common: common(), Identity: edKey(1), Commitment: sha("salt and CID")}),

		"accept-minimal": manifests.New(&manifests.Accept{Common: common(), Party: edKey(1), Terms: jsonCID("terms")}),
		"accept-full": manifests.New(&manifests.Accept{
			Common: anchored(), Party: edKey(1), Terms: jsonCID("terms"), Fetchers: slices.Sorted(slices.Values([]sign.KeyID{edKey(2), p256Key(t)})),
		}),
		"withdraw-minimal": manifests.New(&manifests.Withdraw{Common: common(), Party: edKey(1), Statement: statement}),
		"withdraw-full":    manifests.New(&manifests.Withdraw{Common: anchored(), Party: edKey(1), Statement: statement, Reason: "a person asked for it"}),
		"tombstone-accepted": manifests.New(&manifests.Tombstone{
			Common: anchored(), Statement: statement, Index: 41, Leaf: sha("leaf"), Verdict: "accepted",
			Effects: []json.RawMessage{json.RawMessage(`{"commitment":"` + sha("commitment") + `","identity":"` + string(edKey(1)) + `","op":"addCommit","statement":"` + statement.String() + `"}`)},
			Reason:  manifests.ErasePersonalData,
		}),
		"tombstone-rejected": manifests.New(&manifests.Tombstone{
			Common: common(), Statement: statement, Index: 1, Leaf: sha("leaf"), Verdict: "rejected", Code: "malformed",
		}),
		"tombstone-duplicate": manifests.New(&manifests.Tombstone{Common: common(), Statement: statement, Index: 7, Leaf: sha("leaf"), Verdict: "duplicate"}),
	}
}

// TestEveryKindHasAGolden keeps a kind from being added without its bytes.
func TestEveryKindHasAGolden(t *testing.T) {
	seen := make(map[manifests.Kind]bool)
	for s := range maps.Values(statements(t)) {
		seen[s.Kind] = true
	}
	for _, k := range manifests.Kinds() {
		if !seen[k] {
			t.Errorf("no golden statement of kind %s", k)
		}
	}
}

// TestGroupsSign holds which kinds leave their signers to the log's state.
func TestGroupsSign(t *testing.T) {
	want := map[manifests.Kind]manifests.Authority{
		manifests.KindRegistry: manifests.Operators, manifests.KindPeriod: manifests.Operators, manifests.KindCurrency: manifests.Operators,
		manifests.KindAllocation: manifests.Operators, manifests.KindAdjustment: manifests.Operators, manifests.KindPayout: manifests.Operators,
		manifests.KindPayoutResult: manifests.Operators, manifests.KindResolution: manifests.Arbiters,
		manifests.KindTombstone: manifests.Operators,
	}
	for name, s := range statements(t) {
		group := want[s.Kind]
		if s.Kind == manifests.KindRevenue && name != "revenue-declared" {
			group = manifests.Operators
		}
		if got := s.Authority(); got != group {
			t.Errorf("%s: the group is %q, want %q", name, got, group)
		}
		if got := s.StateSigners(); got != (group != "" || s.Kind == manifests.KindAgreement) {
			t.Errorf("%s: StateSigners is %v", name, got)
		}
		one := 1
		if k, ok := s.Predicate.(*manifests.Key); ok && k.Op == manifests.KeyRotate {
			one = 2 // the identity's key and the new one
		}
		if required, allowed := s.Signers(); group == "" && s.Kind != manifests.KindAgreement && (len(required) != one || len(allowed) == 0) {
			t.Errorf("%s: signers %v %v", name, required, allowed)
		}
	}
}

func TestNextPeriod(t *testing.T) {
	for period, want := range map[string]string{"2026-11": "2026-12", "2026-12": "2027-01", "9999-12": "", "2026-13": "", "": ""} {
		got, err := manifests.NextPeriod(period)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("NextPeriod(%q) = %q, %v, want %q", period, got, err, want)
		}
	}
}

// TestCreditRefusals edits one member of a golden statement each.
func TestCreditRefusals(t *testing.T) {
	files := goldens(t, "*.statement.json")
	at := func(path ...any) []any { return append([]any{"predicate"}, path...) }
	for _, c := range []struct {
		file  string
		value any
		path  []any
		want  string
	}{
		{"agreement-full", "4", at("total"), "predicate.total: is 4, but the weights add up to 3"},
		{"agreement-full", "0", at("shares", 0, "weight"), "predicate.shares[0].weight: must be greater than 0"},
		{"agreement-full", string(p256Key(t)), at("shares", 0, "id"), "predicate.shares[1].id: is shares[0] already"},
		{"agreement-full", "bafy", at("work"), "predicate.work: must be wk:"},
		{"agreement-full", "2026-13", at("effectivePeriod"), "predicate.effectivePeriod"},
		{"contribution-full", "2", at("edges", 0, "share"), "predicate.edgeTotal: is too small"},
		{"contribution-full", "800001", at("selfWeight"), "predicate.edgeTotal: is 1000000, but the weights add up to 1000001"},
		{"contribution-full", remove, at("attribution"), "share: stands only beside attribution"},
		{"model-full", "1", at("edgeTotal"), "predicate.edgeTotal: must be a multiple of 1000000"},
		{"model-full", "1", at("edgeTotal"), "predicate.edgeTotal: is 1, but the weights add up to 1000000"},
		{"model-full", remove, at("supersedes"), "predicate.agreement: stands only beside supersedes"},
		{"usage-training", remove, at("trainer"), "predicate.trainer: is missing"},
		{"usage-training", string(edKey(2)), at("payer"), "predicate.payer: does not belong to this kind"},
		{"usage-training", -1, at("inputs", 0, "epochsPpm"), "predicate.inputs[0].epochsPpm"},
		{"usage-metered", "2026-11-01T00:00:00Z", at("to"), "predicate.to: must be after from"},
		{"usage-metered", "0", at("qty"), "predicate.qty: must be greater than 0"},
		{"usage-hash-only", remove, at("private"), "predicate.private"},
		{"attribution-full", "E", at("evidenceClass"), "predicate.evidenceClass"},
		{"attribution-full", "knn-shapley", at("method"), "predicate.method"},
		{"attribution-full", 0, at("atSize"), "predicate.atSize"},
		{"attribution-full", []any{}, at("parents"), "predicate.parents"},
		{"revenue-declared", "10008", at("netMinor"), "predicate.netMinor: is 10008, but gross less deductions is 10007"},
		{"revenue-declared", "20000", at("deductions", 0, "amountMinor"), "but gross less deductions is -9493"},
		{"revenue-declared", "170141183460469231731687303715884105728", at("grossMinor"), "predicate.grossMinor: must be less than 2^127"},
		{"revenue-declared", manifests.RevenueRefund, at("kind"), "predicate.issuer: declares an income only"},
		{"revenue-receipt", remove, at("settles"), "predicate.settles: is missing"},
		{"revenue-receipt", rawCID("x").String(), at("reverses"), "predicate.reverses: does not belong to this kind"},
		{"revenue-refund", remove, at("reverses"), "predicate.reverses: is missing"},
		{"revenue-income", "€", at("currency"), "predicate.currency"},
		{"revenue-income", "has space", at("key"), "predicate.key"},
		{"currency", 13, at("fineDigits"), "predicate.fineDigits: must be 12 for an ISO 4217 currency"},
		{"allocation", "-0", at("heldFine"), "predicate.heldFine: must not be a negative zero"},
		{"payout-full", []any{}, at("allocations"), "predicate.allocations"},
		{"payout-full", 0, at("n"), "predicate.n: must have a line"},
		{"payoutResult", "pending", at("status"), "predicate.status"},
		{"adjustment", remove, at("cause"), "predicate.cause: is missing"},
		{"resolution-hold", "1", at("total"), "predicate.total: does not belong to this kind"},
		{"resolution-reallocate", "2", at("total"), "predicate.total: is 2, but the weights add up to 1"},
		{"payee", "IBAN CH93", at("commitment"), "predicate.commitment"},
	} {
		doc := files[c.file+".statement.json"]
		if doc == nil {
			t.Fatalf("no golden %s", c.file)
		}
		_, err := manifests.Decode(edit(t, doc, c.value, c.path...))
		wantProblem(t, err, c.want)
	}
}

// TestLongestAgreement holds that the largest agreement fits an envelope.
func TestLongestAgreement(t *testing.T) {
	a := &manifests.Agreement{Common: common(), Work: "wk:" + rawCID("statement").String(), EffectivePeriod: "2026-12", Total: "8192000"}
	for i := range manifests.MaxShares {
		a.Shares = append(a.Shares, manifests.Share{ID: numbered(i), Weight: "1000"})
	}
	b, err := manifests.Encode(manifests.New(a))
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > sign.MaxPayload {
		t.Errorf("%d bytes", len(b))
	}
	a.Shares = append(a.Shares, manifests.Share{ID: numbered(manifests.MaxShares), Weight: "1"})
	_, err = manifests.Encode(manifests.New(a))
	wantProblem(t, err, "predicate.shares: must have 1 to 8192 entries, has 8193")
}

// TestBody holds what makes a payment the same payment.
func TestBody(t *testing.T) {
	s := creditStatements(t)["revenue-income"]
	want, err := s.Body()
	if err != nil {
		t.Fatal(err)
	}
	r := *s.Predicate.(*manifests.Revenue)
	r.Common = anchored()
	r.Nonce, r.IssuedAt = run, "2027-01-01T00:00:00Z"
	if got, err := manifests.New(&r).Body(); err != nil || got != want {
		t.Errorf("signed again: %s, %v, want %s", got, err, want)
	}
	r.Period = "2026-10"
	if got, err := manifests.New(&r).Body(); err != nil || got == want {
		t.Errorf("another period: %s, %v", got, err)
	}
}

// TestFormatDocumentNamesTheKinds keeps a kind from being added without its
// section and its subject.
func TestFormatDocumentNamesTheKinds(t *testing.T) {
	b, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	_, subjects, _ := strings.Cut(doc, "\n### Subject\n")
	subjects, _, _ = strings.Cut(subjects, "\n### ")
	for _, k := range manifests.Kinds() {
		name := "`" + string(k) + "`"
		if !strings.Contains(subjects, name) {
			t.Errorf("no subject of %s", k)
		}
		found := false
		for line := range strings.Lines(doc) {
			found = found || strings.HasPrefix(line, "### ") && strings.Contains(line, name)
		}
		if !found {
			t.Errorf("no section of %s", k)
		}
	}
}
