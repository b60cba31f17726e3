package remote_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/ingest/blocks/remote"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// gateway serves what handler writes and returns a client of it.
func gateway(t *testing.T, handler http.HandlerFunc) *remote.Client {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	c, err := remote.New(s.URL+"/", remote.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestBlock asks gateways of every kind for a block.
func TestBlock(t *testing.T) {
	data := []byte("hello")
	id := cjson.RawCID(data)
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    fault.Code
		asked   int32 // how often, at least
	}{
		{"honest", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/ipfs/"+id.String() || r.URL.Query().Get("format") != "raw" {
				w.WriteHeader(400)
				return
			}
			w.Write(data)
		}, "", 1},
		{"without a length", func(w http.ResponseWriter, _ *http.Request) {
			w.Write(data[:2])
			w.(http.Flusher).Flush()
			w.Write(data[2:])
		}, "", 1},
		{"wrong bytes", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("jello")) }, fault.Unverified, 1},
		{"nothing", func(w http.ResponseWriter, _ *http.Request) {}, fault.Unverified, 1},
		{"too much", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 2<<20+1)) }, fault.Unverified, 1},
		{"not found", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, fault.NotFound, 1},
		{"gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, fault.Gone, 1},
		{"for legal reasons", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(451) }, fault.Gone, 1},
		{"forbidden", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, fault.Denied, 1},
		{"damaged there", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(422)
			w.Write([]byte(`{"detail":"data-00000001, offset 86: damaged"}`))
		}, fault.Unverified, 1},
		{"a page instead", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>login</html>")) }, fault.Unverified, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int32
			c := gateway(t, func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				tt.handler(w, r)
			})
			b, err := c.Block(t.Context(), id)
			if fault.Of(err) != tt.want || err == nil && !bytes.Equal(b, data) {
				t.Errorf("%q, %v; want %q", b, err, tt.want)
			}
			if tt.name == "damaged there" && !strings.Contains(err.Error(), "offset 86") {
				t.Errorf("the gateway's own words are lost: %v", err)
			}
			if asked.Load() < tt.asked {
				t.Errorf("asked %d times", asked.Load())
			}
		})
	}
}

// TestPatience has a gateway that is busy, then cuts the line, then answers.
func TestPatience(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 100_000)
	id := cjson.RawCID(data)
	var asked atomic.Int32
	c := gateway(t, func(w http.ResponseWriter, _ *http.Request) {
		switch asked.Add(1) {
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(503)
		case 2:
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			w.Write(data[:1000])
			panic(http.ErrAbortHandler)
		default:
			w.Write(data)
		}
	})
	b, err := c.Block(t.Context(), id)
	if err != nil || !bytes.Equal(b, data) || asked.Load() != 3 {
		t.Errorf("%d bytes after %d questions, %v", len(b), asked.Load(), err)
	}
}

// TestSizes says when a length is the gateway's word and when it is known.
func TestSizes(t *testing.T) {
	data := []byte("hello")
	id := cjson.RawCID(data)
	lie := "17"
	c := gateway(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.Header().Set("Content-Length", lie)
			return
		}
		w.Write(data)
	})
	if n, err := c.Claimed(t.Context(), id); err != nil || n != 17 {
		t.Errorf("Claimed: %d, %v", n, err)
	}
	if n, err := c.Size(t.Context(), id); err != nil || n != 5 {
		t.Errorf("Size: %d, %v: the gateway's word was taken", n, err)
	}
	if n, err := c.Claimed(t.Context(), id); err != nil || n != 5 {
		t.Errorf("Claimed of a block that was read: %d, %v", n, err)
	}
}

func TestBadQuestions(t *testing.T) {
	for _, base := range []string{"", "gateway.example", "ftp://gateway.example", "http://", "file:///etc/passwd", "://"} {
		if _, err := remote.New(base, remote.Options{}); !errors.Is(err, fault.Invalid) {
			t.Errorf("%q: %v, want invalid", base, err)
		}
	}
	c := gateway(t, func(http.ResponseWriter, *http.Request) { t.Error("the gateway was asked") })
	h, err := mh.Sum([]byte("x"), mh.IDENTITY, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Block(t.Context(), cid.NewCidV1(cid.Raw, h)); !errors.Is(err, fault.Invalid) {
		t.Errorf("an identity CID: %v, want invalid", err)
	}
	s := httptest.NewServer(nil)
	s.Close()
	gone, err := remote.New(s.URL, remote.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gone.Block(t.Context(), cjson.RawCID(nil)); !errors.Is(err, fault.Busy) {
		t.Errorf("nobody there: %v, want busy", err)
	}
}
