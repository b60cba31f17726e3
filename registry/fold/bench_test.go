package fold_test

import (
	"fmt"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// BenchmarkFoldApply measures the fold over contributions, each of one
// contributor; beside it, the least that any replay must do: decoding the
// envelope and verifying its signature.
func BenchmarkFoldApply(b *testing.B) {
	const n = 1000
	var w foldtest.World
	bodies := []foldtest.Body{foldtest.Log(manifests.New(w.Registry(1, "op")), "op")}
	for i := 1; i < n; i++ {
		who := fmt.Sprint("p", i%50)
		bodies = append(bodies, foldtest.Log(foldtest.Version(w.Contribution(who, fmt.Sprint("set-", i), "1.0.0")), who))
	}
	perEntry := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/entry")
	}
	b.Run("fold", func(b *testing.B) {
		for b.Loop() {
			s := fold.NewState(foldtest.Origin)
			for _, body := range bodies {
				s.Apply(fold.Read(body.Leaf, body.Envelope))
			}
		}
		perEntry(b)
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
		perEntry(b)
	})
}
