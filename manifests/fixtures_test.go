package manifests_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/terms"
)

var update = flag.Bool("update", false, "write the golden files anew")

const origin = "cairn.example/log"

// edKey is the did:key of the Ed25519 key whose seed is 32 times b.
func edKey(b byte) sign.KeyID {
	return sign.NewEd25519(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32))).ID()
}

func p256Key(t testing.TB) sign.KeyID {
	t.Helper()
	priv, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sign.NewP256(priv)
	if err != nil {
		t.Fatal(err)
	}
	return s.ID()
}

func rawCID(s string) cjson.CID   { return cjson.CID{Cid: cjson.RawCID([]byte(s))} }
func jsonCID(s string) cjson.CID  { return cjson.CID{Cid: cjson.JSONCID([]byte(s))} }
func rawLink(s string) cjson.Link { return cjson.Link{Cid: cjson.RawCID([]byte(s))} }
func sha(s string) string         { return hex.EncodeToString(rawCID(s).Hash()[2:]) }
func dirCID(t testing.TB) cid.Cid { return pb(t, "a directory") }
func ptr[T any](v T) *T           { return &v }
func common() manifests.Common {
	return manifests.Common{Registry: origin, Nonce: "AAECAwQFBgcICQoLDA0ODw", IssuedAt: "2026-11-22T08:00:00Z"}
}

func pb(t testing.TB, s string) cid.Cid {
	t.Helper()
	h, err := mh.Sum([]byte(s), mh.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	return cid.NewCidV1(cid.DagProtobuf, h)
}

func anchored() manifests.Common {
	c := common()
	c.Anchor = &manifests.Anchor{Size: 42, Root: base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32))}
	return c
}

// minimalContribution is the least that can be said about a dataset.
func minimalContribution(t testing.TB) *manifests.Statement {
	t.Helper()
	return manifests.NewContribution(&manifests.Contribution{
		Common:    common(),
		Publisher: edKey(1),
		Dataset: manifests.Dataset{
			Name: "iris", Version: "1.0.0", Manifest: jsonCID("manifest"), Bytes: 11, FileCount: 1, License: "CC-BY-4.0",
		},
		Terms:        jsonCID("terms"),
		Contributors: []manifests.Share{{ID: edKey(1), Weight: "1"}},
		Total:        "1",
	}, cjson.RawCID([]byte("hello world")))
}

// fullContribution has every member.
func fullContribution(t testing.TB) *manifests.Statement {
	t.Helper()
	edges := []manifests.Edge{{Statement: rawCID("parent 1"), Weight: "50000", Share: "1"}, {Statement: rawCID("parent 2"), Weight: "150000"}}
	if edges[0].Statement.String() > edges[1].Statement.String() {
		edges[0], edges[1] = edges[1], edges[0]
	}
	return manifests.NewContribution(&manifests.Contribution{
		Common:    anchored(),
		Publisher: edKey(1),
		Dataset: manifests.Dataset{
			Name: "swiss-german-asr", Version: "1.2.0-rc.1+build.7", Title: "Schwiizerdütsch, gsproche", Manifest: jsonCID("manifest"),
			Bytes: 123456789, FileCount: 4321, License: "LicenseRef-cairn-revshare-1 OR CC-BY-NC-4.0",
			Keywords: []string{"asr", "swiss-german", "c++"}, MediaTypes: []string{"application/vnd.apache.parquet", "text/csv"},
		},
		Terms:        jsonCID("terms"),
		Contributors: []manifests.Share{{ID: edKey(1), Weight: "2"}, {ID: p256Key(t), Weight: "9223372036854775800"}},
		Total:        "9223372036854775802",
		Sources: []manifests.Source{
			{Rel: manifests.FilteredFrom, Statement: rawCID("parent 1")},
			{Rel: manifests.CollectedFrom, URL: "https://example.org/a?b=c#d"},
			{Rel: manifests.MergedFrom, CID: cjson.CID{Cid: pb(t, "somebody else's data")}},
		},
		Edges: edges, SelfWeight: "800000", EdgeTotal: "1000000", Attribution: rawCID("attribution"),
		Supersedes: rawCID("version before"), Agreement: rawCID("agreement"),
		Rules: &manifests.Rules{Accept: "bytes", Revocable: true, OnWithdraw: "hold", Payment: &manifests.PaymentRules{
			RatePpm: 50000, Stacking: "pool", FloorPpm: 1000, CapPpm: 300000, Pool: rawCID("pool"), PoolPpm: 20000, ToDerived: true,
		}},
		Attachments: jsonCID("attachments"),
	}, dirCID(t))
}

func vkey(b byte) string {
	return origin + "+0a1b2c3d+" + base64.StdEncoding.EncodeToString(append([]byte{1}, bytes.Repeat([]byte{b}, 32)...))
}

