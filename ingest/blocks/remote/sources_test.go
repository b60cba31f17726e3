package remote_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks/remote"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// numbered makes n blocks of 1000 bytes, and a handler that has them.
func numbered(n int) (ids []cid.Cid, has http.HandlerFunc) {
	all := make(map[string][]byte)
	for i := range n {
		b := binary.BigEndian.AppendUint64(make([]byte, 992), uint64(i))
		ids = append(ids, cjson.RawCID(b))
		all["/ipfs/"+ids[i].String()] = b
	}
	return ids, func(w http.ResponseWriter, r *http.Request) {
		b, ok := all[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Write(b)
	}
}

func sources(t *testing.T, o remote.SourcesOptions, handlers ...http.HandlerFunc) *remote.Sources {
	t.Helper()
	var list []remote.Source
	for _, h := range handlers {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		list = append(list, remote.Source{URL: s.URL})
	}
	s, err := remote.OpenSources(list, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) // before the servers, which wait for their requests
	return s
}

// all asks for blocks, eight at a time, and wants each to be right.
func all(t *testing.T, s *remote.Sources, ids []cid.Cid) {
	t.Helper()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, id := range ids {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if b, err := s.Block(t.Context(), id); err != nil || !cjson.RawCID(b).Equals(id) {
				t.Errorf("%s: %d bytes, %v", id, len(b), err)
			}
		})
	}
	wg.Wait()
}

// TestOneRequestForTwo has two who want a block at a time, and one of whom leaves.
func TestOneRequestForTwo(t *testing.T) {
	ids, has := numbered(1)
	asked, hold := make(chan struct{}, 9), make(chan struct{})
	s := sources(t, remote.SourcesOptions{Hedge: time.Hour}, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-hold
		has(w, r)
	})
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { all(t, s, ids) })
	}
	<-asked
	close(hold)
	wg.Wait()
	if r := s.Reports()[0]; r.Blocks < 1 || r.Blocks > 5 || r.Bytes != 1000*r.Blocks {
		t.Errorf("%+v", r)
	}
	if len(asked) >= 4 {
		t.Errorf("the source was asked by each alone")
	}
}

// TestHedge has a source that never answers: each block that it was asked for comes
// from the other one, and in the end it is asked no more.
func TestHedge(t *testing.T) {
	ids, has := numbered(400)
	var silent atomic.Int64
	s := sources(t, remote.SourcesOptions{Hedge: 5 * time.Millisecond, Pause: time.Millisecond},
		func(_ http.ResponseWriter, r *http.Request) { silent.Add(1); <-r.Context().Done() }, has)
	rounds := int64(0)
	for rounds < 200 && s.Reports()[0].Dropped == "" {
		all(t, s, ids)
		rounds++
	}
	r := s.Reports()
	if r[0].Blocks != 0 || r[0].Overtaken == 0 || !strings.Contains(r[0].Dropped, "slow") || r[0].Lied {
		t.Errorf("the silent one: %+v", r[0])
	}
	if r[1].Blocks != 400*rounds || r[1].Dropped != "" {
		t.Errorf("the other: %+v", r[1])
	}
	if silent.Load() > 100 {
		t.Errorf("the silent one was asked %d times", silent.Load())
	}
}

// TestQuickOneCarriesMost has two sources, one a hundred times as slow.
func TestQuickOneCarriesMost(t *testing.T) {
	ids, has := numbered(300)
	late := func(d time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { time.Sleep(d); has(w, r) }
	}
	s := sources(t, remote.SourcesOptions{Hedge: time.Hour}, late(100*time.Millisecond), late(time.Millisecond))
	all(t, s, ids)
	if r := s.Reports(); r[0].Blocks*4 > r[1].Blocks || r[0].Blocks+r[1].Blocks != 300 {
		t.Errorf("%+v", r)
	}
}

