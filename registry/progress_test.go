package registry_test

import (
	"context"
	"sync"
	"testing"

	"github.com/cairn-registry/cairn/registry"
)

// TestWorkSaysHowFarItIs: each stage of long work counts up, to all that there is.
func TestWorkSaysHowFarItIs(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	h.add("ana", "iris", "1.0.0", nil)
	h.add("ben", "petals", "1.0.0", nil)
	var mu sync.Mutex
	var at map[registry.Stage][2]uint64
	watch := func() context.Context {
		at = make(map[registry.Stage][2]uint64)
		return registry.WithProgress(t.Context(), func(s registry.Stage, done, total uint64) {
			mu.Lock()
			defer mu.Unlock()
			if done < at[s][0] || done > total {
				t.Errorf("%s: %d of %d after %d", s, done, total, at[s][0])
			}
			at[s] = [2]uint64{done, total}
		})
	}
	ends := func(what string, want uint64, stages ...registry.Stage) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		for _, s := range stages {
			if at[s] != [2]uint64{want, want} {
				t.Errorf("%s: %s ends at %v, want %d", what, s, at[s], want)
			}
		}
		if len(at) != len(stages) {
			t.Errorf("%s told of %v, want %v", what, at, stages)
		}
	}
	if _, err := h.reg.Check(watch(), nil); err != nil {
		t.Fatal(err)
	}
	ends("check", 3, registry.StageLog, registry.StageReplay)
	if _, err := h.reg.TombstoneOf(watch(), 1); err != nil {
		t.Fatal(err)
	}
	ends("tombstone", 2, registry.StageReplay)
	h.reopen(func() {
		if _, err := registry.CheckFiles(watch(), h.cfg.Dir, h.cfg.VKey); err != nil {
			t.Error(err)
		}
		ends("check of the files", 3, registry.StageLog)
	})
	if err := h.reg.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var last [2]uint64
	if _, _, err := registry.Rebuild(t.Context(), h.cfg, func(done, total uint64) { last = [2]uint64{done, total} }); err != nil {
		t.Error(err)
	}
	if last != [2]uint64{3, 3} {
		t.Errorf("a rebuild ends at %v, want 3 of 3", last)
	}
	var err error
	if h.reg, err = registry.Open(t.Context(), h.cfg); err != nil {
		t.Fatal(err)
	}
}
