package fold_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// a scenario is a log, entry by entry, and what the fold must say of each.
type scenario struct {
	foldtest.World
	bodies []foldtest.Body
	want   []string // "accepted", "duplicate" or a code
	state  *fold.State
	early  *manifests.Profile // an accepted one
}

func newScenario() *scenario { return &scenario{state: fold.NewState(foldtest.Origin)} }

func (s *scenario) log(want string, b foldtest.Body) {
	s.bodies = append(s.bodies, b)
	s.want = append(s.want, want)
}

// version logs the contribution c and returns its statement.
func (s *scenario) version(want string, c *manifests.Contribution, signers ...string) cid.Cid {
	st := foldtest.Version(c)
	s.log(want, foldtest.Log(st, signers...))
	return foldtest.CID(st)
}

func (s *scenario) predicate(want string, p manifests.Predicate, signers ...string) {
	s.log(want, foldtest.Log(manifests.New(p), signers...))
}

func (s *scenario) contribution(publisher, name, version string, supersedes cid.Cid) *manifests.Contribution {
	c := s.Contribution(publisher, name, version)
	c.Supersedes = cjson.CID{Cid: supersedes}
	return c
}

func share(c *manifests.Contribution, who ...string) {
	for _, w := range who {
		c.Contributors = append(c.Contributors, manifests.Share{ID: foldtest.ID(w), Weight: "1"})
	}
	c.Total = fmt.Sprint(len(c.Contributors))
}

