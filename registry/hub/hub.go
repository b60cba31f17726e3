// Package hub serves the part of the Hugging Face Hub API that its clients need
// to find, read and upload datasets, so that they do with HF_ENDPOINT or hubUrl
// set to this registry. HUB.md beside it is for users; the shapes are those
// that huggingface_hub (Python) and @huggingface/hub (npm) read and send.
//
// A repository is a dataset: HANDLE/NAME, z6Mk…/NAME for a publisher without a
// handle, or cairn/CID. A revision is an accepted version of it; its sha is the
// first 40 hex digits of the statement's digest.
//
// An uploaded commit becomes a contribution that is signed by a custodial key:
// one that lies with the operator, and that the operator's configuration binds
// to the uploader's token. Every view of such a version says so, because the
// operator could have made it.
//
// What it is not: a git server, and not Xet. Clients that insist on Xet are told
// how to do without.
package hub

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	block "github.com/ipfs/go-block-format"
	"golang.org/x/sync/semaphore"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/ingest/blocks/pack"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/index"
)

// Custodial is what every view of a version says whose key lies with the operator.
const Custodial = "custodial: the operator could have made this"

// A Signer returns the key of the operator's key ring with the given name.
type Signer func(name string) (sign.Signer, error)

// A Store takes what a commit makes.
type Store interface {
	ingest.Store
	// PutRecords stores documents; they are durable when it returns nil.
	PutRecords(ctx context.Context, bs ...block.Block) error
}

// PackStore returns s as a store for commits.
func PackStore(s *pack.Store) Store { return packStore{ingest.PackStore(s), s} }

type packStore struct {
	ingest.Store
	records *pack.Store
}

func (p packStore) PutRecords(ctx context.Context, bs ...block.Block) error {
	return p.records.PutRecords(ctx, bs...)
}

// Options are the settings of a [Hub]. The zero value reads and takes no upload.
type Options struct {
	// URL is how clients reach this server, without a slash at its end, for the
	// absolute URLs that the protocol wants; "" is what the request says.
	URL string

	// Access is asked for each version, with the request's context: fault.Gone
	// for one that was withdrawn, fault.Denied or fault.Unauthenticated for one
	// whose bytes the caller may not read. nil allows everything.
	Access func(ctx context.Context, d index.Dataset) error
	// Open, when set, returns a context that opens, besides what ctx opens, what its
	// caller may read of the version, for reading that version alone.
	Open func(ctx context.Context, d index.Dataset) (context.Context, error)
	// Signals, when set, adds to the headers of a file's answer what the terms
	// of its dataset tell machines.
	Signals func(h http.Header, d index.Dataset)
	// Croissant, when set, makes the Croissant document of a version, whose URLs
	// begin with base.
	Croissant func(ctx context.Context, base string, d index.Dataset) ([]byte, error)

	// Uploads are taken when all four are set: who may write (see
	// [auth.Auth.Writer]), the custodial keys, where blocks go, and a folder for
	// what was sent and is not committed yet. Nobody else writes to Dir.
	Writer func(ctx context.Context) (auth.Caller, error)
	Signer Signer
	Store  Store
	Dir    string
	Limits Limits

	// Reserve, when set, takes from a caller's quota for a version of a key's with
	// the given bytes of files, before any of it is stored; done is told how many
	// bytes were registered. Room, when set, refuses when need more bytes do not fit
	// on the disk.
	Reserve func(c auth.Caller, key sign.KeyID, bytes int64) (done func(stored int64), err error)
	Room    func(need int64) error

	Now func() time.Time // default time.Now
	Log *slog.Logger     // default: nothing is logged
}

// Limits bound uploads. A zero member means its default.
type Limits struct {
	// StagedBytes bounds what one token may have sent and not committed; default
	// 64 GiB. It is reserved before the first byte is taken.
	StagedBytes int64
	// StagedFiles is the same in files; default 20,000.
	StagedFiles int
	// CommitFiles bounds the changes of one commit; default 10,000.
	CommitFiles int
	// CommitBytes bounds the bytes of the files that one commit adds; default
	// StagedBytes.
	CommitBytes int64
	// Keep is how long a file that was sent waits for its commit; default 24 h.
	Keep time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.StagedBytes == 0 {
		l.StagedBytes = 64 << 30
	}
	if l.StagedFiles == 0 {
		l.StagedFiles = 20_000
	}
	if l.CommitFiles == 0 {
		l.CommitFiles = 10_000
	}
	if l.CommitBytes == 0 {
		l.CommitBytes = l.StagedBytes
	}
	if l.Keep == 0 {
		l.Keep = 24 * time.Hour
	}
	return l
}

const (
	// maxCommits is how many commits are worked on at once: the store has one
	// writer, and one that is sent again finds what the first one made.
	maxCommits = 1
	// maxReading is how many commits are read and wait for their turn, of all tokens
	// and of one. Each holds at most 64 MiB: a line of 6 MiB in some forms, and the
	// paths of its changes.
	maxReading, maxReadingOne = 8, 2
	// commitWait bounds a commit: hundreds of GiB from one disk to another.
	commitWait = time.Hour
	// maxHashing is how many files are read at once for their git names.
	maxHashing = 2
)

