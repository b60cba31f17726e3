package hub

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/index"
)

const (
	// byContent is the owner of repositories that are named by a CID.
	byContent = "cairn"
	// didPrefix comes before the text by which a publisher without a handle is named.
	didPrefix = "did:key:"
	// shaLen is the length of a revision's sha, as git has it: clients key their
	// caches by it and take no other.
	shaLen = 40
)

// A repo is a dataset as a request names it. Either publisher and name are set,
// or content.
type repo struct {
	owner, name string // as asked
	publisher   sign.KeyID
	content     cid.Cid
}

func (p repo) id() string { return p.owner + "/" + p.name }

// Sha is the name of a version as a git commit: the first 40 hex digits of the
// SHA-256 in its statement's CID.
func Sha(statement cid.Cid) string {
	h := statement.Hash()
	return hex.EncodeToString(h[len(h)-32:])[:shaLen]
}

// owner returns the name of a publisher's namespace: the handle, else the text
// of the key.
func owner(s *index.Snapshot, id sign.KeyID) string {
	if p, err := s.Profile(id); err == nil && p.Handle != "" {
		return p.Handle
	}
	return strings.TrimPrefix(string(id), didPrefix)
}

// party reads the name of a namespace.
func party(s *index.Snapshot, name string) (sign.KeyID, error) {
	if _, err := sign.ParseKeyID(didPrefix + name); err == nil {
		return s.Who(didPrefix + name)
	}
	p, err := s.ByHandle(name)
	return p.Identity, err
}

// repo finds whose dataset a request names. Whether there is one is for [Hub.find].
func (h *Hub) repo(s *index.Snapshot, r *http.Request) (repo, error) {
	p := repo{owner: r.PathValue("owner"), name: r.PathValue("name")}
	if p.owner == byContent {
		c, err := cjson.ParseCID(p.name)
		if err != nil {
			return p, noRepo(p.id())
		}
		p.content = c
		return p, nil
	}
	id, err := party(s, p.owner)
	if errors.Is(err, fault.NotFound) {
		return p, noRepo(p.id())
	}
	p.publisher = id
	return p, err
}

// A revision is a version of a dataset as a request names it.
type revision struct {
	repo
	index.Dataset
	sha    string
	fixed  bool // the name of the revision cannot come to mean another version
	by     string
	denied error // why its bytes are not for the caller; nil when they are
}

// revision finds what a request is about; r is then a request with a context that
// opens what its caller may read of it. A version that was withdrawn is an
// error; one that is gated is not, until its bytes are asked for.
func (h *Hub) revision(r *http.Request) (*revision, error) {
	rev := r.PathValue("rev")
	if rev == "" {
		rev = "main"
	}
	out := new(revision)
	err := h.reg.View(func(s *index.Snapshot) (err error) {
		if out.repo, err = h.repo(s, r); err != nil {
			return err
		}
		if out.Dataset, out.fixed, err = find(s, out.repo, rev, h.offers(r.Context())); err != nil {
			return err
		}
		out.by = owner(s, out.Publisher)
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.sha = Sha(out.Statement.Cid)
	if h.o.Open != nil {
		ctx, err := h.o.Open(r.Context(), out.Dataset)
		if err != nil {
			return nil, err
		}
		*r = *r.WithContext(ctx)
	}
	return out, h.admit(r.Context(), out)
}

// admit asks what the caller may have of a version.
func (h *Hub) admit(ctx context.Context, v *revision) error {
	if h.o.Access == nil {
		return nil
	}
	err := h.o.Access(ctx, v.Dataset)
	switch fault.Of(err) {
	case fault.Denied, fault.Unauthenticated:
		v.denied = &answerError{error: err, code: gatedRepo, status: http.StatusForbidden}
		return nil
	}
	return err
}

// offers reports whether a version was not withdrawn.
func (h *Hub) offers(ctx context.Context) func(index.Dataset) bool {
	return func(d index.Dataset) bool { return h.o.Access == nil || fault.Of(h.o.Access(ctx, d)) != fault.Gone }
}

// gated reports whether the version's bytes are only for those who accepted its terms.
func (v *revision) gated() bool { return v.Rules != nil && v.Rules.Accept == "bytes" }

// find returns the version of a dataset that rev names: main and HEAD are the
// newest; a version, the 40 hex digits of its sha, the CID of its statement,
// manifest or data are fixed. Of several publishers of the same data, the newest
// version that offers approves of is taken, if there is one.
func find(s *index.Snapshot, p repo, rev string, offers func(index.Dataset) bool) (d index.Dataset, fixed bool, err error) {
	candidates := func(q index.Query, want func(index.Dataset) bool) (index.Dataset, bool, error) {
		q.Limit = index.MaxLimit
		for {
			page, err := s.List(q)
			if err != nil {
				return index.Dataset{}, false, err
			}
			for _, d := range page.Datasets {
				if want(d) {
					return d, true, nil
				}
			}
			if q.After = page.Next; q.After == 0 {
				return index.Dataset{}, false, nil
			}
		}
	}
	newest := rev == "main" || rev == "HEAD" || rev == "refs/heads/main"
	names := func(d index.Dataset) bool { return newest || names(d, rev) }
	none := noRevision(p.id(), rev)
	if p.content.Defined() {
		d, err := s.Dataset(p.content)
		if errors.Is(err, fault.NotFound) {
			found := false
			for _, q := range []index.Query{{Root: p.content}, {Manifest: p.content}} {
				d, ok, err := candidates(q, func(d index.Dataset) bool { return names(d) && offers(d) })
				if err == nil && !ok {
					d, ok, err = candidates(q, names)
				}
				if err != nil || ok {
					return d, !newest, err
				}
				if !found {
					_, found, err = candidates(q, func(index.Dataset) bool { return true })
				}
				if err != nil {
					return d, false, err
				}
			}
			if !found {
				return d, false, noRepo(p.id())
			}
			return d, false, none
		}
		if err == nil && !names(d) {
			err = none
		}
		return d, true, err
	}
	d, err = s.ByName(p.publisher, p.name)
	switch {
	case errors.Is(err, fault.NotFound):
		return d, false, noRepo(p.id())
	case err != nil || names(d):
		return d, !newest, err
	}
	if v, err := s.ByVersion(p.publisher, p.name, rev); !errors.Is(err, fault.NotFound) {
		return v, true, err
	}
	_, err = cjson.ParseCID(rev)
	if !isSha(rev) && err != nil {
		return d, false, none
	}
	d, ok, err := candidates(index.Query{Publisher: p.publisher, Name: p.name}, names)
	if err == nil && !ok {
		err = none
	}
	return d, true, err
}

func isSha(s string) bool { return len(s) == shaLen && strings.Trim(s, "0123456789abcdef") == "" }

// names reports whether rev names the version d.
func names(d index.Dataset, rev string) bool {
	if d.Version == rev || Sha(d.Statement.Cid) == rev {
		return true
	}
	c, err := cjson.ParseCID(rev)
	return err == nil && (c.Equals(d.Statement.Cid) || same(c, d.Root.Cid) || same(c, d.Manifest.Cid))
}

// same reports whether two CIDs name the same bytes.
func same(a, b cid.Cid) bool { return string(a.Hash()) == string(b.Hash()) }
