package node_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/boxo/bitswap/message"
	pb "github.com/ipfs/boxo/bitswap/message/pb"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/ingest/node"
)

const bitswapID = "/ipfs/bitswap/1.2.0"

// rude makes a swarm with a key and no limits of its own: a peer that does what
// it likes.
func rude(t *testing.T, key crypto.PrivKey) *swarm.Swarm {
	t.Helper()
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	store, err := pstoremem.NewPeerstore()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(store.AddPubKey(id, key.GetPublic()), store.AddPrivKey(id, key)); err != nil {
		t.Fatal(err)
	}
	s, err := swarm.NewSwarm(id, store, eventbus.NewBus())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}
	security, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		t.Fatal(err)
	}
	up, err := upgrader.New([]sec.SecureTransport{security}, muxers, nil, &network.NullResourceManager{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := tcp.NewTCPTransport(up, &network.NullResourceManager{}, nil, tcp.DisableReuseport())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.AddTransport(transport); err != nil {
		t.Fatal(err)
	}
	return s
}

func ed25519Key(t *testing.T) crypto.PrivKey {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := crypto.UnmarshalEd25519PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// dial connects to a node; the connection is good when the node has let it in.
func dial(t *testing.T, s *swarm.Swarm, n *node.Node) (network.Conn, error) {
	t.Helper()
	info, err := peer.AddrInfoFromP2pAddr(multiaddr.StringCast(n.Addrs()[0]))
	if err != nil {
		t.Fatal(err)
	}
	s.Peerstore().AddAddrs(info.ID, info.Addrs, time.Hour)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	return s.DialPeer(ctx, info.ID)
}

// agreement is what each side of a stream says first, by multistream-select, when
// both mean the same protocol.
func agreement(id string) []byte {
	const version = "/multistream/1.0.0\n"
	b := append([]byte{byte(len(version))}, version...)
	return append(append(b, byte(len(id)+1)), id+"\n"...)
}

// agree says what it speaks and hears the same.
func agree(st network.Stream, id string) error {
	st.SetDeadline(time.Now().Add(10 * time.Second))
	want := agreement(id)
	if _, err := st.Write(want); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(st, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("the peer says %q", got)
	}
	return nil
}

// speak opens a stream and agrees on a protocol.
func speak(ctx context.Context, c network.Conn, id string) (network.Stream, error) {
	st, err := c.NewStream(ctx)
	if err != nil {
		return nil, err
	}
	if err := agree(st, id); err != nil {
		st.Reset()
		return nil, err
	}
	return st, nil
}

// held is what the process holds, after a collection.
func held() (heap uint64, goroutines int) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}

// TestInboundRSAPeer: peers have Ed25519 keys; one with another is sent away
// when it has said who it is.
func TestInboundRSAPeer(t *testing.T) {
	server := start(t, node.Options{Listen: []string{loopback}})
	for name, c := range map[string]struct {
		make func() (crypto.PrivKey, error)
		in   bool
	}{
		"Ed25519": {func() (crypto.PrivKey, error) { return ed25519Key(t), nil }, true},
		"RSA": {func() (crypto.PrivKey, error) {
			k, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				return nil, err
			}
			key, _, err := crypto.KeyPairFromStdKey(k)
			return key, err
		}, false},
		"ECDSA": {func() (crypto.PrivKey, error) { k, _, err := crypto.GenerateECDSAKeyPair(rand.Reader); return k, err }, false},
		"secp256k1": {func() (crypto.PrivKey, error) {
			k, _, err := crypto.GenerateSecp256k1Key(rand.Reader)
			return k, err
		}, false},
	} {
		key, err := c.make()
		if err != nil {
			t.Fatal(err)
		}
		conn, err := dial(t, rude(t, key), server)
		if err == nil {
			// The dialler is through first; what it may do then says whether it is in.
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err = speak(ctx, conn, "/ipfs/ping/1.0.0")
			cancel()
		}
		if (err == nil) != c.in {
			t.Errorf("a peer with an %s key: %v, want it in: %v", name, err, c.in)
		}
	}
}

