package index

import (
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/lineage"
	"github.com/cairn-registry/cairn/registry/fold"
)

// Limits of one graph.
const (
	// MaxLineageDepth is the depth of the deepest version there can be.
	MaxLineageDepth = 64
	// MaxLineageNodes and MaxLineageLinks bound the memory and the time of one
	// answer: each node costs some reads.
	MaxLineageNodes = 1000
	MaxLineageLinks = 10 * MaxLineageNodes
	// maxFlags bounds the statements against one node that are read: anybody can
	// log a dispute.
	maxFlags = 64
)

// A LineageQuery says how much of the graph around a version is wanted.
type LineageQuery struct {
	Direction string // lineage.Up, Down or Both
	Depth     int    // 1 to MaxLineageDepth
	Limit     int    // nodes, at most MaxLineageNodes; 0 means MaxLineageNodes
}

// Lineage returns the graph around a version: what it comes from by its
// sources, edges and runs, and what comes from it. Nodes have their flags;
// what only manifests say is not in it. fault.NotFound when there is no such
// version, fault.Invalid for a query beyond the limits.
func (s *Snapshot) Lineage(statement cid.Cid, q LineageQuery) (*lineage.Graph, error) {
	up, down := q.Direction != lineage.Down, q.Direction != lineage.Up
	limit := q.Limit
	if limit == 0 {
		limit = MaxLineageNodes
	}
	switch {
	case q.Direction != lineage.Up && q.Direction != lineage.Down && q.Direction != lineage.Both:
		return nil, fault.New(fault.Invalid, "the direction is up, down or both, not %s", fault.Quote(q.Direction))
	case q.Depth < 1 || q.Depth > MaxLineageDepth:
		return nil, fault.New(fault.Invalid, "the depth is from 1 to %d, not %d", MaxLineageDepth, q.Depth)
	case limit < 1 || limit > MaxLineageNodes:
		return nil, fault.New(fault.Invalid, "a graph has 1 to %d nodes, not %d", MaxLineageNodes, limit)
	}
	w := &lineageWalk{Snapshot: s, limit: limit, at: make(map[cid.Cid]int)}
	w.graph = &lineage.Graph{Root: cjson.CID{Cid: statement}, Direction: q.Direction, Depth: q.Depth, Nodes: []lineage.Node{}, Links: []lineage.Link{}}
	if _, err := s.Version(statement); err != nil {
		return nil, err
	}
	if err := w.add(statement, 0, ""); err != nil {
		return nil, err
	}
	if up {
		if err := w.walk(q.Depth, lineage.Up, w.parents); err != nil {
			return nil, err
		}
	}
	if down {
		if err := w.walk(q.Depth, lineage.Down, w.children); err != nil {
			return nil, err
		}
	}
	if err := w.links(); err != nil {
		return nil, err
	}
	w.graph.Propagate()
	return w.graph, nil
}

// lineageWalk is a graph in the making.
type lineageWalk struct {
	*Snapshot
	graph *lineage.Graph
	at    map[cid.Cid]int
	limit int
}

// walk adds nodes from the root outwards, in one direction.
func (w *lineageWalk) walk(depth int, side string, next func(n *lineage.Node) ([]cid.Cid, error)) error {
	ring := []cid.Cid{w.graph.Root.Cid}
	for d := 1; d <= depth && len(ring) > 0; d++ {
		var outer []cid.Cid
		for _, c := range ring {
			list, err := next(&w.graph.Nodes[w.at[c]])
			if err != nil {
				return err
			}
			for _, o := range list {
				if _, seen := w.at[o]; seen {
					continue
				}
				if len(w.graph.Nodes) == w.limit {
					w.graph.Truncated = true
					return nil
				}
				if err := w.add(o, d, side); err != nil {
					return err
				}
				outer = append(outer, o)
			}
		}
		ring = outer
	}
	return nil
}