// world is a log in which every verdict and every code occurs, with the
// neighbours that must be judged otherwise.
func world() *scenario {
	s := newScenario()
	none := cid.Undef

	// Before there is a registry.
	early := foldtest.Log(foldtest.Version(s.Contribution("ana", "early", "1.0.0")), "ana")
	s.log(code(fold.NoRegistry), early)
	s.log(code(fold.NoRegistry), foldtest.Body{Leaf: []byte("no leaf"), Envelope: nil})
	s.predicate(code(fold.Threshold), s.Registry(2, "op1", "op2"), "op1")
	s.predicate(code(fold.UnexpectedSigner), s.Registry(1, "op1", "op2"), "op1", "ana")
	wrong := s.Registry(1, "op1")
	wrong.Registry, wrong.Origin = "elsewhere.example/log", "elsewhere.example/log"
	wrong.LogKeys = []string{elsewhereKey}
	s.predicate(code(fold.WrongRegistry), wrong, "op1")
	first := manifests.New(s.Registry(2, "op1", "op2"))
	s.log(ok, foldtest.Log(first, "op1", "op2"))
	s.log(dup, foldtest.Log(first, "op1", "op2"))
	s.log(ok, early) // no-registry did not decide

	// Names and versions.
	c := s.contribution("ana", "iris", "1.0.0", none)
	share(c, "ben", "cem")
	v1 := s.version(ok, c, "ana")
	s.version(code(fold.Stale), s.contribution("ana", "iris", "1.0.1", none), "ana")
	s.version(code(fold.VersionTaken), s.contribution("ana", "iris", "1.0.0", v1), "ana")
	s.version(code(fold.Consent), s.contribution("ana", "iris", "1.1.0", v1), "ana")
	c2 := s.contribution("ana", "iris", "1.1.0", v1)
	share(c2, "ben", "cem")
	v2 := s.version(ok, c2, "ana")
	s.version(code(fold.Stale), s.contribution("ana", "iris", "1.2.0", v1), "ana")
	s.version(ok, s.contribution("ben", "iris", "1.0.0", none), "ben") // another namespace
	s.version(code(fold.Stale), s.contribution("ana", "other", "1.0.0", v2), "ana")

	// Signatures added later, to v1.
	st1 := foldtest.Version(c)
	s.log(dup, foldtest.Log(st1, "ana"))
	s.log(ok, foldtest.Log(st1, "ben"))
	s.log(dup, foldtest.Log(st1, "ana", "ben"))
	s.log(code(fold.UnexpectedSigner), foldtest.Log(st1, "ana", "dua"))
	s.log(ok, foldtest.Log(st1, "ana", "ben", "cem"))
	s.log(dup, foldtest.Log(st1, "cem"))

	// Who signed.
	both := s.contribution("cem", "both", "1.0.0", none)
	share(both, "dua")
	s.version(code(fold.MissingSignature), both, "dua")
	s.version(code(fold.UnexpectedSigner), both, "cem", "eve")
	s.version(ok, both, "cem", "dua") // neither decided
	profile := s.Profile("ana", "ana")
	s.predicate(code(fold.UnexpectedSigner), profile, "ben")
	s.predicate(code(fold.UnexpectedSigner), profile, "ana", "ben")
	s.predicate(ok, profile, "ana")
	s.predicate(dup, profile, "ana", "ben") // decided, and no contribution

	// Handles.
	s.predicate(code(fold.HandleTaken), s.Profile("ben", "ana"), "ben")
	s.predicate(ok, s.Profile("ana", "ana-two"), "ana")
	s.predicate(code(fold.HandleTaken), s.Profile("ben", "ana"), "ben") // never reused
	s.predicate(ok, s.Profile("ana", "ana"), "ana")
	s.predicate(ok, s.Profile("ben", ""), "ben")

	// References.
	edge := s.contribution("dua", "edge", "1.0.0", none)
	edge.Edges = []manifests.Edge{{Statement: cjson.CID{Cid: foldtest.RawCID("nothing")}, Weight: "1"}}
	edge.SelfWeight, edge.EdgeTotal = "999999", "1000000"
	s.version(code(fold.Reference), edge, "dua")
	edge = s.contribution("dua", "edge", "1.0.0", none)
	edge.Edges = []manifests.Edge{{Statement: cjson.CID{Cid: v2}, Weight: "1"}}
	edge.SelfWeight, edge.EdgeTotal = "999999", "1000000"
	s.version(ok, edge, "dua")
	source := s.contribution("dua", "source", "1.0.0", none)
	source.Sources = []manifests.Source{{Rel: "derivedFrom", Statement: cjson.CID{Cid: foldtest.CID(manifests.New(profile))}}}
	s.version(code(fold.Reference), source, "dua") // accepted, but no dataset
	source = s.contribution("dua", "source", "1.0.0", none)
	source.Sources = []manifests.Source{
		{Rel: "derivedFrom", Statement: cjson.CID{Cid: v1}},
		{Rel: "collectedFrom", URL: "https://example.org/"},
		{Rel: "mirrors", CID: cjson.CID{Cid: foldtest.RawCID("elsewhere")}},
	}
	s.version(ok, source, "dua")
	s.version(code(fold.Reference), s.contribution("dua", "ref", "1.0.0", foldtest.RawCID("nothing")), "dua")
	s.predicate(code(fold.Reference), s.Attestation("eve", foldtest.RawCID("nothing")), "eve")
	s.predicate(ok, s.Attestation("eve", v1), "eve")
	s.predicate(ok, s.Attestation("eve", foldtest.CID(manifests.New(profile))), "eve")

	// Anchors.
	for _, d := range []struct {
		size uint64
		want string
	}{{uint64(len(s.bodies)), ok}, {uint64(len(s.bodies)) + 2, code(fold.Anchor)}} {
		a := s.Attestation("eve", v1)
		a.Anchor = &manifests.Anchor{Size: d.size, Root: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}
		s.predicate(d.want, a, "eve")
	}

	// Another log's statement; one whose subject lies.
	foreign := s.contribution("eve", "foreign", "1.0.0", none)
	foreign.Registry = "elsewhere.example/log"
	s.version(code(fold.WrongRegistry), foreign, "eve")
	s.version(dup, foreign, "eve")
	lie := foldtest.Version(s.contribution("eve", "lie", "1.0.0", none))
	lie.Subject[0].Name = "truth@1.0.0"
	s.log(code(fold.Subject), foldtest.Log(lie, "eve"))
	s.log(dup, foldtest.Log(lie, "eve"))

	// Payloads that are no statements of this version.
	s.log(code(fold.Malformed), foldtest.LogPayload([]byte(`{}`), manifests.KindContribution, foldtest.RawCID("x"), "eve"))
	s.log(dup, foldtest.LogPayload([]byte(`{}`), manifests.KindContribution, foldtest.RawCID("x"), "ana"))
	payload := foldtest.Payload(foldtest.Version(s.contribution("eve", "eve", "1.0.0", none)))
	s.log(code(fold.Malformed), foldtest.LogPayload(append(slices.Clone(payload), '\n'), manifests.KindContribution, foldtest.RawCID("x"), "eve"))
	future := bytes.Replace(payload, []byte("cairn/contribution/v1"), []byte("cairn/future/v1"), 1)
	s.log(code(fold.UnknownKind), foldtest.LogPayload(future, "future/v1", foldtest.RawCID("x"), "eve"))
	s.log(dup, foldtest.LogPayload(future, "future/v1", foldtest.RawCID("x"), "eve"))

	// Leaves and envelopes that do not belong together.
	st := foldtest.Version(s.contribution("eve", "leaf", "1.0.0", none))
	good := foldtest.Log(st, "eve")
	s.log(code(fold.MalformedLeaf), foldtest.Body{Leaf: append(slices.Clone(good.Leaf), ' '), Envelope: good.Envelope})
	s.log(code(fold.MalformedLeaf), foldtest.Body{})
	s.log(code(fold.LeafMismatch), foldtest.Body{Leaf: good.Leaf, Envelope: append(slices.Clone(good.Envelope), ' ')})
	s.log(code(fold.LeafMismatch), foldtest.Body{Leaf: good.Leaf})
	for _, lie := range []func(*proof.Leaf){
		func(l *proof.Leaf) { l.T = string(manifests.KindProfile) },
		func(l *proof.Leaf) { l.Subj[0].Cid = foldtest.RawCID("another") },
		func(l *proof.Leaf) { l.Stmt.Cid = foldtest.RawCID("another") },
		func(l *proof.Leaf) { l.Keys = append(l.Keys, foldtest.ID("ana")); slices.Sort(l.Keys) },
		func(l *proof.Leaf) { l.Size++ },
	} {
		l, err := proof.DecodeLeaf(good.Leaf)
		if err != nil {
			panic(err)
		}
		lie(&l)
		s.log(code(fold.LeafMismatch), foldtest.Body{Leaf: foldtest.EncodeLeaf(l), Envelope: good.Envelope})
	}
	subject, err := st.SubjectCID()
	if err != nil {
		panic(err)
	}
	s.log(code(fold.MalformedEnvelope), rawEnvelope(good, append(slices.Clone(good.Envelope), ' ')))
	env := foldtest.Seal(foldtest.Payload(st), "eve")
	env.Signatures[0].Sig[3] ^= 1
	s.log(code(fold.BadSignature), foldtest.LogEnvelope(env, st.Kind, subject))
	s.log(ok, good) // none of them decided

	// Keys.
	s.predicate(ok, s.FirstKey("eve"), "eve")
	s.predicate(code(fold.KeyExists), s.FirstKey("eve"), "eve")
	stranger := s.Revoke("eve")
	stranger.Key = foldtest.ID("mallory")
	s.predicate(code(fold.UnexpectedSigner), stranger, "mallory")
	s.predicate(code(fold.UnknownKey), stranger, "eve")
	since := uint64(1 << 40)
	later := s.Revoke("eve")
	later.CompromisedSince = &since
	s.predicate(code(fold.CompromisedSince), later, "eve")
	team := s.contribution("ana", "team", "1.0.0", none)
	share(team, "eve", "dua")
	s.version(ok, team, "ana")
	past := uint64(8)
	revoke := s.Revoke("eve")
	revoke.CompromisedSince = &past
	s.predicate(ok, revoke, "eve")
	s.predicate(dup, revoke, "eve")
	s.predicate(code(fold.KeyRevoked), s.Revoke("eve"), "eve")
	late := s.contribution("eve", "late", "1.0.0", none)
	s.version(code(fold.KeyRevoked), late, "eve")
	s.version(code(fold.KeyRevoked), late, "eve")
	s.version(code(fold.KeyRevoked), team, "ana", "eve")
	s.version(ok, team, "ana", "dua")
	s.predicate(ok, s.Revoke("cem"), "cem") // without a first key event
	s.predicate(code(fold.KeyRevoked), s.FirstKey("cem"), "cem")

	// Another registry/v1: the threshold in force decides, and the new one after it.
	s.predicate(code(fold.Threshold), s.Registry(1, "op1"), "op1")
	s.predicate(code(fold.UnexpectedSigner), s.Registry(1, "op3"), "op1", "op2", "ana")
	s.predicate(ok, s.Registry(1, "op3"), "op1", "op2", "op3")
	s.predicate(code(fold.UnexpectedSigner), s.Registry(1, "op3"), "op1", "op2")
	s.predicate(ok, s.Registry(1, "op3"), "op3")
	s.early = profile
	s.credit()
	s.consent()
	s.standing()
	s.rotation()
	return s
}

