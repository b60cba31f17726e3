package cli

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/cmd/internal/term"
	"github.com/cairn-registry/cairn/registry"
)

func TestStagesGetABarEach(t *testing.T) {
	var began []registry.Stage
	now := time.Unix(0, 0)
	s := &stages{now: func() time.Time { return now }, start: func(stage registry.Stage) *term.Bar { began = append(began, stage); return nil }}
	for i := range uint64(10) {
		s.tell(registry.StageLog, i+1, 10)
	}
	s.tell(registry.StageBlocks, 1, 100)
	told := s.told
	now = now.Add(stageStep / 2)
	if s.tell(registry.StageBlocks, 2, 100); s.told != told {
		t.Error("the bar is told more often than it is drawn")
	}
	now = now.Add(stageStep)
	if s.tell(registry.StageBlocks, 3, 100); s.told == told {
		t.Error("the bar is not told")
	}
	s.end()
	s.tell(registry.StageReplay, 1, 2) // the registry stays open
	if want := []registry.Stage{registry.StageLog, registry.StageBlocks}; !slices.Equal(began, want) {
		t.Errorf("bars for %v, want %v", began, want)
	}
}

func TestNoStagesWithoutATerminal(t *testing.T) {
	var stderr bytes.Buffer
	for _, env := range []*Env{{Stderr: &stderr}, {Stderr: &stderr, json: true}} {
		ctx, end := env.stages(t.Context())
		registry.Tell(ctx, registry.StageReplay, 1, 2)
		end()
		if ctx != t.Context() || env.several("checking", 5) != nil {
			t.Error("somebody is told how far it is")
		}
	}
	if stderr.Len() > 0 {
		t.Errorf("wrote %q", stderr.String())
	}
}