// A Hub answers the Hub API of one registry. It is safe for concurrent use.
type Hub struct {
	reg    *registry.Registry
	blocks blocks.Reader
	o      Options
	log    *slog.Logger

	stage   *stage // nil: no uploads
	secret  [32]byte
	commits *semaphore.Weighted
	reading *semaphore.Weighted
	hashing *semaphore.Weighted

	mu     sync.Mutex
	tokens map[string]*turns // commits that are read, by token

	oids bounded[string, [20]byte] // of files, by their CIDs
	docs bounded[string, *content] // by manifest
}

// New returns the Hub API of a registry whose blocks are read through b. With a
// folder for uploads, it clears what an earlier process left half-sent there.
func New(reg *registry.Registry, b blocks.Reader, o Options) (*Hub, error) {
	o.Limits = o.Limits.withDefaults()
	o.URL = strings.TrimSuffix(o.URL, "/")
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &Hub{
		tokens: make(map[string]*turns),
		reg:    reg, blocks: b, o: o, log: o.Log,
		commits: semaphore.NewWeighted(maxCommits), reading: semaphore.NewWeighted(maxReading), hashing: semaphore.NewWeighted(maxHashing),
		oids: newBounded[string, [20]byte](1 << 16), docs: newBounded[string, *content](8),
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if o.Writer != nil && o.Signer != nil && o.Store != nil && o.Dir != "" {
		var err error
		if h.secret, err = loadSecret(o.Dir); err != nil {
			return nil, err
		}
		if h.stage, err = openStage(o.Dir, o.Limits, o.Now); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// Register adds the routes below /api/ and /datasets/ to mux.
func (h *Hub) Register(mux *http.ServeMux) {
	handle := func(pattern string, fn func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			cors(w.Header())
			if err := fn(w, r); err != nil {
				h.fail(w, r, err)
			}
		})
	}
	const repo = "/api/datasets/{owner}/{name}"
	handle("GET /api/datasets", h.search)
	handle("GET "+repo, h.info)
	handle("GET "+repo+"/revision/{rev}", h.info)
	handle("GET "+repo+"/tree/{rev}", h.tree)
	handle("GET "+repo+"/tree/{rev}/{path...}", h.tree)
	handle("POST "+repo+"/paths-info/{rev}", h.pathsInfo)
	handle("GET "+repo+"/refs", h.refs)
	handle("GET "+repo+"/commits/{rev}", h.history)
	handle("GET "+repo+"/croissant", h.croissant)
	handle("GET /datasets/{owner}/{name}/resolve/{rev}/{path...}", h.resolve)
	handle("GET /datasets/{owner}/{name}/raw/{rev}/{path...}", h.resolve)
	handle("GET /api/whoami-v2", h.whoami)

	handle("POST /api/repos/create", h.create)
	handle("POST /api/validate-yaml", h.validateYAML)
	handle("POST "+repo+"/preupload/{rev}", h.preupload)
	handle("POST "+repo+"/commit/{rev}", h.commit)
	handle("POST /datasets/{owner}/{name}/info/lfs/objects/batch", h.batch)
	handle("PUT /datasets/{owner}/{name}/lfs/{oid}", h.putObject)
	handle("POST /datasets/{owner}/{name}/lfs/{oid}", h.verifyObject)
	for _, token := range []string{"xet-read-token", "xet-write-token"} {
		handle("GET "+repo+"/"+token+"/{rev}", noXet)
	}

	handle("OPTIONS /api/", preflight)
	handle("OPTIONS /datasets/", preflight)
	handle("/api/", nothing)
	handle("/datasets/", nothing)
}

// exposed are the headers that a page in a browser may read.
const exposed = "X-Repo-Commit, X-Error-Code, X-Error-Message, X-Request-Id, ETag, Link, Accept-Ranges, Content-Range, Content-Length, X-Linked-Size, X-Linked-ETag"

// cors lets pages of other origins read. No answer depends on a cookie, so a page
// gets no more than a stranger does.
func cors(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", exposed)
}

func preflight(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, OPTIONS")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Range, If-None-Match, If-Range, X-Request-Id")
	w.Header().Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// base is the URL that the absolute URLs of answers begin with.
func (h *Hub) base(r *http.Request) string { return api.BaseURL(h.o.URL, r) }

// bounded is a map that forgets its oldest entry when it is full.
type bounded[K comparable, V any] struct {
	mu   *sync.Mutex
	m    map[K]V
	ring []K
	next int
}

func newBounded[K comparable, V any](size int) bounded[K, V] {
	return bounded[K, V]{mu: new(sync.Mutex), m: make(map[K]V), ring: make([]K, 0, size)}
}

func (b *bounded[K, V]) get(k K) (V, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v, ok := b.m[k]
	return v, ok
}

func (b *bounded[K, V]) put(k K, v V) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.m[k]; !ok {
		if len(b.ring) < cap(b.ring) {
			b.ring = append(b.ring, k)
		} else {
			delete(b.m, b.ring[b.next])
			b.ring[b.next] = k
			b.next = (b.next + 1) % len(b.ring)
		}
	}
	b.m[k] = v
}
