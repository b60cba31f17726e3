package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/semaphore"

	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/index"
)

const (
	// maxCopyVersions is how many versions back a file is looked for that a
	// commit names without sending it.
	maxCopyVersions = 16
	// maxTaken is how many versions somebody may have taken ahead by hand.
	maxTaken = 1000
	// maxTags is how many keywords a version has.
	maxTags = 64
	// maxTitle is what a version's title may have.
	maxTitle = 256
)

// extension is what a commit over the Hub API adds to a manifest, in its ext.
type extension struct {
	Custodial bool           `json:"custodial,omitempty"`
	Commit    *commitMessage `json:"commit,omitempty"`
}

type commitMessage struct {
	Summary     string `json:"summary,omitempty"`
	Description string `json:"description,omitempty"`
}

// extensionOf reads what an earlier commit added; ext may hold anything.
func extensionOf(m *manifests.Manifest) (e extension) {
	if m.Ext == nil || json.Unmarshal(m.Ext, &e) != nil {
		return extension{}
	}
	return e
}

// commit makes a contribution of what was sent: the newest version with the
// changes, signed by the custodial key. What was sent is dropped once the
// contribution is in the log; until then the same commit can be sent again.
func (h *Hub) commit(w http.ResponseWriter, r *http.Request) error {
	u, err := h.upload(r)
	if err != nil {
		return err
	}
	leave, err := h.turn(r.Context(), u.caller.Token)
	if err != nil {
		return err
	}
	defer leave()
	spool, err := h.stage.spool(u.caller.Token)
	if err != nil {
		return err
	}
	defer spool.Close()
	req, err := parseCommit(http.MaxBytesReader(w, r.Body, maxCommitBody), h.o.Limits.CommitFiles, spool)
	if err != nil {
		return err
	}
	if err := h.commits.Acquire(r.Context(), 1); err != nil {
		return context.Cause(r.Context())
	}
	defer h.commits.Release(1)
	// Some clients wait for an answer less long than a large commit takes. It goes
	// on without them; sent again, it is found to be made.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), commitWait)
	defer cancel()
	// While the body came, somebody may have been faster.
	if err := h.reg.View(func(s *index.Snapshot) error { return h.head(s, u) }); err != nil {
		return err
	}
	k := &committer{h: h, upload: u, req: req, spool: spool}
	statement, err := k.run(ctx)
	if err != nil {
		return err
	}
	h.stage.drop(u.caller.Token, k.used)
	sha := Sha(statement)
	w.Header().Set("Cache-Control", "no-store")
	return send(w, http.StatusOK, map[string]any{
		"success": true, "commitOid": sha, "commitUrl": h.base(r) + "/datasets/" + u.id() + "/commit/" + sha,
		"hookOutput": Custodial, "statement": statement.String(),
	})
}

// turns are the commits of a token that are read or wait to be.
type turns struct {
	*semaphore.Weighted
	users int
}

// turn waits until another commit of a token may be read: no token takes all
// places, however slowly it sends.
func (h *Hub) turn(ctx context.Context, token string) (leave func(), err error) {
	h.mu.Lock()
	t := h.tokens[token]
	if t == nil {
		t = &turns{Weighted: semaphore.NewWeighted(maxReadingOne)}
		h.tokens[token] = t
	}
	t.users++
	h.mu.Unlock()
	gone := func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(h.tokens, token)
		}
	}
	if err := t.Acquire(ctx, 1); err != nil {
		gone()
		return nil, context.Cause(ctx)
	}
	if err := h.reading.Acquire(ctx, 1); err != nil {
		t.Release(1)
		gone()
		return nil, context.Cause(ctx)
	}
	return func() { h.reading.Release(1); t.Release(1); gone() }, nil
}

// A committer is one commit on its way.
type committer struct {
	h *Hub
	*upload
	req   *commitRequest
	spool io.ReaderAt

	base  *content           // of head; nil for a first version
	used  []string           // staged files that it took
	done  func(stored int64) // gives back what was reserved; nil without
	older map[string]manifests.File
}

// stale is the answer to a commit on a version that is not the newest.
func stale(head *revision) error {
	at := "there is no version yet"
	if head != nil {
		at = "the newest is " + head.sha
	}
	return &answerError{
		error:  fault.WithHint(fault.New(fault.Conflict, "the parent commit is not the newest one: %s", at), "fetch the newest version and commit again"),
		status: http.StatusPreconditionFailed,
	}
}

