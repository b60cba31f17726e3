package attribution_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
)

var someCID = cjson.CID{Cid: cjson.RawCID([]byte("something"))}

// A world is a record with the inputs that make its vector.
type world struct {
	record attribution.Record
	vector attribution.Vector
	inputs attribution.Inputs
}

// worlds returns one for each row of the table that is recomputable, by
// method and class.
func worlds(t *testing.T) map[string]world {
	t.Helper()
	f := fingerprint(t, noise(40, 1<<20))
	own := fingerprint(t, noise(41, 1<<19))
	files := []attribution.File{text("a.csv", "text/csv", "id,t\n1,one two\n"), text("b.txt", "text/plain", "three little words\n")}
	parts := []attribution.Part{{Key: "ana", Path: "a.csv"}, {Key: "ben", Path: "b.txt"}}
	train, tests := clouds(12, 3, 2)
	knn, err := attribution.KNNShapley(3, train, tests)
	if err != nil {
		t.Fatal(err)
	}
	usage := attribution.Inputs{
		Usage:  seq([]attribution.Usage{use("1", "w", "ana", 10), use("2", "w", "dia", 5), use("3", "x", "dia", 1)}),
		Shares: func(string) (attribution.Vector, error) { return vec(t, "ana", 1, "ben", 1), nil },
	}
	counted := attribution.Inputs{Parts: parts, Files: seq(files)}
	list := []world{
		{attribution.Record{Method: attribution.DeclaredV1, Class: attribution.A, Params: attribution.Params{Agreement: someCID}}, vec(t, "ana", 3, "ben", 4, "~self", 3),
			attribution.Inputs{Declared: []attribution.Entry{{"ben", 4}, {"ana", 3}, {"~self", 3}}, Signed: func(string) bool { return true }}},
		{attribution.Record{Method: attribution.EqualV1, Class: attribution.A}, vec(t, "ana", 1, "ben", 1), attribution.Inputs{Parties: []string{"ben", "ana"}}},
		{attribution.Record{Method: attribution.BytesV1, Class: attribution.A, Params: attribution.Params{Parts: someCID}}, vec(t, "ana", 15, "ben", 19), counted},
		{attribution.Record{Method: attribution.RowsV1, Class: attribution.A, Params: attribution.Params{Parts: someCID}}, vec(t, "ana", 2, "ben", 1), counted},
		{attribution.Record{Method: attribution.TokensV1, Class: attribution.A, Params: attribution.Params{Parts: someCID, Tokenizer: attribution.WordsTokenizer}}, vec(t, "ana", 3, "ben", 3), counted},
		{attribution.Record{Method: attribution.ChunkFirstSeenV1, Class: attribution.A, AtSize: 6, Parents: []string{"orig", "x"}}, vec(t, "orig", 1<<20, "~self", 1<<19),
			attribution.Inputs{Child: seq(append(f, own...)), Earlier: seq([]attribution.Earlier{entry(5, "orig", f), entry(6, "late", own)})}},
		{attribution.Record{Method: attribution.UsageMeterV1, Class: attribution.A, Params: attribution.Params{Meter: "token", From: 3}, Parents: []string{"w", "x"}}, vec(t, "w", 10, "x", 1), usage},
		{attribution.Record{Method: attribution.UsageMeterV1, Class: attribution.D, Params: attribution.Params{Meter: "token", From: 3}, Parents: []string{"w", "x"}}, vec(t, "w", 10, "x", 1), usage},
		{attribution.Record{Method: attribution.KNNShapleyV1, Class: attribution.B, Negatives: "clip", Params: attribution.Params{K: 3, Train: someCID, Tests: someCID}}, knn, attribution.Inputs{Train: train, Tests: tests}},
	}
	out := make(map[string]world)
	for _, w := range list {
		row, err := attribution.Lookup(w.record.Method, w.record.Class)
		if err != nil || !row.Recomputable {
			t.Fatalf("%s %s: %v", w.record.Method, w.record.Class, err)
		}
		w.record.Scale, w.record.N, w.record.Total = row.Scale, w.vector.Len(), w.vector.Total()
		out[string(w.record.Method)+" "+string(w.record.Class)] = w
	}
	for _, r := range attribution.Methods() {
		if _, ok := out[string(r.Method)+" "+string(r.Class)]; ok != r.Recomputable {
			t.Fatalf("%s %s is in the table, recomputable: %v; there is a test of it: %v", r.Method, r.Class, r.Recomputable, ok)
		}
	}
	return out
}

func verify(t *testing.T, w world) attribution.Finding {
	t.Helper()
	f, err := attribution.Verify(w.record, w.vector, w.inputs)
	if err != nil {
		t.Fatal(err)
	}
	if f.Method != w.record.Method || f.Class != w.record.Class || (f.Status == proof.Holds) != (f.Code == "") {
		t.Fatalf("an odd finding %+v", f)
	}
	return f
}

