package node_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	rand2 "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	mh "github.com/multiformats/go-multihash"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/ingest/node"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

const loopback = "/ip4/127.0.0.1/tcp/0"

func start(t *testing.T, o node.Options) *node.Node {
	t.Helper()
	n, err := node.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return n
}

// dataset adds a tree of the given number of bytes to a store of its own.
func dataset(t *testing.T, size int) (dir string, store *pack.Store, root cid.Cid) {
	t.Helper()
	dir = t.TempDir()
	gen := rand2.NewChaCha8([32]byte{1})
	for name, n := range map[string]int{"large.bin": size, "sub/small.txt": 1000, "sub/empty": 0} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, n)
		gen.Read(b)
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	store, err := pack.Open(t.TempDir(), pack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	r, err := ingest.Add(t.Context(), dir, ingest.PackStore(store), ingest.AddOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return dir, store, r.Root
}

func sameTree(t *testing.T, want, got string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(want, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		rel, _ := filepath.Rel(want, name)
		a, _ := os.ReadFile(name)
		b, err := os.ReadFile(filepath.Join(got, rel))
		if err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs (%v)", rel, err)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files compared, %v", files, err)
	}
}

func TestDatasetTravels(t *testing.T) {
	dir, store, root := dataset(t, 20<<20)
	server := start(t, node.Options{Listen: []string{loopback}, Blocks: store})
	client := start(t, node.Options{})
	if err := client.Connect(t.Context(), server.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	r, err := ingest.Get(t.Context(), client.Source(t.Context()), root, out, ingest.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Bytes != 20<<20+1000 {
		t.Errorf("%d bytes written", r.Bytes)
	}
	sameTree(t, dir, out)
	if n := len(client.Addrs()); n != 0 {
		t.Errorf("a node that does not listen has %d addresses", n)
	}
}

// forger hands out other bytes than it was asked for.
type forger struct{ blocks.Reader }

func (f forger) Block(ctx context.Context, c cid.Cid) ([]byte, error) {
	b, err := f.Reader.Block(ctx, c)
	if err != nil {
		return nil, err
	}
	b = bytes.Clone(b)
	b[len(b)/2] ^= 1
	return b, nil
}

func TestWrongBytesNeverArrive(t *testing.T) {
	_, store, root := dataset(t, 1000)
	liar := start(t, node.Options{Listen: []string{loopback}, Blocks: forger{store}})
	client := start(t, node.Options{})
	if err := client.Connect(t.Context(), liar.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	if b, err := client.Source(ctx).Block(ctx, root); err == nil {
		t.Fatalf("%d forged bytes were handed out", len(b))
	}
	// An honest peer beside the liar is enough.
	honest := start(t, node.Options{Listen: []string{loopback}, Blocks: store})
	if err := client.Connect(t.Context(), honest.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Source(t.Context()).Block(t.Context(), root); err != nil {
		t.Fatal(err)
	}
}

func TestAllowDecidesByIdentity(t *testing.T) {
	_, store, root := dataset(t, 1000)
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := sign.NewEd25519(priv)
	var refused atomic.Int64
	server := start(t, node.Options{Listen: []string{loopback}, Blocks: store, Allow: func(id sign.KeyID, _ cid.Cid) bool {
		if id != key.ID() {
			refused.Add(1)
			return false
		}
		return true
	}})
	known, stranger := start(t, node.Options{Key: key}), start(t, node.Options{})
	for _, n := range []*node.Node{known, stranger} {
		if err := n.Connect(t.Context(), server.Addrs()[0]); err != nil {
			t.Fatal(err)
		}
	}
	if known.ID() != key.ID() {
		t.Errorf("the node is %s, its key %s", known.ID(), key.ID())
	}
	if _, err := known.Source(t.Context()).Block(t.Context(), root); err != nil {
		t.Errorf("the peer that may: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := stranger.Source(ctx).Block(ctx, root); err == nil {
		t.Error("a stranger was served")
	}
	if refused.Load() == 0 {
		t.Error("nobody was asked about the stranger")
	}
}

func TestRoutersFindTheProvider(t *testing.T) {
	_, store, root := dataset(t, 1000)
	server := start(t, node.Options{Listen: []string{loopback}, Blocks: store})
	has := func(ctx context.Context, c cid.Cid) bool { _, err := store.Size(ctx, c); return err == nil }
	web := httptest.NewServer(server.RoutingHandler(has, prometheus.NewRegistry()))
	defer web.Close()
	client := start(t, node.Options{Routers: []string{web.URL}})
	if _, err := client.Source(t.Context()).Block(t.Context(), root); err != nil {
		t.Fatal(err)
	}

	for path, want := range map[string]string{
		"/routing/v1/providers/" + root.String():                                            server.PeerID(),
		"/routing/v1/providers/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyka": "",
		"/routing/v1/peers/" + server.PeerID():                                              server.PeerID(),
	} {
		resp, err := http.Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want != "" && !strings.Contains(string(b), want) || want == "" && strings.Contains(string(b), server.PeerID()) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, b)
		}
	}
}

func TestDHTFindsTheProvider(t *testing.T) {
	_, store, root := dataset(t, 1000)
	plain := start(t, node.Options{Listen: []string{loopback}}) // somebody who is in no DHT: the first has nobody else to name
	boot := start(t, node.Options{Listen: []string{loopback}, Bootstrap: plain.Addrs()})
	start(t, node.Options{Listen: []string{loopback}, Bootstrap: boot.Addrs(), Blocks: store,
		Roots: func(context.Context) ([]cid.Cid, error) { return []cid.Cid{root}, nil }})
	client := start(t, node.Options{Bootstrap: boot.Addrs()})
	if _, err := client.Source(t.Context()).Block(t.Context(), root); err != nil {
		t.Fatal(err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	ecdsa := "/ip4/127.0.0.1/tcp/1/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N" // an RSA peer
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, pub, err := crypto.KeyPairFromStdKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	client := start(t, node.Options{})
	for addr, code := range map[string]fault.Code{
		"":                     fault.Invalid,
		"/ip4/127.0.0.1/tcp/1": fault.Invalid,
		"127.0.0.1:4001":       fault.Invalid,
		ecdsa:                  fault.Busy, // no Ed25519 key: not even dialled
		"/ip4/127.0.0.1/tcp/1/p2p/" + id.String(): fault.Busy,
	} {
		if err := client.Connect(t.Context(), addr); !errors.Is(err, code) {
			t.Errorf("%q: %v, want %s", addr, err, code)
		}
	}
	server := start(t, node.Options{Listen: []string{loopback}})
	taken := strings.Split(server.Addrs()[0], "/p2p/")[0]
	for _, c := range []struct {
		o    node.Options
		code fault.Code
	}{
		{node.Options{Listen: []string{"/ip4/127.0.0.1/udp/0/quic-v1"}}, fault.Invalid},
		{node.Options{Listen: []string{taken}}, fault.Conflict},
		{node.Options{Routers: []string{"no url at all\x00"}}, fault.Invalid},
		{node.Options{Peers: []string{"x"}}, fault.Invalid},
		{node.Options{Bootstrap: []string{"x"}}, fault.Invalid},
		{node.Options{Peers: make([]string, 257)}, fault.TooLarge},
	} {
		if n, err := node.New(t.Context(), c.o); !errors.Is(err, c.code) {
			if err == nil {
				n.Close()
			}
			t.Errorf("%+v: %v, want %s", c.o, err, c.code)
		}
	}
	short, _ := mh.Sum([]byte("x"), mh.SHA2_256, 20)
	if _, err := client.Source(t.Context()).Block(t.Context(), cid.NewCidV1(cid.Raw, short)); !errors.Is(err, fault.Invalid) {
		t.Errorf("a short hash: %v", err)
	}
}