// TestStreamFlood opens ten thousand streams from one peer, on new connections when
// it is cut off: only so many live at a time, the others are refused, and the node
// holds no more afterwards.
func TestStreamFlood(t *testing.T) {
	_, store, root := dataset(t, 1000)
	server := start(t, node.Options{Listen: []string{loopback}, Blocks: store})
	s := rude(t, ed25519Key(t))
	heap, goroutines := held()
	const flood, perPeer = 10_000, 64
	// Two limits come to about the same: streams of a peer, and the memory of their
	// windows, 256 KiB each of 16 MiB. That of one protocol must not be the third.
	spoken := []string{bitswapID, "/ipfs/bitswap/1.1.0", "/ipfs/bitswap/1.0.0", "/ipfs/bitswap"}
	var tried, opened atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
	defer cancel()
	for tried.Load() < flood {
		conn, err := dial(t, s, server)
		if err != nil {
			t.Fatal(err)
		}
		var open atomic.Int64
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for !conn.IsClosed() {
					n := tried.Add(1)
					if n > flood {
						return
					}
					if _, err := speak(ctx, conn, spoken[n%int64(len(spoken))]); err == nil {
						opened.Add(1)
						open.Add(1) // it is kept, and says nothing
					}
				}
			})
		}
		wg.Wait()
		if n := open.Load(); n > perPeer {
			t.Errorf("%d streams of one peer are open, at most %d may be", n, perPeer)
		}
		if ctx.Err() != nil {
			t.Fatalf("%d streams were tried", tried.Load())
		}
	}
	if opened.Load() == 0 {
		t.Error("no stream was opened at all")
	}
	after, left := held()
	if after > heap+32<<20 {
		t.Errorf("the heap grew from %d to %d bytes", heap, after)
	}
	if left > goroutines+8*perPeer {
		t.Errorf("%d goroutines, before there were %d", left, goroutines)
	}
	// Others are served meanwhile.
	client := start(t, node.Options{})
	if err := client.Connect(t.Context(), server.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Source(t.Context()).Block(t.Context(), root); err != nil {
		t.Error(err)
	}
}

// counting counts what is asked of a store, and says that all is there.
type counting struct {
	blocks.Reader
	asked atomic.Int64
}

func (c *counting) Size(ctx context.Context, id cid.Cid) (uint64, error) {
	c.asked.Add(1)
	return c.Reader.Size(ctx, id)
}

// TestWantFlood: one peer asks for ten thousand blocks at once, several times, and
// reads what comes. It gets no more answers than wants are kept, and the node
// forgets them when it goes.
func TestWantFlood(t *testing.T) {
	_, store, root := dataset(t, 1000)
	asked := &counting{Reader: store}
	server := start(t, node.Options{Listen: []string{loopback}, Blocks: asked})
	key := ed25519Key(t)
	s := rude(t, key)
	var answers atomic.Int64
	s.SetStreamHandler(func(st network.Stream) {
		defer st.Close()
		if err := agree(st, bitswapID); err != nil {
			return
		}
		for {
			m, _, err := message.FromNet(st)
			if err != nil {
				return
			}
			answers.Add(int64(len(m.DontHaves()) + len(m.Haves()) + len(m.Blocks())))
		}
	})
	conn, err := dial(t, s, server)
	if err != nil {
		t.Fatal(err)
	}
	heap, goroutines := held()
	const flood, kept = 10_000, 1024
	st, err := speak(t.Context(), conn, bitswapID)
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 5
	for round := range rounds {
		m := message.New(false)
		for i := range flood {
			var b [8]byte
			binary.BigEndian.PutUint64(b[:], uint64(round*flood+i))
			h, err := mh.Sum(b[:], mh.SHA2_256, -1)
			if err != nil {
				t.Fatal(err)
			}
			m.AddEntry(cid.NewCidV1(cid.Raw, h), 1, pb.Message_Wantlist_Have, true)
		}
		if err := m.ToNetV1(st); err != nil {
			t.Fatal(err)
		}
	}
	// Until the node is done with it: nothing is asked for any more.
	for last := int64(-1); ; {
		time.Sleep(300 * time.Millisecond)
		now := asked.asked.Load() + answers.Load()
		if now == last {
			break
		}
		last = now
	}
	n := answers.Load()
	if n < 1 || n > rounds*kept {
		t.Errorf("%d answers to %d wants, at most %d are kept of each message", n, rounds*flood, kept)
	}
	if after, _ := held(); after > heap+32<<20 {
		t.Errorf("the heap grew from %d to %d bytes", heap, after)
	}
	client := start(t, node.Options{})
	if err := client.Connect(t.Context(), server.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Source(t.Context()).Block(t.Context(), root); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) && !strings.Contains(err.Error(), "closed") {
		t.Error(err)
	}
	if _, left := held(); left > goroutines+200 {
		t.Errorf("%d goroutines, before there were %d", left, goroutines)
	}
	t.Logf("%d wants, %d looked up, %d answered", rounds*flood, asked.asked.Load(), n)
}
