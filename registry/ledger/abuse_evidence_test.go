package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// The abuses of this file are about what the log is told of data: whose it is, and
// how much it was used.

func seq[T any](list ...T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range list {
			if !yield(x, nil) {
				return
			}
		}
	}
}

// fingerprint returns the chunks of files.
func fingerprint(t *testing.T, files ...[]byte) (list []attribution.Chunk) {
	t.Helper()
	for _, f := range files {
		c := attribution.NewFingerprinter(func(x attribution.Chunk) error {
			list = append(list, x)
			return nil
		})
		if _, err := c.Write(f); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func noise(seed uint64, n int) []byte {
	r, b := rand.New(rand.NewPCG(seed, 11)), make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint64())
	}
	return b
}

// earlier is a logged version with its data, as first-seen looks at it.
func (c *court) earlier(v cid.Cid, chunks []attribution.Chunk) attribution.Earlier {
	c.t.Helper()
	n, found, err := c.state.Node(v)
	if err != nil || !found {
		c.t.Fatalf("no version %s, %v", v, err)
	}
	return attribution.Earlier{Index: n.Index, Statement: v.String(), Chunks: seq(chunks...)}
}

// edgesOf are the parts of 10^6 that a vector comes to, by statement.
func edgesOf(t *testing.T, v attribution.Vector) map[cid.Cid]int {
	t.Helper()
	v, err := v.Apportion(credit.PPM)
	if err != nil {
		t.Fatal(err)
	}
	edges := make(map[cid.Cid]int)
	list, _ := v.Edges()
	for _, w := range list {
		id, err := cid.Decode(w.Key)
		if err != nil {
			t.Fatal(err)
		}
		edges[id] = int(w.Weight)
	}
	return edges
}

// Somebody registers other people's data as her own. Chunks count for the first
// entry that holds them, so that whoever builds on the copy pays the original,
// and a vector that says otherwise fails its check. What the copy itself earns is
// held when it is disputed, and the arbiters give it to whom it belongs.
func TestAbusePlagiarism(t *testing.T) {
	c := newCourt(t)
	data, own := noise(1, 3<<19), noise(2, 1<<19)
	of, copied := fingerprint(t, data), fingerprint(t, own, data)
	original := c.work("ana", "original", nil)
	stolen := c.work("eve", "stolen", nil)
	log := []attribution.Earlier{c.earlier(stolen, copied), c.earlier(original, of)}

	seen, err := attribution.FirstSeen(seq(copied...), seq(log...), c.size)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := attribution.NewVector([]attribution.Entry{{Key: stolen.String(), Value: seen.Total()}})
	if err != nil {
		t.Fatal(err)
	}
	a := c.Attribution("lab", foldtest.RawCID("data of product 1.0.0"), int(c.size), original, stolen)
	a.N, a.Total, a.Scale = 2, fmt.Sprint(seen.Total()), "1"
	record := attribution.Record{
		Method: attribution.ChunkFirstSeenV1, Class: attribution.A, Parents: []string{original.String(), stolen.String()},
		AtSize: a.AtSize, N: 2, Total: seen.Total(), Scale: 1,
	}
	lie := record
	lie.N = 1
	for _, test := range []struct {
		record attribution.Record
		vector attribution.Vector
		status proof.Status
		code   string
	}{{record, seen, proof.Holds, ""}, {lie, mine, proof.Fails, attribution.CodeValue}} {
		f, err := attribution.Verify(test.record, test.vector, attribution.Inputs{Child: seq(copied...), Earlier: seq(log...)})
		if err != nil || f.Status != test.status || f.Code != test.code {
			t.Errorf("the vector %s %q (%s), %v, want %s %q", f.Status, f.Code, f.Detail, err, test.status, test.code)
		}
	}
	v := c.Contribution("lab", "product", "1.0.0")
	v.Attribution = cjson.CID{Cid: c.log(ok, a, "lab")}
	edges := edgesOf(t, seen)
	for p := range edges {
		edges[p] /= 2 // the lab keeps half
	}
	setEdges(v, edges)
	c.income("k1", c.version(ok, v, "lab"), 1000)
	run := c.close()
	c.wants("three quarters of what the product passes on", run, "ana", 375*fine)
	c.wants("the quarter that is her own", run, "eve", 125*fine)

	// What the copy earns.
	d := c.log(ok, c.Dispute("ana", stolen), "ana")
	c.log(string(fold.UnexpectedSigner), c.Resolution(d, stolen, manifests.RulingHold), "eve")
	c.log(ok, c.Resolution(d, stolen, manifests.RulingHold), "arb")
	c.close()
	c.income("k2", stolen, 800)
	run = c.close()
	c.wants("held", run, "eve", 0)
	c.wants("held", run, "ana", 0)
	if held, _ := run.HeldTotal().Uint64(); held != 800*fine {
		t.Errorf("%d are held, want 800 minor units", held)
	}
	r := c.Resolution(d, stolen, manifests.RulingReallocate)
	r.Shares, r.Total = foldtest.Shares("ana", 3, "eve", 1)
	c.log(ok, r, "arb")
	c.close()
	run = c.close()
	c.wants("reallocated", run, "ana", 600*fine)
	c.wants("reallocated", run, "eve", 200*fine)
}

