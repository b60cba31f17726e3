package ingest_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/registry/wire"
)

// exampleGateways serve a dataset of two files: one as it is, and a little late, one
// with wrong bytes.
func exampleGateways() []*httptest.Server {
	dir, err := os.MkdirTemp("", "iris-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	for name, text := range map[string]string{"a.csv": "a,b\n1,2\n", "b": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			panic(err)
		}
	}
	m := newMemory()
	r, err := ingest.Add(context.Background(), dir, m, ingest.AddOptions{})
	if err != nil {
		panic(err)
	}
	serve := func(change func([]byte) []byte) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/v1/resolve" {
				json.NewEncoder(w).Encode(wire.Resolution{Kind: "dataset", Root: cjson.CID{Cid: r.Root}})
				return
			}
			c, err := cid.Decode(strings.TrimPrefix(req.URL.Path, "/ipfs/"))
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			b, err := m.Block(req.Context(), c)
			if err != nil {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.Write(change(b))
		}))
	}
	return []*httptest.Server{
		serve(func(b []byte) []byte { time.Sleep(10 * time.Millisecond); return b }),
		serve(flipped),
	}
}
