package upload_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/httpsig"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/upload"
	"github.com/cairn-registry/cairn/registry/wire"
)

// section is a section of a CAR with a binary CID that nobody has checked.
func section(id, data []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(len(id)+len(data)))
	return append(append(b, id...), data...)
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// A badCAR is a row of the table of bad inputs: a shard that is not taken, with
// the status that refuses it.
type badCAR struct {
	name   string
	car    []byte
	status int
}

func badCARs(root cid.Cid) []badCAR {
	head := wire.ShardHeader(root)
	data := []byte("some bytes that are hashed")
	id := cjson.RawCID(data).Bytes()
	good := section(id, data)
	digest := id[4:]
	roots := func(n int) []byte {
		h := append([]byte("\xa2\x65roots"), 0x99, byte(n>>8), byte(n))
		for range n {
			h = append(append(h, 0xd8, 0x2a, 0x58, byte(len(root.Bytes())+1), 0), root.Bytes()...)
		}
		h = append(h, "\x67version\x01"...)
		return append(binary.AppendUvarint(nil, uint64(len(h))), h...)
	}
	pad := make([]byte, 128)
	identity := append([]byte{1, 0x55, 0, 26}, data...)
	huge := make([]byte, unixfs.MaxBlock+1)
	return []badCAR{
		{"a header that claims 32 MiB", concat(binary.AppendUvarint(nil, 32<<20), pad), 400},
		{"a header of 2^62 bytes", concat(binary.AppendUvarint(nil, 1<<62), pad), 400},
		{"a header of 0 bytes", concat([]byte{0}, pad), 400},
		{"a header in an overlong varint", concat([]byte{head[0] | 0x80, 0}, head[1:], good), 400},
		{"a header that is not CBOR", concat([]byte{40}, pad), 400},
		{"version 3", concat(head[:len(head)-1], []byte{3}, good), 400},
		{"version 2, the pragma alone", concat([]byte("\x0a\xa1\x67version\x02"), pad), 400},
		{"no roots", concat(roots(0), good, pad), 400},
		{"1,000 roots", concat(roots(1000), good), 400},
		{"2^32 roots", concat([]byte("\x20\xa2\x65roots\x9a\xff\xff\xff\xff"), pad), 400},
		{"60,000 nested arrays", concat(binary.AppendUvarint(nil, 60_000), bytes.Repeat([]byte{0x81}, 60_000)), 400},
		{"another root", concat(wire.ShardHeader(cjson.RawCID([]byte("x"))), good, pad), 400},
		{"a section of 0 bytes", concat(head, []byte{0}, pad), 400},
		{"a section of 1 byte", concat(head, []byte{1}, pad), 400},
		{"a section of 2^63 bytes", concat(head, binary.AppendUvarint(nil, 1<<63), pad), 400},
		{"a section of 8 MiB without a body", concat(head, binary.AppendUvarint(nil, 8<<20), pad), 413},
		{"a section of 1 MiB without a body", concat(head, binary.AppendUvarint(nil, 1<<20), pad), 400},
		{"a section's length in an overlong varint", concat(head, []byte{good[0] | 0x80, 0}, good[1:]), 400},
		{"bytes behind the last section", concat(head, good, []byte{5}), 400},
		{"cut behind a section's length", concat(head, good, []byte{60}), 400},
		{"cut inside a block", concat(head, good, good[:len(good)-1]), 400},
		{"other bytes than the hash", concat(head, section(id, append([]byte("x"), data[1:]...))), 422},
		{"an identity CID", concat(head, section(identity, data)), 422},
		{"an identity CID of other bytes", concat(head, section(identity, concat([]byte("other"), pad))), 422},
		{"an identity CID of 1 MiB", concat(head, section(concat([]byte{1, 0x55, 0}, binary.AppendUvarint(nil, 1<<20), huge[:1<<20]), nil)), 422},
		{"murmur3", concat(head, section(append([]byte{1, 0x55, 0x22, 8}, digest[:8]...), concat(data, pad))), 422},
		{"sha1", concat(head, section(append([]byte{1, 0x55, 0x11, 20}, digest[:20]...), data)), 422},
		{"sha2-256 cut to 4 bytes", concat(head, section(append([]byte{1, 0x55, 0x12, 4}, digest[:4]...), concat(data, pad))), 422},
		{"a digest of 2^40 bytes", concat(head, section(append([]byte{1, 0x55, 0x12}, binary.AppendUvarint(nil, 1<<40)...), concat(data, pad))), 422},
		{"a CIDv0", concat(head, section(append([]byte{0x12, 32}, digest...), concat(data, pad))), 422},
		{"CID version 2", concat(head, section(append([]byte{2, 0x55, 0x12, 32}, digest...), concat(data, pad))), 422},
		{"dag-jose", concat(head, section(append([]byte{1, 0x85, 1, 0x12, 32}, digest...), concat(data, pad))), 422},
		{"a codec in an overlong varint", concat(head, section(append([]byte{1, 0xd5, 0, 0x12, 32}, digest...), data)), 422},
		{"a block above 2 MiB", concat(head, section(cjson.RawCID(huge).Bytes(), huge)), 413},
	}
}