// Somebody sees a dataset on its way to the registry and logs it first. Its author
// committed to it before she showed it: her salted commitment has a smaller index,
// opens to the data's CID, and decides the dispute. A commitment that is copied
// comes later than hers, and one cannot be made for data that was not seen.
func TestAbuseFrontRunning(t *testing.T) {
	c := newCourt(t)
	root := foldtest.RawCID("data of set 1.0.0")
	salt := sha256.Sum256([]byte("ana's salt"))
	commitment := func(salt []byte, c cid.Cid) string {
		sum := sha256.Sum256(append(bytes.Clone(salt), c.String()...))
		return hex.EncodeToString(sum[:])
	}
	type committed struct {
		index uint64
		fold.AddCommit
	}
	commit := func(want, who, text, signer string) committed {
		p := c.Commit(who)
		p.Commitment = text
		if c.log(want, p, signer); want != ok {
			return committed{}
		}
		return committed{c.size - 1, effect[fold.AddCommit](c)}
	}
	opens := func(m committed, salt []byte, root cid.Cid) bool { return m.Commitment == commitment(salt, root) }

	hers := commit(ok, "ana", commitment(salt[:], root), "ana")
	guess := commit(ok, "eve", commitment(make([]byte, 32), foldtest.RawCID("whatever ana has")), "eve")
	copied := commit(ok, "eve", hers.Commitment, "eve")
	commit(string(fold.UnexpectedSigner), "ana", commitment(salt[:], foldtest.RawCID("other")), "eve")
	stolen := c.work("eve", "set", nil) // before ana's
	original := c.work("ana", "set", nil)

	// Who had it first, by commitments that open to the data.
	var first []string
	for _, m := range []committed{copied, guess, hers} {
		if opens(m, salt[:], root) || opens(m, make([]byte, 32), root) {
			first = append(first, fmt.Sprintf("%06d %s", m.index, m.Identity))
		}
	}
	slices.Sort(first)
	if len(first) != 2 || !strings.HasSuffix(first[0], string(foldtest.ID("ana"))) {
		t.Errorf("the commitments that open are %v, want ana's first", first)
	}
	if n, _, err := c.state.Node(stolen); err != nil || hers.index >= n.Index {
		t.Errorf("ana's commitment is entry %d, eve's version %d, %v", hers.index, n.Index, err)
	}

	// The chunks alone would say eve: a commitment is evidence, not a rule.
	chunks := fingerprint(t, noise(3, 1<<20))
	seen, err := attribution.FirstSeen(seq(chunks...), seq(c.earlier(stolen, chunks), c.earlier(original, chunks)), c.size)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := seen.Get(stolen.String()); n != seen.Total() {
		t.Errorf("%d of %d bytes are eve's, by the order of the versions", n, seen.Total())
	}
	d := c.log(ok, c.Dispute("ana", stolen), "ana")
	c.log(ok, c.Resolution(d, stolen, manifests.RulingHold), "arb")
	c.close()
	c.income("k", stolen, 1000)
	c.wants("held", c.close(), "eve", 0)
	r := c.Resolution(d, stolen, manifests.RulingReallocate)
	r.Shares, r.Total = foldtest.Shares("ana", 1)
	c.log(ok, r, "arb")
	c.close()
	run := c.close()
	c.wants("reallocated", run, "ana", 1000*fine)
	c.wants("reallocated", run, "eve", 0)
}