// rawEnvelope is b with a leaf that names it.
func rawEnvelope(like foldtest.Body, b []byte) foldtest.Body {
	l, err := proof.DecodeLeaf(like.Leaf)
	if err != nil {
		panic(err)
	}
	l.Env.Cid, l.Size = cjson.RawCID(b), int64(len(b))
	return foldtest.Body{Leaf: foldtest.EncodeLeaf(l), Envelope: b}
}

// elsewhereKey is a verifier key whose name is another origin.
const elsewhereKey = "elsewhere.example/log+0cf33789+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func TestEveryCode(t *testing.T) {
	s := world()
	seen := make(map[string]bool)
	for i, b := range s.bodies {
		r, err := fold.Apply(s.state, foldtest.Origin, uint64(i), b.Leaf, b.Envelope)
		if err != nil {
			t.Fatal(err)
		}
		got := string(r.Verdict)
		if r.Verdict == fold.Rejected {
			got = string(r.Code)
		}
		if got != s.want[i] {
			t.Errorf("entry %d: %s, want %s\nleaf %s\nenvelope %s", i, got, s.want[i], b.Leaf, b.Envelope)
		}
		seen[got] = true
		if again := s.state.Apply(fold.Read(b.Leaf, b.Envelope)); !bytes.Equal(again.Encode(), r.Encode()) {
			t.Errorf("entry %d: judged twice with the same state: %s and %s", i, r.Encode(), again.Encode())
		}
	}
	for _, c := range fold.Codes() {
		if !seen[string(c)] && !slices.Contains(limitCodes, c) {
			t.Errorf("no entry is rejected: %s", c)
		}
	}
}

