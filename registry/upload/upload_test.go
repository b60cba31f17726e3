package upload_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/upload"
	"github.com/cairn-registry/cairn/registry/wire"
)

// What is pushed is registered, found, and proven; pushing again changes nothing;
// the next version sends only what is new.
func TestPush(t *testing.T) {
	s := newSite(t, nil)
	mine := newMemory()
	big := text(3<<20, "some data, again and again; ")
	d := newDataset(t, mine, "ana", "iris", "1.0.0", map[string]string{"a.bin": big, "b/c.txt": "hello"}, nil)
	first := s.push("ana", d)
	for _, c := range d.closure {
		want, _ := mine.Block(t.Context(), c)
		if got, err := s.store.Block(t.Context(), c); err != nil || !bytes.Equal(got, want) {
			t.Errorf("block %s is not in the registry: %v", c, err)
		}
	}
	r, err := proof.VerifyBundle(first.Bundle, s.policy())
	if err != nil || !r.Holds() {
		t.Errorf("the bundle does not hold: %+v, %v", r, err)
	}
	again := s.push("ana", d)
	if again.Index != first.Index || again.Receipt == "" || s.reg.Status().Size != 2 {
		t.Errorf("again: entry %d of a log of %d, first it was %d", again.Index, s.reg.Status().Size, first.Index)
	}

	next := newDataset(t, mine, "ana", "iris", "1.1.0", map[string]string{"a.bin": big, "b/c.txt": "hello", "d.txt": "new"}, func(c *manifests.Contribution, _ *manifests.Manifest) {
		c.Supersedes = first.Statement
	})
	o := next.options()
	o.Bases = map[cid.Cid][]cid.Cid{first.Statement.Cid: d.statement.Content()}
	second, err := s.client("ana").Push(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if second.Sent >= 1<<20 || second.Verdict != "accepted" {
		t.Errorf("the second version sent %d bytes and is %s", second.Sent, second.Verdict)
	}
}

// The same statement gives the same answer, in whatever state it is asked for.
func TestIdempotent(t *testing.T) {
	s := newSite(t, nil)
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil)
	car := d.car(t, d.closure...)
	o := d.declare(t, car)
	u := s.open("ana", o).upload(t)
	if again := s.open("ana", o).upload(t); again.ID != u.ID {
		t.Errorf("opened twice: %s and %s", u.ID, again.ID)
	}
	other := d.declare(t, d.car(t, d.closure[0]), d.car(t, d.closure[1:]...))
	if a := s.open("ana", other); a.status != 409 {
		t.Errorf("the same statement with other shards: %d %s", a.status, a.body)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if a := s.put("ana", u.ID, car, nil); a.status != 204 {
				t.Errorf("sent at once: %d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	if a := s.put("ana", u.ID, car, nil); a.status != 204 {
		t.Errorf("sent again: %d %s", a.status, a.body)
	}
	results := make([]wire.Submitted, 4)
	for i := range results {
		wg.Go(func() {
			a := s.commit("ana", u.ID)
			if a.status != 201 || json.Unmarshal(a.body, &results[i]) != nil {
				t.Errorf("commit: %d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	s.restart(nil)
	a := s.commit("ana", u.ID)
	var last wire.Submitted
	if a.status != 201 || json.Unmarshal(a.body, &last) != nil {
		t.Errorf("commit after a restart: %d %s", a.status, a.body)
	}
	for _, r := range results {
		if !reflect.DeepEqual(r, last) {
			t.Errorf("the answers differ:\n%+v\n%+v", r, last)
		}
	}
	if u := s.do("ana", "GET", "/v1/uploads/"+u.ID, nil, nil).upload(t); u.State != wire.UploadCommitted || u.Result == nil || !reflect.DeepEqual(*u.Result, last) {
		t.Errorf("asked for: %+v", u)
	}
	if a := s.do("ana", "POST", "/v1/uploads/"+u.ID+"/commit", nil, func(r *http.Request) { r.Header.Set("Idempotency-Key", "x") }); a.status != 400 {
		t.Errorf("another Idempotency-Key: %d", a.status)
	}
}

// A commit names exactly the blocks that are missing, and those that belong to
// nothing; data that only somebody else sent is missing.
func TestIncomplete(t *testing.T) {
	s := newSite(t, nil)
	files := map[string]string{"a": "alpha", "b": "beta", "c/d": "delta"}
	ana := newDataset(t, newMemory(), "ana", "iris", "1.0.0", files, nil)
	s.push("ana", ana)
	d := newDataset(t, newMemory(), "ben", "iris", "1.0.0", files, nil)
	stray := []byte("nobody links to this")
	strayID := cjson.RawCID(stray)
	memoryBatch{d.blocks}.Append(t.Context(), strayID, stray)
	leaf := func(c cid.Cid) bool { return c.Prefix().Codec == cid.Raw }

	for name, c := range map[string]struct {
		cids             []cid.Cid
		missing, strange []cid.Cid
	}{
		"nothing but the root":            {d.closure[:1], linksOf(t, d, d.closure[0]), nil},
		"no leaves, which ana has sent":   {slices.DeleteFunc(slices.Clone(d.closure), leaf), slices.DeleteFunc(slices.Clone(d.closure), func(c cid.Cid) bool { return !leaf(c) }), nil},
		"one more":                        {append(slices.Clone(d.closure), strayID), nil, []cid.Cid{strayID}},
		"one more and the last missing":   {append(slices.Clone(d.closure[:len(d.closure)-1]), strayID), d.closure[len(d.closure)-1:], []cid.Cid{strayID}},
		"a block twice is no other block": {append(slices.Clone(d.closure[:len(d.closure)-1]), d.closure[0]), d.closure[len(d.closure)-1:], nil},
	} {
		car := d.car(t, c.cids...)
		u := s.open("ben", d.declare(t, car)).upload(t)
		if a := s.put("ben", u.ID, car, nil); a.status != 204 {
			t.Fatalf("%s: %d %s", name, a.status, a.body)
		}
		a := s.commit("ben", u.ID)
		p := a.incomplete()
		if a.status != 422 || p.Code != fault.Unverified {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		if !sameCIDs(p.Missing, c.missing) || p.MissingTotal != int64(len(c.missing)) {
			t.Errorf("%s: missing %v, want %v", name, p.Missing, c.missing)
		}
		if !sameCIDs(p.Unreferenced, c.strange) || p.UnreferencedTotal != int64(len(c.strange)) {
			t.Errorf("%s: unreferenced %v, want %v", name, p.Unreferenced, c.strange)
		}
		if a := s.do("ben", "DELETE", "/v1/uploads/"+u.ID, nil, nil); a.status != 204 {
			t.Errorf("%s: dropping it: %d %s", name, a.status, a.body)
		}
	}
	if ok, err := s.store.Has(t.Context(), strayID); ok || err != nil {
		t.Errorf("the stray block is in the store: %v", err)
	}
	// What ana has sent is no base of ben's either, co-signed or not.
	o := d.declare(t)
	o.Bases = []cjson.CID{{Cid: manifests.StatementCID(payload(t, ana))}}
	if a := s.open("ben", o); a.status != 404 {
		t.Errorf("another's statement as a base: %d %s", a.status, a.body)
	}
	if s.reg.Status().Size != 2 {
		t.Errorf("the log has %d entries, want 2", s.reg.Status().Size)
	}
}

func payload(t *testing.T, d *dataset) []byte {
	t.Helper()
	b, err := manifests.Encode(d.statement)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func linksOf(t *testing.T, d *dataset, c cid.Cid) []cid.Cid {
	t.Helper()
	b, err := d.blocks.Block(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var out []cid.Cid
	for _, other := range d.closure[1:] {
		if bytes.Contains(b, []byte(`{"/":"`+other.String()+`"}`)) {
			out = append(out, other)
		}
	}
	return out
}

func sameCIDs(got []cjson.CID, want []cid.Cid) bool {
	var a, b []string
	for _, c := range got {
		a = append(a, c.String())
	}
	for _, c := range want {
		b = append(b, c.String())
	}
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// Somebody who was named as a contributor, and signed, has not sent the data.
func TestCosignerIsNoSender(t *testing.T) {
	s := newSite(t, nil)
	files := map[string]string{"a": "alpha"}
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", files, func(c *manifests.Contribution, m *manifests.Manifest) {
		m.Contributors, c.Contributors, c.Total = nil, nil, "2"
		both := []sign.KeyID{foldtest.ID("ana"), foldtest.ID("ben")}
		slices.Sort(both)
		for _, id := range both {
			m.Contributors = append(m.Contributors, manifests.Contributor{ID: id})
			c.Contributors = append(c.Contributors, manifests.Share{ID: id, Weight: "1"})
		}
	})
	d.envelope = seal(t, d.statement, "ana", "ben")
	s.push("ana", d)
	mine := newDataset(t, newMemory(), "ben", "iris", "1.0.0", files, nil)
	car := mine.car(t, mine.closure[0])
	o := mine.declare(t, car)
	o.Bases = []cjson.CID{{Cid: manifests.StatementCID(payload(t, d))}}
	if a := s.open("ben", o); a.status != 404 {
		t.Errorf("a co-signed statement as a base: %d %s", a.status, a.body)
	}
}

// The counts are those of the DAG, and root is where the content begins.
func TestDeclaration(t *testing.T) {
	s := newSite(t, func(o *upload.Options) { o.Quota = upload.Quota{Sessions: 100} })
	for name, c := range map[string]struct {
		change func(*wire.OpenUpload)
		open   int
		commit int
	}{
		"right":             {func(*wire.OpenUpload) {}, 201, 201},
		"another root":      {func(o *wire.OpenUpload) { o.Root = cjson.CID{Cid: cjson.RawCID(nil)} }, 400, 0},
		"no envelope":       {func(o *wire.OpenUpload) { o.Envelope = json.RawMessage(`{}`) }, 400, 0},
		"a block too few":   {func(o *wire.OpenUpload) { o.TotalBlocks-- }, 201, 422},
		"a byte too many":   {func(o *wire.OpenUpload) { o.TotalBytes++ }, 201, 422},
		"no blocks":         {func(o *wire.OpenUpload) { o.TotalBlocks = 0 }, 400, 0},
		"2^62 blocks":       {func(o *wire.OpenUpload) { o.TotalBlocks = 1 << 62 }, 413, 0},
		"a huge shard":      {func(o *wire.OpenUpload) { o.Shards[0].Bytes = wire.MaxShard + 1 }, 413, 0},
		"an empty shard":    {func(o *wire.OpenUpload) { o.Shards[0].Bytes = 0 }, 400, 0},
		"a negative shard":  {func(o *wire.OpenUpload) { o.Shards[0].Bytes = -1 << 62 }, 400, 0},
		"a path for a name": {func(o *wire.OpenUpload) { o.Shards[0].SHA256 = "../../../../keys/log.note" }, 400, 0},
		"upper case":        {func(o *wire.OpenUpload) { o.Shards[0].SHA256 = strings.ToUpper(o.Shards[0].SHA256) }, 400, 0},
		"a shard twice":     {func(o *wire.OpenUpload) { o.Shards = append(o.Shards, o.Shards[0]) }, 400, 0},
		"too many bases": {func(o *wire.OpenUpload) {
			o.Bases = make([]cjson.CID, wire.MaxBases+1)
			for i := range o.Bases {
				o.Bases[i] = o.Root
			}
		}, 413, 0},
		"an unknown base": {func(o *wire.OpenUpload) { o.Bases = []cjson.CID{o.Root} }, 404, 0},
		"many shards": {func(o *wire.OpenUpload) {
			for i := range wire.MaxShards {
				o.Shards = append(o.Shards, wire.Shard{SHA256: fmt.Sprintf("%064x", i), Bytes: 64})
			}
		}, 413, 0},
	} {
		d := newDataset(t, newMemory(), "ana", "x"+strings.Map(letter, name), "1.0.0", map[string]string{"a": "1"}, nil)
		car := d.car(t, d.closure...)
		o := d.declare(t, car)
		c.change(&o)
		a := s.open("ana", o)
		if a.status != c.open {
			t.Errorf("%s: %d, want %d: %s", name, a.status, c.open, a.body)
		}
		if a.status != 201 {
			continue
		}
		id := a.upload(t).ID
		if a := s.put("ana", id, car, nil); a.status != 204 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		if a := s.commit("ana", id); a.status != c.commit {
			t.Errorf("%s: %d, want %d: %s", name, a.status, c.commit, a.body)
		}
	}
	if a := s.do("ana", "POST", "/v1/uploads", []byte(`{"extra":1}`), nil); a.status != 400 {
		t.Errorf("an unknown member: %d", a.status)
	}
	if a := s.do("ana", "POST", "/v1/uploads", bytes.Repeat([]byte(" "), wire.MaxOpen+1), nil); a.status != 413 {
		t.Errorf("a body above the limit: %d", a.status)
	}
}

func letter(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r
	}
	return -1
}

// Whoever opens fifty uploads at the same moment gets what the quota has.
func TestQuotaRace(t *testing.T) {
	s := newSite(t, func(o *upload.Options) { o.Quota = upload.Quota{Sessions: 5, Statements: 7} })
	mine := newMemory()
	var all []wire.OpenUpload
	for i := range 50 {
		d := newDataset(t, mine, "ana", fmt.Sprintf("d%d", i), "1.0.0", map[string]string{"a": "1"}, nil)
		all = append(all, d.declare(t, d.car(t, d.closure...)))
	}
	openAll := func() (ids []string, refused int) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, o := range all {
			wg.Go(func() {
				a := s.open("ana", o)
				mu.Lock()
				defer mu.Unlock()
				switch a.status {
				case 201:
					ids = append(ids, a.upload(t).ID)
				case 429:
					refused++
				default:
					t.Errorf("%d %s", a.status, a.body)
				}
			})
		}
		wg.Wait()
		return ids, refused
	}
	ids, refused := openAll()
	if len(ids) != 5 || refused != 45 {
		t.Fatalf("%d are open and %d refused, want 5 and 45", len(ids), refused)
	}
	s.restart(nil) // what is reserved stays so
	if a := s.open("ana", all[0]); a.status != 429 && a.status != 200 {
		t.Errorf("after a restart: %d %s", a.status, a.body)
	}
	for _, id := range ids {
		if a := s.do("ana", "DELETE", "/v1/uploads/"+id, nil, nil); a.status != 204 {
			t.Errorf("dropping: %d %s", a.status, a.body)
		}
	}
	if ids, _ = openAll(); len(ids) != 2 {
		t.Errorf("%d more are open, want 2: seven a day", len(ids))
	}
	s.clock.add(25 * time.Hour)
	if n, err := s.up.Sweep(); n != 2 || err != nil {
		t.Errorf("swept %d, %v, want 2", n, err)
	}
	if ids, _ = openAll(); len(ids) != 5 {
		t.Errorf("the next day %d are open, want 5", len(ids))
	}
}

func TestQuotaBytes(t *testing.T) {
	s := newSite(t, func(o *upload.Options) { o.Quota = upload.Quota{StoredBytes: 3000, StagedBytes: 5000} })
	mine := newMemory()
	make := func(name string, n int) (*dataset, wire.OpenUpload) {
		d := newDataset(t, mine, "ana", name, "1.0.0", map[string]string{"a": text(n, name)}, nil)
		return d, d.declare(t, d.car(t, d.closure...))
	}
	_, big := make("big", 6000)
	if a := s.open("ana", big); a.status != 413 || a.code() != "too-large" {
		t.Errorf("above the quota: %d %s", a.status, a.body)
	}
	d, _ := make("first", 800)
	s.push("ana", d)
	_, second := make("second", 1500)
	if a := s.open("ana", second); a.status != 413 {
		t.Errorf("above what is left: %d %s", a.status, a.body)
	}
	s.restart(nil)
	if a := s.open("ana", second); a.status != 413 {
		t.Errorf("above what is left, read from the log: %d %s", a.status, a.body)
	}
	if a := s.open("ben", newDataset(t, mine, "ben", "x", "1.0.0", map[string]string{"a": text(1000, "x")}, nil).declare(t)); a.status != 201 {
		t.Errorf("another's quota: %d %s", a.status, a.body)
	}
}

// All owners together declare no more than the server can remember.
func TestLimits(t *testing.T) {
	s := newSite(t, func(o *upload.Options) { o.Limits = upload.Limits{Shards: 3} })
	mine := newMemory()
	two := func(who string) wire.OpenUpload {
		d := newDataset(t, mine, who, "iris", "1.0.0", map[string]string{"a": who}, nil)
		return d.declare(t, d.car(t, d.closure[:2]...), d.car(t, d.closure[2:]...))
	}
	u := s.open("ana", two("ana")).upload(t)
	if a := s.open("ben", two("ben")); a.status != 429 {
		t.Errorf("four shards of three: %d %s", a.status, a.body)
	}
	if a := s.do("ana", "DELETE", "/v1/uploads/"+u.ID, nil, nil); a.status != 204 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.open("ben", two("ben")); a.status != 201 {
		t.Errorf("once there is room: %d %s", a.status, a.body)
	}
}

// A full disk refuses uploads and nothing else; once there is room they go on.
func TestFullDisk(t *testing.T) {
	var mu sync.Mutex
	free := uint64(1 << 40)
	set := func(n uint64) { mu.Lock(); free = n; mu.Unlock() }
	s := newSite(t, func(o *upload.Options) {
		o.Free = func(string) (uint64, uint64, error) { mu.Lock(); defer mu.Unlock(); return free, 1 << 40, nil }
	})
	mine := newMemory()
	d := newDataset(t, mine, "ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil)
	e := newDataset(t, mine, "ana", "other", "1.0.0", map[string]string{"a": "2"}, nil)
	car := d.car(t, d.closure...)
	u := s.open("ana", d.declare(t, car)).upload(t)
	set(1<<40/20 - 1)
	if a := s.open("ana", e.declare(t, e.car(t, e.closure...))); a.status != 507 || a.code() != "no-space" {
		t.Errorf("opening: %d %s", a.status, a.body)
	}
	for range 16 {
		if a := s.put("ana", u.ID, car, nil); a.status != 507 {
			t.Errorf("sending: %d %s", a.status, a.body)
		}
	}
	if got := s.do("ana", "GET", "/v1/uploads/"+u.ID, nil, nil).upload(t); len(got.Missing) != 1 {
		t.Errorf("asking: %+v", got)
	}
	set(1 << 40)
	if a := s.put("ana", u.ID, car, nil); a.status != 204 {
		t.Errorf("sending once there is room: %d %s", a.status, a.body)
	}
	if a := s.commit("ana", u.ID); a.status != 201 {
		t.Errorf("commit: %d %s", a.status, a.body)
	}
}

// A server that was killed goes on with what it acknowledged, from each step.
func TestRestart(t *testing.T) {
	s := newSite(t, nil)
	mine := newMemory()
	for i, step := range []string{"opened", "half sent", "half written", "examined", "one lent", "one adopted", "logged"} {
		d := newDataset(t, mine, "ana", fmt.Sprintf("d%d", i), "1.0.0", map[string]string{"a": step, "b": step + "b"}, nil)
		one, two := d.car(t, d.closure[:2]...), d.car(t, d.closure[2:]...)
		u := s.open("ana", d.declare(t, one, two)).upload(t)
		dir := filepath.Join(s.o.Dir, u.ID)
		send := func(car []byte) {
			t.Helper()
			if a := s.put("ana", u.ID, car, nil); a.status != 204 {
				t.Fatalf("%s: %d %s", step, a.status, a.body)
			}
		}
		if step != "opened" {
			send(one)
		}
		if i >= 3 {
			send(two)
		}
		stage := func() {
			name := filepath.Join(dir, "session.json")
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			b = bytes.Replace(b, []byte(`"stage":"open"`), []byte(`"stage":"promoting"`), 1)
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		id := u.ID + sumOf(one)[:32]
		switch step {
		case "one lent", "one adopted":
			if err := s.store.Lend(filepath.Join(dir, sumOf(one)+".car"), id); err != nil {
				t.Fatal(err)
			}
		}
		if step == "one adopted" {
			if _, err := s.store.Adopt(t.Context(), cid.Undef, id); err != nil {
				t.Fatal(err)
			}
		}
		if step == "logged" {
			if a := s.commit("ana", u.ID); a.status != 201 {
				t.Fatalf("%s: %d %s", step, a.status, a.body)
			}
		}
		s.restart(func() {
			switch step {
			case "half written":
				if err := os.WriteFile(filepath.Join(dir, "x.car.tmp"), two[:100], 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, sumOf(two)+".idx"), two[:100], 0o600); err != nil {
					t.Fatal(err)
				}
			case "examined", "one lent", "one adopted":
				stage()
			}
		})
		got := s.do("ana", "GET", "/v1/uploads/"+u.ID, nil, nil).upload(t)
		want := map[string]int{"opened": 2, "half sent": 1, "half written": 1}[step]
		if len(got.Missing) != want {
			t.Errorf("%s: after the restart %d shards are missing, want %d", step, len(got.Missing), want)
		}
		for _, car := range [][]byte{one, two} {
			if slices.Contains(got.Missing, sumOf(car)) {
				send(car)
			}
		}
		if a := s.commit("ana", u.ID); a.status != 201 {
			t.Errorf("%s: commit: %d %s", step, a.status, a.body)
		}
		for _, c := range d.closure {
			if ok, err := s.store.Has(t.Context(), c); !ok || err != nil {
				t.Errorf("%s: block %s is not there: %v", step, c, err)
			}
		}
		if lent, err := s.store.Lent(); len(lent) > 0 || err != nil {
			t.Errorf("%s: %v waits for adoption, %v", step, lent, err)
		}
	}
	if _, err := s.store.CheckAll(t.Context(), nil, func(d pack.Damage) { t.Errorf("damage: %v", d) }); err != nil {
		t.Error(err)
	}
	s.clock.add(25 * time.Hour)
	if _, err := s.up.Sweep(); err != nil {
		t.Error(err)
	}
	if left := s.files(); len(left) > 0 {
		t.Errorf("left after the lease: %q", left)
	}
}

// An abandoned session goes with its reservation; a folder that is none goes too.
func TestSweep(t *testing.T) {
	s := newSite(t, func(o *upload.Options) { o.Quota = upload.Quota{Sessions: 1} })
	mine := newMemory()
	d := newDataset(t, mine, "ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil)
	e := newDataset(t, mine, "ana", "other", "1.0.0", map[string]string{"a": "2"}, nil)
	car := d.car(t, d.closure...)
	u := s.open("ana", d.declare(t, car)).upload(t)
	s.clock.add(23 * time.Hour)
	if a := s.put("ana", u.ID, car, nil); a.status != 204 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	s.clock.add(23 * time.Hour)
	if n, err := s.up.Sweep(); n != 0 || err != nil {
		t.Errorf("swept %d, %v: the lease slides", n, err)
	}
	s.clock.add(2 * time.Hour)
	if a := s.do("ana", "GET", "/v1/uploads/"+u.ID, nil, nil); a.status != 404 {
		t.Errorf("after the lease: %d %s", a.status, a.body)
	}
	if n, err := s.up.Sweep(); n != 1 || err != nil {
		t.Errorf("swept %d, %v, want 1", n, err)
	}
	if left := s.files(); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
	if a := s.open("ana", e.declare(t, e.car(t, e.closure...))); a.status != 201 {
		t.Errorf("the reservation is not free: %d %s", a.status, a.body)
	}
	s.restart(func() {
		for _, name := range []string{"nothing/x.car", "broken/session.json"} {
			full := filepath.Join(s.o.Dir, name)
			if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(full, []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	if left := s.files(); len(left) != 2 {
		t.Errorf("left: %q, want a record and its envelope", left)
	}
}

// A push that was cut short goes on with its state file: what was acknowledged is
// not sent again, and the statement is the same.
func TestResume(t *testing.T) {
	s := newSite(t, nil)
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", map[string]string{"a": text(1<<20, "abc"), "b": text(1<<20, "defg"), "c": "x"}, nil)
	o := d.options()
	o.StateFile, o.ShardBytes, o.Policy = filepath.Join(t.TempDir(), "push.json"), 300<<10, s.policy()
	sealed := 0
	o.Seal = func(context.Context) ([]byte, error) { sealed++; return d.envelope, nil }
	ctx, cancel := context.WithCancel(t.Context())
	var acked int64
	o.Sending = func(done, _ int64) {
		if acked = done; done > 0 {
			cancel()
		}
	}
	if _, err := s.client("ana").Push(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("the first push: %v", err)
	}
	if _, err := os.Stat(o.StateFile); err != nil {
		t.Fatal(err)
	}
	o.Sending = nil
	out, err := s.client("ana").Push(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !out.Resumed || sealed != 1 || acked == 0 {
		t.Errorf("resumed %v, sealed %d times, %d bytes were acknowledged", out.Resumed, sealed, acked)
	}
	if _, err := os.Stat(o.StateFile); err == nil {
		t.Error("the state file is still there")
	}
}

// A statement that the log would reject leaves neither a state file nor an upload:
// the name has a version already, which another statement made.
func TestPushConflict(t *testing.T) {
	s := newSite(t, nil)
	mine := newMemory()
	s.push("ana", newDataset(t, mine, "ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil))
	d := newDataset(t, mine, "ana", "iris", "1.0.0", map[string]string{"a": "2"}, nil)
	o := d.options()
	o.StateFile = filepath.Join(t.TempDir(), "push.json")
	if _, err := s.client("ana").Push(t.Context(), o); !errors.Is(err, fault.Conflict) {
		t.Fatalf("%v, want conflict", err)
	}
	if _, err := os.Stat(o.StateFile); err == nil {
		t.Error("the state file is still there")
	}
	for _, c := range d.closure {
		if b, _ := mine.Block(t.Context(), c); string(b) == "2" {
			if ok, err := s.store.Has(t.Context(), c); ok || err != nil {
				t.Errorf("a block that nobody registered is in the store: %v", err)
			}
		}
	}
	if left := s.files(); len(left) != 2 {
		t.Errorf("left: %q, want the record of the first push and its envelope", left)
	}
}

// Statements that need no blocks come in by POST /v1/entries, signed by their own
// key and within the quota; those with content do not.
func TestEntries(t *testing.T) {
	s := newSite(t, func(o *upload.Options) { o.Quota = upload.Quota{Statements: 2} })
	profile := func(who, handle string) []byte {
		return seal(t, manifests.New(&manifests.Profile{Common: common(t), Identity: foldtest.ID(who), Handle: handle}), who)
	}
	b := profile("ana", "ana")
	for range 2 { // the second is the first again
		if a := s.do("ana", "POST", "/v1/entries", b, nil); a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if a := s.do("ben", "POST", "/v1/entries", profile("ana", "ana-two"), nil); a.status != 403 {
		t.Errorf("sent by another key: %d %s", a.status, a.body)
	}
	if a := s.do("", "POST", "/v1/entries", b, nil); a.status != 401 {
		t.Errorf("sent by nobody: %d %s", a.status, a.body)
	}
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil)
	if a := s.do("ana", "POST", "/v1/entries", d.envelope, nil); a.status != 400 {
		t.Errorf("a contribution: %d %s", a.status, a.body)
	}
	if a := s.do("ana", "POST", "/v1/entries", profile("ana", "ana-two"), nil); a.status != 200 {
		t.Errorf("the second: %d %s", a.status, a.body)
	}
	if a := s.do("ana", "POST", "/v1/entries", profile("ana", "ana-three"), nil); a.status != 429 {
		t.Errorf("the third of two: %d %s", a.status, a.body)
	}
	o := d.declare(t, d.car(t, d.closure...))
	o.Envelope = profile("ana", "ana-four")
	if a := s.open("ana", o); a.status != 400 {
		t.Errorf("an upload of a profile: %d %s", a.status, a.body)
	}
}