// Every row of the table is refused with its status, and leaves nothing.
func TestBadCARs(t *testing.T) {
	s := newSite(t, func(o *upload.Options) { o.Quota = upload.Quota{Sessions: 2} })
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil)
	rows := badCARs(d.root())
	var cars [][]byte
	for _, r := range rows {
		cars = append(cars, r.car)
	}
	u := s.open("ana", d.declare(t, cars...)).upload(t)
	for _, r := range rows {
		if a := s.put("ana", u.ID, r.car, nil); a.status != r.status {
			t.Errorf("%s: %d, want %d: %s", r.name, a.status, r.status, a.body)
		}
	}
	if left := s.files(); len(left) != 2 {
		t.Errorf("left: %q", left)
	}
	if got := s.do("ana", "GET", "/v1/uploads/"+u.ID, nil, nil).upload(t); len(got.Missing) != len(rows) {
		t.Errorf("%d shards are missing, want all %d", len(got.Missing), len(rows))
	}
}

// A shard that is cut at any offset is not taken, neither by the reader nor over
// a connection that ends there; the whole one is.
func TestCutEverywhere(t *testing.T) {
	s := newSite(t, nil)
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", map[string]string{"a": "1", "b": "2"}, nil)
	car := d.car(t, d.closure...)
	for n := range len(car) {
		blocks := 0
		_, err := upload.ReadShard(t.Context(), bytes.NewReader(car[:n]), int64(len(car)), d.root(), func(cid.Cid, []byte) error { blocks++; return nil })
		if !errors.Is(err, fault.Invalid) {
			t.Fatalf("cut at %d of %d: %v after %d blocks", n, len(car), err, blocks)
		}
	}
	u := s.open("ana", d.declare(t, car)).upload(t)
	for n := 0; n < len(car); n += 1 + n/16 {
		status := s.raw("ana", "PUT", "/v1/uploads/"+u.ID+"/shards/"+sumOf(car), sumOf(car), len(car), car[:n])
		if status != 400 {
			t.Errorf("cut at %d of %d: %d, want 400", n, len(car), status)
		}
	}
	if left := s.files(); len(left) != 2 {
		t.Errorf("left: %q", left)
	}
	if a := s.put("ana", u.ID, car, nil); a.status != 204 {
		t.Errorf("the whole shard: %d %s", a.status, a.body)
	}
	if a := s.commit("ana", u.ID); a.status != 201 {
		t.Errorf("commit: %d %s", a.status, a.body)
	}
}

// request returns the head of a signed request as it goes over the wire.
func (s *site) request(who, method, path, sum string, length int) []byte {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set(httpsig.FieldDigest, digestOf(sum))
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader("x")), int64(length)
	var out []byte
	rt := client.Signed(roundTrip(func(r *http.Request) (*http.Response, error) {
		var h bytes.Buffer
		fmt.Fprintf(&h, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", method, path, r.URL.Host, length)
		r.Header.Write(&h)
		h.WriteString("\r\n")
		out = h.Bytes()
		return nil, io.EOF
	}), foldtest.Key(who), time.Now)
	rt.RoundTrip(req)
	return out
}

