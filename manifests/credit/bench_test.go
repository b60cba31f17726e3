package credit_test

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/credittest"
)

// bigWorld is the world of the benchmarks: 1,000,000 parties, or as many times
// that as CAIRN_CREDIT_SCALE says. The full size takes some 300 MB, ten times
// it 3 GB.
var bigWorld = sync.OnceValues(func() (*credit.Ledger, credittest.Counts) {
	k, err := strconv.Atoi(os.Getenv("CAIRN_CREDIT_SCALE"))
	if err != nil || k < 1 {
		k = 1
	}
	l, c, err := credittest.Big(credittest.BigSeed, credittest.Full.Times(k))
	if err != nil {
		panic(err)
	}
	runtime.GC()
	return l, c
})

func benchWorld(b *testing.B) (*credit.Ledger, credittest.Counts) {
	b.Helper()
	if testing.Short() {
		b.Skip("-short: takes seconds and hundreds of megabytes to build")
	}
	return bigWorld()
}

func next(b *testing.B, l *credit.Ledger) *credit.Run {
	b.Helper()
	r, err := l.Runner("USD")
	if err != nil {
		b.Fatal(err)
	}
	run, err := r.Next()
	if err != nil {
		b.Fatal(err)
	}
	return run
}

// BenchmarkAllocation divides a period's revenue among all parties. The heap is
// what lives at the end of a run, the Ledger included.
func BenchmarkAllocation(b *testing.B) {
	l, c := benchWorld(b)
	var run *credit.Run
	for b.Loop() {
		run = next(b, l)
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "heap-MiB")
	b.ReportMetric(float64(c.Nodes), "nodes")
	b.ReportMetric(float64(c.Edges), "edges")
	b.ReportMetric(float64(c.Shares), "shares")
	b.ReportMetric(float64(run.Len()), "payees")
}

// BenchmarkStatements divides, writes every payee's statement and hashes the tree.
func BenchmarkStatements(b *testing.B) {
	l, _ := benchWorld(b)
	var bytes int
	for b.Loop() {
		run := next(b, l)
		run.Root()
		b.StopTimer()
		bytes = 0
		var buf []byte
		for i := range run.Len() {
			buf = run.Append(buf[:0], i)
			bytes += len(buf)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(bytes)/(1<<20), "statements-MiB")
}

// BenchmarkProof answers for one payee of a run.
func BenchmarkProof(b *testing.B) {
	l, _ := benchWorld(b)
	run := next(b, l)
	run.Root()
	i := 0
	for b.Loop() {
		if _, err := run.Prove(i % run.Len()); err != nil {
			b.Fatal(err)
		}
		i += 7919
	}
}

// BenchmarkExplain tells one payee of a run where an event's money came from.
func BenchmarkExplain(b *testing.B) {
	l, c := benchWorld(b)
	run := next(b, l)
	payees := []string{run.Statement(0).Payee, run.Statement(run.Len() / 2).Payee, run.Statement(run.Len() - 1).Payee}
	i := 0
	for b.Loop() {
		if _, err := l.Explain(payees[i%len(payees)], c.Event, 0, 100); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkLedger fills a Ledger with the effects of a world a tenth the size,
// the making of the world included.
func BenchmarkLedger(b *testing.B) {
	if testing.Short() {
		b.Skip("-short")
	}
	s := credittest.Full
	s.Parties, s.Versions, s.Events = s.Parties/10, s.Versions/10, s.Events/10
	for b.Loop() {
		start := time.Now()
		_, c, err := credittest.Big(credittest.BigSeed, s)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(c.Shares)/time.Since(start).Seconds(), "shares/s")
	}
}
