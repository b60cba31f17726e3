package terms_test

import (
	"bytes"
	"crypto/ed25519"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/terms"
)

var update = flag.Bool("update", false, "write the golden files anew")

var key = sign.NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))).ID()

func rawLink(s string) cjson.Link { return cjson.Link{Cid: cjson.RawCID([]byte(s))} }
func rawCID(s string) cjson.CID   { return cjson.CID{Cid: cjson.RawCID([]byte(s))} }

const digest = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"

// full has every member.
func full() *terms.Terms {
	return &terms.Terms{
		Schema: terms.Schema, ID: string(key) + "#terms-7", Title: "RevShare 5 % (attribution)",
		Licensor: []terms.Licensor{{ID: key, Name: "Ada L.", Contact: "mailto:ada@example.org"}},
		Base:     terms.Base{SPDX: "LicenseRef-cairn-revshare-1 OR CC-BY-NC-4.0", Text: rawLink("hello world"), TextSHA256: digest},
		Grants: []terms.Grant{
			{Use: []string{"train", "finetune", "evaluate", "rag"}, Commercial: true, Territory: []string{"*"}, Sublicense: true, Exclusive: true},
			{Use: []string{"redistribute-derived"}, Territory: []string{"CH", "EU"}},
		},
		Prohibits: []terms.Prohibition{
			{Use: []string{"redistribute-verbatim"}, Reason: "the broadcaster keeps that"},
			{Purpose: []string{"biometric-identification", "military"}},
		},
		Conditions: &terms.Conditions{
			Accept:             "bytes",
			Attribution:        &terms.Attribution{Required: true, Text: "Contains data by Ada L.", Where: []string{"model-card", "report"}},
			ShareAlike:         &terms.ShareAlike{DerivedData: true},
			Notice:             true,
			ReportUsage:        &terms.ReportUsage{Required: true, WithinDays: 30},
			DeleteOnWithdrawal: &terms.DeleteOnWithdrawal{Required: true, Scope: "future-training"},
		},
		Payment: &terms.Payment{
			Model: "revenue-share", Policy: "relative", RatePpm: 50000, Base: "net-revenue", Stacking: "weighted",
			FloorPpm: 1000, CapPpm: 300000, Pool: rawCID("pool"), PoolPpm: 20000, Attribution: "chunk-first-seen/1", ToDerived: true,
			OnWithdraw: "keep", Currency: "EUR", SettleEvery: "P3M", Free: &terms.Free{NonCommercial: true, RevenueBelowMinor: "10000000"},
		},
		Signals: &terms.Signals{
			AIPref: &terms.AIPref{TrainAI: "n", Search: "y"}, TDMReservation: new(int64(1)), TDMPolicy: "https://example.org/terms",
			RSL: &terms.RSL{Usage: []string{"ai-train"}, Payment: "training"}, CCSignal: "cr-dc",
		},
		Privacy:   &terms.Privacy{PersonalData: "pseudonymised", SpecialCategories: new(false), Consents: []cjson.CID{rawCID("consent")}, Jurisdictions: []string{"EU"}},
		ValidFrom: "2026-11-22T00:00:00Z", ValidUntil: "2036-11-22T00:00:00Z", Revocable: true, GoverningLaw: "DE",
		Disputes: "The courts of Berlin.", NotLegalAdvice: true,
	}
}

func documents(t testing.TB) map[string][]byte {
	t.Helper()
	docs := make(map[string][]byte)
	var err error
	for name, expr := range map[string]string{"minimal": "CC-BY-4.0", "minimal-or": "(cc0-1.0 or MIT) and LicenseRef-own"} {
		if docs[name], err = terms.Minimal(expr); err != nil {
			t.Fatal(err)
		}
	}
	if docs["full"], err = terms.Encode(full()); err != nil {
		t.Fatal(err)
	}
	if docs["free"], err = terms.Encode(&terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: "MIT"}, Payment: &terms.Payment{Model: "none"}}); err != nil {
		t.Fatal(err)
	}
	return docs
}

