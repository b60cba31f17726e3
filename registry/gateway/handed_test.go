package gateway_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A shortListener hands out connections that break when left bytes were written.
type shortListener struct {
	net.Listener
	left *atomic.Int64
}

func (l shortListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return shortConn{c, l.left}, err
}

type shortConn struct {
	net.Conn
	left *atomic.Int64
}

func (c shortConn) Write(p []byte) (int, error) {
	if left := c.left.Add(-int64(len(p))); left < 0 {
		n, _ := c.Conn.Write(p[:max(0, int64(len(p))+left)])
		c.Conn.Close()
		return n, errors.New("the line is cut")
	}
	return c.Conn.Write(p)
}

// TestACutLineCountsWhatWentThrough: when the connection breaks after any number of
// bytes, no byte is counted that it did not take; and of a file all are that it took,
// but for what lies in buffers, so that whoever goes on from there has all of it.
func TestACutLineCountsWhatWentThrough(t *testing.T) {
	h := newHome(t)
	h.listGateway("gateway")
	data := files{"big.bin": noise(3, 3<<20), "small.txt": noise(4, 3000)}
	for i := range 100 {
		data[fmt.Sprintf("many/%02d", i)] = noise(byte(10+i), 1000)
	}
	r, err := ingest.Add(t.Context(), data.write(t), ingest.PackStore(h.store.Store), ingest.AddOptions{NoSketch: true, Profile: dag.ProfileV1_2025})
	if err != nil {
		t.Fatal(err)
	}
	statement := h.registerAs("ana", "words", "1.0.0", r, &terms.Terms{}, dag.ProfileV1_2025.Name)
	c := h.counts(t, t.TempDir())
	var left atomic.Int64
	s := httptest.NewUnstartedServer(c.g.Public(true))
	s.Listener = shortListener{s.Listener, &left}
	s.Start()
	t.Cleanup(s.Close)
	root := s.URL + "/ipfs/" + r.Root.String()
	const buffers = 16 << 10 // headers, and what lies in buffers
	for name, tc := range map[string]struct {
		url, ranges string
		file        bool
	}{
		"file":   {url: root + "/big.bin", file: true},
		"small":  {url: root + "/small.txt", file: true},
		"tiny":   {url: root + "/many/07", file: true},
		"range":  {url: root + "/big.bin", ranges: "bytes=1000000-2200000", file: true},
		"ranges": {url: root + "/big.bin", ranges: "bytes=0-400000,1000000-2200000"},
		"block":  {url: root + "/small.txt?format=raw", file: true},
		"CAR":    {url: root + "?format=car"},
		"many":   {url: root + "/many?format=car"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, limit := range []int64{0, 100, 2000, 5000, 40_000, 66_000, 131_500, 700_000, 1_048_576 + 20_000, 2_000_000} {
				fetch := c.open("tina", statement).Fetch
				left.Store(limit)
				req, err := http.NewRequest("GET", tc.url, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set(wire.FetchHeader, fetch)
				if tc.ranges != "" {
					req.Header.Set("Range", tc.ranges)
				}
				got := int64(0)
				client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
				if resp, err := client.Do(req); err == nil {
					got, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
				counted := int64(0)
				b, err := c.client("tina").FetchRecord(t.Context(), fetch)
				if err == nil {
					f, _, err := manifests.VerifyFetchRecord(b, []sign.KeyID{foldtest.ID("gateway")})
					if err != nil {
						t.Fatal(err)
					}
					counted = f.Bytes
				} else if !errors.Is(err, fault.Conflict) {
					t.Fatal(err)
				}
				if counted > got {
					t.Errorf("cut after %d bytes: %d arrived, and %d were counted", limit, got, counted)
				}
				if tc.file && counted < got-buffers || tc.file && left.Load() >= 0 && counted != got {
					t.Errorf("cut after %d bytes: %d arrived, and only %d were counted", limit, got, counted)
				}
			}
		})
	}
}

// TestFetchesOverHTTP2: streams count as connections do.
func TestFetchesOverHTTP2(t *testing.T) {
	h := newHome(t)
	h.listGateway("gateway")
	r := h.add(files{"big.bin": noise(3, 3<<20), "small.txt": "hello"})
	statement := h.register("ana", "words", "1.0.0", r, &terms.Terms{})
	c := h.counts(t, t.TempDir())
	s := httptest.NewUnstartedServer(c.g.Public(true))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	fetch := c.open("tina", statement).Fetch
	for _, path := range []string{"/big.bin", "/small.txt", "?format=car"} {
		req, err := http.NewRequest("GET", s.URL+"/ipfs/"+r.Root.String()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(wire.FetchHeader, fetch)
		resp, err := s.Client().Do(req)
		if err != nil || resp.ProtoMajor != 2 {
			t.Fatalf("%s: %v, %v", path, resp, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		resp.Body.Close()
	}
	if f := c.record("tina", fetch); f.CoveragePpm != 1_000_000 || f.Bytes != 2*(3<<20+5) {
		t.Errorf("%d ppm, %d bytes", f.CoveragePpm, f.Bytes)
	}
}
