package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/registry/gateway"
)

// The figures of DESIGN.md: each beside a plain file server of net/http over the
// same files, in the same run. 16 clients keep their connections.

const benchClients = 16

// fetchAll asks for paths until the benchmark is over, with 16 clients.
func fetchAll(b *testing.B, url func(i int) string, headers map[string]string, status int) {
	b.Helper()
	b.SetParallelism(max(1, benchClients/2)) // of two processors
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchClients, DisableCompression: true}}
	defer client.CloseIdleConnections()
	var n atomic.Int64
	var bytes atomic.Int64
	report := cpu(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		buf := make([]byte, 256<<10)
		for pb.Next() {
			req, err := http.NewRequest("GET", url(int(n.Add(1))), nil)
			if err != nil {
				b.Error(err)
				return
			}
			for k, v := range headers {
				req.Header.Set(k, v)
			}
			resp, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			m, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{resp.Body}, buf)
			resp.Body.Close()
			if err != nil || resp.StatusCode != status {
				b.Errorf("%d, %v", resp.StatusCode, err)
				return
			}
			bytes.Add(m)
		}
	})
	b.StopTimer()
	report()
	b.SetBytes(bytes.Load() / max(1, int64(b.N)))
}

func BenchmarkGateway(b *testing.B) {
	h := newHome(b)
	small := make(files)
	for i := range 2000 {
		small[fmt.Sprintf("%04d.bin", i)] = noise(byte(i), 4096-4) + fmt.Sprintf("%04d", i)
	}
	smallDir := small.write(b)
	smallRoot := h.add(small).Root.String()
	big := files{"big.bin": noise(1, 64<<20)}
	bigDir := big.write(b)
	bigRoot := h.add(big).Root.String()
	block := cjson.RawCID([]byte(big["big.bin"][:1<<20])).String()
	ours := serve(b, h.gateway(gateway.Options{}).Public(true))
	boxo := serve(b, boxoOver(b, h.store))
	plainSmall, plainBig := serve(b, http.FileServer(http.Dir(smallDir))), serve(b, http.FileServer(http.Dir(bigDir)))
	name := func(i int) string { return fmt.Sprintf("%04d.bin", i*7%2000) }
	for _, s := range []struct{ who, small, big string }{
		{"cairn", ours + "/ipfs/" + smallRoot + "/", ours + "/ipfs/" + bigRoot + "/"},
		{"boxo", boxo + "/ipfs/" + smallRoot + "/", boxo + "/ipfs/" + bigRoot + "/"},
		{"nethttp", plainSmall + "/", plainBig + "/"},
	} {
		b.Run("files4KiB/"+s.who, func(b *testing.B) {
			fetchAll(b, func(i int) string { return s.small + name(i) }, nil, 200)
		})
		if a := ask(b, "GET", s.big+"big.bin"); a.status != 200 || a.err != nil { // whoever verifies has done so, and the file is in memory
			b.Fatal(a.status, a.err)
		}
		b.Run("range1MiB/"+s.who, func(b *testing.B) {
			fetchRanges(b, s.big+"big.bin", 64<<20)
		})
		b.Run("whole64MiB/"+s.who, func(b *testing.B) {
			fetchAll(b, func(int) string { return s.big + "big.bin" }, nil, 200)
		})
	}
	for _, s := range []struct{ who, url string }{{"cairn", ours}, {"boxo", boxo}} {
		b.Run("block1MiB/"+s.who, func(b *testing.B) {
			fetchAll(b, func(int) string { return s.url + "/ipfs/" + block + "?format=raw" }, nil, 200)
		})
		b.Run("car64MiB/"+s.who, func(b *testing.B) {
			fetchAll(b, func(int) string { return s.url + "/ipfs/" + bigRoot + "?format=car" }, nil, 200)
		})
		b.Run("car2000files/"+s.who, func(b *testing.B) {
			fetchAll(b, func(int) string { return s.url + "/ipfs/" + smallRoot + "?format=car" }, nil, 200)
		})
	}
}

// cpu returns a function that reports the processor time since, client and
// server together: on a machine that others use it is the steadier figure.
func cpu(b *testing.B) func() {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	start := used()
	return func() { b.ReportMetric(float64(used()-start)/float64(b.N)/1000, "cpu-µs/op") }
}

// fetchRanges asks for ranges of 1 MiB that begin anywhere.
func fetchRanges(b *testing.B, url string, size int) {
	b.Helper()
	b.SetParallelism(max(1, benchClients/2))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchClients, DisableCompression: true}}
	defer client.CloseIdleConnections()
	b.SetBytes(1 << 20)
	var n atomic.Int64
	defer cpu(b)()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		buf := make([]byte, 256<<10)
		for pb.Next() {
			off := int(n.Add(1)) * 7919_777 % (size - 1<<20)
			req, err := http.NewRequest("GET", url, nil)
			if err != nil {
				b.Error(err)
				return
			}
			req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+(1<<20)-1))
			resp, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			m, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{resp.Body}, buf)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 206 || m != 1<<20 {
				b.Errorf("%d, %d bytes, %v", resp.StatusCode, m, err)
				return
			}
		}
	})
}