func TestGoldens(t *testing.T) {
	for name, b := range documents(t) {
		file := filepath.Join("testdata", name+".terms.json")
		if *update {
			if err := os.WriteFile(file, b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, want) {
			t.Errorf("%s:\n got %s\nwant %s", name, b, want)
		}
	}
}

func goldens(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.terms.json")
	if err != nil || len(files) < 4 {
		t.Fatalf("golden files: %d, %v", len(files), err)
	}
	docs := make(map[string][]byte)
	for _, f := range files {
		if docs[f], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	return docs
}

func TestTermsAreReadForEver(t *testing.T) {
	for name, b := range goldens(t) {
		d, err := terms.Decode(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again, err := terms.Encode(d); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: encoded again to %s, %v", name, again, err)
		}
	}
}

// The CID of the terms of a bare licence is the same for everyone.
func TestMinimalIsTheSameForEveryone(t *testing.T) {
	const want = `{"$schema":"cairn.terms/1","base":{"spdx":"CC-BY-4.0"}}`
	for _, expr := range []string{"CC-BY-4.0", "cc-by-4.0", " CC-BY-4.0 ", "(CC-BY-4.0)"} {
		b, err := terms.Minimal(expr)
		if err != nil || string(b) != want {
			t.Errorf("Minimal(%q) = %s, %v", expr, b, err)
		}
	}
	if got := cjson.JSONCID([]byte(want)).String(); got != "baguqeeratajd5tnrchoewc2chilslqtwew3wwmvxara5ca3bvq2k7baw36va" {
		t.Errorf("the CID of CC-BY-4.0 is %s", got)
	}
}

func TestProblems(t *testing.T) {
	for want, change := range map[string]func(*terms.Terms){
		"$schema: must be cairn.terms/1":                     func(d *terms.Terms) { d.Schema = "cairn.terms/2" },
		"id: must be a did:key, # and a name":                func(d *terms.Terms) { d.ID = string(key) },
		"licensor[0].id: is missing":                         func(d *terms.Terms) { d.Licensor[0].ID = "" },
		"base.spdx: the licence expression is empty":         func(d *terms.Terms) { d.Base.SPDX = "" },
		"base.spdx: the licence expression \"mit  OR x\"":    func(d *terms.Terms) { d.Base.SPDX = "mit  OR x" },
		"base.text: text and textSha256 stand together":      func(d *terms.Terms) { d.Base.TextSHA256 = "" },
		"base.textSha256: must be 64":                        func(d *terms.Terms) { d.Base.TextSHA256 = "X" },
		"grants[0].use: must have an entry":                  func(d *terms.Terms) { d.Grants[0].Use = nil },
		"grants[0].use[1]: is there already":                 func(d *terms.Terms) { d.Grants[0].Use = []string{"train", "train"} },
		"grants[0].use[0]: is \"sing\"":                      func(d *terms.Terms) { d.Grants[0].Use = []string{"sing"} },
		"grants[1].territory[0]: must be a place":            func(d *terms.Terms) { d.Grants[1].Territory = []string{"Bern"} },
		"prohibits[1]: must have use or purpose":             func(d *terms.Terms) { d.Prohibits[1].Purpose = nil },
		"conditions: is empty":                               func(d *terms.Terms) { d.Conditions = &terms.Conditions{} },
		"conditions.accept: is \"maybe\"":                    func(d *terms.Terms) { d.Conditions.Accept = "maybe" },
		"conditions.reportUsage.withinDays: must be at most": func(d *terms.Terms) { d.Conditions.ReportUsage.WithinDays = -1 },
		"conditions.deleteOnWithdrawal.scope: is \"all\"":    func(d *terms.Terms) { d.Conditions.DeleteOnWithdrawal.Scope = "all" },
		"payment: the other members belong":                  func(d *terms.Terms) { d.Payment.Model = "none" },
		"payment.model: is \"gift\"":                         func(d *terms.Terms) { d.Payment.Model = "gift" },
		"payment.ratePpm: must be parts per million":         func(d *terms.Terms) { d.Payment.RatePpm = 1_000_001 },
		"payment.stacking: is \"\"":                          func(d *terms.Terms) { d.Payment.Stacking = "" },
		"payment.pool: pool and poolPpm stand together":      func(d *terms.Terms) { d.Payment.PoolPpm = 0 },
		"payment.pool: stacking \"pool\" needs a pool":       func(d *terms.Terms) { d.Payment.Stacking, d.Payment.Pool, d.Payment.PoolPpm = "pool", cjson.CID{}, 0 },
		"payment.attribution: must be a method":              func(d *terms.Terms) { d.Payment.Attribution = "bytes" },
		"payment.settleEvery: must be a duration":            func(d *terms.Terms) { d.Payment.SettleEvery = "3M" },
		"payment.currency: must be":                          func(d *terms.Terms) { d.Payment.Currency = "E R" },
		"payment.free.revenueBelowMinor: must be a whole":    func(d *terms.Terms) { d.Payment.Free.RevenueBelowMinor = "1.5" },
		"signals.aipref.trainAi: is \"no\"":                  func(d *terms.Terms) { d.Signals.AIPref.TrainAI = "no" },
		"signals.tdmReservation: must be 0 or 1":             func(d *terms.Terms) { d.Signals.TDMReservation = new(int64(2)) },
		"signals.tdmPolicy: must be an absolute URL":         func(d *terms.Terms) { d.Signals.TDMPolicy = "/terms" },
		"signals.ccSignal: is \"cc\"":                        func(d *terms.Terms) { d.Signals.CCSignal = "cc" },
		"privacy.personalData: is \"some\"":                  func(d *terms.Terms) { d.Privacy.PersonalData = "some" },
		"validUntil: is before validFrom":                    func(d *terms.Terms) { d.ValidUntil = "2020-01-01T00:00:00Z" },
		"validFrom: must be an instant":                      func(d *terms.Terms) { d.ValidFrom = "2026-11-22" },
		"governingLaw: must be a place":                      func(d *terms.Terms) { d.GoverningLaw = "the law" },
	} {
		d := full()
		change(d)
		_, err := terms.Encode(d)
		if fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestDecodeIsStrict(t *testing.T) {
	b := string(goldens(t)["testdata/full.terms.json"])
	for name, c := range map[string][2]string{
		"unknown member":  {`{"$schema"`, `{"$Schema":1,"$schema"`},
		"explicit false":  {`"sublicense":true`, `"sublicense":false`},
		"null":            {`"disputes":"The courts of Berlin."`, `"disputes":null`},
		"empty list":      {`"where":["model-card","report"]`, `"where":[]`},
		"wrong type":      {`"ratePpm":50000`, `"ratePpm":"50000"`},
		"missing":         {`"ratePpm":50000,`, ``},
		"plain CID":       {`"text":{"/":"bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"}`, `"text":"bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"`},
		"link for CID":    {`"pool":"` + rawCID("pool").String() + `"`, `"pool":{"/":"` + rawCID("pool").String() + `"}`},
		"space":           {`"revocable":true`, `"revocable": true`},
		"case of a name":  {`"title"`, `"Title"`},
		"end":             {`}}` + "\n", `}}`},
		"not normal SPDX": {`LicenseRef-cairn-revshare-1 OR CC-BY-NC-4.0`, `(LicenseRef-cairn-revshare-1 OR CC-BY-NC-4.0)`},
	} {
		changed := strings.Replace(b, c[0], c[1], 1)
		if changed == b {
			changed = b + "\n"
		}
		if _, err := terms.Decode([]byte(changed)); fault.Of(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := terms.Decode(make([]byte, terms.MaxTerms+1)); fault.Of(err) != fault.TooLarge {
		t.Errorf("more than the limit: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range goldens(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := cjson.Canonicalize(b); err == nil {
			b = c // what is only written differently would be refused at once
		}
		d, err := terms.Decode(b)
		if err != nil {
			if c := fault.Of(err); c != fault.Invalid && c != fault.TooLarge {
				t.Fatalf("code %s of %v", c, err)
			}
			return
		}
		if again, err := terms.Encode(d); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted %s, which encodes to %s, %v", b, again, err)
		}
	})
}
