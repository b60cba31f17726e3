package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/access"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/fetches"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/gateway"
	"github.com/cairn-registry/cairn/registry/registrytest"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A counter is a door that counts.
type counter struct {
	*door
	h   *home
	dir string
}

// listGateway makes the key of name a gateway's, by a later registry/v1.
func (h *home) listGateway(names ...string) {
	h.t.Helper()
	p := &manifests.Registry{
		Common: registrytest.Common(h.t), Origin: registrytest.Origin, LogKeys: []string{h.reg.Status().VKey}, Operators: []sign.KeyID{foldtest.ID("operator")},
		OperatorThreshold: 1, FirstPeriod: "2026-11",
	}
	for _, n := range names {
		p.GatewayKeys = append(p.GatewayKeys, foldtest.ID(n))
	}
	if s, err := h.reg.Submit(h.t.Context(), registrytest.Seal(h.t, manifests.New(p), "operator")); err != nil || s.Verdict != registry.Accepted {
		h.t.Fatalf("%v, %v", s, err)
	}
}

func (h *home) counts(t *testing.T, dir string) *counter {
	t.Helper()
	c := &counter{&door{t: t}, h, dir}
	a, err := access.New(access.Options{Registry: h.reg, Store: h.store, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	who, err := auth.New(auth.Options{Issued: a.Issued, Now: c.now, Party: h.reg.Party, Live: h.reg.Live})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(who.Begins()))
	c.g = h.gateway(gateway.Options{Front: gateway.FrontOptions{
		Auth:   func(next http.Handler) http.Handler { return who.Middleware(a.Middleware(next)) },
		Caller: func(context.Context) string { return "" },
	}})
	f, err := fetches.New(fetches.Options{Registry: h.reg, Blocks: h.store.All(), May: c.g.May, Signer: foldtest.Key("gateway"), Dir: dir, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	c.g.TakeAccess(a)
	c.g.TakeFetches(f)
	c.url = serve(t, c.g.Public(true))
	return c
}

func (c *counter) client(name string) *client.Client { return client.New(c.url, c.signedBy(name)) }

func (c *counter) open(name string, statement cid.Cid) *wire.Fetch {
	c.t.Helper()
	f, err := c.client(name).OpenFetch(c.t.Context(), statement, "to count")
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

func (c *counter) record(name, fetch string) *manifests.FetchRecord {
	c.t.Helper()
	b, err := c.client(name).FetchRecord(c.t.Context(), fetch)
	if err != nil {
		c.t.Fatal(err)
	}
	f, by, err := manifests.VerifyFetchRecord(b, []sign.KeyID{foldtest.ID("gateway")})
	if err != nil || by != foldtest.ID("gateway") {
		c.t.Fatalf("%s, %v", by, err)
	}
	return f
}

// get sends a request under a fetch.
func (c *counter) get(fetch string, w way, headers ...string) answer {
	c.t.Helper()
	return c.ask(nil, w, append(headers, wire.FetchHeader+": "+fetch)...)
}

// TestFetchesCountWhatWasSent: each way of reading counts the bytes of files that it
// sent, once it has sent them; what sent none, or other data, counts none.
func TestFetchesCountWhatWasSent(t *testing.T) {
	for _, profile := range []dag.Profile{dag.ProfileV1_2025, dag.ProfileV0_2015} {
		t.Run(profile.Name, func(t *testing.T) {
			h := newHome(t)
			h.listGateway("gateway")
			data := files{"a.csv": "word,n\none,1\n", "dir/b.txt": "hello", "dir/none": "", "big.bin": noise(3, 3<<20), "page.html": "<p>"}
			r, err := ingest.Add(t.Context(), data.write(t), ingest.PackStore(h.store.Store), ingest.AddOptions{NoSketch: true, Profile: profile})
			if err != nil {
				t.Fatal(err)
			}
			statement := h.registerAs("ana", "words", "1.0.0", r, &terms.Terms{}, profile.Name)
			other := h.add(files{"x": "other data"})
			c := h.counts(t, t.TempDir())
			root := r.Root.String()
			var csv, big, forged, framed string
			total := int64(0)
			for _, f := range r.Files {
				total += f.Size
				switch f.Path {
				case "a.csv":
					csv = f.CID.String()
					// A block that is its own CID, and ends as the digest of the file's does;
					// and the bytes of the file's block, which in one profile are no contents.
					h, err := mh.Sum(append(make([]byte, 64), f.CID.Hash()...), mh.IDENTITY, -1)
					if err != nil {
						t.Fatal(err)
					}
					forged, framed = cid.NewCidV1(cid.Raw, h).String(), cid.NewCidV1(cid.Raw, f.CID.Hash()).String()
				case "big.bin":
					big = f.CID.String()
				}
			}
			rng := func(path string, off, n int64) manifests.FetchRange {
				return manifests.FetchRange{Path: path, Offset: off, Length: n}
			}
			type ranges = []manifests.FetchRange
			for name, tc := range map[string]struct {
				way  way
				want ranges // nil: nothing
				all  bool
			}{
				"file":           {way: way{path: "/ipfs/" + root + "/dir/b.txt"}, want: ranges{rng("dir/b.txt", 0, 5)}},
				"large file":     {way: way{path: "/ipfs/" + root + "/big.bin"}, want: ranges{rng("big.bin", 0, 3<<20)}},
				"by itself":      {way: way{path: "/ipfs/" + big}, want: ranges{rng("big.bin", 0, 3<<20)}},
				"range":          {way: way{path: "/ipfs/" + root + "/big.bin", headers: []string{"Range: bytes=1048570-2097160"}}, want: ranges{rng("big.bin", 1048570, 1048591)}},
				"small range":    {way: way{path: "/ipfs/" + root + "/big.bin", headers: []string{"Range: bytes=5-9"}}, want: ranges{rng("big.bin", 5, 5)}},
				"ranges":         {way: way{path: "/ipfs/" + root + "/big.bin", headers: []string{"Range: bytes=0-9,1048570-1048580"}}, want: ranges{rng("big.bin", 0, 10), rng("big.bin", 1048570, 11)}},
				"block":          {way: way{path: "/ipfs/" + csv + "?format=raw"}, want: ranges{rng("a.csv", 0, 13)}},
				"block by path":  {way: way{path: "/ipfs/" + root + "/a.csv?format=raw"}, want: ranges{rng("a.csv", 0, 13)}},
				"CAR":            {way: way{path: "/ipfs/" + root + "?format=car"}, all: true},
				"CAR of a path":  {way: way{path: "/ipfs/" + root + "/a.csv?format=car"}, want: ranges{rng("a.csv", 0, 13)}},
				"CAR of a range": {way: way{path: "/ipfs/" + big + "?format=car&dag-scope=entity&entity-bytes=0:10"}, want: ranges{rng("big.bin", 0, int64(leafSize(profile)))}},

				"forged block": {way: way{path: "/ipfs/" + forged + "?format=raw"}},
				"forged file":  {way: way{path: "/ipfs/" + forged}},
				"inner node":   {way: way{path: "/ipfs/" + big + "?format=raw"}},
				"HEAD":         {way: way{path: "/ipfs/" + root + "/big.bin", method: "HEAD"}},
				"known":        {way: way{path: "/ipfs/" + root + "/a.csv", headers: []string{`If-None-Match: "` + csv + `"`}}},
				"unknown path": {way: way{path: "/ipfs/" + root + "/nothing"}},
				"empty file":   {way: way{path: "/ipfs/" + root + "/dir/none"}},
				"directory":    {way: way{path: "/ipfs/" + root + "/"}},
				"other data":   {way: way{path: "/ipfs/" + other.Root.String() + "/x"}},
				"too far":      {way: way{path: "/ipfs/" + root + "/a.csv", headers: []string{"Range: bytes=100-"}}},
				"sniffed":      {way: way{path: "/ipfs/" + big, method: "HEAD"}},
			} {
				fetch := c.open("tina", statement).Fetch
				if a := c.get(fetch, tc.way); a.err != nil || a.status >= 500 {
					t.Fatalf("%s: %d, %v", name, a.status, a.err)
				}
				if tc.want == nil && !tc.all {
					if _, err := c.client("tina").FetchRecord(t.Context(), fetch); !errors.Is(err, fault.Conflict) {
						t.Errorf("%s: %v", name, err)
					}
					continue
				}
				f := c.record("tina", fetch)
				sent := int64(0)
				for _, r := range tc.want {
					sent += r.Length
				}
				if tc.all {
					sent = total
				}
				if f.Bytes != sent || f.CoveragePpm != sent*1_000_000/total || len(f.Ranges) != len(tc.want) {
					t.Errorf("%s: %d bytes, %d ppm, %v; want %d of %d", name, f.Bytes, f.CoveragePpm, f.Ranges, sent, total)
					continue
				}
				for i, r := range f.Ranges {
					if r != tc.want[i] {
						t.Errorf("%s: %v, want %v", name, r, tc.want[i])
					}
				}
				if f.Registry != registrytest.Origin || f.Statement.Cid != statement || !bytes.Equal(f.Root.Hash(), r.Root.Hash()) || f.Fetcher != foldtest.ID("tina") || f.Purpose != "to count" || f.Terms.Defined() {
					t.Errorf("%s: %+v", name, f)
				}
			}

			// The frame of a block is none of the file's bytes.
			if framed != csv {
				fetch := c.open("tina", statement).Fetch
				if a := c.get(fetch, way{path: "/ipfs/" + framed}); a.status != 200 || len(a.body) <= 13 {
					t.Fatalf("%d, %d bytes", a.status, len(a.body))
				}
				if _, err := c.client("tina").FetchRecord(t.Context(), fetch); !errors.Is(err, fault.Conflict) {
					t.Errorf("the frame of a block: %v", err)
				}
			}

			// Twice is sent twice and covers once; many machines share a fetch.
			fetch := c.open("tina", statement).Fetch
			c.get(fetch, way{path: "/ipfs/" + root + "/a.csv"})
			c.get(fetch, way{path: "/ipfs/" + root + "/a.csv"})
			if f := c.record("tina", fetch); f.Bytes != 26 || f.CoveragePpm != 13*1_000_000/total {
				t.Errorf("twice: %d bytes, %d ppm", f.Bytes, f.CoveragePpm)
			}
			// A server of another process goes on with the same fetches.
			fetch = c.open("tina", statement).Fetch
			c.get(fetch, way{path: "/ipfs/" + root + "/a.csv"})
			c.record("tina", fetch)
			next := h.counts(t, c.dir)
			next.get(fetch, way{path: "/ipfs/" + root + "/dir/b.txt"})
			if f := next.record("tina", fetch); f.Bytes != 18 {
				t.Errorf("after a restart: %d bytes", f.Bytes)
			}
		})
	}
}

func leafSize(p dag.Profile) int {
	if p.Name == dag.ProfileV0_2015.Name {
		return 256 << 10
	}
	return 1 << 20
}

// TestWhoMayCount: a fetch is opened by a key that proves itself, for a version that
// it may read, at a gateway whose key is in force; its record is that key's alone.
func TestWhoMayCount(t *testing.T) {
	h := newHome(t)
	r := h.add(files{"a": "hello"})
	statement := h.register("ana", "open", "1.0.0", r, &terms.Terms{})
	gatedRoot, document, gated := h.gated("ana", "talks", files{"b": secret}, gatedBy("CC-BY-4.0"))
	gone := h.register("ana", "gone", "1.0.0", h.add(files{"c": "for a while"}), &terms.Terms{})
	h.withdraw("ana", gone)
	h.accept("tina", document, "node")
	c := h.counts(t, filepath.Join(t.TempDir(), "fetches"))
	ctx := t.Context()

	if _, err := c.client("tina").OpenFetch(ctx, statement, ""); !errors.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "signs no fetch records") {
		t.Errorf("a key that is not listed: %v", err)
	}
	h.listGateway("gateway", "another")
	for name, tc := range map[string]struct {
		c         *client.Client
		statement cid.Cid
		purpose   string
		want      fault.Code
	}{
		"a stranger":           {client.New(c.url, nil), statement, "", fault.Unauthenticated},
		"an unknown one":       {c.client("tina"), cjson.RawCID([]byte("nothing")), "", fault.NotFound},
		"a root":               {c.client("tina"), r.Root, "", fault.NotFound},
		"gated, not accepted":  {c.client("eve"), gated, "", fault.Denied},
		"withdrawn":            {c.client("tina"), gone, "", fault.Gone},
		"an endless purpose":   {c.client("tina"), statement, strings.Repeat("x", 5000), fault.Invalid},
		"a purpose of control": {c.client("tina"), statement, "a\x00b", fault.Invalid},
		"a huge body":          {c.client("tina"), statement, strings.Repeat("x", 60<<10), fault.TooLarge},
	} {
		if f, err := tc.c.OpenFetch(ctx, tc.statement, tc.purpose); fault.Of(err) != tc.want {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}

	for _, body := range []string{"", "{}", "[]", `{"statement":"x"}`, `{"statement":"` + statement.String() + `","more":1}`, `{"statement":"` + statement.String() + `"} {}`} {
		if a := c.ask(c.signedBy("tina"), way{path: "/v1/fetches", method: "POST", body: body}); a.status != 400 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}

	// With acceptance, as who accepted and as a fetcher, by signature and by token.
	for _, name := range []string{"tina", "node"} {
		token := c.token(name)
		for how, api := range map[string]*client.Client{"signed": c.client(name), "token": client.New(c.url, client.Bearer(nil, token))} {
			f, err := api.OpenFetch(ctx, gated, "")
			if err != nil {
				t.Fatalf("%s, %s: %v", name, how, err)
			}
			if a := c.get(f.Fetch, way{path: "/ipfs/" + gatedRoot.Root.String() + "/b"}); a.status != 403 || bytes.Contains(a.body, []byte(secret)) {
				t.Errorf("a fetch opens what is gated: %d", a.status)
			}
			if _, err := api.FetchRecord(ctx, f.Fetch); !errors.Is(err, fault.Conflict) {
				t.Errorf("refused, and counted: %v", err)
			}
			if a := c.get(f.Fetch, way{path: "/ipfs/" + gatedRoot.Root.String() + "/b"}, bearer(token)...); a.status != 200 {
				t.Fatalf("%d", a.status)
			}
			if _, err := c.client("eve").FetchRecord(ctx, f.Fetch); !errors.Is(err, fault.NotFound) {
				t.Errorf("another's fetch: %v", err)
			}
			if _, err := client.New(c.url, nil).FetchRecord(ctx, f.Fetch); !errors.Is(err, fault.Unauthenticated) {
				t.Errorf("a stranger: %v", err)
			}
			b, err := api.FetchRecord(ctx, f.Fetch)
			if err != nil {
				t.Fatal(err)
			}
			rec, _, err := manifests.VerifyFetchRecord(b, []sign.KeyID{foldtest.ID("gateway")})
			if err != nil || rec.Terms.Cid != document || rec.CoveragePpm != 1_000_000 || rec.Fetcher != foldtest.ID(name) || rec.Ranges != nil {
				t.Errorf("%+v, %v", rec, err)
			}
		}
	}
	for _, id := range []string{"", "x", strings.Repeat("A", 22), strings.Repeat("A", 1<<10)} {
		if _, err := c.client("tina").FetchRecord(ctx, id); !errors.Is(err, fault.NotFound) {
			t.Errorf("%.30q: %v", id, err)
		}
		if a := c.get(id, way{path: "/ipfs/" + r.Root.String() + "/a"}); a.status != 200 {
			t.Errorf("data under a fetch that is none: %d", a.status)
		}
	}

	// What was sent before a withdrawal is on record after it, too.
	f := c.open("tina", statement)
	c.get(f.Fetch, way{path: "/ipfs/" + r.Root.String() + "/a"})
	h.withdraw("ana", statement)
	if rec := c.record("tina", f.Fetch); rec.CoveragePpm != 1_000_000 {
		t.Errorf("%d ppm", rec.CoveragePpm)
	}
	// A key that is listed no more signs nothing.
	h.listGateway("another")
	if _, err := c.client("tina").FetchRecord(ctx, f.Fetch); !errors.Is(err, fault.NotFound) {
		t.Errorf("a key that is listed no more: %v", err)
	}
}
