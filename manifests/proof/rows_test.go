package proof_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
)

// paddedLeaf returns a leaf whose one encoding has exactly n bytes.
func paddedLeaf(t *testing.T, n int) (proof.Leaf, []byte) {
	t.Helper()
	l, err := proof.DecodeLeaf([]byte(exampleLeaf))
	if err != nil {
		t.Fatal(err)
	}
	l.T += strings.Repeat("x", n-len(exampleLeaf))
	b, err := cjson.Marshal(l)
	if err != nil || len(b) != n {
		t.Fatalf("a leaf of %d bytes, %v", len(b), err)
	}
	return l, b
}

func TestLeafLimit(t *testing.T) {
	l, b := paddedLeaf(t, proof.MaxLeaf)
	if _, err := proof.DecodeLeaf(b); err != nil {
		t.Errorf("a leaf of %d bytes: %v", len(b), err)
	}
	if _, err := l.Encode(); err != nil {
		t.Errorf("a leaf of %d bytes: %v", len(b), err)
	}
	l, b = paddedLeaf(t, proof.MaxLeaf+1)
	if _, err := proof.DecodeLeaf(b); fault.Of(err) != fault.Invalid {
		t.Errorf("a leaf of one byte more: %v, want invalid", err)
	}
	// It is measured before it is read.
	if _, err := proof.DecodeLeaf(bytes.Repeat([]byte("x"), proof.MaxLeaf+1)); fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), "the limit") {
		t.Errorf("bytes that are no leaf: %v", err)
	}
	if _, err := l.Encode(); fault.Of(err) != fault.TooLarge {
		t.Errorf("a leaf of one byte more is written: %v", err)
	}
}

// cosigned returns a checkpoint of exactly n bytes with the signatures of the log
// and of that many witnesses, and a policy that knows them all: nothing is wrong
// with it but its size.
func cosigned(t *testing.T, n, witnesses int) ([]byte, *proof.Policy) {
	t.Helper()
	w := newWorld(t)
	w.append([]byte("a"))
	signed := w.note(origin)
	const line = len("—  \n") + 104 // a signature line without its name
	text := "log " + logVKey + "\n"
	for i := range witnesses {
		name := fmt.Sprintf("w%02d", i)
		if long, last := 940, n-len(signed)-line; i == witnesses-1 && n > 0 {
			name += strings.Repeat("x", last-len(name))
		} else if n > 0 {
			name += strings.Repeat("x", long-len(name))
		}
		var vkey string
		signed, vkey = cosign(t, signed, name, byte(10+i))
		text += fmt.Sprintf("witness %d %s\n", i, vkey)
	}
	if n > 0 && len(signed) != n {
		t.Fatalf("a checkpoint of %d bytes, want %d", len(signed), n)
	}
	return signed, policy(t, text+"quorum none\n")
}

func TestCheckpointLimits(t *testing.T) {
	for name, c := range map[string]struct {
		size, witnesses int
		code            fault.Code
	}{
		"64 KiB":        {proof.MaxCheckpoint, 63, ""},
		"one byte more": {proof.MaxCheckpoint + 1, 63, fault.Unverified},
		"64 signatures": {0, 63, ""},
		"65 signatures": {0, 64, fault.Unverified},
	} {
		signed, p := cosigned(t, c.size, c.witnesses)
		v, err := p.Verify(signed)
		if fault.Of(err) != c.code {
			t.Errorf("%s: %v, want %q", name, err, c.code)
		}
		if err == nil && len(v.Witnesses) != c.witnesses {
			t.Errorf("%s: %d witnesses, want %d", name, len(v.Witnesses), c.witnesses)
		}
	}
}

// keyOf returns the keys of a log of that name, made of a seed.
func keyOf(t testing.TB, name string, seed byte) (skey, vkey string) {
	t.Helper()
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	vkey, err := note.NewEd25519VerifierKey(name, priv.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	hash := strings.Split(vkey, "+")[1]
	return "PRIVATE+KEY+" + name + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, priv.Seed()...)), vkey
}