// add adds a node.
func (w *lineageWalk) add(c cid.Cid, distance int, side string) error {
	n := lineage.Node{Statement: cjson.CID{Cid: c}, Distance: distance, Side: side}
	st, ok, err := w.reader.statement(c)
	if err == nil && !ok {
		err = damaged("a node of the graph, %s, is missing", c)
	}
	if err != nil {
		return err
	}
	n.Kind, n.Index = st.Kind, st.Index
	if n.Kind == string(manifests.KindUsage) {
		u, err := w.usageAt(c)
		if err != nil {
			return err
		}
		n.Run, n.Use, n.Unaccepted, n.AfterWithdrawal = u.Run, u.Kind, u.Unaccepted, u.AfterWithdrawal
		if n.Party = u.Trainer; n.Party == "" {
			n.Party = u.Payer
		}
	} else {
		d, err := w.Version(c)
		if err != nil {
			return err
		}
		n.Publisher, n.Name, n.Version, n.Title, n.License, n.Terms = d.Publisher, d.Name, d.Version, d.Title, d.License, d.Terms
		n.Manifest, n.AfterWithdrawal = d.Manifest, d.AfterWithdrawal
		if n.Data = d.Root; n.Kind == kindModel {
			n.Data = d.Artifact
		}
		n.ContributorCount = len(d.Contributors)
		for _, m := range d.Contributors[:min(n.ContributorCount, lineage.MaxContributors)] {
			n.Contributors = append(n.Contributors, m.ID)
		}
	}
	if err := w.flags(&n); err != nil {
		return err
	}
	w.at[c] = len(w.graph.Nodes)
	w.graph.Nodes = append(w.graph.Nodes, n)
	return nil
}

// flags fills what others have said of a node.
func (s *Snapshot) flags(n *lineage.Node) error {
	c := n.Statement.Cid
	withdrawals, err := loggedFew[fold.AddWithdrawal](s, maxFlags, key(tWithdrawal, c.String()))
	if err != nil {
		return err
	}
	for _, l := range withdrawals {
		if l.Effect.Flag {
			n.Flagged++
		}
	}
	if i, ok, err := getRow[uint64](s.reader, key(tWithdrawn, c.String())); err != nil {
		return err
	} else if ok {
		e, err := s.Entry(i)
		if err != nil {
			return err
		}
		n.Withdrawn = &lineage.Mark{Statement: e.Statement, Index: i}
	}
	t, ok, err := s.Tombstone(n.Index)
	if err != nil {
		return err
	}
	if ok {
		n.Erased = &lineage.Mark{Statement: t.Statement, Index: t.Index}
	}
	disputes, err := loggedFew[fold.AddDispute](s, maxFlags, key(tDispute, c.String()))
	if err != nil || len(disputes) == 0 {
		return err
	}
	rulings, err := loggedFew[fold.AddResolution](s, maxFlags, key(tResolution, c.String()))
	for _, d := range disputes {
		settled := slices.ContainsFunc(rulings, func(r Logged[fold.AddResolution]) bool {
			return r.Effect.Dispute == d.Effect.Statement && (r.Effect.Ruling == manifests.RulingDismiss || r.Effect.Ruling == manifests.RulingRelease)
		})
		if !settled {
			n.Disputed++
		}
	}
	return err
}

func (s *Snapshot) usageAt(c cid.Cid) (fold.AddUsage, error) {
	u, ok, err := view{reader: s.reader}.Usage(c)
	if err == nil && !ok {
		err = damaged("the use %s is missing", c)
	}
	return u, err
}

