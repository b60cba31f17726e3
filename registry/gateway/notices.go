package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks"
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
	// maxLinks bounds the Link headers of an answer.
	maxLinks = 32
	// maxListed bounds the datasets that robots.txt and tdmrep.json name.
	maxListed = 1000
)

// A notice is what a machine must know before it uses the data of a root: where
// its terms and its statements are, and which uses are reserved.
type notice struct {
	datasets []index.Dataset // newest first, at most maxLinks
	terms    []cid.Cid       // of all, each once, at most maxLinks
	usage    string          // Content-Usage; "" when nothing is said
	reserved string          // tdm-reservation: "", "0", "1"
	policy   string          // tdm-policy; "" means the terms
	owner    cid.Cid         // the terms that reserve
}

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
		return &notice{usage: "train-ai=n", reserved: "1"}
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
	var train, search string
	seen := make(map[cid.Cid]bool)
	for _, d := range all {
		c := d.Terms.Cid
		if seen[c] {
			continue
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
		s := t.Signals
		if s == nil {
			continue
		}
		if s.AIPref != nil {
			train, search = firmer(train, s.AIPref.TrainAI), firmer(search, s.AIPref.Search)
		}
		if s.TDMReservation != nil {
			switch {
			case *s.TDMReservation == 1 && out.reserved != "1":
				out.reserved, out.policy, out.owner = "1", s.TDMPolicy, c
			case out.reserved == "":
				out.reserved = strconv.FormatInt(*s.TDMReservation, 10)
			}
		}
	}
	if cut {
		train, out.reserved, out.owner = "n", "1", out.terms[0]
	}
	var usage []string
	if train != "" {
		usage = append(usage, "train-ai="+train)
	}
	if search != "" {
		usage = append(usage, "search="+search)
	}
	out.usage = strings.Join(usage, ", ")
	return out, nil
}

// firmer joins two preferences: any n wins, else any y.
func firmer(a, b string) string {
	if a == "n" || b == "n" {
		return "n"
	}
	if a == "" {
		return b
	}
	return a
}

// termsURL is where a terms document is read. site is request.site.
func termsURL(site string, c cid.Cid) string { return site + "/ipfs/" + c.String() + "?format=raw" }

func statementURL(site string, c cid.Cid) string { return site + "/v1/statements/" + c.String() }

func (n *notice) policyURL(site string) string {
	if n.policy != "" || !n.owner.Defined() {
		return n.policy
	}
	return termsURL(site, n.owner)
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
	}
	if found.usage != "" {
		h.Set("Content-Usage", found.usage)
	}
	if found.reserved != "" {
		h.Set("Tdm-Reservation", found.reserved)
		if p := found.policyURL(q.site); found.reserved == "1" && p != "" {
			h.Set("Tdm-Policy", p)
		}
	}
}

// A reservation is an element of /.well-known/tdmrep.json.
type reservation struct {
	Location    string `json:"location"`
	Reservation int    `json:"tdm-reservation"`
	Policy      string `json:"tdm-policy,omitempty"`
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
		if found := n.of(ctx, root); found != nil && (found.usage != "" || found.reserved != "") {
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
		list = append(list, signal{"/ipfs/", &notice{usage: "train-ai=n", reserved: "1"}})
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
		out := []reservation{}
		for _, s := range list {
			if s.reserved == "" {
				continue
			}
			e := reservation{Location: s.path}
			if s.reserved == "1" {
				e.Reservation, e.Policy = 1, s.policyURL(site)
			}
			out = append(out, e)
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
		if s.usage != "" {
			b = append(b, "Content-Usage: "+s.path+" "+s.usage+"\n"...)
		}
	}
	send(w, "text/plain; charset=utf-8", "no-cache", b)
}