// note returns the signed checkpoint of the log under a name.
func (w *world) note(name string) []byte {
	w.t.Helper()
	c := w.head()
	c.Origin = name
	signed, err := note.Sign(&note.Note{Text: string(c.Text())}, w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	return signed
}

// head returns the log's checkpoint.
func (w *world) head() proof.Checkpoint {
	w.t.Helper()
	size := int64(len(w.leaves))
	root, err := tlog.TreeHash(size, hashReader(w.hashes))
	if err != nil {
		w.t.Fatal(err)
	}
	return proof.Checkpoint{Origin: origin, Size: uint64(size), Root: root}
}

// other returns an empty log of the same name, under another key.
func (w *world) other() (o *world, vkey string) {
	w.t.Helper()
	skey, vkey := keyOf(w.t, origin, 2)
	s, err := note.NewSigner(skey)
	if err != nil {
		w.t.Fatal(err)
	}
	return &world{t: w.t, log: s}, vkey
}

// cosign adds the signature line of a witness, made of a seed, to a checkpoint.
func cosign(t testing.TB, signed []byte, name string, seed byte) (more []byte, vkey string) {
	t.Helper()
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	key := append([]byte{4}, priv.Public().(ed25519.PublicKey)...)
	sum := sha256.Sum256(append([]byte(name+"\n"), key...))
	text := signed[:bytes.LastIndex(signed, []byte("\n\n"))+1]
	const when = 1767225600
	sig := ed25519.Sign(priv, append([]byte("cosignature/v1\ntime "+strconv.Itoa(when)+"\n"), text...))
	raw := append(binary.BigEndian.AppendUint64(slices.Clone(sum[:4]), when), sig...)
	line := "— " + name + " " + base64.StdEncoding.EncodeToString(raw) + "\n"
	return append(slices.Clone(signed), line...), fmt.Sprintf("%s+%x+%s", name, sum[:4], base64.StdEncoding.EncodeToString(key))
}

func TestReceiptLimits(t *testing.T) {
	hashes := func(n int) (r proof.Receipt) {
		for i := range n {
			r.Path = append(r.Path, sha256.Sum256([]byte{byte(i)}))
		}
		return r
	}
	for n, code := range map[int]fault.Code{63: "", 64: fault.Unverified, 1000: fault.Unverified} {
		r := hashes(n)
		r.Checkpoint = exampleNote()
		if _, err := proof.ParseReceipt(r.Encode()); fault.Of(err) != code {
			t.Errorf("a path of %d hashes: %v, want %q", n, err, code)
		}
	}
	// The checkpoint is not looked at when a receipt is read, so its bytes can be
	// anything; the limit is on the whole.
	const most = proof.MaxCheckpoint + 4<<10
	r := hashes(1)
	r.Checkpoint = bytes.Repeat([]byte("x"), most-len(r.Encode()))
	if _, err := proof.ParseReceipt(r.Encode()); err != nil {
		t.Errorf("a receipt of %d bytes: %v", most, err)
	}
	r.Checkpoint = append(r.Checkpoint, 'x')
	if _, err := proof.ParseReceipt(r.Encode()); fault.Of(err) != fault.Unverified {
		t.Errorf("a receipt of one byte more: %v, want unverified", err)
	}
}

func TestBundleLimits(t *testing.T) {
	e := proof.Entry{Envelope: []byte(`""`), Leaf: []byte("a"), Receipt: []byte("x")}
	size := func(b proof.Bundle) []byte {
		t.Helper()
		enc, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return enc
	}
	for n, code := range map[int]fault.Code{proof.MaxKeyEvents: "", proof.MaxKeyEvents + 1: fault.Unverified} {
		if _, err := proof.ParseBundle(size(proof.Bundle{Entry: e, KeyEvents: slices.Repeat([]proof.Entry{e}, n)})); fault.Of(err) != code {
			t.Errorf("%d key events: %v, want %q", n, err, code)
		}
	}
	fill := proof.MaxBundle - len(size(proof.Bundle{Entry: e}))
	for more, code := range map[int]fault.Code{0: "", 1: fault.Unverified} {
		e.Envelope = []byte(`"` + strings.Repeat("x", fill+more) + `"`)
		b := size(proof.Bundle{Entry: e})
		if _, err := proof.ParseBundle(b); fault.Of(err) != code {
			t.Errorf("a bundle of %d bytes: %v, want %q", len(b), err, code)
		}
	}
}

// TestForeignProofs puts evidence of other logs and witnesses into a bundle that
// holds, and a policy of the sender's own. Each is refused by its own check.
func TestForeignProofs(t *testing.T) {
	w := newWorld(t)
	ana := contributor(3)
	w.append([]byte("a"))
	entry, i := w.submit(profile(1, ana), ana)
	entry.Receipt = w.receipt(i)

	// The same leaves in a log of the same name under another key.
	twin, twinKey := w.other()
	for _, l := range w.leaves {
		twin.append(l)
	}
	with := func(checkpoint []byte) proof.Entry {
		t.Helper()
		r, err := proof.ParseReceipt(entry.Receipt)
		if err != nil {
			t.Fatal(err)
		}
		r.Checkpoint = checkpoint
		e := entry
		e.Receipt = r.Encode()
		return e
	}
	good, witness := cosign(t, w.note(origin), "witness.example/w", 7)
	_, stranger := cosign(t, w.note(origin), "witness.example/w", 8)
	need := func(key string) *proof.Policy {
		return policy(t, "log "+logVKey+"\nwitness w "+key+"\nquorum w\n")
	}
	// What a witness said of the twin, below what the log signed.
	elsewhere := *w
	elsewhere.leaves, elsewhere.hashes = nil, nil
	elsewhere.append([]byte("b"))
	foreign, _ := cosign(t, elsewhere.note(origin), "witness.example/w", 7)
	line := foreign[bytes.LastIndex(foreign[:len(foreign)-1], []byte("\n"))+1:]
	twinNote := twin.note(origin)
	twinLine := twinNote[bytes.LastIndex(twinNote[:len(twinNote)-1], []byte("\n"))+1:]

	for name, c := range map[string]struct {
		e      proof.Entry
		p      *proof.Policy
		failed []string
	}{
		"as it is":                        {entry, policy(t, logVKey), nil},
		"cosigned":                        {with(good), need(witness), nil},
		"a log of that name, another key": {with(twinNote), policy(t, logVKey), []string{proof.CheckCheckpoint}},
		"another log's policy":            {entry, policy(t, twinKey), []string{proof.CheckCheckpoint}},
		"another log's name":              {with(w.note("cairn.example/other")), policy(t, logVKey), []string{proof.CheckCheckpoint}},
		"a tree of the same log":          {with(elsewhere.note(origin)), policy(t, logVKey), []string{proof.CheckInclusion}},
		"no cosignature":                  {entry, need(witness), []string{proof.CheckQuorum}},
		"a witness of that name":          {with(good), need(stranger), []string{proof.CheckCheckpoint}},
		"a cosignature of another head":   {with(append(w.note(origin), line...)), need(witness), []string{proof.CheckCheckpoint}},
		"cosigned by another log's key":   {with(append(w.note(origin), twinLine...)), need(witness), []string{proof.CheckCheckpoint}},
		"cosigned by whom nobody asked":   {with(good), policy(t, logVKey), []string{proof.CheckCheckpoint}},
		"two logs that are both trusted":  {with(append(w.note(origin), twinLine...)), policy(t, "log "+logVKey+"\nlog "+twinKey+"\nquorum none\n"), []string{proof.CheckCheckpoint}},
	} {
		enc, err := (&proof.Bundle{Entry: c.e}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		r, err := proof.VerifyBundle(enc, c.p)
		if err != nil {
			t.Fatal(err)
		}
		if got := failing(r); !slices.Equal(got, c.failed) {
			t.Errorf("%s: fails %v, want %v", name, got, c.failed)
		}
	}

	// A policy comes from the verifier. One that comes along, however it is called
	// and wherever it stands, spoils the bundle.
	var whole map[string]any
	enc, err := (&proof.Bundle{Entry: with(twinNote), KeyEvents: []proof.Entry{entry}}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{"policy", "log", "trust", "vkey"} {
		for _, deep := range []bool{false, true} {
			if err := json.Unmarshal(enc, &whole); err != nil {
				t.Fatal(err)
			}
			at := whole
			if deep {
				at = whole["keyEvents"].([]any)[0].(map[string]any)
			}
			at[member] = twinKey
			b, err := cjson.Marshal(whole)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []*proof.Policy{policy(t, logVKey), policy(t, twinKey)} {
				r, err := proof.VerifyBundle(b, p)
				if err != nil {
					t.Fatal(err)
				}
				if got := failing(r); !slices.Equal(got, []string{proof.CheckBundle}) {
					t.Errorf("%s inside, deep %v: fails %v, want %s", member, deep, got, proof.CheckBundle)
				}
			}
			clear(whole)
		}
	}
}

// tiles lays out the log as C2SP tlog-tiles has it, and returns its checkpoint.
func (w *world) tiles() (map[string][]byte, proof.Checkpoint) {
	w.t.Helper()
	files := make(map[string][]byte)
	for n := 0; n*proof.TileWidth < len(w.leaves); n++ {
		some := w.leaves[n*proof.TileWidth : min(len(w.leaves), (n+1)*proof.TileWidth)]
		var b []byte
		for _, l := range some {
			b = append(binary.BigEndian.AppendUint16(b, uint16(len(l))), l...)
		}
		files[proof.TilePath(proof.LevelEntries, uint64(n), len(some))] = b
	}
	for _, tl := range tlog.NewTiles(proof.TileHeight, 0, int64(len(w.leaves))) {
		b, err := tlog.ReadTileData(tl, hashReader(w.hashes))
		if err != nil {
			w.t.Fatal(err)
		}
		files[proof.TilePath(strconv.Itoa(tl.L), uint64(tl.N), tl.W)] = b
	}
	return files, w.head()
}

func TestBadTiles(t *testing.T) {
	w := newWorld(t)
	for i := range 300 {
		w.append([]byte(strconv.Itoa(i)))
	}
	files, head := w.tiles()
	const (
		full, partial, top       = "tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1"
		fullEntries, lastEntries = "tile/entries/000", "tile/entries/001.p/44"
	)
	read := func(bad map[string][]byte) proof.TileFunc {
		return func(_ context.Context, path string) ([]byte, error) {
			if b, ok := bad[path]; ok {
				return b, nil
			}
			b, ok := files[path]
			if !ok {
				return nil, fault.New(fault.NotFound, "no file %s", path)
			}
			return b, nil
		}
	}
	audit := func(bad map[string][]byte) (failed []string, holds bool) {
		t.Helper()
		holds, err := proof.Recompute(t.Context(), head, read(bad), nil, func(path string, err error) {
			if !errors.Is(err, fault.Unverified) {
				t.Errorf("%s: %v, want unverified", path, err)
			}
			failed = append(failed, path)
		})
		if err != nil {
			t.Fatal(err)
		}
		return failed, holds
	}
	if failed, holds := audit(nil); !holds || len(failed) > 0 {
		t.Fatalf("the log itself: %v", failed)
	}
	hash := files[full][:tlog.HashSize]
	long := slices.Clone(files[lastEntries])
	binary.BigEndian.PutUint16(long[len(long)-5:], 4) // the last entry, 299, says that it is longer
	for name, c := range map[string]struct {
		path string
		b    []byte
	}{
		"empty":                      {full, []byte{}},
		"a hash short":               {full, files[full][tlog.HashSize:]},
		"a hash too many":            {full, append(slices.Clone(files[full]), hash...)},
		"a byte short":               {full, files[full][:len(files[full])-1]},
		"a byte too many":            {full, append(slices.Clone(files[full]), 0)},
		"a full tile for a part":     {partial, files[full]},
		"a part for a full tile":     {full, files[partial]},
		"a part, a hash short":       {partial, files[partial][:43*tlog.HashSize]},
		"a part, a hash too many":    {partial, append(slices.Clone(files[partial]), hash...)},
		"two hashes at the top":      {top, append(slices.Clone(files[top]), hash...)},
		"another hash":               {partial, append(slices.Clone(hash), files[partial][tlog.HashSize:]...)},
		"entries: a byte short":      {lastEntries, files[lastEntries][:len(files[lastEntries])-1]},
		"entries: an entry short":    {lastEntries, files[lastEntries][:len(files[lastEntries])-5]},
		"entries: an entry too many": {lastEntries, append(slices.Clone(files[lastEntries]), 0, 1, 'x')},
		"entries: a byte too many":   {lastEntries, append(slices.Clone(files[lastEntries]), 0)},
		"entries: past the end":      {lastEntries, long},
		"entries: those of another":  {fullEntries, files[lastEntries]},
		"entries: no length":         {lastEntries, files[lastEntries][:len(files[lastEntries])-4]},
	} {
		failed, holds := audit(map[string][]byte{c.path: c.b})
		if holds || !slices.Equal(failed, []string{c.path}) {
			t.Errorf("%s: holds %v, fails %v, want %s alone", name, holds, failed, c.path)
		}
		if strings.HasPrefix(c.path, "tile/entries/") {
			continue
		}
		// Reading a proof out of tiles is as strict, and names the file when its
		// width is wrong.
		_, err := proof.RootAt(t.Context(), head, 299, read(map[string][]byte{c.path: c.b}))
		if c.path == full {
			continue // not needed for that size: its root stands above it
		}
		if !errors.Is(err, fault.Unverified) {
			t.Errorf("%s: RootAt: %v, want unverified", name, err)
		} else if len(c.b) != len(files[c.path]) && !strings.Contains(err.Error(), c.path) {
			t.Errorf("%s: RootAt: %v does not name %s", name, err, c.path)
		}
	}
}
