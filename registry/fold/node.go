package fold

import (
	"slices"
	"strconv"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// maxRunInputs bounds the inputs of all runs that one model names: each is a
// lookup in the state.
const maxRunInputs = 16_384

// nodeBody is what a contribution and a model say alike.
type nodeBody struct {
	kind                          manifests.Kind
	publisher                     sign.KeyID
	name, version                 string
	terms                         cjson.CID
	contributors                  []manifests.Share
	total                         string
	edges                         []manifests.Edge
	selfWeight, edgeTotal         string
	attribution, supersedes, deal cjson.CID
	rules                         *manifests.Rules
}

func contributionBody(p *manifests.Contribution) nodeBody {
	return nodeBody{manifests.KindContribution, p.Publisher, p.Dataset.Name, p.Dataset.Version, p.Terms, p.Contributors, p.Total,
		p.Edges, p.SelfWeight, p.EdgeTotal, p.Attribution, p.Supersedes, p.Agreement, p.Rules}
}

func modelBody(p *manifests.Model) nodeBody {
	return nodeBody{manifests.KindModel, p.Publisher, p.Model.Name, p.Model.Version, p.Terms, p.Contributors, p.Total,
		p.Edges, p.SelfWeight, p.EdgeTotal, p.Attribution, p.Supersedes, p.Agreement, p.Rules}
}

// signers are the keys that may sign a node: the publisher's and those of the
// listed contributors.
func (b *nodeBody) signers() []sign.KeyID {
	ids := make([]sign.KeyID, 0, 1+len(b.contributors))
	ids = append(ids, b.publisher)
	for _, s := range b.contributors {
		ids = append(ids, s.ID)
	}
	return ids
}

// version judges a contribution/v1.
func (j *judge) version(p *manifests.Contribution) ([]Effect, Code, error) {
	b := contributionBody(p)
	n, code, err := j.node(&b, registered(p.Sources), func() ([]NodeState, []cid.Cid, Code, error) { return j.derivedFrom(p) })
	if code != "" || err != nil {
		return nil, code, err
	}
	return []Effect{AddVersion{Node: n, Root: j.entry.Leaf.Subj[0], Manifest: p.Dataset.Manifest, Sources: contents(p.Sources)}}, "", nil
}

// registered are the sources that are statements of this log.
func registered(list []manifests.Source) (out []cid.Cid) {
	for _, s := range list {
		if s.Statement.Defined() {
			out = append(out, s.Statement.Cid)
		}
	}
	return out
}

// contents are the sources without those that are only text.
func contents(list []manifests.Source) (out []Source) {
	for _, s := range list {
		if s.URL == "" {
			out = append(out, Source{Rel: string(s.Rel), Statement: s.Statement, CID: s.CID})
		}
	}
	return out
}

// model judges a model/v1.
func (j *judge) model(p *manifests.Model) ([]Effect, Code, error) {
	b := modelBody(p)
	n, code, err := j.node(&b, registered(p.Sources), func() ([]NodeState, []cid.Cid, Code, error) { return j.trainedOn(p) })
	if code != "" || err != nil {
		return nil, code, err
	}
	return []Effect{AddModel{Node: n, Artifact: p.Model.Artifact, Usages: p.Usages, Sources: contents(p.Sources)}}, "", nil
}

// node judges what contributions and models have in common. owed returns the
// versions that must have an edge if their rules ask for one.
func (j *judge) node(b *nodeBody, sources []cid.Cid, owed func() ([]NodeState, []cid.Cid, Code, error)) (Node, Code, error) {
	if code, err := j.signedBy(b.publisher, b.signers()); code != "" || err != nil {
		return Node{}, code, err
	}
	if code, err := j.references(b, sources); code != "" || err != nil {
		return Node{}, code, err
	}
	required, named, code, err := owed()
	if code == Reference || err != nil {
		return Node{}, code, err
	}
	tooMany := code
	switch taken, err := j.VersionTaken(b.publisher, b.name, b.version); {
	case err != nil:
		return Node{}, "", err
	case taken:
		return Node{}, VersionTaken, nil
	}
	head, ok, err := j.Head(b.publisher, b.name)
	if err != nil {
		return Node{}, "", err
	}
	// A name without versions has a zero Head, and its first version
	// supersedes nothing: both sides are the undefined CID.
	if b.supersedes.Cid != head.Statement {
		return Node{}, Stale, nil
	}
	work := head.Work
	if !ok {
		work = manifests.WorkPrefix + j.stmt().String()
	}
	if code, err := j.named(b, work); code != "" || err != nil {
		return Node{}, code, err
	}
	if tooMany != "" {
		return Node{}, tooMany, nil
	}
	edges, code, err := j.edges(b, work, required, named)
	if code != "" || err != nil {
		return Node{}, code, err
	}
	if code, err := j.consent(b, work); code != "" || err != nil {
		return Node{}, code, err
	}
	n := newNode(b, j.stmt(), work, head.Seq+1, edges)
	from := make([]cjson.CID, 0, len(b.edges)+len(sources))
	for _, e := range b.edges {
		from = append(from, e.Statement)
	}
	for _, c := range sources {
		from = append(from, cjson.CID{Cid: c})
	}
	n.AfterWithdrawal, err = j.withdrawn(from)
	return n, "", err
}

// newNode is the effect of an accepted node.
func newNode(b *nodeBody, stmt cjson.CID, work string, seq uint64, edges credit.Edges) Node {
	n := Node{
		Statement:    stmt,
		Work:         work,
		Seq:          seq,
		Publisher:    b.publisher,
		Name:         b.name,
		Version:      b.version,
		Terms:        b.terms,
		Contributors: shares(b.contributors),
		Total:        b.total,
		SelfWeight:   b.selfWeight,
		EdgeTotal:    b.edgeTotal,
		Attribution:  b.attribution,
		Supersedes:   b.supersedes,
		Agreement:    b.deal,
		Rules:        b.rules,
		Depth:        edges.Depth,
	}
	if len(b.edges) == 0 {
		n.SelfWeight, n.EdgeTotal = "1", "1"
	}
	for _, e := range b.edges {
		n.Edges = append(n.Edges, Edge{Statement: e.Statement, Weight: e.Weight, Share: e.Share})
	}
	for _, a := range edges.Ancestors {
		n.Floors = append(n.Floors, Reach{Statement: mustCID(a.Statement), Work: a.Work, FloorPpm: a.FloorPpm, Eff: a.Eff})
	}
	return n
}

// mustCID reads a CID that this package wrote.
func mustCID(s string) cjson.CID {
	c, err := cjson.ParseCID(s)
	if err != nil {
		panic(err)
	}
	return cjson.CID{Cid: c}
}

func shares(list []manifests.Share) []Share {
	out := make([]Share, len(list))
	for i, s := range list {
		out[i] = Share{ID: s.ID, Weight: s.Weight}
	}
	return out
}

// references checks that the statements that a node names are accepted at
// smaller indexes, and of a fitting kind.
func (j *judge) references(b *nodeBody, sources []cid.Cid) (Code, error) {
	if b.supersedes.Defined() {
		if ok, err := j.accepted(b.supersedes.Cid, b.kind); !ok || err != nil {
			return Reference, err
		}
	}
	for _, e := range b.edges {
		if ok, err := j.accepted(e.Statement.Cid, manifests.KindContribution, manifests.KindModel); !ok || err != nil {
			return Reference, err
		}
	}
	for _, c := range sources {
		if ok, err := j.accepted(c, manifests.KindContribution, manifests.KindModel); !ok || err != nil {
			return Reference, err
		}
	}
	// The pool takes the kept part after a withdrawal, whether or not it has an edge.
	if b.rules != nil && b.rules.Payment != nil && b.rules.Payment.Pool.Defined() {
		if ok, err := j.accepted(b.rules.Payment.Pool.Cid, manifests.KindContribution, manifests.KindModel); !ok || err != nil {
			return Reference, err
		}
	}
	if b.deal.Defined() {
		if ok, err := j.accepted(b.deal.Cid, manifests.KindAgreement); !ok || err != nil {
			return Reference, err
		}
	}
	if b.attribution.Defined() {
		return j.attributed(b)
	}
	return "", nil
}

// attributed checks that the attribution that a node names is about its data,
// and knows the parents that get a share.
func (j *judge) attributed(b *nodeBody) (Code, error) {
	a, ok, err := j.Attribution(b.attribution.Cid)
	if err != nil {
		return "", err
	}
	if !ok || a.Data.Cid != j.entry.Leaf.Subj[0].Cid {
		return Reference, nil
	}
	for _, e := range b.edges {
		if e.Share != "" && !slices.Contains(a.Parents, e.Statement) {
			return Reference, nil
		}
	}
	return "", nil
}

// named checks that the agreement that a node names is the newest complete one
// of its work.
func (j *judge) named(b *nodeBody, work string) (Code, error) {
	if !b.deal.Defined() {
		return "", nil
	}
	w, _, err := j.Work(work)
	if err != nil {
		return "", err
	}
	if w.Agreement != b.deal.Cid {
		return Stale, nil
	}
	return "", nil
}

// accepted reports whether c is accepted at a smaller index and of one of kinds,
// of any kind without them.
func (j *judge) accepted(c cid.Cid, kinds ...manifests.Kind) (bool, error) {
	d, ok, err := j.Statement(c)
	if err != nil || !ok || d.Verdict != Accepted {
		return false, err
	}
	return len(kinds) == 0 || slices.Contains(kinds, manifests.Kind(d.Kind)), nil
}

// derivedFrom returns the sources of a contribution that ask derived versions
// for an edge.
func (j *judge) derivedFrom(p *manifests.Contribution) (nodes []NodeState, names []cid.Cid, code Code, err error) {
	return j.asking(p.Sources, manifests.KindContribution)
}

// asking returns the sources of a node of the given kind that ask for an edge.
func (j *judge) asking(sources []manifests.Source, child manifests.Kind) (nodes []NodeState, names []cid.Cid, code Code, err error) {
	for _, s := range sources {
		if !s.Statement.Defined() || s.Rel == manifests.Obsoletes || s.Rel == manifests.DeduplicatedAgainst {
			continue // nothing was copied
		}
		n, ok, err := j.Node(s.Statement.Cid)
		if err != nil || !ok {
			return nil, nil, Reference, err
		}
		if asksOf(n, child) != nil && !slices.Contains(names, s.Statement.Cid) {
			nodes, names = append(nodes, n), append(names, s.Statement.Cid)
		}
	}
	return nodes, names, "", nil
}

// trainedOn returns the sources of a model and the inputs of its runs that ask for
// an edge.
func (j *judge) trainedOn(p *manifests.Model) (nodes []NodeState, names []cid.Cid, code Code, err error) {
	if nodes, names, code, err = j.asking(p.Sources, manifests.KindModel); code != "" || err != nil {
		return nil, nil, code, err
	}
	seen, read := make(map[cid.Cid]bool), 0
	for _, c := range names {
		seen[c] = true
	}
	for _, c := range p.Usages {
		u, ok, err := j.Usage(c.Cid)
		if err != nil || !ok {
			return nil, nil, Reference, err
		}
		if read += len(u.Inputs); read > maxRunInputs {
			code = Edges // said in its place of the order
		}
		for _, in := range u.Inputs {
			if code != "" || seen[in.Statement.Cid] {
				continue
			}
			seen[in.Statement.Cid] = true
			n, ok, err := j.Node(in.Statement.Cid)
			if err != nil || !ok {
				return nil, nil, Reference, err
			}
			if asksOf(n, manifests.KindModel) != nil {
				nodes, names = append(nodes, n), append(names, in.Statement.Cid)
			}
		}
	}
	return nodes, names, code, nil
}

// asksOf returns what a version asks of a child of the given kind; nil for
// nothing. A model pays for what it was trained on; a dataset, when derived
// versions are to pay.
func asksOf(n NodeState, child manifests.Kind) *credit.EdgeRules {
	if n.Rules == nil || n.Rules.Payment == nil {
		return nil
	}
	y := n.Rules.Payment
	if child != manifests.KindModel && !y.ToDerived {
		return nil
	}
	r := &credit.EdgeRules{
		RatePpm: uint64(y.RatePpm), Stacking: y.Stacking, FloorPpm: uint64(y.FloorPpm), CapPpm: uint64(y.CapPpm), PoolPpm: uint64(y.PoolPpm),
	}
	if y.Pool.Defined() {
		r.Pool = y.Pool.String()
	}
	return r
}

// edges applies the rules of the parents. required, by their names, are those
// that must have an edge.
func (j *judge) edges(b *nodeBody, work string, required []NodeState, names []cid.Cid) (credit.Edges, Code, error) {
	child := credit.Child{Work: work, SelfWeight: credit.PPM, EdgeTotal: credit.PPM, ShareTotal: 1}
	parent := func(name cid.Cid, n NodeState, weight, share uint64) {
		p := credit.Parent{Statement: name.String(), Work: n.Work, Weight: weight, Share: share, Rules: asksOf(n, b.kind), Depth: n.Depth}
		for _, f := range n.Floors {
			p.Ancestors = append(p.Ancestors, credit.Ancestor{Statement: f.Statement.String(), Work: f.Work, FloorPpm: f.FloorPpm, Eff: f.Eff})
		}
		child.Parents = append(child.Parents, p)
	}
	if len(b.edges) > 0 {
		child.SelfWeight, child.EdgeTotal = number(b.selfWeight), number(b.edgeTotal)
		child.ShareTotal = child.EdgeTotal / credit.PPM
	}
	// A parent whose rate follows its share has to be given one.
	unshared := func(n NodeState) bool {
		r := asksOf(n, b.kind)
		return r != nil && r.Stacking == credit.StackWeighted && n.Work != work
	}
	has, underpaid := make(map[cid.Cid]bool, len(b.edges)), false
	for _, e := range b.edges {
		n, ok, err := j.Node(e.Statement.Cid)
		if err != nil || !ok {
			return credit.Edges{}, Reference, err
		}
		has[e.Statement.Cid] = true
		parent(e.Statement.Cid, n, number(e.Weight), number(e.Share))
		underpaid = underpaid || e.Share == "" && unshared(n)
	}
	for i, n := range required {
		if !has[names[i]] {
			parent(names[i], n, 0, 0)
			underpaid = underpaid || unshared(n)
		}
	}
	out, code, err := credit.CheckEdges(child)
	switch {
	case err != nil:
		// The grammar of statements leaves nothing that this could be.
		return credit.Edges{}, "", fault.New(fault.Internal, "judging edges: %w", err)
	case underpaid && code != credit.TooManyEdges && code != credit.TooDeep:
		return credit.Edges{}, Underpaid, nil
	}
	return out, Code(code), nil
}

// number reads a weight that the grammar has checked; "" is 0.
func number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
