package registry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/translog"
)

func (h *home) submit(envelope []byte) *registry.Submitted {
	h.t.Helper()
	s, err := h.reg.Submit(h.t.Context(), envelope)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// spied is a store that remembers what it was asked for, and can lack a block.
type spied struct {
	registry.Blocks
	mu    sync.Mutex
	asked []cid.Cid
	lacks cid.Cid
	look  chan struct{} // receives, when there is room, each time the lacking block is asked for
}

func (s *spied) ask(c cid.Cid) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.asked, c) {
		s.asked = append(s.asked, c)
	}
	if s.lacks.Defined() && bytes.Equal(c.Hash(), s.lacks.Hash()) {
		select {
		case s.look <- struct{}{}:
		default:
		}
		return fault.New(fault.NotFound, "no block %s", c)
	}
	return nil
}

func (s *spied) lack(c cid.Cid) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lacks = c
}

func (s *spied) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	if err := s.ask(c); err != nil {
		return nil, err
	}
	return s.Blocks.Block(ctx, c)
}

func (s *spied) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	if err := s.ask(c); err != nil {
		return 0, err
	}
	return s.Blocks.Size(ctx, c)
}

// spy puts a spied store under the registry.
func (h *home) spy() *spied {
	h.t.Helper()
	s := &spied{look: make(chan struct{}, 1)}
	h.close()
	h.openStore()
	s.Blocks = h.store
	h.cfg.Blocks = s
	var err error
	if h.reg, err = registry.Open(h.t.Context(), h.cfg); err != nil {
		h.t.Fatal(err)
	}
	return s
}

// TestAnyMissingBlockRefuses learns which blocks a contribution consists of from
// one that is accepted, and takes each away from the next one in turn.
func TestAnyMissingBlockRefuses(t *testing.T) {
	h := newHome(t)
	s := h.spy()
	files := map[string]string{
		"a.csv": "one", "b/c.csv": "two", "b/d/e.csv": "three",
		"large.bin": strings.Repeat("0123456789abcdef", 1<<17), // two leaves and a node
	}
	whole := h.put("ana", "whole", "1.0.0", files, nil)
	answer := h.submit(whole.seal(t, "ana"))
	s.mu.Lock()
	asked := slices.Clone(s.asked)
	s.mu.Unlock()
	size := h.size()
	d := h.put("ana", "next", "1.0.0", files, nil)
	envelope := d.seal(t, "ana")
	refused := 0
	for _, c := range append(asked, d.Dataset.Manifest.Cid) {
		if c.Equals(whole.Dataset.Manifest.Cid) || c.Equals(answer.Envelope) {
			continue // the first one's own
		}
		s.lack(c)
		if _, err := h.reg.Submit(t.Context(), envelope); !errors.Is(err, fault.NotFound) {
			t.Fatalf("without %s: %v, want not-found", c, err)
		}
		refused++
	}
	// Manifest, terms, three directories, three small files, the large one's
	// node and two leaves.
	if refused < 10 || h.size() != size {
		t.Errorf("%d blocks were missed, of %d asked for; the log has %d entries", refused, len(asked), h.size())
	}
	s.lack(cid.Undef)
	if a := h.submit(envelope); a.Verdict != registry.Accepted || h.size() != size+1 {
		t.Errorf("with all blocks: %s, size %d", a.Verdict, h.size())
	}
}

// TestCountsAtTheDoor claims other counts and types than those of the data.
func TestCountsAtTheDoor(t *testing.T) {
	h := newHome(t)
	files := map[string]string{"a.csv": "1", "b/c.csv": "2"}
	for name, change := range map[string]func(d *dataset){
		"a byte more":  func(d *dataset) { d.manifest.Data.Bytes++ },
		"a byte less":  func(d *dataset) { d.manifest.Data.Bytes-- },
		"a file more":  func(d *dataset) { d.manifest.Data.FileCount++ },
		"a file less":  func(d *dataset) { d.manifest.Data.FileCount-- },
		"another path": func(d *dataset) { d.manifest.Files[0].Path = "a.txt" },
		"another leaf": func(d *dataset) { d.manifest.Files[0].CID = d.manifest.Files[1].CID },
		"a file left out": func(d *dataset) {
			d.manifest.Files = d.manifest.Files[:1]
			d.manifest.Data.FileCount, d.manifest.Data.Bytes = 1, 1
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := h.size()
			d := h.put("ana", "x", "1.0.0", files, nil)
			change(d)
			mb, err := manifests.EncodeManifest(&d.manifest)
			if errors.Is(err, fault.Invalid) {
				return // nobody can write such a manifest
			}
			if err != nil {
				t.Fatal(err)
			}
			h.record(cjson.JSONCID(mb), mb)
			d.Dataset.Manifest = cjson.CID{Cid: cjson.JSONCID(mb)}
			d.Dataset.Bytes, d.Dataset.FileCount = d.manifest.Data.Bytes, d.manifest.Data.FileCount
			envelope := d.seal(t, "ana")
			if _, err := h.reg.Submit(t.Context(), envelope); !errors.Is(err, fault.Invalid) {
				t.Errorf("%v, want invalid", err)
			}
			if h.size() != before {
				t.Error("it was logged")
			}
		})
	}
	t.Run("counts in the statement alone", func(t *testing.T) {
		d := h.put("ana", "x", "1.0.0", files, nil)
		d.Dataset.Bytes++
		if _, err := h.reg.Submit(t.Context(), d.seal(t, "ana")); !errors.Is(err, fault.Invalid) || h.size() != 1 {
			t.Errorf("%v, want invalid", err)
		}
	})
}

