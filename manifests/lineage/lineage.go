// Package lineage is a part of the graph of derivation as an answer holds it:
// versions of datasets and models, records of use, what joins them, and what
// lies outside. It writes the graph as text, as DOT, as Mermaid and as
// PROV-JSON; it does not find it.
package lineage

import (
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// The directions of a graph, seen from its root.
const (
	Up   = "up"   // what it comes from
	Down = "down" // what comes from it
	Both = "both"
)

// Relations beside those of a manifest.
const (
	RelEdge = "edge" // an edge of credit joins the two, and nothing was declared
	RelUsed = "used" // a record of use read the version
)

// MaxContributors bounds the contributors that a node lists: a graph has up to a
// thousand nodes, and a version up to 4,096 contributors.
const MaxContributors = 100

// A Graph is what lies within some distance of one version.
type Graph struct {
	Root      cjson.CID `json:"root"`
	Direction string    `json:"direction"`
	Depth     int       `json:"depth"` // the largest distance asked for
	Nodes     []Node    `json:"nodes"` // the root first, then by distance and index
	Links     []Link    `json:"links"`
	// Truncated says that there is more within the depth than an answer holds.
	Truncated bool `json:"truncated,omitempty"`
}

// A Node is a version, or a record of use. Members that do not apply are absent.
type Node struct {
	Statement cjson.CID `json:"statement"`
	Kind      string    `json:"kind"` // contribution/v1, model/v1 or usage/v1
	Index     uint64    `json:"index"`
	Distance  int       `json:"distance"`
	// Side is up or down; absent for the root. What is both is up.
	Side string `json:"side,omitempty"`

	Publisher sign.KeyID `json:"publisher,omitempty"`
	Name      string     `json:"name,omitempty"`
	Version   string     `json:"version,omitempty"`
	Title     string     `json:"title,omitempty"`
	License   string     `json:"license,omitempty"`
	Terms     cjson.CID  `json:"terms,omitzero"`
	Data      cjson.CID  `json:"data,omitzero"`
	Manifest  cjson.CID  `json:"manifest,omitzero"`
	// Contributors are the first [MaxContributors] of ContributorCount.
	Contributors     []sign.KeyID `json:"contributors,omitempty"`
	ContributorCount int          `json:"contributorCount,omitempty"`
	// Activities are those of the manifest; absent when it was not read.
	Activities []manifests.Activity `json:"activities,omitempty"`

	Run        string      `json:"run,omitempty"`
	Use        string      `json:"use,omitempty"` // the kind of use
	Party      sign.KeyID  `json:"party,omitempty"`
	Unaccepted []cjson.CID `json:"unaccepted,omitempty"`

	Flags
}

// Flags are what to know before relying on a node.
type Flags struct {
	// Withdrawn is the publisher's withdrawal, Erased the tombstone of the body.
	Withdrawn *Mark `json:"withdrawn,omitempty"`
	Erased    *Mark `json:"erased,omitempty"`
	// Flagged counts withdrawals by contributors, Disputed the disputes that are
	// neither dismissed nor released: among the newest, so that both have a limit.
	Flagged  int `json:"flagged,omitempty"`
	Disputed int `json:"disputed,omitempty"`
	// AfterWithdrawal are what it was made from after that was withdrawn.
	AfterWithdrawal []cjson.CID `json:"afterWithdrawal,omitempty"`
	// WithdrawnUpstream are the withdrawn or erased nodes of the graph that it
	// comes from, at any distance.
	WithdrawnUpstream []cjson.CID `json:"withdrawnUpstream,omitempty"`
}

// A Mark is the statement and entry that put a flag.
type Mark struct {
	Statement cjson.CID `json:"statement"`
	Index     uint64    `json:"index"`
}

// Words returns the flags in words, for people.
func (f Flags) Words() []string {
	var out []string
	add := func(set bool, word string) {
		if set {
			out = append(out, word)
		}
	}
	add(f.Withdrawn != nil, "withdrawn")
	add(f.Erased != nil, "erased")
	add(f.Flagged > 0, "flagged")
	add(f.Disputed > 0, "disputed")
	add(len(f.AfterWithdrawal) > 0, "after a withdrawal")
	add(len(f.WithdrawnUpstream) > 0, "something upstream is withdrawn")
	return out
}

// A Link says how From comes from To, or from what lies outside: exactly one of
// To, External, Activity and Party is there.
type Link struct {
	From     cjson.CID  `json:"from"`
	Rel      string     `json:"rel"`
	To       cjson.CID  `json:"to,omitzero"`
	External *External  `json:"external,omitempty"`
	Activity string     `json:"activity,omitempty"` // an id of From's activities
	Party    sign.KeyID `json:"party,omitempty"`

	ByteSharePpm   *int64            `json:"byteSharePpm,omitempty"`
	RecordSharePpm *int64            `json:"recordSharePpm,omitempty"`
	TermsAtUse     cjson.CID         `json:"termsAtUse,omitzero"`
	Period         *manifests.Period `json:"period,omitempty"`
	Seed           string            `json:"seed,omitempty"`
	Prompts        string            `json:"prompts,omitempty"`
	Evidence       cjson.CID         `json:"evidence,omitzero"`
	Note           string            `json:"note,omitempty"`

	// Of an edge of credit.
	Weight    string `json:"weight,omitempty"`
	EdgeTotal string `json:"edgeTotal,omitempty"`

	// Of a record of use.
	Units     string `json:"units,omitempty"`
	Unit      string `json:"unit,omitempty"`
	EpochsPpm int64  `json:"epochsPpm,omitempty"`
}

// An External is a source that no statement of the log names.
type External struct {
	// Kind is url, doi, swhid, hub, warc, cid or model.
	Kind        string    `json:"kind"`
	URL         string    `json:"url,omitempty"`
	CID         cjson.CID `json:"cid,omitzero"`
	Model       string    `json:"model,omitempty"`
	SummaryURL  string    `json:"summaryUrl,omitempty"`
	OnEUMarket  *bool     `json:"onEuMarket,omitempty"`
	DomainTable cjson.CID `json:"domainTable,omitzero"`
}

// String returns what the source is called.
func (e *External) String() string {
	switch {
	case e.CID.Defined():
		return e.CID.String()
	case e.Model != "" && e.URL != "":
		return e.Model + " " + e.URL
	case e.Model != "":
		return e.Model
	}
	return e.URL
}

// Label returns what a node is called.
func (n *Node) Label() string {
	if n.Name != "" {
		return n.Name + "@" + n.Version
	}
	if n.Use != "" {
		return n.Use + " " + n.Run
	}
	return n.Statement.String()
}

// FromManifest returns the links that the lineage of a manifest declares, in its
// order, from the version with the given statement.
func FromManifest(statement cid.Cid, m *manifests.Manifest) []Link {
	var out []Link
	for _, l := range m.Lineage {
		k := Link{
			From: cjson.CID{Cid: statement}, Rel: string(l.Rel), ByteSharePpm: l.ByteSharePpm, RecordSharePpm: l.RecordSharePpm,
			TermsAtUse: l.TermsAtUse, Period: l.Period, Seed: l.Seed, Prompts: l.Prompts, Evidence: l.Evidence, Note: l.Note,
		}
		switch t := l.Target; {
		case t.Statement.Defined():
			k.To = t.Statement
		case t.CID.Defined():
			k.External = &External{Kind: "cid", CID: t.CID}
		case t.URL != "":
			k.External = &External{Kind: manifests.ExternalKind(t.URL), URL: t.URL, DomainTable: cjson.CID(t.DomainTable)}
		case t.Model != "":
			k.External = &External{Kind: "model", Model: t.Model, URL: t.URI, SummaryURL: t.SummaryURL, OnEUMarket: t.OnEUMarket}
		case t.Activity != "":
			k.Activity = t.Activity
		default:
			k.Party = t.Party
		}
		out = append(out, k)
	}
	return out
}

// Merge puts what a manifest declares about a version in the place of what its
// statement says: the same links with more in them, and links that a statement
// cannot hold. Links to nodes that are not in the graph are left out, and so is
// everything outside for a node on the side of what comes from the root.
func (g *Graph) Merge(statement cid.Cid, declared []Link) {
	shown := make(map[cid.Cid]bool, len(g.Nodes))
	down := false
	for _, n := range g.Nodes {
		shown[n.Statement.Cid] = true
		down = down || n.Statement.Cid == statement && n.Side == Down
	}
	first := -1
	var stated, rest []Link // of the statement, and the others
	for i := range g.Links {
		if g.Links[i].From.Cid != statement {
			rest = append(rest, g.Links[i])
			continue
		}
		if first < 0 {
			first = i
		}
		stated = append(stated, g.Links[i])
	}
	if first < 0 {
		first = len(rest)
	}
	var mine []Link
	for _, l := range declared {
		if l.To.Defined() && !shown[l.To.Cid] || !l.To.Defined() && down {
			continue
		}
		i := slices.IndexFunc(stated, func(o Link) bool {
			return o.Rel == l.Rel && o.To == l.To && (l.To.Defined() || sameSource(o.External, l.External))
		})
		if i >= 0 {
			l.Weight, l.EdgeTotal = stated[i].Weight, stated[i].EdgeTotal
			stated = slices.Delete(stated, i, i+1)
		}
		mine = append(mine, l)
	}
	g.Links = slices.Concat(rest[:first], mine, stated, rest[first:])
}

func sameSource(a, b *External) bool {
	return a != nil && b != nil && a.URL == b.URL && a.CID == b.CID
}

// Propagate fills WithdrawnUpstream of every node from the others and the links.
func (g *Graph) Propagate() {
	at := make(map[cid.Cid]int, len(g.Nodes))
	for i, n := range g.Nodes {
		at[n.Statement.Cid] = i
	}
	parents := make([][]int, len(g.Nodes))
	for _, l := range g.Links {
		from, ok := at[l.From.Cid]
		if to, is := at[l.To.Cid]; ok && is && l.To.Defined() {
			parents[from] = append(parents[from], to)
		}
	}
	for i := range g.Nodes {
		seen := make([]bool, len(g.Nodes))
		var gone []cjson.CID
		stack := slices.Clone(parents[i])
		for len(stack) > 0 {
			n := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if seen[n] {
				continue
			}
			seen[n] = true
			if p := &g.Nodes[n]; n != i && (p.Withdrawn != nil || p.Erased != nil) {
				gone = append(gone, p.Statement)
			}
			stack = append(stack, parents[n]...)
		}
		slices.SortFunc(gone, func(a, b cjson.CID) int { return strings.Compare(a.String(), b.String()) })
		g.Nodes[i].WithdrawnUpstream = gone
	}
}