func TestVerifyHolds(t *testing.T) {
	for name, w := range worlds(t) {
		if f := verify(t, w); f.Status != proof.Holds {
			t.Errorf("%s: %+v", name, f)
		}
		if v, _, err := attribution.Compute(w.record, w.inputs); err != nil || !v.Equal(w.vector) {
			t.Errorf("%s: computed %v, %v", name, v, err)
		}
	}
}

func TestComputeRefuses(t *testing.T) {
	for name, w := range worlds(t) {
		if _, _, err := attribution.Compute(w.record, attribution.Inputs{}); fault.Of(err) != fault.Invalid {
			t.Errorf("%s without inputs: %v", name, err)
		}
		w.record.Method = "unknown/1"
		if _, _, err := attribution.Compute(w.record, w.inputs); fault.Of(err) != fault.Invalid {
			t.Errorf("an unknown method: %v", err)
		}
	}
	w := worlds(t)["tokens/1 A"]
	w.record.Params.Tokenizer = "cl100k_base"
	if _, _, err := attribution.Compute(w.record, w.inputs); fault.Of(err) != fault.Invalid {
		t.Errorf("another tokenizer: %v", err)
	}
	raw := vec(t, "a", 3, "b", 1)
	v, _, err := attribution.Compute(attribution.Record{Method: attribution.ExternalV1, CapPpm: 500_000}, attribution.Inputs{Uncapped: &raw})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, v, vec(t, "a", 2, "b", 1, "~self", 1))
}

// Each way to change a vector is found, with the first key that differs.
func TestVerifyFindsEachChange(t *testing.T) {
	for name, w := range worlds(t) {
		var entries []attribution.Entry
		for k, n := range w.vector.All() {
			entries = append(entries, attribution.Entry{Key: k, Value: n})
		}
		try := func(change string, e []attribution.Entry, key string, have, want uint64) {
			t.Helper()
			v, err := attribution.NewVector(e)
			if err != nil {
				t.Fatal(err)
			}
			bad := w
			bad.vector, bad.record.N, bad.record.Total = v, v.Len(), v.Total()
			bad.record.Parents = append([]string{"zzz", "0"}, w.record.Parents...)
			if f := verify(t, bad); f.Status != proof.Fails || f.Code != attribution.CodeValue || f.Key != key || f.Have != have || f.Want != want {
				t.Errorf("%s, %s: %+v; want key %s, have %d, want %d", name, change, f, key, have, want)
			}
		}
		for i, e := range entries {
			other := append([]attribution.Entry(nil), entries...)
			other[i].Value++
			try("one more", other, e.Key, e.Value+1, e.Value)
			try("a key missing", append(append([]attribution.Entry(nil), entries[:i]...), entries[i+1:]...), e.Key, 0, e.Value)
		}
		try("a key too many", append(append([]attribution.Entry(nil), entries...), attribution.Entry{Key: "zzz", Value: 5}), "zzz", 5, 0)
		try("a key of 0 too many", append(append([]attribution.Entry(nil), entries...), attribution.Entry{Key: "0", Value: 0}), "0", 0, 0)

		// A unit moved from one key to the next keeps the total.
		if n := len(entries); n > 1 && entries[1].Value > 0 {
			other := append([]attribution.Entry(nil), entries...)
			other[0].Value++
			other[1].Value--
			try("a unit moved", other, other[0].Key, other[0].Value, entries[0].Value)
		}
	}
}

