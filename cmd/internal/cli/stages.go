package cli

import (
	"context"
	"sync"
	"time"

	"github.com/cairn-registry/cairn/cmd/internal/term"
	"github.com/cairn-registry/cairn/registry"
)

// stageStep is how often a bar is told how far a stage is: as often as it is drawn.
const stageStep = 200 * time.Millisecond

// stageLabels say to people what a stage does.
var stageLabels = map[registry.Stage]string{
	registry.StageLog: "reading the log", registry.StageBlocks: "reading blocks",
	registry.StageReplay: "replaying", registry.StageOverlap: "comparing",
}

// stages shows a bar for each stage of long work on the home, one after the other.
// Where a server does the work, nobody says how far it is, and there is no bar.
type stages struct {
	start func(registry.Stage) *term.Bar
	now   func() time.Time

	// mu guards what follows.
	mu    sync.Mutex
	stage registry.Stage
	bar   *term.Bar
	told  time.Time
	over  bool
}

// stages returns a context under which long work draws bars, and a function that
// takes the last one away: it must be called before a result is printed.
func (env *Env) stages(ctx context.Context) (context.Context, func()) {
	if env.json || !term.IsTerminal(env.Stderr) {
		return ctx, func() {}
	}
	s := &stages{now: time.Now, start: func(stage registry.Stage) *term.Bar {
		if stage == registry.StageBlocks {
			return env.bar(stageLabels[stage])
		}
		return env.counter(stageLabels[stage], "entries")
	}}
	return registry.WithProgress(ctx, s.tell), s.end
}

func (s *stages) tell(stage registry.Stage, done, total uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.over || stage == s.stage && done < total && now.Sub(s.told) < stageStep {
		return
	}
	if stage != s.stage {
		s.bar.Done()
		s.stage, s.bar = stage, s.start(stage)
	}
	s.told = now
	s.bar.Update(int64(done), int64(total), 0)
}

func (s *stages) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.bar.Done()
	s.bar = nil
}

// counter starts a bar that counts what is no bytes; nothing with --json or without
// a terminal.
func (env *Env) counter(label, unit string) *term.Bar {
	if env.json {
		return nil
	}
	return term.NewCounter(env.Stderr, label, unit)
}

// several is a counter of versions; one alone is done before a bar is drawn.
func (env *Env) several(label string, n int) *term.Bar {
	if n < 2 {
		return nil
	}
	return env.counter(label, "versions")
}
