package overlap

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sketch"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/index"
	"github.com/cairn-registry/cairn/registry/wire"
)

const (
	// maxQuestions is how many questions of strangers are answered at once, and
	// questionWait how long one waits for its turn.
	maxQuestions = 2
	questionWait = 10 * time.Second
	// maxMatches bounds an answer.
	maxMatches = 100
	// maxUpstream bounds the versions that are looked at for a declared relation.
	maxUpstream = 4096
	// thresholdPpm is the share from which on an undeclared overlap is a finding.
	thresholdPpm = 10_000
	// sigmas is by how many standard errors a share must differ from nothing, and
	// leastShared how many hashes must be shared: one hash of a small sample is no
	// finding. It stands for 2^K records, and may be the only one of them that is
	// in both.
	sigmas      = 2
	leastShared = 2
)

// A match is an earlier dataset that shares something.
type match struct {
	row             dataset
	records, chunks sketch.Estimate
}

// finding reports whether a share is large enough, and sure enough.
func finding(e sketch.Estimate) bool {
	return e.Of > 0 && ppm(e.Share()) >= thresholdPpm && e.Share() > sigmas*e.StdErr() && (e.K == 0 || e.Shared >= leastShared)
}

func ppm(f float64) int64 { return int64(math.Round(f * 1e6)) }

// Report says what a dataset shares with the datasets that were registered
// before it. fault.NotFound for a statement that registered no dataset.
func (x *Index) Report(ctx context.Context, statement cid.Cid) (*wire.Overlap, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.catchUp(ctx); err != nil {
		return nil, err
	}
	d, err := x.version(statement)
	if err != nil {
		return nil, err
	}
	out := &wire.Overlap{Size: x.state.Applied, Dataset: ref(d), Matches: []wire.OverlapMatch{}}
	records, chunks, err := x.samples(ctx, d)
	if err != nil {
		return nil, err
	}
	out.Records, out.Chunks = sampleOf(records), sampleOf(chunks)
	found := make(map[uint64]match)
	var ofRecords, ofChunks []uint64 // the hashes of each that count
	if records != nil {
		shared, counted, err := x.owners(ctx, *records, ofRecord, d.Index)
		if err != nil {
			return nil, err
		}
		ofRecords = counted
		for i, n := range shared {
			row := x.datasets[i]
			found[i] = match{row: row, records: estimate(counted, records.K, row.Records.K, n)}
		}
	}
	if chunks != nil {
		shared, counted, err := x.owners(ctx, *chunks, ofChunk, d.Index)
		if err != nil {
			return nil, err
		}
		ofChunks = counted
		for i, n := range shared {
			m := found[i]
			m.row = x.datasets[i]
			m.chunks = estimate(counted, chunks.K, m.row.Chunks.K, n)
			found[i] = m
		}
	}
	var list []match
	for _, m := range found {
		// What was compared and is not shared is 0, not unknown.
		if m.records.Of == 0 && records != nil && m.row.Records != nil {
			m.records = estimate(ofRecords, records.K, m.row.Records.K, 0)
		}
		if m.chunks.Of == 0 && chunks != nil && m.row.Chunks != nil {
			m.chunks = estimate(ofChunks, chunks.K, m.row.Chunks.K, 0)
		}
		list = append(list, m)
	}
	slices.SortFunc(list, byShare)
	declared, err := x.declared(d)
	if err != nil {
		return nil, err
	}
	for _, m := range list[:min(len(list), maxMatches)] {
		id, err := cjson.ParseCID(m.row.Statement)
		if err != nil {
			return nil, damaged(tableFile)
		}
		o, err := x.version(id)
		if err != nil {
			return nil, err
		}
		w := wire.OverlapMatch{OverlapRef: ref(o), Records: share(m.records), Chunks: share(m.chunks), Declared: declared(o)}
		if w.Declared == "" && (finding(m.records) || finding(m.chunks)) {
			w.Finding = wire.OverlapUndeclared
		}
		out.Matches = append(out.Matches, w)
	}
	return out, nil
}

// Compare compares a dataset with one other, whichever was first, by their
// sketches and fingerprints alone.
func (x *Index) Compare(ctx context.Context, statement, with cid.Cid) (*wire.Overlap, error) {
	d, err := x.version(statement)
	if err != nil {
		return nil, err
	}
	o, err := x.version(with)
	if err != nil {
		return nil, err
	}
	records, chunks, err := x.samples(ctx, d)
	if err != nil {
		return nil, err
	}
	theirs, theirChunks, err := x.samples(ctx, o)
	if err != nil {
		return nil, err
	}
	declared, err := x.declared(d)
	if err != nil {
		return nil, err
	}
	m := wire.OverlapMatch{OverlapRef: ref(o), Records: both(theirs, records), Chunks: both(theirChunks, chunks), Declared: declared(o)}
	earlier := o.Index < d.Index && m.Declared == ""
	if earlier && (records != nil && theirs != nil && finding(sketch.Containment(*theirs, *records)) ||
		chunks != nil && theirChunks != nil && finding(sketch.Containment(*theirChunks, *chunks))) {
		m.Finding = wire.OverlapUndeclared
	}
	return &wire.Overlap{
		Size: x.reg.Status().Applied, Dataset: ref(d), Records: sampleOf(records), Chunks: sampleOf(chunks), Matches: []wire.OverlapMatch{m},
	}, nil
}