// TestRetryAfter has a source that asks to be left alone for a second, and one that
// asks for an hour.
func TestRetryAfter(t *testing.T) {
	ids, has := numbered(3)
	var asked atomic.Int64
	var again time.Time
	start := time.Now()
	s := sources(t, remote.SourcesOptions{Pause: time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		if again.IsZero() {
			again = time.Now()
		}
		has(w, r)
	})
	if _, err := s.Block(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	if again.Sub(start) < time.Second {
		t.Errorf("asked again after %v", again.Sub(start))
	}
	s = sources(t, remote.SourcesOptions{Pause: time.Millisecond}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if _, err := s.Block(t.Context(), ids[0]); fault.Of(err) != fault.Busy || !strings.Contains(err.Error(), "1h") {
		t.Errorf("%v, want busy for an hour", err)
	}
}

// TestRestart has a source that is away for a while after it has sent blocks.
func TestRestart(t *testing.T) {
	ids, has := numbered(60)
	var asked atomic.Int64
	s := sources(t, remote.SourcesOptions{Pause: time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		if n := asked.Add(1); n > 20 && n < 28 {
			w.Header().Set("Content-Length", "1000")
			w.Write(make([]byte, 10))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		has(w, r)
	})
	all(t, s, ids)
	if r := s.Reports()[0]; r.Blocks != 60 || r.Errors == 0 || r.Dropped != "" {
		t.Errorf("%+v", r)
	}
}

// TestBearer sends a token to its own host and port, and to no other that the host
// sends it to.
func TestBearer(t *testing.T) {
	ids, has := numbered(2)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("another host was shown %v", r.Header)
		}
		has(w, r)
	}))
	t.Cleanup(elsewhere.Close)
	var own, there atomic.Int64
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer s3cret.~+/-_==" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		own.Add(1)
		if strings.HasSuffix(r.URL.Path, ids[1].String()) {
			there.Add(1)
			http.Redirect(w, r, elsewhere.URL+r.URL.RequestURI(), http.StatusFound)
			return
		}
		has(w, r)
	}))
	t.Cleanup(home.Close)
	s, err := remote.OpenSources([]remote.Source{{URL: home.URL, Bearer: "s3cret.~+/-_=="}}, remote.SourcesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all(t, s, ids)
	if own.Load() != 2 || there.Load() != 1 {
		t.Errorf("%d requests with a token, %d redirects", own.Load(), there.Load())
	}
	for _, bad := range []remote.Source{
		{URL: "http://gateway.example", Bearer: "t"}, {URL: home.URL, Bearer: "to ken"}, {URL: home.URL, Bearer: "a\nb"},
		{URL: home.URL, Bearer: "="}, {URL: home.URL, Bearer: strings.Repeat("x", 5000)}, {URL: "://", Bearer: "t"},
	} {
		_, err := remote.OpenSources([]remote.Source{bad}, remote.SourcesOptions{})
		if fault.Of(err) != fault.Invalid || strings.Contains(err.Error(), "to ken") {
			t.Errorf("%.30q: %v, want invalid, without the token", bad.URL, err)
		}
	}
}

func TestBadSources(t *testing.T) {
	many := make([]remote.Source, 65)
	for i := range many {
		many[i].URL = fmt.Sprintf("http://127.0.0.1:%d", i+1)
	}
	for _, list := range [][]remote.Source{nil, many, {{URL: "ftp://x"}}, {{URL: "http://x"}, {URL: "http://x/"}}} {
		if _, err := remote.OpenSources(list, remote.SourcesOptions{}); fault.Of(err) != fault.Invalid {
			t.Errorf("%d sources: %v, want invalid", len(list), err)
		}
	}
}

// TestRoomIsStrict has blocks that are larger than was thought, and little memory.
func TestRoomIsStrict(t *testing.T) {
	big := make(map[string][]byte)
	var ids []cid.Cid
	for i := range 12 {
		b := bytes.Repeat([]byte{byte(i)}, 2<<20)
		ids = append(ids, cjson.RawCID(b))
		big["/ipfs/"+ids[i].String()] = b
	}
	s := sources(t, remote.SourcesOptions{Bytes: 1}, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush() // no length
		w.Write(big[r.URL.Path])
	})
	all(t, s, ids)
	if r := s.Reports()[0]; r.Blocks != 12 || r.Dropped != "" {
		t.Errorf("%+v", r)
	}
}

// FuzzAnswer gives a source any bytes as its answer. What Block returns without an
// error is the block.
func FuzzAnswer(f *testing.F) {
	data := []byte("hello")
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\njello"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello"))
	f.Add([]byte("HTTP/1.1 429 Too Many\r\nRetry-After: 99999999999999\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 503 No\r\nRetry-After: Sun, 99 Nov 9999 08:49:37 GMT\r\nContent-Length: 12\r\n\r\n{\"detail\":1}"))
	f.Add([]byte("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 404 Not Found\r\nContent-Length: 20\r\n\r\n{\"detail\":\"\\u202ex\"}"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { l.Close() })
	var mu sync.Mutex
	var answer []byte
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				conn.Read(make([]byte, 4096))
				mu.Lock()
				defer mu.Unlock()
				conn.Write(answer)
			}()
		}
	}()
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Contains(bytes.ToLower(b), []byte("location")) {
			// Where a redirect leads is not for a fuzzer to say.
			b = []byte("HTTP/1.1 302 Found\r\nLocation: ftp://x\r\nContent-Length: 0\r\n\r\n")
		}
		mu.Lock()
		answer = b
		mu.Unlock()
		s, err := remote.OpenSources([]remote.Source{{URL: "http://" + l.Addr().String()}}, remote.SourcesOptions{Pause: 1, Now: leap()})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		got, err := s.Block(t.Context(), cjson.RawCID(data))
		var lie *remote.LieError
		switch r := s.Reports()[0]; {
		case err == nil && !bytes.Equal(got, data):
			t.Errorf("%q was taken for the block", got)
		case err != nil && fault.Of(err) == fault.Internal:
			t.Errorf("%v has no code", err)
		case r.Lied != errors.As(err, &lie):
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// leap is a clock that goes on two minutes whenever it is looked at: no Retry-After is
// waited for.
func leap() func() time.Time {
	var n atomic.Int64
	return func() time.Time { return time.Unix(n.Add(120), 0) }
}