// statements are the golden statements by the name of their file.
func statements(t testing.TB) map[string]*manifests.Statement {
	t.Helper()
	all := creditStatements(t)
	maps.Copy(all, map[string]*manifests.Statement{
		"contribution-minimal": minimalContribution(t),
		"contribution-full":    fullContribution(t),
		"registry-minimal": manifests.New(&manifests.Registry{
			Common: common(), Origin: origin, LogKeys: []string{vkey(1)}, Operators: []sign.KeyID{edKey(1)}, OperatorThreshold: 1, FirstPeriod: "2026-11",
		}),
		"registry-full": manifests.New(&manifests.Registry{
			Common: anchored(), Origin: origin, LogKeys: []string{vkey(1), vkey(2)},
			Operators: []sign.KeyID{edKey(1), edKey(2), p256Key(t)}, OperatorThreshold: 2,
			Arbiters: []sign.KeyID{edKey(3)}, ArbiterThreshold: 1, GatewayKeys: []sign.KeyID{edKey(4)},
			PayeeRecipient: "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", FirstPeriod: "2026-11",
			Currencies: []manifests.Currency{{Code: "EUR", MinorDigits: 2, FineDigits: 12}, {Code: "eip155:1/erc20:0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48", MinorDigits: 6, FineDigits: 18}},
		}),
		"profile-minimal": manifests.New(&manifests.Profile{Common: common(), Identity: edKey(1)}),
		"profile-full": manifests.New(&manifests.Profile{
			Common: anchored(), Identity: p256Key(t), Handle: "ada-l", Name: "Ada L.", URL: "https://example.org/~ada",
			ORCID: "0000-0002-1825-0097", ROR: "05dxps055",
		}),
		"key-first":        manifests.New(&manifests.Key{Common: common(), Identity: edKey(1), Key: edKey(1), Op: manifests.KeyFirst}),
		"key-first-next":   manifests.New(&manifests.Key{Common: common(), Identity: edKey(1), Key: edKey(1), Op: manifests.KeyFirst, Next: sha("next key")}),
		"key-rotate":       manifests.New(&manifests.Key{Common: common(), Identity: edKey(1), Key: edKey(2), Op: manifests.KeyRotate}),
		"key-rotate-next":  manifests.New(&manifests.Key{Common: common(), Identity: edKey(1), Key: edKey(2), Op: manifests.KeyRotate, Next: manifests.KeyDigest(edKey(3))}),
		"key-revoke-old":   manifests.New(&manifests.Key{Common: common(), Identity: edKey(1), Key: edKey(2), Op: manifests.KeyRevoke}),
		"key-revoke":       manifests.New(&manifests.Key{Common: common(), Identity: edKey(1), Key: edKey(1), Op: manifests.KeyRevoke}),
		"key-revoke-since": manifests.New(&manifests.Key{Common: common(), Identity: edKey(1), Key: edKey(1), Op: manifests.KeyRevoke, Reason: "laptop lost", CompromisedSince: ptr(uint64(0))}),
		"attestation-minimal": manifests.New(&manifests.Attestation{
			Common: common(), Attester: edKey(5), Type: manifests.AttestAudit, About: rawCID("statement"), Result: manifests.ResultHolds,
		}),
		"attestation-full": manifests.New(&manifests.Attestation{
			Common: anchored(), Attester: edKey(5), Type: manifests.AttestScan, About: rawCID("statement"), Report: jsonCID("report"), Result: manifests.ResultIncomplete,
		}),
	})
	return all
}

func minimalManifest() *manifests.Manifest {
	return &manifests.Manifest{
		Schema: manifests.ManifestSchema, Name: "iris", Version: "1.0.0", CreatedAt: "2026-11-22T08:00:00Z", Publisher: edKey(1),
		Data: manifests.Data{Root: rawLink("hello world"), Bytes: 11, FileCount: 1, Profile: "unixfs-v1-2025",
			Chunking: manifests.Chunking{Algo: "fixed", Size: 1 << 20, Hash: "sha2-256"}},
		Files:        []manifests.File{{Path: "iris.csv", CID: rawLink("hello world"), Size: 11, SHA256: sha("hello world")}},
		Contributors: []manifests.Contributor{{ID: edKey(1)}},
		Terms:        cjson.Link(jsonCID("terms")),
	}
}

// golden compares b with a file of testdata, or writes it with -update.
func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, want) {
		t.Errorf("%s:\n got %s\nwant %s", name, b, want)
	}
}

// goldens returns the golden files whose names match the pattern.
func goldens(t testing.TB, pattern string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("no golden files %s: %v", pattern, err)
	}
	files := make(map[string][]byte, len(names))
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(n)] = b
	}
	return files
}

// wantProblem fails the test unless err is marked invalid and says each of the
// texts.
func wantProblem(t *testing.T, err error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", texts)
		return
	}
	if fault.Of(err) != fault.Invalid {
		t.Errorf("code %s of %v, want invalid", fault.Of(err), err)
	}
	for _, s := range texts {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}

// edit returns doc with one member set: path is made of member names and list
// indices. A value of remove takes the member away.
func edit(t testing.TB, doc []byte, value any, path ...any) []byte {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var root any
	if err := d.Decode(&root); err != nil {
		t.Fatal(err)
	}
	at := root
	for i, step := range path {
		last := i == len(path)-1
		switch step := step.(type) {
		case int:
			if last {
				at.([]any)[step] = value
			}
			at = at.([]any)[step]
		case string:
			switch {
			case last && value == remove:
				delete(at.(map[string]any), step)
			case last:
				at.(map[string]any)[step] = value
			}
			at = at.(map[string]any)[step]
		}
	}
	b, err := json.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := cjson.Canonicalize(b); err == nil {
		return c
	}
	return b // what has no canonical form must be refused as it is
}

type removal struct{}

var remove any = removal{}

func mustTerms(t testing.TB, expr string) []byte {
	t.Helper()
	b, err := terms.Minimal(expr)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, doc []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(doc, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// numbered is the i-th of many keys. They are made from seeds, so none of them
// is worth anything.
func numbered(i int) sign.KeyID {
	seed := make([]byte, 32)
	seed[0], seed[1], seed[2] = 1, byte(i), byte(i>>8)
	return sign.NewEd25519(ed25519.NewKeyFromSeed(seed)).ID()
}
