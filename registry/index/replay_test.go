package index_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/index"
)

func sequence(bodies []foldtest.Body) iter.Seq2[index.Body, error] {
	return func(yield func(index.Body, error) bool) {
		for _, b := range bodies {
			if !yield(index.Body{Leaf: b.Leaf, Envelope: b.Envelope}, nil) {
				return
			}
		}
	}
}

// TestReplay: a replay gives the rows that Apply gives, and says each outcome once.
func TestReplay(t *testing.T) {
	bodies := foldtest.Random(rand.New(rand.NewPCG(11, 1)), 700)
	x, y := inMemory(t), inMemory(t)
	s := fold.NewState(foldtest.Origin)
	apply(t, x, s, read(bodies[:300]))
	apply(t, y, fold.NewState(foldtest.Origin), read(bodies))
	next := uint64(300)
	err := x.Replay(t.Context(), 300, sequence(bodies[300:]), func(o index.Outcome) error {
		if o.Index != next {
			t.Fatalf("entry %d, want %d", o.Index, next)
		}
		next++
		return nil
	})
	if err != nil || next != 700 {
		t.Fatalf("replayed to %d: %v", next, err)
	}
	if dump(t, x) != dump(t, y) {
		t.Error("the replay has other rows")
	}
	if err := x.Replay(t.Context(), 3, sequence(bodies[3:]), nil); !errors.Is(err, fault.Conflict) {
		t.Errorf("a replay from the wrong entry: %v", err)
	}
}

// TestReplayStops: at a missing body all before it is applied, and its error comes out.
func TestReplayStops(t *testing.T) {
	bodies := foldtest.Random(rand.New(rand.NewPCG(12, 1)), 500)
	missing := errors.New("no body")
	x := inMemory(t)
	err := x.Replay(t.Context(), 0, func(yield func(index.Body, error) bool) {
		for _, b := range bodies[:333] {
			if !yield(index.Body{Leaf: b.Leaf, Envelope: b.Envelope}, nil) {
				return
			}
		}
		yield(index.Body{}, missing)
	}, nil)
	if n, _, _ := x.Applied(); !errors.Is(err, missing) || n != 333 {
		t.Errorf("applied %d, %v", n, err)
	}
	enough := errors.New("enough")
	err = x.Replay(t.Context(), 333, sequence(bodies[333:]), func(index.Outcome) error { return enough })
	if !errors.Is(err, enough) {
		t.Errorf("the error of each: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n, _, _ := x.Applied()
	if err := x.Replay(ctx, n, sequence(bodies[n:]), nil); n < 500 && !errors.Is(err, fault.Interrupted) {
		t.Errorf("a cancelled replay: %v", err)
	}
}

// BenchmarkReplay measures a replay into an empty index, and beside it the
// reading and verifying of the same envelopes alone.
func BenchmarkReplay(b *testing.B) {
	const n = 5000
	var w foldtest.World
	bodies := []foldtest.Body{foldtest.Log(manifests.New(w.Registry(1, "op")), "op")}
	for i := 1; i < n; i++ {
		who := fmt.Sprint("p", i%100)
		bodies = append(bodies, foldtest.Log(foldtest.Version(w.Contribution(who, fmt.Sprint("set-", i), "1.0.0")), who))
	}
	b.Run("index", func(b *testing.B) {
		for b.Loop() {
			x := openIndex(b, b.TempDir(), index.Options{Origin: foldtest.Origin, Rebuild: true})
			if err := x.Replay(b.Context(), 0, sequence(bodies), nil); err != nil {
				b.Fatal(err)
			}
			if err := x.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "entries/s")
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			for _, body := range bodies {
				e, err := sign.Decode(body.Envelope)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := e.Open(); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "entries/s")
	})
}