func TestVerifyRecord(t *testing.T) {
	for name, w := range worlds(t) {
		for what, test := range map[string]struct {
			code   string
			change func(*attribution.Record)
		}{
			"total":     {attribution.CodeTotal, func(r *attribution.Record) { r.Total++ }},
			"n":         {attribution.CodeTotal, func(r *attribution.Record) { r.N-- }},
			"scale":     {attribution.CodeScale, func(r *attribution.Record) { r.Scale++ }},
			"class":     {attribution.CodeClass, func(r *attribution.Record) { r.Class = attribution.C }},
			"parameter": {attribution.CodeParams, func(r *attribution.Record) { r.Params.Uncapped = someCID }},
			"cap":       {attribution.CodeCap, func(r *attribution.Record) { r.CapPpm = 5 }},
			"method":    {attribution.CodeUnknownMethod, func(r *attribution.Record) { r.Method = "equal/2" }},
		} {
			bad := w
			test.change(&bad.record)
			want := proof.Fails
			if what == "method" {
				want = proof.NotChecked
			}
			if f := verify(t, bad); f.Status != want || f.Code != test.code {
				t.Errorf("%s with another %s: %+v", name, what, f)
			}
		}
		if p := w.record.Params; p != (attribution.Params{}) && w.record.Method != attribution.DeclaredV1 {
			bad := w
			bad.record.Params = attribution.Params{}
			if f := verify(t, bad); f.Status != proof.Fails || f.Code != attribution.CodeParams {
				t.Errorf("%s without parameters: %+v", name, f)
			}
		}
		w.inputs = attribution.Inputs{}
		if f := verify(t, w); f.Status != proof.NotChecked || f.Code != attribution.CodeInputs {
			t.Errorf("%s without inputs: %+v", name, f)
		}
	}

	w := worlds(t)["declared/1 A"]
	w.inputs.Signed = func(p string) bool { return p != "ben" }
	if f := verify(t, w); f.Status != proof.Fails || f.Code != attribution.CodeUnsigned || !strings.Contains(f.Detail, "ben") {
		t.Errorf("ben has not signed: %+v", f)
	}

	// Without an agreement, what was published is what was declared.
	w.record.Params.Agreement = cjson.CID{}
	w.inputs.Declared = []attribution.Entry{{"someone else's", 1}}
	if f := verify(t, w); f.Status != proof.Fails || f.Code != attribution.CodeUnsigned {
		t.Errorf("without an agreement, ben has not signed: %+v", f)
	}
	w.inputs.Signed = func(p string) bool { return p == "ana" || p == "ben" }
	if f := verify(t, w); f.Status != proof.Holds {
		t.Errorf("without an agreement, all have signed: %+v", f)
	}

	for _, name := range []string{"chunk-first-seen/1 A", "usage-meter/1 A"} {
		w = worlds(t)[name]
		w.record.Parents = w.record.Parents[1:]
		if f := verify(t, w); f.Status != proof.Fails || f.Code != attribution.CodeParents {
			t.Errorf("%s with a key that is no parent: %+v", name, f)
		}
	}
	w = worlds(t)["knn-shapley/1 B"]
	w.record.Negatives = "reject"
	if f := verify(t, w); f.Status != proof.Fails || f.Code != attribution.CodeNegatives {
		t.Errorf("knn-shapley/1 that rejects negatives: %+v", f)
	}

	w = worlds(t)["tokens/1 A"]
	w.record.Params.Tokenizer = "cl100k_base"
	if f := verify(t, w); f.Status != proof.Fails || f.Code != attribution.CodeParams {
		t.Errorf("class A with another tokenizer: %+v", f)
	}
	w.record.Class = attribution.B
	if f := verify(t, w); f.Status != proof.NotChecked || f.Code != attribution.CodeNotRecomputable || f.Detail == "" {
		t.Errorf("class B: %+v", f)
	}
	for _, tokenizer := range []string{"", attribution.WordsTokenizer} {
		w.record.Params.Tokenizer = tokenizer
		if f := verify(t, w); f.Status != proof.Fails || f.Code != attribution.CodeParams {
			t.Errorf("class B with the tokenizer %q: %+v", tokenizer, f)
		}
	}

	if f := verify(t, worlds(t)["usage-meter/1 A"]); len(f.Washed) != 1 || f.Washed[0].Payer != "ana" || f.Washed[0].Excluded != 5 {
		t.Errorf("washed: %+v", f)
	}
}

func TestVerifyExternal(t *testing.T) {
	raw := vec(t, "a", 700, "b", 200, "~self", 100)
	capped := vec(t, "a", 400, "b", 200, "~self", 400)
	good := world{attribution.Record{Method: attribution.ExternalV1, Class: attribution.C, Scale: attribution.ScoreScale,
		N: 3, Total: 1000, CapPpm: 400_000, Params: attribution.Params{Evidence: someCID}}, capped, attribution.Inputs{}}
	for _, class := range []attribution.Class{attribution.C, attribution.D} {
		for _, uncapped := range []*attribution.Vector{nil, &raw, &capped} {
			w := good
			w.record.Class, w.inputs.Uncapped = class, uncapped
			if f := verify(t, w); f.Status != proof.NotChecked || f.Code != attribution.CodeNotRecomputable || f.Detail == "" {
				t.Errorf("class %s: %+v", class, f)
			}
		}
	}
	for code, change := range map[string]func(*world){
		attribution.CodeParams: func(w *world) { w.record.Params.Evidence = attribution.Params{}.Evidence },
		attribution.CodeCap:    func(w *world) { w.vector = raw },
		attribution.CodeClass:  func(w *world) { w.record.Class = attribution.A },
		attribution.CodeValue: func(w *world) {
			other := vec(t, "a", 700, "b", 199, "~self", 101)
			w.inputs.Uncapped = &other
		},
	} {
		w := good
		change(&w)
		if f := verify(t, w); f.Status != proof.Fails || f.Code != code {
			t.Errorf("%s: %+v", code, f)
		}
	}
	for _, bad := range []uint32{0, 1_000_001} {
		w := good
		w.record.CapPpm = bad
		if f := verify(t, w); f.Status != proof.Fails || f.Code != attribution.CodeCap {
			t.Errorf("with a cap of %d: %+v", bad, f)
		}
	}
	w := good
	w.vector = raw
	if f := verify(t, w); f.Key != "a" || f.Have != 700 || f.Want != 400 {
		t.Errorf("above the cap: %+v", f)
	}
}