func (k *committer) run(ctx context.Context) (cid.Cid, error) {
	if p := k.req.parent; p != "" && (k.head == nil || k.head.sha != p) {
		return cid.Undef, stale(k.head)
	}
	m := &manifests.Manifest{Contributors: []manifests.Contributor{{ID: k.identity}}}
	if k.head != nil {
		var err error
		if k.base, err = k.h.content(ctx, k.head); err != nil {
			return cid.Undef, err
		}
		copied := *k.base.m
		m = &copied
	}
	if err := k.check(); err != nil {
		return cid.Undef, err
	}
	license, err := k.describe(ctx, m)
	if err != nil {
		return cid.Undef, err
	}
	stored := int64(0)
	defer func() {
		if k.done != nil {
			k.done(stored)
		}
	}()
	tree, err := k.tree(ctx, m)
	if err != nil {
		return cid.Undef, err
	}
	tb, tcid, err := k.terms(ctx, license)
	if err != nil {
		return cid.Undef, err
	}
	if k.head != nil && tcid.Equals(k.head.Terms.Cid) && same(tree.root.CID, k.head.Root.Cid) && m.Title == k.head.Title && slices.Equal(m.Keywords, k.head.Keywords) {
		return k.head.Statement.Cid, nil // nothing is new
	}
	k.complete(m, tree, tcid)
	statement, err := k.register(ctx, m, tree, tb)
	if err == nil {
		stored = m.Data.Bytes
	}
	return statement, err
}

// check bounds what the commit adds, as far as its lines say.
func (k *committer) check() error {
	left := k.h.o.Limits.CommitBytes
	for _, c := range k.req.changes {
		if left -= max(c.size, 0); left < 0 {
			return fault.WithHint(fault.New(fault.TooLarge, "a commit that adds more than %d bytes", k.h.o.Limits.CommitBytes), "make several commits")
		}
	}
	return nil
}

// tree builds the new tree; its blocks are durable when it returns nil.
func (k *committer) tree(ctx context.Context, m *manifests.Manifest) (*composition, error) {
	profile, err := dag.ParseProfile(m.Data.Profile)
	if err != nil {
		return nil, err
	}
	spec := ""
	if m.Data.Chunking.Algo != "" {
		spec = m.Data.Chunking.String()
	}
	chunker, err := dag.ParseChunker(spec, profile)
	if err != nil {
		return nil, err
	}
	// All that can be refused is, before other writers have to wait.
	sources := make(map[string]source, len(k.req.changes))
	for _, c := range k.req.changes {
		s, err := k.source(ctx, c)
		if err != nil {
			return nil, err
		}
		sources[c.path] = s
	}
	if err := k.reserve(sources); err != nil {
		return nil, err
	}
	batch, err := k.h.o.Store.Batch(ctx)
	if err != nil {
		return nil, err
	}
	defer batch.Close()
	t := &composition{
		ctx: ctx, blocks: k.h.blocks, batch: batch, profile: profile, chunker: chunker, req: k.req,
		source: func(c change) (source, error) { return sources[c.path], nil },
	}
	if err := t.run(k.base); err != nil {
		return nil, err
	}
	return t, batch.Commit(ctx)
}

// reserve takes from the caller's quota what the new version may have: the files
// that there are, and those that the commit adds. Where it replaces some, less is
// counted in the end.
func (k *committer) reserve(sources map[string]source) error {
	added, total := int64(0), int64(0)
	if k.head != nil {
		total = k.head.Bytes
	}
	for _, c := range k.req.changes { // the sizes of what is here, not of what the lines say
		if f := sources[c.path].known; f != nil {
			total += f.Size
			continue
		}
		added += c.size
	}
	if k.h.o.Room != nil {
		if err := k.h.o.Room(added); err != nil {
			return err
		}
	}
	if k.h.o.Reserve == nil {
		return nil
	}
	var err error
	k.done, err = k.h.o.Reserve(k.caller, k.identity, total+added)
	return err
}

// source finds the bytes of a change: in the commit's own lines, among what the
// token sent, or in a version of this dataset.
func (k *committer) source(ctx context.Context, c change) (source, error) {
	if c.inline {
		return source{open: func() (io.Reader, func() error, error) {
			return io.NewSectionReader(k.spool, c.off, c.size), func() error { return nil }, nil
		}}, nil
	}
	if n, ok := k.h.stage.has(k.caller.Token, c.sha256); ok && (c.size == n || c.size < 0) {
		if c.size < 0 {
			k.sized(c.path, n)
		}
		k.used = append(k.used, c.sha256)
		return source{open: func() (io.Reader, func() error, error) {
			f, err := k.h.stage.open(k.caller.Token, c.sha256)
			if err != nil {
				return nil, nil, err
			}
			return f, f.Close, nil
		}}, nil
	}
	f, ok, err := k.version(ctx, c)
	if err != nil {
		return source{}, err
	}
	if !ok {
		return source{}, fault.WithHint(fault.New(fault.Invalid, "%s: the file with the SHA-256 %s was not sent", fault.Quote(c.path), c.sha256), "send it by LFS before the commit")
	}
	return source{known: &f}, nil
}

