package index

import (
	"encoding/binary"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

const (
	kindContribution = string(manifests.KindContribution)
	kindModel        = string(manifests.KindModel)
)

// A Query selects accepted versions, of datasets unless Kind says otherwise. Members that are set must all
// hold; the zero value selects everything.
type Query struct {
	Kind        manifests.Kind // contribution/v1 or model/v1; "" is contribution/v1
	License     string         // an SPDX or LicenseRef id in the expression, or the whole expression; any case
	Contributor sign.KeyID
	Keyword     string // a keyword, or an ASCII word in one; any case
	Publisher   sign.KeyID
	Name        string
	Root        cid.Cid // compared by its hash
	Manifest    cid.Cid // compared by its hash
	Source      string  // a lineage target: a URL as declared, or a statement's or content's CID
	Latest      bool    // only the newest version of each name

	// After is the Next of the page before; 0 for the first page.
	After uint64
	Limit int // at most MaxLimit; 0 means DefaultLimit
}

// A Page is part of a list, newest entry first.
type Page struct {
	Applied  uint64    `json:"applied"` // the size of the log that the answer describes
	Datasets []Dataset `json:"datasets"`
	Next     uint64    `json:"next,omitempty"` // for Query.After; 0 when there is no more
}

// Relative is a version of a dataset or model beside another in the graph of lineage.
type Relative struct {
	Rel     string  `json:"rel"` // a lineage relation, or "edge" where only an edge joins the two
	Dataset Dataset `json:"dataset"`
}

const relEdge = "edge"

// List returns a page of the versions that a query selects, newest entry first.
// A page may hold fewer than Limit versions, or none, and still have a Next:
// one page reads a bounded number of candidates.
func (s *Snapshot) List(q Query) (Page, error) {
	limit, err := pageLimit(q.Limit)
	if err != nil {
		return Page{}, err
	}
	page := Page{Applied: s.applied, Datasets: []Dataset{}}
	prefix, ok := q.prefix()
	if !ok {
		return page, nil
	}
	scanned, last := 0, uint64(0)
	err = s.scan(prefix, seekBelow(prefix, q.After), func(k, _ []byte) (bool, error) {
		if len(page.Datasets) == limit || scanned == maxScan {
			page.Next = last
			return false, nil
		}
		scanned++
		last = lastIndex(k, desc)
		d, err := s.at(last)
		if err != nil || !q.selects(d) {
			return err == nil, err
		}
		if q.Latest {
			switch h, ok, err := s.head(d.Publisher, d.Name); {
			case err != nil:
				return false, err
			case !ok:
				return false, damaged("the name of entry %d is missing", last)
			case h.Index != last:
				return true, nil
			}
		}
		page.Datasets = append(page.Datasets, d)
		return true, nil
	})
	return page, err
}

// prefix returns the rows that hold the fewest candidates, as far as can be
// said without counting; false when the query can select nothing.
func (q Query) prefix() ([]byte, bool) {
	term := func(kind, t string) ([]byte, bool) { return key(tTerm, kind, boundTerm(t)), true }
	switch {
	case q.Root.Defined():
		return term(termRoot, hashTerm(q.Root))
	case q.Manifest.Defined():
		return term(termManifest, hashTerm(q.Manifest))
	case q.Source != "":
		return term(termSource, q.Source)
	case q.Publisher != "" && q.Name != "":
		if !fitsKey(string(q.Publisher), q.Name) {
			return nil, false
		}
		return key(tHistory, string(q.Publisher), q.Name), true
	case q.Name != "":
		return term(termName, q.Name)
	case q.Contributor != "":
		return term(termContributor, string(q.Contributor))
	case q.Publisher != "":
		return term(termPublisher, string(q.Publisher))
	case q.Keyword != "":
		return term(termKeyword, lower(q.Keyword))
	case q.License != "":
		return term(termLicense, lower(q.License))
	}
	return key(tDataset), true
}

// selects compares what a version says with all that is asked.
func (q Query) selects(d Dataset) bool {
	kind := string(q.Kind)
	if kind == "" {
		kind = kindContribution
	}
	return d.Kind == kind &&
		(q.License == "" || slices.Contains(licenseTerms(d.License), lower(q.License))) &&
		(q.Contributor == "" || slices.ContainsFunc(d.Contributors, func(c Contributor) bool { return c.ID == q.Contributor })) &&
		(q.Keyword == "" || slices.Contains(keywordTerms(d.Keywords), lower(q.Keyword))) &&
		(q.Publisher == "" || d.Publisher == q.Publisher) &&
		(q.Name == "" || d.Name == q.Name) &&
		(!q.Root.Defined() || hashTerm(d.Root.Cid) == hashTerm(q.Root)) &&
		(!q.Manifest.Defined() || hashTerm(d.Manifest.Cid) == hashTerm(q.Manifest)) &&
		(q.Source == "" || slices.ContainsFunc(d.Sources, func(s Source) bool { return sourceTerm(s) == q.Source }))
}

// ByRoot returns the versions whose data has the root's hash, newest first, at
// most MaxLimit.
func (s *Snapshot) ByRoot(root cid.Cid) ([]Dataset, error) {
	page, err := s.List(Query{Root: root, Limit: MaxLimit})
	return page.Datasets, err
}

// History returns a page of the versions of a publisher's name, newest first,
// or fault.NotFound when there is none.
func (s *Snapshot) History(publisher sign.KeyID, name string, after uint64, limit int) (Page, error) {
	if _, err := s.ByName(publisher, name); err != nil {
		return Page{}, err
	}
	page, err := s.List(Query{Publisher: publisher, Name: name, After: after, Limit: limit})
	if err != nil {
		return Page{}, err
	}
	// Each version counts one more than the one before it: a gap is a row lost.
	for i, d := range page.Datasets {
		if i > 0 && d.Seq+1 != page.Datasets[i-1].Seq {
			return Page{}, damaged("version %d of %s follows version %d", page.Datasets[i-1].Seq, name, d.Seq)
		}
	}
	if n := len(page.Datasets); n > 0 && page.Next == 0 && page.Datasets[n-1].Seq != 1 {
		return Page{}, damaged("the history of %s ends at version %d", name, page.Datasets[n-1].Seq)
	}
	return page, nil
}

// Parents returns the registered versions that a version names in its sources
// and edges, in that order. Targets outside the registry are in its Sources.
func (s *Snapshot) Parents(statement cid.Cid) ([]Relative, error) {
	d, err := s.Version(statement)
	if err != nil {
		return nil, err
	}
	out := []Relative{}
	named := make(map[cid.Cid]bool)
	add := func(rel string, c cid.Cid) error {
		named[c] = true
		p, err := s.Version(c)
		if err != nil {
			return damaged("a parent of an accepted version: %w", err)
		}
		out = append(out, Relative{Rel: rel, Dataset: p})
		return nil
	}
	for _, src := range d.Sources {
		if src.Statement.Defined() {
			if err := add(src.Rel, src.Statement.Cid); err != nil {
				return nil, err
			}
		}
	}
	for _, e := range d.Edges {
		if !named[e.Statement.Cid] {
			if err := add(relEdge, e.Statement.Cid); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// Children returns the versions that name a version in their sources or edges,
// newest first: those of at most limit entries below index after (0: from the
// newest), and the index to go on after (0: there are no more).
func (s *Snapshot) Children(statement cid.Cid, after uint64, limit int) ([]Relative, uint64, error) {
	limit, err := pageLimit(limit)
	if err != nil {
		return nil, 0, err
	}
	if _, err := s.Version(statement); err != nil {
		return nil, 0, err
	}
	var indexes []uint64
	for _, kind := range []string{termSource, termParent} {
		prefix, n := key(tTerm, kind, statement.String()), 0
		err := s.scan(prefix, seekBelow(prefix, after), func(k, _ []byte) (bool, error) {
			indexes = append(indexes, lastIndex(k, desc))
			n++
			return n <= limit, nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	slices.Sort(indexes)
	indexes = slices.Compact(indexes)
	slices.Reverse(indexes)
	next := uint64(0)
	if len(indexes) > limit {
		indexes, next = indexes[:limit], indexes[limit-1]
	}
	out := []Relative{}
	for _, i := range indexes {
		d, err := s.at(i)
		if err != nil {
			return nil, 0, err
		}
		rels := 0
		for _, src := range d.Sources {
			if src.Statement.Cid == statement {
				out = append(out, Relative{Rel: src.Rel, Dataset: d})
				rels++
			}
		}
		if rels == 0 {
			out = append(out, Relative{Rel: relEdge, Dataset: d})
		}
	}
	return out, next, nil
}

// pageLimit applies the limits of a page.
func pageLimit(n int) (int, error) {
	switch {
	case n == 0:
		return DefaultLimit, nil
	case n < 0 || n > MaxLimit:
		return 0, fault.New(fault.Invalid, "a page has 1 to %d entries, not %d", MaxLimit, n)
	}
	return n, nil
}

// seekBelow returns the key from which a scan of a newest-first prefix finds
// the rows of entries below index i; nil, the start of the prefix, for 0.
func seekBelow(prefix []byte, i uint64) []byte {
	if i == 0 {
		return nil
	}
	return binary.BigEndian.AppendUint64(slices.Clone(prefix), ^(i - 1))
}