// Somebody reports heavy use of her own work. Use moves no money: it only divides
// what came in with it. Of what a payer uses of a work of her own, only the part
// counts that others earn from it, and nobody signs for another payer.
func TestAbuseWashUsage(t *testing.T) {
	// pool logs use of a work of eve's and of one of ana's, as much of each, and
	// what eve reports on top.
	pool := func(wash int, owners ...any) (*court, attribution.Vector, []attribution.Wash) {
		c := newCourt(t)
		signers := []string{"eve", "fay"}[:len(owners)/2]
		hers := c.version(ok, c.shared("hers", owners...), signers...)
		anas := c.work("ana", "set", nil)
		var used []attribution.Usage
		meter := func(payer string, of cid.Cid) {
			c.log(ok, c.Metered(payer, of), payer)
			u := effect[fold.AddUsage](c)
			qty, err := strconv.ParseUint(u.Qty, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			used = append(used, attribution.Usage{ID: u.Statement.String(), Statement: u.About.String(), Meter: u.Meter, Qty: qty, Payer: string(u.Payer)})
		}
		meter("lab", hers)
		meter("lab", anas)
		c.log(string(fold.UnexpectedSigner), c.Metered("lab", hers), "eve")
		for range wash {
			meter("eve", hers)
		}
		v, washed, err := attribution.MeterUsage("inference-token", seq(used...), func(s string) (attribution.Vector, error) {
			id, err := cid.Decode(s)
			if err != nil {
				return attribution.Vector{}, err
			}
			n, _, err := c.state.Version(id)
			var list []attribution.Entry
			for _, s := range n.Contributors {
				w, _ := strconv.ParseUint(s.Weight, 10, 64)
				list = append(list, attribution.Entry{Key: string(s.ID), Value: w})
			}
			if err != nil {
				return attribution.Vector{}, err
			}
			return attribution.NewVector(list)
		})
		if err != nil {
			t.Fatal(err)
		}
		return c, v, washed
	}
	// divided is what the two are credited of a payment that the use divides.
	divided := func(c *court, v attribution.Vector, minor int) (eve, ana uint64) {
		node := c.work("op", "pool", edgesOf(t, v))
		if minor > 0 {
			c.income("k", node, minor)
		}
		run := c.close()
		return c.credited(run, "eve"), c.credited(run, "ana")
	}
	// Of a work that is hers alone, nothing counts.
	for _, wash := range []int{0, 12} {
		c, v, washed := pool(wash, "eve", 1)
		if eve, ana := divided(c, v, 1000); eve != 500*fine || ana != 500*fine {
			t.Errorf("%d reports of her own: eve has %d, ana %d, want a half", wash, eve, ana)
		}
		if wash > 0 && (len(washed) != 1 || washed[0].Excluded != 60_000) {
			t.Errorf("%v is said to be washed", washed)
		}
	}
	// Of one that she shares, fay's part does. At a price of 500 for a report she
	// pays more than she gets, and ana has what she had.
	c, v, washed := pool(0, "eve", 3, "fay", 1)
	honest, ana := divided(c, v, 1000)
	if honest != 375*fine || ana != 500*fine || len(washed) != 0 {
		t.Errorf("honest: eve has %d, ana %d, %d washed", honest, ana, len(washed))
	}
	c, v, washed = pool(12, "eve", 3, "fay", 1)
	eve, more := divided(c, v, 1000+12*500)
	if len(washed) != 1 || washed[0].Qty != 60_000 || washed[0].Excluded != 45_000 {
		t.Errorf("%v is said to be washed", washed)
	}
	if more < ana || eve-honest >= 12*500*fine {
		t.Errorf("eve paid %d and has %d more; ana has %d, and had %d", 12*500*fine, eve-honest, more, ana)
	}
	c, v, _ = pool(12, "eve", 1)
	if eve, ana := divided(c, v, 0); eve != 0 || ana != 0 {
		t.Errorf("without a payment eve has %d, ana %d", eve, ana)
	}

	// Who pays her own work gets no more back than she paid, and less where it
	// has sources.
	c = newCourt(t)
	base := c.work("ana", "base", nil)
	c.income("self", c.work("eve", "product", map[cid.Cid]int{base: 100_000}), 1000)
	c.wants("self-dealing", c.close(), "eve", 900*fine)
}

// Somebody trains on her own data to lower what others get. A rate is of the
// revenue, not of the number of inputs, so the others' part stays; and where parts
// follow an attribution, one that is blown up fails its check.
func TestAbuseWashTraining(t *testing.T) {
	run := func(junk int) (*court, *credit.Run) {
		c := newCourt(t)
		v := c.Contribution("ana", "base", "1.0.0")
		v.Rules = pays(100_000, 0)
		base := c.version(ok, v, "ana")
		inputs, edges := []cid.Cid{base}, map[cid.Cid]int{base: 100_000}
		for i := range junk {
			own := c.work("eve", fmt.Sprint("junk-", i), nil)
			inputs, edges[own] = append(inputs, own), 50_000
		}
		usage := c.log(ok, c.Usage("eve", inputs...), "eve")
		model := func(edges map[cid.Cid]int) *manifests.Model {
			m := c.Model("eve", "net", "1.0.0")
			m.Usages = foldtest.Sorted(usage)
			foldtest.SetEdges(&m.Edges, &m.SelfWeight, &m.EdgeTotal, edges)
			return m
		}
		less := map[cid.Cid]int{base: 99_999}
		c.log(string(fold.Underpaid), model(less), "eve")
		c.income("k", c.log(ok, model(edges), "eve"), 1000)
		return c, c.close()
	}
	for _, junk := range []int{0, 10} {
		c, r := run(junk)
		c.wants(fmt.Sprint(junk, " inputs of her own"), r, "ana", 100*fine)
		c.wants(fmt.Sprint(junk, " inputs of her own"), r, "eve", 900*fine)
	}

	// By shares: a quarter of the bytes are ana's, and eve may say a thousandth. The
	// log holds her to what she says, and whoever computes it again finds it.
	c := newCourt(t)
	v := c.Contribution("ana", "base", "1.0.0")
	v.Rules = pays(400_000, 0)
	v.Rules.Payment.Stacking = credit.StackWeighted
	base := c.version(ok, v, "ana")
	hers, junk := noise(4, 1<<18), noise(5, 3<<18)
	child := fingerprint(t, hers, junk)
	quarter, err := attribution.NewVector([]attribution.Entry{{Key: base.String(), Value: 1 << 18}, {Key: attribution.Self, Value: 3 << 18}})
	if err != nil {
		t.Fatal(err)
	}
	blown, err := attribution.NewVector([]attribution.Entry{{Key: base.String(), Value: 1 << 10}, {Key: attribution.Self, Value: 1<<20 - 1<<10}})
	if err != nil {
		t.Fatal(err)
	}
	derived := func(weight, self string) *manifests.Contribution {
		d := c.Contribution("eve", "derived", "1.0.0")
		d.Edges = []manifests.Edge{{Statement: cjson.CID{Cid: base}, Weight: weight, Share: "1"}}
		d.SelfWeight, d.EdgeTotal = self, "4000000"
		return d
	}
	unshared := c.Contribution("eve", "derived", "1.0.0") // however much it is
	setEdges(unshared, map[cid.Cid]int{base: 900_000})
	c.version(string(fold.Underpaid), unshared, "eve")
	a := c.Attribution("eve", foldtest.RawCID("data of derived 1.0.0"), int(c.size), base)
	of := cjson.CID{Cid: c.log(ok, a, "eve")}
	d := derived("399999", "3600001")
	d.Attribution = of
	c.version(string(fold.Underpaid), d, "eve")
	d = derived("400000", "3600000")
	d.Attribution = of
	c.income("k", c.version(ok, d, "eve"), 1000)
	c.wants("a quarter of 40 %", c.close(), "ana", 100*fine)
	for _, test := range []struct {
		v    attribution.Vector
		want proof.Status
	}{{quarter, proof.Holds}, {blown, proof.Fails}} {
		f, err := attribution.Verify(attribution.Record{
			Method: attribution.ChunkFirstSeenV1, Class: attribution.A, Parents: []string{base.String()}, AtSize: a.AtSize, N: 2, Total: 1 << 20, Scale: 1,
		}, test.v, attribution.Inputs{Child: seq(child...), Earlier: seq(c.earlier(base, fingerprint(t, hers)))})
		if err != nil || f.Status != test.want {
			t.Errorf("%s %q (%s), %v, want %s", f.Status, f.Code, f.Detail, err, test.want)
		}
	}
}

// Somebody tunes her data to a score that nobody can compute again. Such a vector
// has class C and a cap for each party; without the cap, above it, or dressed up
// as better evidence it fails its check. What is cut off goes to nobody else.
func TestAbuseAttributionGaming(t *testing.T) {
	const limit = 100_000
	c := newCourt(t)
	gamed, honest := c.work("eve", "gamed", nil), c.work("ana", "honest", nil)
	raw, err := attribution.NewVector([]attribution.Entry{{Key: gamed.String(), Value: 900_000}, {Key: honest.String(), Value: 100_000}})
	if err != nil {
		t.Fatal(err)
	}
	capped, err := attribution.Cap(raw, limit)
	if err != nil {
		t.Fatal(err)
	}
	a := c.Attribution("jury", foldtest.RawCID("data of product 1.0.0"), int(c.size), gamed, honest)
	a.Method, a.EvidenceClass, a.CapPpm, a.N, a.Total, a.Scale = string(attribution.ExternalV1), "C", limit, 3, "1000000", fmt.Sprint(attribution.ScoreScale)
	c.log(string(fold.UnexpectedSigner), a, "eve")
	v := c.Contribution("lab", "product", "1.0.0")
	v.Attribution = cjson.CID{Cid: c.log(ok, a, "jury")}
	setEdges(v, edgesOf(t, capped))
	c.income("k", c.version(ok, v, "lab"), 1000)
	run := c.close()
	c.wants("capped", run, "eve", 100*fine)
	c.wants("capped", run, "ana", 100*fine)
	c.wants("what is cut off", run, "lab", 800*fine)

	record := attribution.Record{
		Method: attribution.ExternalV1, Class: attribution.C, Parents: []string{gamed.String(), honest.String()},
		Params: attribution.Params{Evidence: foldtest.JSONCID("scores of the jury")},
		AtSize: a.AtSize, N: 3, Total: 1_000_000, Scale: attribution.ScoreScale, CapPpm: limit,
	}
	uncapped, better, above := record, record, record
	uncapped.N, uncapped.CapPpm = 2, 0
	better.Class = attribution.A
	above.N = 2
	for name, test := range map[string]struct {
		record attribution.Record
		vector attribution.Vector
		status proof.Status
		code   string
	}{
		"capped":        {record, capped, proof.NotChecked, attribution.CodeNotRecomputable},
		"no cap":        {uncapped, raw, proof.Fails, attribution.CodeCap},
		"above the cap": {above, raw, proof.Fails, attribution.CodeCap},
		"as class A":    {better, capped, proof.Fails, attribution.CodeClass},
	} {
		f, err := attribution.Verify(test.record, test.vector, attribution.Inputs{})
		if err != nil || f.Status != test.status || f.Code != test.code {
			t.Errorf("%s: %s %q (%s), %v, want %s %q", name, f.Status, f.Code, f.Detail, err, test.status, test.code)
		}
	}
}
