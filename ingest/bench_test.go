package ingest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
)

// number reads the size of a benchmark from the environment.
func number(name string, preset int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return preset
}

func bigFile(b *testing.B) (path string, size int64) {
	b.Helper()
	size = int64(number("CAIRN_BENCH_MB", 256)) << 20
	path = filepath.Join(b.TempDir(), "big")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	r := rand.NewChaCha8([32]byte{1})
	buf := make([]byte, 1<<20)
	for range size >> 20 {
		r.Read(buf)
		if _, err := f.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	return path, size
}

func smallTree(b *testing.B) (dir string, files int) {
	b.Helper()
	files = number("CAIRN_BENCH_FILES", 5000)
	dir = b.TempDir()
	r := rand.NewChaCha8([32]byte{2})
	buf := make([]byte, 4096)
	for i := range files {
		sub := filepath.Join(dir, fmt.Sprintf("%03d", i%100))
		if err := os.MkdirAll(sub, 0o777); err != nil {
			b.Fatal(err)
		}
		r.Read(buf)
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprint(i)), buf, 0o666); err != nil {
			b.Fatal(err)
		}
	}
	return dir, files
}

func openPacks(b *testing.B) *pack.Store {
	b.Helper()
	s, err := pack.Open(b.TempDir(), pack.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// cpu returns the processor seconds that this process has used.
func cpu(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// measure runs fn on a new store each time, and reports processor seconds.
func measure(b *testing.B, fn func(s *pack.Store) error) {
	used := 0.0
	for b.Loop() {
		b.StopTimer()
		s := openPacks(b)
		b.StartTimer()
		before := cpu(b)
		err := fn(s)
		used += cpu(b) - before
		b.StopTimer()
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(used/float64(b.N), "cpu-s/op")
}

// BenchmarkAddBigFile adds one file, with and without the SHA-256 of the whole.
func BenchmarkAddBigFile(b *testing.B) {
	path, size := bigFile(b)
	for name, o := range map[string]ingest.AddOptions{"sha256": {}, "nofilehash": {NoFileHash: true}} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			measure(b, func(s *pack.Store) error {
				_, err := ingest.Add(b.Context(), path, ingest.PackStore(s), o)
				return err
			})
		})
	}
}

// BenchmarkAddFingerprint adds one file with its fingerprint and without, in turns,
// and reports the medians of how much more time and processor that takes.
func BenchmarkAddFingerprint(b *testing.B) {
	path, size := bigFile(b)
	b.SetBytes(size)
	add := func(o ingest.AddOptions) (wall, used float64) {
		s := openPacks(b)
		defer s.Close()
		before, start := cpu(b), time.Now()
		if _, err := ingest.Add(b.Context(), path, ingest.PackStore(s), o); err != nil {
			b.Fatal(err)
		}
		return time.Since(start).Seconds(), cpu(b) - before
	}
	var walls, cpus []float64
	for b.Loop() {
		wall, used := add(ingest.AddOptions{})
		b.StopTimer()
		plainWall, plainUsed := add(ingest.AddOptions{NoSketch: true})
		walls, cpus = append(walls, wall/plainWall), append(cpus, used/plainUsed)
		b.StartTimer()
	}
	slices.Sort(walls)
	slices.Sort(cpus)
	b.ReportMetric(walls[len(walls)/2], "x-time")
	b.ReportMetric(cpus[len(cpus)/2], "x-cpu")
}

func measureAdd(b *testing.B, path string, o ingest.AddOptions) {
	b.Helper()
	measure(b, func(s *pack.Store) error {
		_, err := ingest.Add(b.Context(), path, ingest.PackStore(s), o)
		return err
	})
}

func BenchmarkAddSmallFiles(b *testing.B) {
	dir, files := smallTree(b)
	measure(b, func(s *pack.Store) error {
		_, err := ingest.Add(b.Context(), dir, ingest.PackStore(s), ingest.AddOptions{})
		return err
	})
	b.ReportMetric(float64(files*b.N)/b.Elapsed().Seconds(), "files/s")
}

func BenchmarkGetBigFile(b *testing.B) {
	path, size := bigFile(b)
	s := openPacks(b)
	defer s.Close()
	r, err := ingest.Add(b.Context(), path, ingest.PackStore(s), ingest.AddOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(size)
	out := filepath.Join(b.TempDir(), "out")
	for b.Loop() {
		if _, err := ingest.Get(b.Context(), s, r.Root, out, ingest.GetOptions{}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := os.Remove(out); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