// TestGolden fixes results and digests of the world. A difference is a new
// version of the fold.
func TestGolden(t *testing.T) {
	const file = "testdata/world.txt"
	s := world()
	var b bytes.Buffer
	d := fold.Genesis(foldtest.Origin)
	fmt.Fprintf(&b, "D_0 %x\n", d)
	for i, body := range s.bodies {
		r := s.state.Apply(fold.Read(body.Leaf, body.Envelope))
		fmt.Fprintf(&b, "\n%d leaf %x\n%s\nD_%d %x\n", i, proof.LeafHash(body.Leaf), r.Encode(), i+1, s.state.Digest())
	}
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("the fold of the fixed world is not %s; run with -update and read the difference", file)
	}
}

// TestDigestByHand computes the chain from its definition.
func TestDigestByHand(t *testing.T) {
	d := sha256.Sum256([]byte("cairn-fold/1\ncairn.example/log\n"))
	if d != fold.Genesis("cairn.example/log") {
		t.Errorf("D_0 = %x, want %x", fold.Genesis("cairn.example/log"), d)
	}
	leaf := sha256.Sum256([]byte("\x00leaf"))
	e := sha256.Sum256([]byte(`{"code":"no-registry","effects":[],"verdict":"rejected"}`))
	var i [8]byte
	binary.BigEndian.PutUint64(i[:], 7)
	want := sha256.Sum256(slices.Concat(d[:], i[:], leaf[:], e[:]))
	got := fold.Next(d, 7, leaf, fold.Result{Verdict: fold.Rejected, Code: fold.NoRegistry})
	if got != want {
		t.Errorf("Next = %x, want %x", got, want)
	}
	if s := hex.EncodeToString(d[:]); s != "6675b8810ce5743d57d249a6cf1881197b7d1a7e02cb87a1b6e4b917f564d36d" {
		t.Errorf("D_0 = %s", s)
	}
}