// digestOf is the Content-Digest of what has a SHA-256.
func digestOf(sum string) string {
	b, _ := hex.DecodeString(sum)
	return httpsig.Digest([32]byte(b))
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// raw sends a head that announces length bytes and then only body, ends its side
// of the connection, and returns the status of the answer.
func (s *site) raw(who, method, path, sum string, length int, body []byte) int {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(concat(s.request(who, method, path, sum, length), body))
	conn.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// What is wrong with a request's head is refused before its body is asked for.
func TestHeads(t *testing.T) {
	s := newSite(t, nil)
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil)
	car := d.car(t, d.closure...)
	u := s.open("ana", d.declare(t, car)).upload(t)
	path := "/v1/uploads/" + u.ID + "/shards/" + sumOf(car)
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, c := range []struct {
		name, who, method, path string
		body                    []byte
		edit                    func(*http.Request)
		want                    int
	}{
		{"nobody", "", "PUT", path, car, nil, 401},
		{"somebody else", "ben", "PUT", path, car, nil, 404},
		{"somebody else asks", "ben", "GET", "/v1/uploads/" + u.ID, nil, nil, 404},
		{"somebody else commits", "ben", "POST", "/v1/uploads/" + u.ID + "/commit", nil, nil, 404},
		{"somebody else drops", "ben", "DELETE", "/v1/uploads/" + u.ID, nil, nil, 404},
		{"no such upload", "ana", "GET", "/v1/uploads/" + strings.Repeat("0", 32), nil, nil, 404},
		{"a path for an upload", "ana", "GET", "/v1/uploads/..%2f..%2fkeys", nil, nil, 404},
		{"no such shard", "ana", "PUT", "/v1/uploads/" + u.ID + "/shards/" + strings.Repeat("0", 64), car, nil, 404},
		{"a path for a shard", "ana", "PUT", "/v1/uploads/" + u.ID + "/shards/..%2f..%2fx", car, nil, 404},
		{"no length", "ana", "PUT", path, car, func(r *http.Request) { r.ContentLength = -1 }, 411},
		{"gzip", "ana", "PUT", path, car, set("Content-Encoding", "gzip"), 415},
		{"gzip, opening", "ana", "POST", "/v1/uploads", []byte("{}"), set("Content-Encoding", "gzip"), 415},
		{"another type", "ana", "PUT", path, car, set("Content-Type", "text/html"), 415},
		{"too long", "ana", "PUT", path, append(bytes.Clone(car), 0), nil, 413},
		{"too short", "ana", "PUT", path, car[:len(car)-1], nil, 400},
		{"another digest", "ana", "PUT", path, car, set(httpsig.FieldDigest, httpsig.Digest([32]byte{})), 422},
		{"sha-512", "ana", "PUT", path, car, set(httpsig.FieldDigest, "sha-512=:AAAA:"), 401},
		{"another origin", "ana", "POST", "/v1/uploads/" + u.ID + "/commit", nil, set("Sec-Fetch-Site", "cross-site"), 403},
		{"a commit with a body", "ana", "POST", "/v1/uploads/" + u.ID + "/commit", []byte("x"), nil, 400},
		{"another method", "ana", "PATCH", path, car, nil, 405},
	} {
		if a := s.do(c.who, c.method, c.path, c.body, c.edit); a.status != c.want {
			t.Errorf("%s: %d, want %d: %s", c.name, a.status, c.want, a.body)
		}
	}
	// A body of the right length and the wrong bytes.
	wrong := bytes.Clone(car)
	wrong[len(wrong)-1] ^= 1
	if a := s.do("ana", "PUT", path, wrong, set(httpsig.FieldDigest, digestOf(sumOf(car)))); a.status != 422 {
		t.Errorf("other bytes: %d %s", a.status, a.body)
	}
	// With Expect, the refusal comes instead of 100 Continue.
	head := bytes.Replace(s.request("ana", "PUT", path, sumOf(car), len(car)+1), []byte("\r\n\r\n"), []byte("\r\nExpect: 100-continue\r\n\r\n"), 1)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(head)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, " 413 ") {
		t.Errorf("the first answer is %q, %v, want 413", line, err)
	}
	if left := s.files(); len(left) != 2 {
		t.Errorf("left: %q", left)
	}
}

// A session that ends while a shard comes in: the shard stops, and leaves nothing.
func TestDropWhileSending(t *testing.T) {
	s := newSite(t, nil)
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", map[string]string{"a": text(200<<10, "abc")}, nil)
	car := d.car(t, d.closure...)
	u := s.open("ana", d.declare(t, car)).upload(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write(concat(s.request("ana", "PUT", "/v1/uploads/"+u.ID+"/shards/"+sumOf(car), sumOf(car), len(car)), car[:100<<10]))
	for len(s.files()) == 2 {
		time.Sleep(time.Millisecond) // until the shard comes in
	}
	s.clock.add(25 * time.Hour)
	if n, err := s.up.Sweep(); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != 404 {
		t.Errorf("the sender gets %v, %v, want 404", resp, err)
	}
	if left := s.files(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// Whoever sends too slowly is cut off, however many they are; others are served.
func TestSlowSenders(t *testing.T) {
	s := newSite(t, func(o *upload.Options) { o.Patience, o.PerOwner = 0.02, 16 })
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", map[string]string{"a": text(200<<10, "abc")}, nil)
	car := d.car(t, d.closure...)
	u := s.open("ana", d.declare(t, car)).upload(t)
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.Write(concat(s.request("ana", "PUT", "/v1/uploads/"+u.ID+"/shards/"+sumOf(car), sumOf(car), len(car)), car[:1000]))
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || resp.StatusCode != 503 {
				t.Errorf("a slow sender gets %v, %v, want 503", resp, err)
			}
		})
	}
	e := newDataset(t, newMemory(), "ben", "iris", "1.0.0", map[string]string{"a": "quick"}, nil)
	s.push("ben", e)
	wg.Wait()
	if a := s.put("ana", u.ID, car, nil); a.status != 204 {
		t.Errorf("the same, quickly: %d %s", a.status, a.body)
	}
}