// TestLaterSignature logs a statement once more for a contributor who signs
// later, and not again for signatures that are known.
func TestLaterSignature(t *testing.T) {
	h := newHome(t)
	d := h.put("ana", "iris", "1.0.0", map[string]string{"a": "1"}, func(d *dataset) {
		d.manifest.Contributors = append(d.manifest.Contributors, manifests.Contributor{ID: foldtest.ID("ben")})
		d.Contributors = append(d.Contributors, manifests.Share{ID: foldtest.ID("ben"), Weight: "3"})
		d.Total = "4"
	})
	first := h.submit(d.seal(t, "ana"))
	both := h.submit(d.seal(t, "ana", "ben"))
	if first.Index != 1 || both.Index != 2 || both.Verdict != registry.Accepted || !both.Statement.Equals(first.Statement) {
		t.Errorf("the later signature: entry %d, %s", both.Index, both.Verdict)
	}
	for _, signers := range [][]string{{"ana"}, {"ben", "ana"}} {
		if again := h.submit(d.seal(t, signers...)); again.Index != 1 || again.Verdict != registry.Accepted {
			t.Errorf("signed by %v again: entry %d, %s", signers, again.Index, again.Verdict)
		}
	}
	if n := h.size(); n != 3 {
		t.Errorf("the log has %d entries, want 3", n)
	}
	err := h.reg.View(func(s *index.Snapshot) error {
		st, err := s.Statement(first.Statement)
		if err == nil && (len(st.Signers) != 2 || !st.Envelope.Equals(first.Envelope)) {
			t.Errorf("signers %v, decided by %s", st.Signers, st.Envelope)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestOneVersionWins hands in statements at once that exclude each other: one is
// accepted, and the others are refused or logged as rejected.
func TestOneVersionWins(t *testing.T) {
	h := newHome(t)
	envelopes := make([][]byte, 8)
	for i := range envelopes {
		envelopes[i] = h.put("ana", "iris", "1.0.0", map[string]string{"a": fmt.Sprint(i)}, nil).seal(t, "ana")
	}
	var mu sync.Mutex
	logged := make(map[fold.Verdict]int)
	var wg sync.WaitGroup
	for _, e := range envelopes {
		wg.Go(func() {
			s, err := h.reg.Submit(t.Context(), e)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				logged[s.Verdict]++
				if s.Verdict == fold.Rejected && s.Code == "" {
					t.Error("rejected without a reason")
				}
			case !errors.Is(err, fault.Conflict):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if logged[fold.Accepted] != 1 || int(h.size()) != 1+logged[fold.Accepted]+logged[fold.Rejected] {
		t.Errorf("verdicts %v in a log of %d", logged, h.size())
	}
	// Each is answered the same way for ever.
	size := h.size()
	again := make(map[fold.Verdict]int)
	for _, e := range envelopes {
		if s, err := h.reg.Submit(t.Context(), e); err == nil {
			again[s.Verdict]++
		} else if !errors.Is(err, fault.Conflict) {
			t.Error(err)
		}
	}
	if again[fold.Accepted] != 1 || again[fold.Rejected] != logged[fold.Rejected] || h.size() != size {
		t.Errorf("handed in again: %v in a log of %d, before %v in %d", again, h.size(), logged, size)
	}
}

// mem is a store in memory, for bodies alone.
type mem map[cid.Cid][]byte

func (m mem) Block(_ context.Context, c cid.Cid) ([]byte, error) {
	b, ok := m[c]
	if !ok {
		return nil, fault.New(fault.NotFound, "no block %s", c)
	}
	return b, nil
}

func (m mem) Size(ctx context.Context, c cid.Cid) (uint64, error) {
	b, err := m.Block(ctx, c)
	return uint64(len(b)), err
}

func (m mem) PutRecords(context.Context, ...blocks.Block) error {
	return errors.New("nothing is submitted here")
}

// TestFollowsAnyLog puts random histories into the log, behind the door: valid
// entries, broken ones and noise. The follower takes them all, and comes to the
// digest of the fold in memory.
func TestFollowsAnyLog(t *testing.T) {
	for seed := range uint64(3) {
		cfg := emptyLog(t)
		l, err := translog.Open(t.Context(), translog.Config{
			Dir: filepath.Join(cfg.Dir, "log"), TrustDir: filepath.Join(cfg.Dir, "trust"), VKey: cfg.VKey, Signer: cfg.Signer,
		})
		if err != nil {
			t.Fatal(err)
		}
		bodies := make(mem)
		cfg.Blocks = bodies
		r := rand.New(rand.NewPCG(seed, 7))
		var wg sync.WaitGroup
		for i, b := range foldtest.Random(r, 200) {
			// A store answers with the bytes of a CID or not at all.
			leaf, err := proof.DecodeLeaf(b.Leaf)
			if err == nil && !leaf.Env.Equals(cjson.RawCID(b.Envelope)) || len(b.Leaf) == 0 {
				continue
			}
			bodies[cjson.RawCID(b.Envelope)] = b.Envelope
			add := func() {
				if _, err := l.Append(t.Context(), b.Leaf); err != nil {
					t.Error(err)
				}
			}
			if i == 0 {
				add() // mostly a registry/v1, without which all is rejected
				continue
			}
			wg.Go(add)
		}
		wg.Wait()
		if err := l.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		state, verdicts := fold.NewState(origin), make(map[string]uint64)
		err = l.Leaves(t.Context(), 0, l.Published().Size, func(_ uint64, b []byte) error {
			var envelope []byte
			if leaf, err := proof.DecodeLeaf(b); err == nil {
				envelope = bodies[leaf.Env.Cid]
			}
			res := state.Apply(fold.Read(bytes.Clone(b), envelope))
			v := string(res.Verdict)
			if res.Code != "" {
				v += ": " + string(res.Code)
			}
			verdicts[v]++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		reg, err := registry.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		s := reg.Status()
		if !s.Ready || s.Applied != l.Published().Size || s.Digest != state.Digest() {
			t.Errorf("seed %d: ready %t, %d entries, digest %s; want %d, %x", seed, s.Ready, s.Applied, s.DigestText(), l.Published().Size, state.Digest())
		}
		c, err := reg.Check(t.Context(), nil)
		if err != nil || len(c.Findings) > 0 || c.Digest != state.Digest() || fmt.Sprint(c.Verdicts) != fmt.Sprint(verdicts) {
			t.Errorf("seed %d: %+v, %v; want %v", seed, c, err, verdicts)
		}
		if len(verdicts) < 5 {
			t.Errorf("seed %d: only the verdicts %v", seed, verdicts)
		}
		if err := reg.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// emptyLog makes the folders of a registry whose log has no entry yet.
func emptyLog(t testing.TB) registry.Config {
	t.Helper()
	skey, vkey, err := translog.NewLogKey(origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, _, err := translog.LoadKey(skey)
	if err != nil {
		t.Fatal(err)
	}
	cfg := registry.Config{Dir: t.TempDir(), VKey: vkey, Signer: signer}
	err = translog.Create(t.Context(), translog.Config{
		Dir: filepath.Join(cfg.Dir, "log"), TrustDir: filepath.Join(cfg.Dir, "trust"), VKey: vkey, Signer: signer,
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestMissingBodyClosesTheDoor: while the follower waits for a body, nothing new
// is logged, because nobody can say what it would mean; what is known is
// answered; and when the body is back the follower goes on by itself.
func TestMissingBodyClosesTheDoor(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	known := h.put("ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil).seal(t, "ana")
	first := h.submit(known)
	second := h.add("ben", "roses", "1.0.0", nil)
	envelope, err := h.reg.Envelope(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	h.close()
	removeAll(t, filepath.Join(h.cfg.Dir, "index"))
	h.openStore()
	s := &spied{Blocks: h.store, lacks: cjson.RawCID(envelope), look: make(chan struct{}, 1)}
	h.cfg.Blocks = s
	if h.reg, err = registry.Open(t.Context(), h.cfg); err != nil {
		t.Fatal(err)
	}
	if st := h.reg.Status(); st.Ready || st.Applied != 2 || !strings.Contains(st.Reason, s.lacks.String()) {
		t.Fatalf("status %+v", st)
	}
	if a := h.submit(known); a.Index != first.Index || a.Verdict != registry.Accepted {
		t.Errorf("what is known is answered with %+v", a)
	}
	fresh := h.put("cem", "tulips", "1.0.0", map[string]string{"a": "2"}, nil).seal(t, "cem")
	for _, e := range [][]byte{fresh, envelope} {
		if _, err := h.reg.Submit(t.Context(), e); err == nil || !fault.Of(err).Retry() || !strings.Contains(err.Error(), s.lacks.String()) {
			t.Errorf("handed in while a body is missing: %v", err)
		}
	}
	if n := h.size(); n != 3 {
		t.Fatalf("the log has %d entries, want 3", n)
	}
	if testing.Short() {
		t.Skip("the follower looks again every 10 s")
	}
	s.lack(cid.Undef)
	for tick := time.NewTicker(50 * time.Millisecond); !h.reg.Status().Ready; {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal("it does not go on")
		}
	}
	if st := h.reg.Status(); st.Applied != 3 || st.Reason != "" {
		t.Errorf("status %+v", st)
	}
	if a := h.submit(fresh); a.Index != 3 || a.Verdict != registry.Accepted {
		t.Errorf("afterwards: %+v", a)
	}
}

// parts of a home, in the order in which a statement is written to them.
const (
	partBlocks     = "blocks"
	partLog        = "log"
	partTrust      = "trust"
	partCheckpoint = "log/checkpoint"
	partIndex      = "index"
)

// TestCrashAfterEachStep composes homes of one before a statement and one after
// it, as a crash after each step of the commit order would leave them. The next
// start brings each to the state after it, as far as the log had it.
func TestCrashAfterEachStep(t *testing.T) {
	h := newHome(t)
	h.add("ana", "iris", "1.0.0", nil)
	envelope := h.put("ana", "roses", "1.0.0", map[string]string{"a": "1"}, nil).seal(t, "ana")
	before, after := t.TempDir(), t.TempDir()
	h.close()
	copyDir(t, h.cfg.Dir, before)
	h.reopen(nil)
	want := h.submit(envelope)
	dump, status := h.dump()
	h.close()
	copyDir(t, h.cfg.Dir, after)

	for _, tt := range []struct {
		name   string
		after  []string // parts that are as after the statement
		before []string // files in them that are as before it
		gone   []string
		logged bool
	}{
		{"nothing was written", nil, nil, nil, false},
		{"bodies stored", []string{partBlocks}, nil, nil, false},
		{"leaf in the tree", []string{partBlocks, partLog}, []string{partCheckpoint}, nil, true},
		{"guard written", []string{partBlocks, partLog, partTrust}, []string{partCheckpoint}, nil, true},
		{"published", []string{partBlocks, partLog, partTrust}, nil, nil, true},
		{"published, index lost", []string{partBlocks, partLog, partTrust}, nil, []string{partIndex}, true},
		{"published, block index lost", []string{partBlocks, partLog, partTrust}, nil, []string{"blocks/index"}, true},
		{"published, both indexes lost", []string{partBlocks, partLog, partTrust}, nil, []string{partIndex, "blocks/index"}, true},
		{"checkpoint lost", []string{partBlocks, partLog, partTrust}, nil, []string{partCheckpoint}, true},
		{"index half made", []string{partBlocks, partLog, partTrust}, nil, []string{"index/state"}, true},
		{"index folder empty", []string{partBlocks, partLog, partTrust}, nil, []string{"index/db"}, true},
		{"all done", []string{partBlocks, partLog, partTrust, partIndex}, nil, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := h.compose(t, before, after, tt.after, tt.before, tt.gone)
			c.reopen(nil)
			defer c.close()
			s := c.reg.Status()
			size := uint64(2)
			if tt.logged {
				size = 3
			}
			if !s.Ready || s.Applied != size || s.Size != size {
				t.Fatalf("%+v, want %d entries", s, size)
			}
			// The statement is in the outbox still, and handed in again.
			a, err := c.reg.Submit(t.Context(), envelope)
			if err != nil || a.Index != want.Index || a.Verdict != want.Verdict || !a.Envelope.Equals(want.Envelope) {
				t.Fatalf("submitted again: %+v, %v; want %+v", a, err, want)
			}
			if got, s := c.dump(); got != dump || s.Digest != status.Digest || s.Size != 3 {
				t.Errorf("another registry than without the crash: size %d, digest %s, want %s", s.Size, s.DigestText(), status.DigestText())
			}
			r, err := c.reg.Check(t.Context(), nil)
			if err != nil || len(r.Findings) > 0 {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}

	for _, tt := range []struct {
		name  string
		after []string
		want  error
	}{
		{"log restored from before", []string{partBlocks, partTrust, partIndex}, translog.ErrBehind},
		{"log and guard restored, the index remembers", []string{partBlocks, partIndex}, translog.ErrBehind},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := h.compose(t, before, after, tt.after, nil, nil)
			c.openStore()
			defer c.close()
			checkpoint, err := os.ReadFile(filepath.Join(c.cfg.Dir, partCheckpoint))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := registry.Open(t.Context(), c.cfg); !errors.Is(err, tt.want) || fault.Of(err) != fault.Conflict {
				t.Errorf("%v, want %v", err, tt.want)
			}
			now, err := os.ReadFile(filepath.Join(c.cfg.Dir, partCheckpoint))
			if err != nil || !bytes.Equal(now, checkpoint) {
				t.Errorf("the checkpoint was changed: %v", err)
			}
		})
	}

	t.Run("blocks restored from before", func(t *testing.T) {
		c := h.compose(t, before, after, []string{partLog, partTrust}, nil, nil)
		c.reopen(nil)
		if s := c.reg.Status(); s.Ready || s.Applied != 2 || s.Size != 3 || !strings.Contains(s.Reason, want.Envelope.String()) {
			t.Errorf("%+v, want not ready for want of %s", s, want.Envelope)
		}
		c.close()
	})
}

// compose makes a home of the parts of two.
func (h *home) compose(t *testing.T, before, after string, late, early, gone []string) *home {
	t.Helper()
	c := &home{t: t, cfg: h.cfg}
	c.cfg.Dir = t.TempDir()
	copyDir(t, before, c.cfg.Dir)
	for _, part := range late {
		removeAll(t, filepath.Join(c.cfg.Dir, part))
		copyDir(t, filepath.Join(after, part), filepath.Join(c.cfg.Dir, part))
	}
	for _, part := range early {
		b, err := os.ReadFile(filepath.Join(before, part))
		if err == nil {
			err = os.WriteFile(filepath.Join(c.cfg.Dir, part), b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, part := range gone {
		removeAll(t, filepath.Join(c.cfg.Dir, part))
	}
	return c
}

// TestCreateAgain completes a creation with the same entry 0, and refuses
// another one.
func TestCreateAgain(t *testing.T) {
	h := newHome(t)
	var zero cid.Cid
	err := h.reg.View(func(s *index.Snapshot) error {
		e, err := s.Entry(0)
		zero = e.Statement.Cid
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := h.reg.Envelope(t.Context(), zero)
	if err != nil {
		t.Fatal(err)
	}
	h.add("ana", "iris", "1.0.0", nil)
	h.close()
	h.openStore()
	if h.reg, err = registry.Create(t.Context(), h.cfg, envelope); err != nil {
		t.Fatal(err)
	}
	if h.size() != 2 {
		t.Errorf("the log has %d entries, want 2", h.size())
	}
	h.close()
	h.openStore()
	p := &manifests.Registry{
		Common: common(t), Origin: origin, LogKeys: []string{h.cfg.VKey}, Operators: []sign.KeyID{foldtest.ID("other")},
		OperatorThreshold: 1, FirstPeriod: "2026-11",
	}
	if reg, err := registry.Create(t.Context(), h.cfg, seal(t, manifests.New(p), "other")); !errors.Is(err, fault.Conflict) {
		t.Errorf("another entry 0: %v, want conflict", err)
		if err == nil {
			reg.Close(context.Background())
		}
	}
	h.reopen(nil)
	if h.size() != 2 {
		t.Errorf("the log has %d entries, want 2", h.size())
	}
}

// TestIndexOfAnotherLog is replaced, and kept aside.
func TestIndexOfAnotherLog(t *testing.T) {
	h := newHome(t)
	h.add("ana", "iris", "1.0.0", nil)
	want, _ := h.dump()
	dir := filepath.Join(h.cfg.Dir, "index")
	h.reopen(func() {
		removeAll(t, dir)
		x, err := index.Open(dir, index.Options{Origin: "other.example/log"})
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	})
	if got, _ := h.dump(); got != want {
		t.Error("another index than before")
	}
	if _, err := os.Stat(dir + ".aside"); err != nil {
		t.Errorf("the other index was not kept: %v", err)
	}
}
