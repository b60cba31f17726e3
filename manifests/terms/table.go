package terms

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// TableSchema is the $schema of a licence table of this version.
const TableSchema = "cairn.licenses/1"

// MaxTable bounds a licence table: some ten thousand licences.
const MaxTable = 8 << 20

// A License is what a table says of one licence: facts from its public text, in
// the words of package terms' rules. A facet that is nil is not settled and
// counts as asked for.
type License struct {
	ID     string `json:"id"`     // of the SPDX list, or LicenseRef-…
	Kind   string `json:"kind"`   // data, content, code or model: what it was written for
	Family string `json:"family"` // versions that a share-alike licence joins

	Attribution     *bool `json:"attribution"`
	ShareAlike      *bool `json:"shareAlike"` // derived data keeps the family's licence
	NonCommercial   *bool `json:"nonCommercial"`
	NoDerivatives   *bool `json:"noDerivatives"`
	Notice          *bool `json:"notice"`          // notice or text travels along
	DatabaseRight   *bool `json:"databaseRight"`   // the EU's database right is licensed too
	UseRestrictions *bool `json:"useRestrictions"` // what must not be done with it flows down

	// Uses, when there are any, are the only uses it grants.
	Uses []string `json:"uses,omitempty"`
	// OutputClauses says that what a model puts out is bound too.
	OutputClauses bool `json:"outputClauses,omitempty"`
	// Reserved says that it grants nothing: the document that is based on it does.
	Reserved bool `json:"reserved,omitempty"`
	// Unknown says that the id stands for not knowing.
	Unknown bool `json:"unknown,omitempty"`

	// Output is the licence under which a share-alike family goes on, when it is
	// not this one; Into are other families that derived data may move to, one way.
	Output string   `json:"output,omitempty"`
	Into   []string `json:"into,omitempty"`

	HF     []string `json:"hf,omitempty"` // ids on the Hugging Face Hub
	Note   string   `json:"note,omitempty"`
	Source string   `json:"source"` // where the public text is
}

func asked(facet *bool) bool { return facet == nil || *facet }

// Facets lists what the licence asks in short: A, SA, NC, ND, N, DB, U, with a
// question mark where that is not settled.
func (l *License) Facets() []string {
	var out []string
	for _, f := range []struct {
		name  string
		facet *bool
	}{{"A", l.Attribution}, {"SA", l.ShareAlike}, {"NC", l.NonCommercial}, {"ND", l.NoDerivatives}, {"N", l.Notice}, {"DB", l.DatabaseRight}, {"U", l.UseRestrictions}} {
		switch {
		case f.facet == nil:
			out = append(out, f.name+"?")
		case *f.facet:
			out = append(out, f.name)
		}
	}
	return out
}

// output is the licence under which the family goes on.
func (l *License) output() string {
	if l.Output != "" {
		return l.Output
	}
	return l.ID
}

// A Table is a licence table. It does not change and is safe for concurrent use.
type Table struct {
	cid      cjson.CID
	bytes    []byte
	licenses []License
	byID     map[string]*License // lower case
	byHF     map[string]*License
	families map[string]string // of share-alike licences, to their output
}

type tableJSON struct {
	Schema   string    `json:"$schema"`
	Note     string    `json:"note,omitempty"`
	Licenses []License `json:"licenses"`
}

//go:embed licenses.json
var licensesJSON []byte

// DefaultTable returns the table that cairn brings along.
var DefaultTable = sync.OnceValue(func() *Table {
	t, err := ParseTable(licensesJSON)
	if err != nil {
		panic("terms: the embedded licence table: " + err.Error())
	}
	return t
})

