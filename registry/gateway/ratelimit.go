package gateway

import (
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/wire"
)

const (
	// maxClients bounds the addresses and keys that are remembered, each with
	// its counters: some 300 bytes. Who is forgotten begins anew.
	maxClients = 32 << 10
	// maxRunning bounds the requests that are answered at once; each holds a few
	// blocks in memory.
	maxRunning = 512
	// maxRunningPerAddress leaves room for others.
	maxRunningPerAddress = 128
	// maxBody bounds a request's body: a shard of an upload has at most 100 MiB.
	maxBody = 128 << 20
	// maxURL bounds a request's target: the longest query that /v1 takes has 4 KiB.
	maxURL = 8 << 10
)

// perAddress and perKey are the default rates. A client that fetches blocks of
// 256 KiB one by one moves 128 MB a second at this one.
var (
	perAddress = Rate{PerSecond: 500, Burst: 2000}
	perKey     = Rate{PerSecond: 500, Burst: 2000}
)

// A Rate is a number of requests a second, and how many may come at once.
type Rate struct {
	PerSecond float64
	Burst     int
}

// Limits are what strangers are held to. A zero field is its default, a
// negative one (for a Rate: a negative PerSecond) no limit.
type Limits struct {
	// Running bounds the requests being answered, default 512: above it, 503.
	Running int
	// RunningPerAddress bounds those of one address, default 128: above it, 429.
	RunningPerAddress int
	// PerAddress and PerKey are the requests of one address (of one /64 with
	// IPv6) and of one signing key, default 500 a second and 2000 at once: above
	// it, 429.
	PerAddress, PerKey Rate
	// BytesPerAddress is how fast one address may move bytes, both directions
	// together, in bytes a second; default no limit. What is faster waits.
	BytesPerAddress int64
	// Exempt are addresses without limits per address.
	Exempt []netip.Prefix
	// Clients bounds the addresses and keys that are remembered; default 32,768.
	Clients int

	// Body bounds a request's body, in bytes, default 128 MiB: above it, 413. Files and
	// commits of the Hub API have limits of their own instead.
	Body int64
	// URL bounds a request's target, in bytes, default 8 KiB: above it, 414.
	URL int
	// MinRate is the slowest transfer that is waited for, in bytes a second,
	// default 8 KiB, after Grace, default 10 s: below it the connection is closed.
	MinRate int64
	Grace   time.Duration
}

func (l Limits) filled() Limits {
	l.Running = orDefault(l.Running, maxRunning)
	l.RunningPerAddress = orDefault(l.RunningPerAddress, maxRunningPerAddress)
	l.PerAddress = orDefault(l.PerAddress, perAddress)
	l.PerKey = orDefault(l.PerKey, perKey)
	l.Clients = orDefault(l.Clients, maxClients)
	l.Body = orDefault(l.Body, maxBody)
	l.URL = orDefault(l.URL, maxURL)
	l.MinRate = orDefault(l.MinRate, minRate)
	l.Grace = orDefault(l.Grace, paceGrace)
	return l
}

// A client is what is remembered of an address or a key.
type client struct {
	requests *rate.Limiter
	bytes    *rate.Limiter

	mu      sync.Mutex
	running int
}

// clients remembers the most recent ones. It is safe for concurrent use.
type clients struct {
	mu  sync.Mutex
	lru *lru.Cache[string, *client]
}

func newClients(n int) *clients {
	c, err := lru.New[string, *client](max(n, 1))
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return &clients{lru: c}
}

// get returns the client of a name, a new one with full rights if it is not
// remembered.
func (c *clients) get(name string, r Rate, bytes int64) *client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x, ok := c.lru.Get(name); ok {
		return x
	}
	x := new(client)
	if r.PerSecond > 0 {
		x.requests = rate.NewLimiter(rate.Limit(r.PerSecond), max(r.Burst, 1))
	}
	if bytes > 0 {
		x.bytes = rate.NewLimiter(rate.Limit(bytes), int(max(min(bytes, math.MaxInt32), paceChunk)))
	}
	c.lru.Add(name, x)
	return x
}

// enter counts a running request, if there may be one more.
func (c *client) enter(most int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if most > 0 && c.running >= most {
		return false
	}
	c.running++
	return true
}

func (c *client) leave() {
	c.mu.Lock()
	c.running--
	c.mu.Unlock()
}

// take takes a request from the client's rate and says in the RateLimit fields
// what is left (draft-ietf-httpapi-ratelimit-headers). Where nothing is left it
// returns how long to wait.
func (c *client) take(h http.Header, scope string) (wait time.Duration) {
	if c.requests == nil {
		return 0
	}
	now := time.Now()
	r := c.requests.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	burst, perSecond := c.requests.Burst(), float64(c.requests.Limit())
	left := max(c.requests.TokensAt(now), 0)
	full := math.Ceil((float64(burst) - left) / perSecond)
	h.Set("RateLimit-Policy", fmt.Sprintf(`"%s";q=%d;w=%.0f`, scope, burst, math.Max(math.Ceil(float64(burst)/perSecond), 1)))
	h.Set("RateLimit", fmt.Sprintf(`"%s";r=%.0f;t=%.0f`, scope, math.Floor(left), full))
	return wait
}

// slowDown answers a request of which there are too many.
func slowDown(w http.ResponseWriter, wait time.Duration, format string, args ...any) {
	w.Header().Set("Retry-After", strconv.FormatFloat(math.Max(math.Ceil(wait.Seconds()), 1), 'f', 0, 64))
	refuse(w, http.StatusTooManyRequests, fault.WithHint(fault.New(fault.Busy, format, args...), "wait as long as Retry-After says, then try again"))
}

// refuse answers with a problem whose status is not the one of its code.
func refuse(w http.ResponseWriter, status int, err error) {
	p := wire.NewProblem(err, w.Header().Get(api.RequestID))
	p.Status = status
	p.Write(w)
}