// upLinks returns what a node says it comes from.
func (w *lineageWalk) upLinks(n *lineage.Node) ([]lineage.Link, error) {
	from := n.Statement
	if n.Kind == string(manifests.KindUsage) {
		u, err := w.usageAt(from.Cid)
		if err != nil {
			return nil, err
		}
		var out []lineage.Link
		for _, in := range u.Inputs {
			out = append(out, lineage.Link{From: from, Rel: lineage.RelUsed, To: in.Statement, Units: in.Units, Unit: in.Unit, EpochsPpm: in.EpochsPpm, TermsAtUse: in.Terms})
		}
		if u.About.Defined() {
			out = append(out, lineage.Link{From: from, Rel: lineage.RelUsed, To: u.About, Units: u.Qty, Unit: u.Meter})
		}
		return out, nil
	}
	d, err := w.Version(from.Cid)
	if err != nil {
		return nil, err
	}
	weights := make(map[cid.Cid]string, len(d.Edges))
	for _, e := range d.Edges {
		weights[e.Statement.Cid] = e.Weight
	}
	var out []lineage.Link
	named := make(map[cid.Cid]bool)
	link := func(rel string, to cjson.CID) {
		l := lineage.Link{From: from, Rel: rel, To: to}
		if weight, ok := weights[to.Cid]; ok && !named[to.Cid] {
			l.Weight, l.EdgeTotal = weight, d.EdgeTotal
		}
		named[to.Cid] = true
		out = append(out, l)
	}
	for _, src := range d.Sources {
		switch {
		case src.Statement.Defined():
			link(src.Rel, src.Statement)
		case src.CID.Defined():
			out = append(out, lineage.Link{From: from, Rel: src.Rel, External: &lineage.External{Kind: "cid", CID: src.CID}})
		default:
			out = append(out, lineage.Link{From: from, Rel: src.Rel, External: &lineage.External{Kind: manifests.ExternalKind(src.URL), URL: src.URL}})
		}
	}
	for _, e := range d.Edges {
		if !named[e.Statement.Cid] {
			link(lineage.RelEdge, e.Statement)
		}
	}
	for _, u := range d.Usages {
		out = append(out, lineage.Link{From: from, Rel: string(manifests.TrainedOn), To: u})
	}
	return out, nil
}

func (w *lineageWalk) parents(n *lineage.Node) ([]cid.Cid, error) {
	list, err := w.upLinks(n)
	var out []cid.Cid
	for _, l := range list {
		if l.To.Defined() {
			out = append(out, l.To.Cid)
		}
	}
	return out, err
}

// children returns what names a node, newest first: as many as there is room
// for, and one more.
func (w *lineageWalk) children(n *lineage.Node) ([]cid.Cid, error) {
	c := n.Statement.String()
	prefixes := [][]byte{key(tTerm, termSource, c), key(tTerm, termParent, c), key(tUsage, c)}
	if n.Kind == string(manifests.KindUsage) {
		prefixes = [][]byte{key(tTerm, termUsage, c)}
	}
	room := w.limit - len(w.graph.Nodes) + 1
	var indexes []uint64
	for _, p := range prefixes {
		// Some of them may be in the graph already.
		if err := w.indexes(p, 0, room+len(w.graph.Nodes), func(i uint64) error {
			indexes = append(indexes, i)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	slices.Sort(indexes)
	indexes = slices.Compact(indexes)
	slices.Reverse(indexes)
	var out []cid.Cid
	for _, i := range indexes {
		e, err := w.Entry(i)
		if err != nil {
			return nil, err
		}
		if _, seen := w.at[e.Statement.Cid]; !seen {
			out = append(out, e.Statement.Cid)
		}
	}
	return out, nil
}

// links adds what joins the nodes of the graph, and what lies outside of the
// root and of what it comes from.
func (w *lineageWalk) links() error {
	for i := range w.graph.Nodes {
		n := &w.graph.Nodes[i]
		list, err := w.upLinks(n)
		if err != nil {
			return err
		}
		for _, l := range list {
			if _, shown := w.at[l.To.Cid]; l.To.Defined() && !shown || !l.To.Defined() && n.Side == lineage.Down {
				continue
			}
			if len(w.graph.Links) == MaxLineageLinks {
				w.graph.Truncated = true
				return nil
			}
			w.graph.Links = append(w.graph.Links, l)
		}
	}
	return nil
}
