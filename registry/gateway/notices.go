package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/index"
)

const (
	// maxNotices bounds the roots whose notices are kept, registered or not.
	maxNotices = 4096
	// maxStatements bounds the statements of one root that are read. With more,
	// the answer is as if one of the rest said no.
	maxStatements = 2048
	// maxTermsRead bounds the terms of one root that are read, in the same way:
	// anybody may sign a statement about any root, each with terms of its own.
	maxTermsRead = 4 << 20
	// maxLinks bounds the Link headers of an answer.
	maxLinks = 32
	// maxListed bounds the datasets that robots.txt and tdmrep.json name.
	maxListed = 1000
)

// A notice is what a machine must know before it uses the data of a root: where
// its terms and its statements are, and what they announce together.
type notice struct {
	terms.Announced
	datasets []index.Dataset // newest first, at most maxLinks
	terms    []cid.Cid       // of all, each once, at most maxLinks
	failed   bool            // it stands for one that could not be made
}

// closed is the notice of data about which the answer could not be found.
func closed() *notice { return &notice{Announced: terms.Announced{TrainAI: "n", Reserved: "1"}} }

// A known is what the index knows of a CID that somebody asks for.
type known struct {
	notice *notice // nil when no accepted statement is about it
	// gone says that it is offered no more; below, of a manifest, that the data is not
	// that it describes.
	gone, below *index.Gone
	// gated are the terms of the versions with this data that give out no byte before
	// they are accepted, at most maxLinks; open says that there are others.
	gated []cid.Cid
	open  bool
}

// notices keeps what is known of the CIDs that were asked for last. All of it is
// forgotten when the index moves on. It does not depend on who asks.
type notices struct {
	reg   *registry.Registry
	store blocks.Reader // of what everybody may read

	mu      sync.Mutex
	applied uint64
	roots   map[cid.Cid]known

	// list is what listed returned at size listedAt of the log. listing is held
	// while it is made, so that it is made once.
	listing  sync.Mutex
	list     []signal
	listCut  bool
	listedAt uint64
}

// of returns the notice of a root; nil when no accepted statement is about it.
// A failure of the index is answered with the notice that reserves everything.
func (n *notices) of(ctx context.Context, root cid.Cid) *notice {
	k, err := n.known(ctx, root)
	if err != nil {
		return closed()
	}
	return k.notice
}

// known returns what the index knows of a CID.
func (n *notices) known(ctx context.Context, c cid.Cid) (known, error) {
	if n.reg == nil {
		return known{}, nil
	}
	applied := n.reg.Status().Applied
	n.mu.Lock()
	if n.applied != applied || n.roots == nil || len(n.roots) >= maxNotices {
		n.roots, n.applied = make(map[cid.Cid]known), applied
	}
	k, ok := n.roots[c]
	n.mu.Unlock()
	if ok {
		return k, nil
	}
	k, err := n.read(ctx, c)
	if err != nil || k.notice != nil && k.notice.failed {
		return k, err
	}
	n.mu.Lock()
	if n.applied == applied {
		n.roots[c] = k
	}
	n.mu.Unlock()
	return k, nil
}

func (n *notices) read(ctx context.Context, root cid.Cid) (k known, err error) {
	var all []index.Dataset
	cut := false
	err = n.reg.View(func(s *index.Snapshot) error {
		if err := k.ended(s, root); err != nil {
			return err
		}
		for after := uint64(0); ; {
			page, err := s.List(index.Query{Root: root, After: after, Limit: index.MaxLimit})
			if err != nil {
				return err
			}
			all = append(all, page.Datasets...)
			if after = page.Next; after == 0 {
				return nil
			}
			if cut = len(all) >= maxStatements; cut {
				return nil
			}
		}
	})
	if err != nil || len(all) == 0 {
		return k, err
	}
	for _, d := range all {
		switch {
		case !d.Rules.GatesBytes():
			k.open = k.open || d.Withdrawn == nil
		case d.Withdrawn == nil && len(k.gated) < maxLinks && !slices.Contains(k.gated, d.Terms.Cid):
			k.gated = append(k.gated, d.Terms.Cid)
		}
	}
	if k.notice, err = n.announced(ctx, all, cut); err != nil {
		// The terms cannot be read: everything is reserved.
		k.notice = closed()
		k.notice.failed = true
	}
	return k, nil
}

// ended finds out whether c is offered no more. The same bytes have several CIDs;
// a document is asked for by those of the two codecs that documents have.
func (k *known) ended(s *index.Snapshot, c cid.Cid) error {
	for _, codec := range []uint64{cid.Raw, cid.DagJSON} {
		g, gone, err := s.GoneCID(cid.NewCidV1(codec, c.Hash()))
		if err != nil {
			return err
		}
		if gone {
			k.gone = &g
			return nil
		}
	}
	if c.Prefix().Codec != cid.DagJSON {
		return nil
	}
	page, err := s.List(index.Query{Manifest: c, Limit: 1})
	if err != nil || len(page.Datasets) == 0 {
		return err
	}
	g, gone, err := s.GoneRoot(page.Datasets[0].Root.Cid)
	if gone {
		k.below = &g
	}
	return err
}

// announced is what the versions of a root announce together.
func (n *notices) announced(ctx context.Context, all []index.Dataset, cut bool) (*notice, error) {
	out := &notice{datasets: all[:min(len(all), maxLinks)]}
	var docs []*terms.Terms
	seen := make(map[cid.Cid]bool)
	read := 0
	for _, d := range all {
		c := d.Terms.Cid
		if seen[c] {
			continue
		}
		if cut = cut || read >= maxTermsRead; cut {
			break
		}
		seen[c] = true
		if len(out.terms) < maxLinks {
			out.terms = append(out.terms, c)
		}
		b, err := n.store.Block(ctx, c)
		if err != nil {
			return nil, err
		}
		t, err := terms.Decode(b)
		if err != nil {
			return nil, err
		}
		docs, read = append(docs, t), read+len(b)
	}
	out.Announced = terms.SignalsOf(docs...)
	if cut {
		out.TrainAI, out.Reserved = "n", "1"
	}
	return out, nil
}