// TestLaws holds what must be true of every log, over random ones.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		bodies := foldtest.Random(rand.New(rand.NewPCG(seed, 0)), rapid.IntRange(1, 60).Draw(t, "n"))
		s := fold.NewState(foldtest.Origin)
		decided := make(map[cid.Cid]fold.Decided)
		for i, b := range bodies {
			e := fold.Read(b.Leaf, b.Envelope)
			r := s.Apply(e)
			if again, err := fold.DecodeResult(r.Encode()); err != nil || !bytes.Equal(again.Encode(), r.Encode()) {
				t.Fatalf("entry %d: result %s does not come back: %v", i, r.Encode(), err)
			}
			before, was := decided[e.Leaf.Stmt.Cid]
			switch {
			case r.Decides() && was:
				t.Fatalf("entry %d decides a statement that entry %d decided", i, before.Index)
			case r.Decides():
				d, ok, _ := s.Statement(e.Leaf.Stmt.Cid)
				if !ok || d.Index != uint64(i) || d.Verdict != r.Verdict {
					t.Fatalf("entry %d decides, and the state says %v", i, d)
				}
				decided[e.Leaf.Stmt.Cid] = d
			case r.Verdict == fold.Accepted:
				if _, ok := r.Effects[0].(fold.AddSigners); !ok || before.Verdict != fold.Accepted {
					t.Fatalf("entry %d repeats a statement with %s", i, r.Encode())
				}
				for _, e := range r.Effects[1:] {
					if _, ok := e.(fold.CompleteAgreement); !ok {
						t.Fatalf("entry %d repeats a statement with %s", i, r.Encode())
					}
				}
			case r.Verdict == fold.Duplicate && !was:
				// Another statement that says the same of the same payment.
				k := e.Statement.Kind
				if k != manifests.KindRevenue && k != manifests.KindPayout {
					t.Fatalf("entry %d is a duplicate of nothing", i)
				}
			}
		}
		for c, want := range decided {
			if got, ok, _ := s.Statement(c); !ok || got != want {
				t.Fatalf("statement %s was decided as %v, and is now %v", c, want, got)
			}
		}
	})
}

// TestReadIsIndependentOfState holds the two halves of Apply against each other.
func TestReadIsIndependentOfState(t *testing.T) {
	s := world()
	var entries []*fold.Entry
	for _, b := range s.bodies {
		entries = append(entries, fold.Read(b.Leaf, b.Envelope))
	}
	other := fold.NewState(foldtest.Origin)
	for i, b := range s.bodies {
		x, y := s.state.Apply(entries[i]), other.Apply(fold.Read(b.Leaf, b.Envelope))
		if !bytes.Equal(x.Encode(), y.Encode()) {
			t.Errorf("entry %d: %s when read early, %s when read late", i, x.Encode(), y.Encode())
		}
	}
	if s.state.Digest() != other.Digest() {
		t.Error("the digests differ")
	}
}

// FuzzApply holds the fold to its totality.
func FuzzApply(f *testing.F) {
	s := world()
	for _, b := range s.bodies {
		f.Add(b.Leaf, b.Envelope)
		s.state.Apply(fold.Read(b.Leaf, b.Envelope))
	}
	f.Fuzz(func(t *testing.T, leaf, envelope []byte) {
		for _, v := range []fold.View{s.state, fold.NewState(foldtest.Origin)} {
			r, err := fold.Apply(v, foldtest.Origin, s.state.Size(), leaf, envelope)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fold.DecodeResult(r.Encode()); err != nil {
				t.Fatalf("%s: %v", r.Encode(), err)
			}
		}
	})
}

// TestDecodeResultLacking reads results that lack what each of the fold has:
// they are refused, not more.
func TestDecodeResultLacking(t *testing.T) {
	for _, effect := range []string{
		`{"op":"setProfile"}`,
		`{"op":"addSigners","signers":null}`,
		`{"handle":"","identity":"","op":"setProfile","statement":""}`,
		`{"attester":"","op":"addAttestation","result":"","type":""}`,
	} {
		b := []byte(`{"code":"","effects":[` + effect + `],"verdict":"accepted"}`)
		if r, err := fold.DecodeResult(b); !errors.Is(err, fault.Invalid) {
			t.Errorf("DecodeResult(%s) = %v, %v, want invalid", b, r, err)
		}
	}
}

// FuzzDecodeResult accepts nothing that Encode would not have written.
func FuzzDecodeResult(f *testing.F) {
	s := world()
	for _, b := range s.bodies {
		f.Add(s.state.Apply(fold.Read(b.Leaf, b.Envelope)).Encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := fold.DecodeResult(b)
		if err != nil {
			return
		}
		if again := r.Encode(); !bytes.Equal(again, b) {
			t.Fatalf("accepted %s, which encodes to %s", b, again)
		}
	})
}
