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
}

// closed is the notice of data about which the answer could not be found.
func closed() *notice { return &notice{Announced: terms.Announced{TrainAI: "n", Reserved: "1"}} }

// notices keeps those of the roots that were asked for last. All of it is
// forgotten when the index moves on.
type notices struct {
	reg   *registry.Registry
	store blocks.Reader

	mu      sync.Mutex
	applied uint64
	roots   map[cid.Cid]*notice

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
	if n.reg == nil {
		return nil
	}
	applied := n.reg.Status().Applied
	n.mu.Lock()
	if n.applied != applied || n.roots == nil || len(n.roots) >= maxNotices {
		n.roots, n.applied = make(map[cid.Cid]*notice), applied
	}
	found, ok := n.roots[root]
	n.mu.Unlock()
	if ok {
		return found
	}
	found, err := n.read(ctx, root)
	if err != nil {
		return closed()
	}
	n.mu.Lock()
	if n.applied == applied {
		n.roots[root] = found
	}
	n.mu.Unlock()
	return found
}

func (n *notices) read(ctx context.Context, root cid.Cid) (*notice, error) {
	var all []index.Dataset
	cut := false
	err := n.reg.View(func(s *index.Snapshot) error {
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
		return nil, err
	}
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
func termsURL(site string, c cid.Cid) string { return site + "/ipfs/" + c.String() + "?format=raw" }

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