func both(a, b *sketch.Sketch) *wire.OverlapShare {
	if a == nil || b == nil {
		return nil
	}
	s := share(sketch.Containment(*a, *b))
	if back := sketch.Containment(*b, *a); s != nil && back.Of > 0 {
		n := ppm(back.Share())
		s.BackPpm = &n
	}
	return s
}

func (x *Index) version(statement cid.Cid) (d index.Dataset, err error) {
	err = x.reg.View(func(s *index.Snapshot) error {
		d, err = s.Dataset(statement)
		return err
	})
	return d, err
}

// declared returns what tells how d declares that it comes from another dataset.
func (x *Index) declared(d index.Dataset) (func(index.Dataset) string, error) {
	how := make(map[string]string) // by statements, and by hashes of content
	err := x.reg.View(func(s *index.Snapshot) error {
		queue := []index.Dataset{d}
		seen := map[string]bool{d.Statement.KeyString(): true}
		for n := 0; n < len(queue); n++ {
			v := queue[n]
			name := func(key, rel string) {
				if n > 0 {
					rel = "upstream"
				}
				if how[key] == "" {
					how[key] = rel
				}
			}
			follow := func(c cjson.CID, rel string) error {
				if !c.Defined() {
					return nil
				}
				name(c.KeyString(), rel)
				if seen[c.KeyString()] || len(queue) == maxUpstream {
					return nil
				}
				seen[c.KeyString()] = true
				p, err := s.Version(c.Cid)
				if errors.Is(err, fault.NotFound) {
					return nil
				}
				queue = append(queue, p)
				return err
			}
			for _, src := range v.Sources {
				if src.Rel == string(manifests.DeduplicatedAgainst) {
					continue // it says that nothing was copied, and explains nothing
				}
				if src.CID.Defined() {
					name(string(src.CID.Hash()), src.Rel)
				}
				if err := follow(src.Statement, src.Rel); err != nil {
					return err
				}
			}
			for _, e := range v.Edges {
				if err := follow(e.Statement, "edge"); err != nil {
					return err
				}
			}
			if err := follow(v.Supersedes, "supersedes"); err != nil {
				return err
			}
		}
		return nil
	})
	return func(o index.Dataset) string {
		if rel := how[o.Statement.KeyString()]; rel != "" {
			return rel
		}
		if rel := how[string(o.Root.Hash())]; rel != "" {
			return rel
		}
		if o.Manifest.Defined() {
			return how[string(o.Manifest.Hash())]
		}
		return ""
	}, err
}

func ref(d index.Dataset) wire.OverlapRef {
	return wire.OverlapRef{Index: d.Index, Statement: d.Statement, Publisher: d.Publisher, Name: d.Name, Version: d.Version}
}

func sampleOf(s *sketch.Sketch) *wire.OverlapSample {
	if s == nil {
		return nil
	}
	return &wire.OverlapSample{Hashes: len(s.Hashes), Scale: s.Scale()}
}

// share is nil when nothing could be compared.
func share(e sketch.Estimate) *wire.OverlapShare {
	if e.Of == 0 {
		return nil
	}
	return &wire.OverlapShare{SharePpm: ppm(e.Share()), StdErrPpm: ppm(e.StdErr()), Shared: e.Shared, Of: e.Of, Scale: 1 << e.K}
}

// Register adds GET /v1/overlap/{statement}, with ?with= for a pair. It may read
// a fingerprint of many megabytes, and the first question after many entries
// takes them in.
func (x *Index) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/overlap/{statement}", func(w http.ResponseWriter, r *http.Request) {
		out, err := x.answer(r)
		if err != nil {
			api.Problem(w, r, x.log(), err)
			return
		}
		api.Send(w, r, x.log(), out)
	})
}

func (x *Index) log() *slog.Logger { return x.cfg.Log }

func (x *Index) answer(r *http.Request) (*wire.Overlap, error) {
	parse := func(text string) (cid.Cid, error) {
		c, err := cjson.ParseCID(text)
		if err != nil {
			return cid.Undef, fault.New(fault.Invalid, "%s is not a CID: %w", fault.Quote(text), err)
		}
		return c, nil
	}
	statement, err := parse(r.PathValue("statement"))
	if err != nil {
		return nil, err
	}
	// A question reads megabytes; those who wait for one hold nothing, and go when
	// their clients do.
	wait, cancel := context.WithTimeout(r.Context(), questionWait)
	defer cancel()
	select {
	case x.questions <- struct{}{}:
		defer func() { <-x.questions }()
	case <-wait.Done():
		return nil, fault.New(fault.Busy, "too many questions about overlap at once")
	}
	if !r.URL.Query().Has("with") {
		return x.Report(r.Context(), statement)
	}
	with, err := parse(r.URL.Query().Get("with"))
	if err != nil {
		return nil, err
	}
	return x.Compare(r.Context(), statement, with)
}
