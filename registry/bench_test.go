package registry_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/translog"
)

// clients is how many hand in statements at a time.
const clients = 64

// BenchmarkSubmit submits small statements, each durable, published and applied
// when it is answered. BenchmarkAppend is the log by itself, the engine with its
// guard, and leaves of the same size: their ratio is what the registry costs.
func BenchmarkSubmit(b *testing.B) {
	h := newHome(b)
	envelopes := make([][]byte, b.N)
	for i := range envelopes {
		p := &manifests.Profile{Common: common(b), Identity: foldtest.ID("ana"), Name: fmt.Sprint("Ana ", i)}
		envelopes[i] = seal(b, manifests.New(p), "ana")
	}
	b.ResetTimer()
	atOnce(b, func(i int) error {
		_, err := h.reg.Submit(b.Context(), envelopes[i])
		return err
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "statements/s")
}

func BenchmarkAppend(b *testing.B) {
	skey, vkey, err := translog.NewLogKey("")
	if err != nil {
		b.Fatal(err)
	}
	signer, _, err := translog.LoadKey(skey)
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	cfg := translog.Config{Dir: filepath.Join(dir, "log"), TrustDir: dir, VKey: vkey, Signer: signer}
	if err := translog.Create(b.Context(), cfg); err != nil {
		b.Fatal(err)
	}
	l, err := translog.Open(b.Context(), cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close(b.Context())
	leaf := make([]byte, 420) // the length of a profile's leaf
	b.ResetTimer()
	atOnce(b, func(int) error {
		_, err := l.Append(b.Context(), leaf)
		return err
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "statements/s")
}

// atOnce calls fn for 0 … b.N−1 from as many goroutines as there are clients.
func atOnce(b *testing.B, fn func(i int) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := int(next.Add(1)) - 1; i < b.N; i = int(next.Add(1)) - 1 {
				if err := fn(i); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
}
