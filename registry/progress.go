package registry

import "context"

// A Stage is a part of long work on a registry, of which somebody may want to know
// how far it is.
type Stage string

// The stages, and what they count.
const (
	StageLog     Stage = "log"     // the log's files are read and hashed: entries
	StageBlocks  Stage = "blocks"  // packs are read and hashed: bytes
	StageReplay  Stage = "replay"  // entries are applied anew: entries
	StageOverlap Stage = "overlap" // sketches go into the index of overlap: entries
)

type progressKey struct{}

// WithProgress returns a context under which long work says how far it is: how much
// of how much of a stage is done. fn is called often, at most from one goroutine for
// each stage, and must return soon. It may be called after the work for which it was
// given, when the registry was opened under the context.
func WithProgress(ctx context.Context, fn func(stage Stage, done, total uint64)) context.Context {
	return context.WithValue(ctx, progressKey{}, fn)
}

// Tell says how far a stage is, to whom [WithProgress] put into ctx, if anybody.
func Tell(ctx context.Context, stage Stage, done, total uint64) {
	if fn, ok := ctx.Value(progressKey{}).(func(Stage, uint64, uint64)); ok {
		fn(stage, done, total)
	}
}
