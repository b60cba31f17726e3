package upload

import (
	"context"
	"time"

	"github.com/cairn-registry/cairn/ingest/records"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry"
)

const (
	// sketches is how many commits have their sketches made again at once; each
	// holds what a walk does, and a few MiB.
	sketches = 1
	// sketchTime and sketchRate bound the time that takes: 30 s, and a second for
	// each 4 MiB of different blocks. JSON lines are read at some 140 MB/s, so files
	// may hold thirty times their bytes, packed or by repeating themselves; bombs
	// hold more.
	sketchTime = 30 * time.Second
	sketchRate = 4 << 20
)

// verifySketch makes the sketch and the fingerprint of a dataset again, from the
// bytes that were sent, and refuses a manifest that names others. It has a turn of
// its own: other commits need not wait for it.
func (s *Server) verifySketch(ctx context.Context, one *session, p *registry.Parcel) error {
	d, ok := p.Statement.Predicate.(*manifests.Contribution)
	if !ok {
		return nil
	}
	select {
	case s.makes <- struct{}{}:
		defer func() { <-s.makes }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c, err := s.closure(ctx, one, spaceOf(p.Statement))
	if err != nil {
		return err
	}
	defer c.close()
	b, err := c.Block(ctx, d.Dataset.Manifest.Cid)
	if err != nil {
		return err
	}
	m, err := manifests.DecodeManifest(b)
	if err != nil {
		return err
	}
	timed, cancel := context.WithTimeout(ctx, s.patience(sketchTime+time.Duration(one.rec.Open.TotalBytes/sketchRate)*time.Second))
	defer cancel()
	err = records.VerifySketch(timed, c, m)
	if err != nil && timed.Err() != nil && ctx.Err() == nil {
		return fault.WithHint(fault.New(fault.TooLarge, "making the sketch and the fingerprint again takes too long for %d bytes", d.Dataset.Bytes),
			"a manifest may name neither: cairn add --no-sketch")
	}
	return err
}