// termsURL is where a terms document is read. site is request.site.
func termsURL(site string, c cid.Cid) string { return site + "/v1/terms/" + c.String() }

func statementURL(site string, c cid.Cid) string { return site + "/v1/statements/" + c.String() }

// rslPath is where an RSL document about a root is, before the root's CID.
const rslPath = "/.well-known/rsl/"

// policy is the URL that a reservation refers to when its terms name none.
func (n *notice) policy(site string) string {
	if len(n.terms) == 0 {
		return ""
	}
	return termsURL(site, n.terms[0])
}

// set writes what is known of the root of a request into the headers.
func (n *notices) set(h http.Header, r *http.Request, q *request) {
	found := n.of(r.Context(), q.root)
	if found == nil {
		return
	}
	for _, c := range found.terms {
		h.Add("Link", "<"+termsURL(q.site, c)+`>; rel="license"`)
	}
	for _, d := range found.datasets {
		h.Add("Link", "<"+statementURL(q.site, d.Statement.Cid)+`>; rel="describedby"; type="application/json"`)
		h.Add("Link", "<"+q.site+"/v1/metadata/croissant/"+d.Statement.String()+`>; rel="describedby"; type="application/ld+json"`)
	}
	if found.hasRSL() {
		h.Add("Link", "<"+q.site+rslPath+q.root.String()+`>; rel="license"; type="`+terms.RSLType+`"`)
	}
	for _, f := range found.Headers(found.policy(q.site)) {
		h.Set(f.Name, f.Value)
	}
}

func (n *notice) hasRSL() bool { return len(n.Permits)+len(n.Prohibits) > 0 || len(n.Payments) > 0 }

// rsl answers with the RSL document of a root.
func (g *Gateway) rsl(w http.ResponseWriter, r *http.Request) {
	root, err := cid.Decode(r.PathValue("cid"))
	if err != nil {
		Problem(w, r, g.log, fault.New(fault.Invalid, "%s is no CID", fault.Quote(r.PathValue("cid"))))
		return
	}
	var b []byte
	if found := g.notices.of(r.Context(), root); found != nil {
		b = found.RSL("/ipfs/"+root.String()+"/", found.policy(""))
	}
	if b == nil {
		Problem(w, r, g.log, fault.New(fault.NotFound, "nothing is announced about %s", root))
		return
	}
	send(w, terms.RSLType, "no-cache", b)
}

// signal is a notice about a path.
type signal struct {
	path string
	*notice
}

// listed returns the signals of the newest datasets. cut says that there are
// more: then whoever reads the list takes all data for reserved.
func (n *notices) listed(ctx context.Context) (out []signal, cut bool, err error) {
	applied := n.reg.Status().Applied
	n.listing.Lock()
	defer n.listing.Unlock()
	if n.listedAt == applied {
		return slices.Clip(n.list), n.listCut, nil
	}
	var roots []cid.Cid
	err = n.reg.View(func(s *index.Snapshot) error {
		for after := uint64(0); ; {
			page, err := s.List(index.Query{After: after, Limit: index.MaxLimit})
			if err != nil {
				return err
			}
			for _, d := range page.Datasets {
				if !slices.Contains(roots, d.Root.Cid) {
					roots = append(roots, d.Root.Cid)
				}
			}
			if after = page.Next; after == 0 {
				return nil
			}
			if cut = len(roots) >= maxListed; cut {
				return nil
			}
		}
	})
	for _, root := range roots {
		if found := n.of(ctx, root); found != nil && (found.ContentUsage() != "" || found.Reserved != "") {
			out = append(out, signal{"/ipfs/" + root.String() + "/", found})
		}
	}
	if err == nil {
		n.list, n.listCut, n.listedAt = out, cut, applied
	}
	return slices.Clip(out), cut, err
}

// signals answers robots.txt and tdmrep.json of the host itself.
func (g *Gateway) signals(w http.ResponseWriter, r *http.Request) {
	list, cut, err := g.notices.listed(r.Context())
	if err != nil {
		Problem(w, r, g.log, err)
		return
	}
	if cut {
		list = append(list, signal{"/ipfs/", closed()})
	}
	sendSignals(w, r, list, "")
}

// rootSignals answers the same on the origin of one root.
func (g *content) rootSignals(w http.ResponseWriter, r *http.Request, o origin) {
	var list []signal
	if found := g.notices.of(r.Context(), o.root); found != nil {
		list = append(list, signal{"/", found})
	}
	sendSignals(w, r, list, o.site)
}

func sendSignals(w http.ResponseWriter, r *http.Request, list []signal, site string) {
	if strings.HasSuffix(r.URL.Path, ".json") {
		out := []terms.TDMRule{}
		for _, s := range list {
			if rule, ok := s.TDMRule(s.path, s.policy(site)); ok {
				out = append(out, rule)
			}
		}
		b, err := json.Marshal(out)
		if err != nil {
			panic(err) // strings and numbers
		}
		send(w, "application/json", "no-cache", append(b, '\n'))
		return
	}
	b := []byte("User-agent: *\nAllow: /\n")
	for _, s := range list {
		b = append(b, s.Robots(s.path)...)
	}
	send(w, "text/plain; charset=utf-8", "no-cache", b)
}