// What could not be read is an error, and no verdict.
func TestVerifyCannotCheck(t *testing.T) {
	broken := errors.New("broken")
	all := worlds(t)
	w := all["chunk-first-seen/1 A"]
	w.inputs.Child = failing([]attribution.Chunk{}, broken)
	if f, err := attribution.Verify(w.record, w.vector, w.inputs); !errors.Is(err, broken) || f.Status != "" {
		t.Errorf("%+v, %v", f, err)
	}
	w = all["declared/1 A"]
	w.inputs.Declared = []attribution.Entry{{"no key", 1}}
	if f, err := attribution.Verify(w.record, w.vector, w.inputs); fault.Of(err) != fault.Invalid || f.Status != "" {
		t.Errorf("%+v, %v", f, err)
	}
	// An iterator's own verdict is not this vector's.
	w = all["bytes/1 A"]
	w.inputs.Files = failing([]attribution.File{}, fault.New(fault.Unverified, "a block is damaged"))
	if f, err := attribution.Verify(w.record, w.vector, w.inputs); err == nil || f.Status != "" {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestFindingLine(t *testing.T) {
	w := worlds(t)["equal/1 A"]
	w.vector, w.record.N, w.record.Total = vec(t, "ana", 1), 1, 1
	got := verify(t, w).Line("bafkreistatement")
	want := proof.Finding{Check: "attribution", Status: proof.Fails, Subject: "bafkreistatement", Code: "value", Detail: "equal/1, class A: ben is missing; computed: 1"}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestMethods(t *testing.T) {
	rows := attribution.Methods()
	for _, r := range rows {
		got, err := attribution.Lookup(r.Method, r.Class)
		if err != nil || got != r {
			t.Errorf("Lookup(%s, %s) = %v, %v", r.Method, r.Class, got, err)
		}
		if r.Needs == "" || !r.Recomputable && r.Why == "" || !strings.HasSuffix(string(r.Method), "/1") {
			t.Errorf("the row %+v says too little", r)
		}
	}
	rows[0].Method = "changed"
	if attribution.Methods()[0].Method == "changed" {
		t.Error("the table can be changed")
	}
	if _, err := attribution.Lookup("bytes/2", attribution.A); fault.Of(err) != fault.NotFound {
		t.Errorf("an unknown method: %v", err)
	}
	if _, err := attribution.Lookup(attribution.BytesV1, "E"); fault.Of(err) != fault.Invalid {
		t.Errorf("an unknown class: %v", err)
	}
}

func TestParams(t *testing.T) {
	id := someCID.String()
	for _, good := range []string{"", `{"k":5,"tests":"` + id + `","train":"` + id + `"}`, `{"agreement":"` + id + `"}`, `{"from":7,"meter":"token"}`,
		`{"parts":"` + id + `","tokenizer":"cairn-words/1"}`, `{"evidence":"` + id + `","uncapped":"` + id + `"}`} {
		p, err := attribution.DecodeParams([]byte(good))
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		fits := 0
		for _, r := range attribution.Methods() {
			if p.Check(r.Method, r.Class) == nil {
				fits++
			}
		}
		if fits == 0 {
			t.Errorf("%s are the parameters of no method", good)
		}
	}
	for _, bad := range []string{"{}", "null", "[]", `{"k":0}`, `{"k":1.5}`, `{"k": 5}`, `{"K":5}`, `{"extra":1}`, `{"meter":""}`, `{"parts":"x"}`, `{"parts":"` + id + `","k":1}`, `{"from":-1}`, " ", `{"meter":"` + strings.Repeat("x", 5000) + `"}`} {
		if _, err := attribution.DecodeParams([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", bad)
		} else {
			refused(t, err)
		}
	}
	// All problems are reported at once.
	err := attribution.Params{K: -1, Meter: "a b"}.Check(attribution.TokensV1, attribution.B)
	for _, want := range []string{"parts: is missing", "tokenizer: is missing", "meter: is no parameter", "k: must be", "meter: must be"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
}