// Uploads that were broken off leave no descriptor, goroutine or file behind.
func TestAborted(t *testing.T) {
	s := newSite(t, nil)
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", map[string]string{"a": text(100<<10, "abc")}, nil)
	car := d.car(t, d.closure...)
	u := s.open("ana", d.declare(t, car)).upload(t)
	abort := func(n int) {
		for i := range n {
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			conn.Write(concat(s.request("ana", "PUT", "/v1/uploads/"+u.ID+"/shards/"+sumOf(car), sumOf(car), len(car)), car[:i*len(car)/n]))
			conn.(*net.TCPConn).SetLinger(0) // reset
			conn.Close()
		}
		for i := 0; i < 60_000 && len(s.files()) > 2; i++ {
			time.Sleep(time.Millisecond)
		}
	}
	abort(50)
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	goroutines, files := runtime.NumGoroutine(), descriptors(t)
	abort(1000)
	for i := 0; i < 60_000 && (runtime.NumGoroutine() > goroutines+5 || descriptors(t) > files+5); i++ {
		time.Sleep(time.Millisecond)
	}
	if g, f := runtime.NumGoroutine(), descriptors(t); g > goroutines+5 || f > files+5 {
		t.Errorf("%d goroutines and %d descriptors, before it were %d and %d", g, f, goroutines, files)
	}
	if left := s.files(); len(left) != 2 {
		t.Errorf("left: %d files", len(left))
	}
	if a := s.put("ana", u.ID, car, nil); a.status != 204 {
		t.Errorf("then sent whole: %d %s", a.status, a.body)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("NOT RUN: descriptors are not counted here: %v", err)
	}
	return len(all)
}

// Nothing below the folder of sessions is reached by a name that a client chose.
func TestPathsStay(t *testing.T) {
	s := newSite(t, nil)
	secret := filepath.Join(s.cfg.Dir, "trust", "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/v1/uploads/../trust/secret", "/v1/uploads/%2e%2e%2ftrust%2fsecret", "/v1/uploads/..%5c..%5ctrust", "/v1/uploads/%00", "/v1/uploads/" + strings.Repeat("a", 8000)} {
		for _, method := range []string{"GET", "DELETE"} {
			if a := s.do("ana", method, p, nil, nil); a.status/100 != 4 && a.status != 301 && a.status != 307 || bytes.Contains(a.body, []byte("secret\n")) {
				t.Errorf("%s %s: %d %s", method, p, a.status, a.body)
			}
		}
	}
	if _, err := os.Stat(secret); err != nil {
		t.Error(err)
	}
}

// Reading a shard never needs more than its buffers, whatever the shard says, and
// what is taken is what was sent.
func FuzzReadShard(f *testing.F) {
	root := cjson.JSONCID([]byte("{}"))
	data := []byte("hello")
	good := concat(wire.ShardHeader(root), section(cjson.RawCID(data).Bytes(), data), section(cjson.JSONCID([]byte("{}")).Bytes(), []byte("{}")))
	f.Add(good)
	for _, r := range badCARs(root) {
		if len(r.car) < 64<<10 {
			f.Add(r.car)
		}
	}
	f.Fuzz(func(t *testing.T, car []byte) {
		again := wire.ShardHeader(root)
		sum, err := upload.ReadShard(t.Context(), bytes.NewReader(car), int64(len(car)), root, func(c cid.Cid, data []byte) error {
			if err := cjson.CheckCID(c); err != nil {
				t.Fatalf("took the CID %s: %v", c, err)
			}
			if got, err := c.Prefix().Sum(data); err != nil || !got.Equals(c) {
				t.Fatalf("took bytes that are not those of %s", c)
			}
			again = append(wire.AppendSection(again, c, len(data)), data...)
			return nil
		})
		if err != nil {
			if code := fault.Of(err); code != fault.Invalid && code != fault.Unverified && code != fault.TooLarge {
				t.Fatalf("refused with %s: %v", code, err)
			}
			return
		}
		if !bytes.Equal(again, car) || fmt.Sprintf("%x", sum) != sumOf(car) {
			t.Fatalf("read %x as %x", car, again)
		}
	})
}

// What a header claims is not allocated.
func TestReadShardMemory(t *testing.T) {
	root := cjson.JSONCID([]byte("{}"))
	for _, r := range badCARs(root) {
		if len(r.car) > 64<<10 {
			continue
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		upload.ReadShard(t.Context(), bytes.NewReader(r.car), 64<<20, root, func(cid.Cid, []byte) error { return nil })
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
			t.Errorf("%s: %d bytes were allocated", r.name, n)
		}
	}
}