// ParseTable reads a licence table, JSON in any layout. It is strict: members
// that are not known, missing facets, ids and Hub ids that stand twice, and
// families that do not agree on their licence are [fault.Invalid], all at once.
// Whether ids are on the SPDX list is not looked at.
func ParseTable(b []byte) (*Table, error) {
	if len(b) > MaxTable {
		return nil, fault.New(fault.TooLarge, "the licence table has %d bytes, more than %d", len(b), MaxTable)
	}
	canonical, err := cjson.Canonicalize(b)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(canonical))
	d.DisallowUnknownFields()
	var in tableJSON
	if err := d.Decode(&in); err != nil {
		return nil, fault.New(fault.Invalid, "the licence table: %w", err)
	}
	if again, err := cjson.Marshal(in); err != nil || !bytes.Equal(again, canonical) {
		return nil, fault.New(fault.Invalid, "the licence table lacks a facet, or has members that are empty or written in another case")
	}
	t := &Table{cid: cjson.CID{Cid: cjson.JSONCID(canonical)}, bytes: canonical, licenses: in.Licenses,
		byID: make(map[string]*License), byHF: make(map[string]*License), families: make(map[string]string)}
	var p field.Problems
	if in.Schema != TableSchema {
		p.Add("must be "+TableSchema, "$schema")
	}
	for i := range t.licenses {
		t.add(&p, i)
	}
	for i, l := range t.licenses {
		for j, f := range l.Into {
			if t.families[f] == "" {
				p.Add("is no share-alike family of the table", "licenses[%d].into[%d]", i, j)
			}
		}
	}
	if p.Any() {
		return nil, p.Err()
	}
	return t, nil
}

func (t *Table) add(p *field.Problems, i int) {
	l, at := &t.licenses[i], fmt.Sprintf("licenses[%d]", i)
	if !isLicense(l.ID) {
		p.Add("must be a licence identifier", "%s.id", at)
	}
	p.Add(field.OneOf(l.Kind, "data", "content", "code", "model"), "%s.kind", at)
	p.Add(field.Token(l.Family), "%s.family", at)
	p.OneOfEach(at+".uses", l.Uses, uses)
	if l.Source == "" {
		p.Add("is missing", "%s.source", at)
	}
	low := strings.ToLower(l.ID)
	if t.byID[low] != nil {
		p.Add("is there already", "%s.id", at)
	}
	t.byID[low] = l
	for j, h := range l.HF {
		if t.byHF[h] != nil {
			p.Add("is there already", "%s.hf[%d]", at, j)
		}
		t.byHF[h] = l
	}
	if l.Output != "" && !isLicense(l.Output) {
		p.Add("must be a licence identifier", "%s.output", at)
	}
	if !asked(l.ShareAlike) {
		if l.Output != "" || l.Into != nil {
			p.Add("output and into belong to share-alike licences", "%s", at)
		}
		return
	}
	if other := t.families[l.Family]; other != "" && other != l.output() {
		p.Add(fmt.Sprintf("the family %s goes on under %s and under %s", l.Family, other, l.output()), "%s.output", at)
	}
	t.families[l.Family] = l.output()
}

// CID names the table: that of its canonical bytes, which answers repeat.
func (t *Table) CID() cjson.CID { return t.cid }

// Bytes returns the table's canonical bytes, whose CID is [Table.CID].
func (t *Table) Bytes() []byte { return slices.Clone(t.bytes) }

// Licenses returns the licences of the table in its order.
func (t *Table) Licenses() []License { return slices.Clone(t.licenses) }

// License returns what the table says of an identifier, in any case; false when
// it says nothing.
func (t *Table) License(id string) (License, bool) {
	if l := t.byID[strings.ToLower(id)]; l != nil {
		return *l, true
	}
	return License{}, false
}

// lookUp finds a licence of an expression. "+" is the identifier that says "or
// later", where the table has it: a later version may be chosen, this one too.
func (t *Table) lookUp(n *node) *License {
	if n.plus {
		if l := t.byID[strings.ToLower(n.id)+"-or-later"]; l != nil {
			return l
		}
	}
	return t.byID[strings.ToLower(n.id)]
}

// FromHF returns the licence identifier for an id of the Hugging Face Hub: as
// the table maps it, else the SPDX identifier that it is in another case, else
// LicenseRef-hf-ID, of which the table knows nothing. Characters that no
// identifier has become "-".
func (t *Table) FromHF(id string) string {
	low := strings.ToLower(id)
	if l := t.byHF[low]; l != nil {
		return l.ID
	}
	if isID(id) && !IsOwn(id) {
		if _, ids, err := ParseExpression(id); err == nil {
			return ids[0]
		}
	}
	ref := []byte(low)
	for i, c := range ref {
		if !field.Only(string(rune(c)), "-.") {
			ref[i] = '-'
		}
	}
	if len(ref) > maxRef {
		ref = ref[:maxRef]
	}
	if len(ref) == 0 {
		return "LicenseRef-hf-none"
	}
	return "LicenseRef-hf-" + string(ref)
}

// maxRef bounds an id of a hub inside an expression.
const maxRef = 100