// sized fills in the size of a file that the commit did not say.
func (k *committer) sized(path string, n int64) {
	i := slices.IndexFunc(k.req.changes, func(c change) bool { return c.path == path })
	k.req.changes[i].size = n
}

// version finds a file of the newest versions by its SHA-256: one that was not
// sent again because it is there, or is copied. All that are asked for are
// looked for at once.
func (k *committer) version(ctx context.Context, c change) (manifests.File, bool, error) {
	if k.older == nil {
		k.older = make(map[string]manifests.File)
		if err := k.search(ctx); err != nil {
			return manifests.File{}, false, err
		}
	}
	f, ok := k.older[c.sha256]
	return f, ok && (c.size < 0 || c.size == f.Size), nil
}

func (k *committer) search(ctx context.Context) error {
	if k.head == nil {
		return nil
	}
	wanted := make(map[string]bool)
	for _, c := range k.req.changes {
		if !c.inline {
			wanted[c.sha256] = true
		}
	}
	page, err := k.h.versions(k.head, index.Query{Limit: maxCopyVersions})
	if err != nil {
		return err
	}
	for _, d := range page.Datasets {
		v := &revision{repo: k.repo, Dataset: d, sha: Sha(d.Statement.Cid)}
		if err := k.h.admit(ctx, v); err != nil || v.gated() {
			continue // the data of a new version is public, and of one piece
		}
		c, err := k.h.content(ctx, v)
		if err != nil {
			return err
		}
		for f, err := range c.all(ctx, k.h.blocks) {
			if err != nil {
				return err
			}
			if wanted[f.SHA256] {
				delete(wanted, f.SHA256)
				k.older[f.SHA256] = f
			}
		}
		if len(wanted) == 0 {
			break
		}
	}
	return nil
}

// describe takes over what the card says, and returns the licence. Without a
// card of the dataset's own the version before says it.
func (k *committer) describe(ctx context.Context, m *manifests.Manifest) (string, error) {
	b, found, err := k.readme(ctx)
	if err != nil {
		return "", err
	}
	if !found && k.head != nil {
		return k.head.License, nil
	}
	data, err := parseCard(b)
	if err != nil {
		return "", err
	}
	license, err := cardLicense(data)
	if err != nil {
		return "", err
	}
	if title, ok := data["pretty_name"].(string); ok {
		m.Title = cut(strings.Join(strings.Fields(title), " "), maxTitle)
	}
	if tags := texts(data["tags"]); len(tags) > 0 {
		m.Keywords = nil
		for _, t := range tags {
			if manifests.ValidKeyword(t) == nil && !slices.Contains(m.Keywords, t) && len(m.Keywords) < maxTags {
				m.Keywords = append(m.Keywords, t)
			}
		}
	}
	return license, nil
}

// readme returns the head of the README.md that the new version will have;
// false when it will have none.
func (k *committer) readme(ctx context.Context) ([]byte, bool, error) {
	read := func(r io.Reader) ([]byte, bool, error) {
		b, err := io.ReadAll(io.LimitReader(r, maxReadme))
		return b, true, err
	}
	known := func(f *manifests.File) ([]byte, bool, error) {
		var b bytes.Buffer
		err := unixfs.ReadRange(ctx, k.h.blocks, f.CID.Cid, 0, maxReadme, func(p []byte) error {
			b.Write(p)
			return nil
		})
		return b.Bytes(), true, err
	}
	for _, c := range k.req.changes {
		if c.path != readme {
			continue
		}
		s, err := k.source(ctx, c)
		if err != nil {
			return nil, false, err
		}
		if s.known != nil {
			return known(s.known)
		}
		r, done, err := s.open()
		if err != nil {
			return nil, false, err
		}
		defer done()
		return read(r)
	}
	if k.base == nil || slices.Contains(k.req.deleted, readme) {
		return nil, false, nil
	}
	f, ok, err := k.base.own(ctx, k.h.blocks, readme)
	if err != nil || !ok {
		return nil, false, err
	}
	return known(&f)
}

// terms returns the terms of the new version: those of the version before while
// the licence is the same, else the licence alone. A nil document is stored already.
func (k *committer) terms(ctx context.Context, license string) ([]byte, cid.Cid, error) {
	if k.head != nil && k.head.License == license {
		b, err := k.h.blocks.Block(ctx, k.head.Terms.Cid)
		return b, k.head.Terms.Cid, err
	}
	b, err := terms.Minimal(license)
	if err != nil {
		return nil, cid.Undef, err
	}
	return b, cjson.JSONCID(b), nil
}
