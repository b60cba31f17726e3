package terms

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// The forms of a notice.
const (
	NoticeText     = "text"
	NoticeMarkdown = "md"
	NoticeSPDX     = "spdx"
)

// Attribute returns a notice about the works of a mixture, ready to be put beside
// what is made of them: who is named, under which licence, and what else is owed.
// form is [NoticeText], [NoticeMarkdown] or [NoticeSPDX], an SPDX 2.3 document in
// JSON; another one is [fault.Invalid]. The decisions must be about the same works;
// their obligations are joined. Texts of licensors are made printable.
func (t *Table) Attribute(form string, works []Work, decisions ...*Decision) ([]byte, error) {
	n := notice{table: t, works: slices.Clone(works)}
	slices.SortFunc(n.works, func(a, b Work) int { return strings.Compare(a.ID, b.ID) })
	var owed []Obligation
	for _, d := range decisions {
		n.verdict = n.verdict.Worse(d.Verdict)
		for _, o := range d.Obligations {
			for _, w := range o.Works {
				if !slices.ContainsFunc(owed, func(x Obligation) bool { return sameDuty(x, o) && x.Works[0] == w }) {
					x := o
					x.Works = []string{w}
					owed = append(owed, x)
				}
			}
		}
		for _, w := range d.Works {
			if w.Branch != "" && !slices.Contains(n.branches(w.ID), w.Branch) {
				n.chosen = append(n.chosen, [2]string{w.ID, w.Branch})
			}
		}
		n.at = max(n.at, d.Question.At)
	}
	n.owed = mergeObligations(owed)
	switch form {
	case NoticeText:
		return n.text(), nil
	case NoticeMarkdown:
		return n.markdown(), nil
	case NoticeSPDX:
		return n.spdx()
	}
	return nil, fault.WithHint(fault.New(fault.Invalid, "there is no notice in the form %s", fault.Quote(form)), "text, md or spdx")
}

func sameDuty(a, b Obligation) bool {
	return a.Kind == b.Kind && a.Rule == b.Rule && a.Source == b.Source && a.Text == b.Text && slices.Equal(a.Values, b.Values) && a.Ppm == b.Ppm && a.Days == b.Days && a.Met == b.Met
}

type notice struct {
	table   *Table
	works   []Work
	owed    []Obligation
	chosen  [][2]string // work, branch
	verdict Verdict
	at      string
}

func (n *notice) branches(id string) (out []string) {
	for _, c := range n.chosen {
		if c[0] == id {
			out = append(out, c[1])
		}
	}
	return out
}

// title is what a reader knows a work by.
func title(w Work) string {
	switch {
	case w.Terms != nil && w.Terms.Title != "" && w.Name == "":
		return fault.Printable(w.Terms.Title)
	case w.Name != "":
		return fault.Printable(w.Name)
	}
	return w.ID
}

func expressionOf(w Work) string {
	if w.Terms == nil {
		return "not on record"
	}
	return w.Terms.Base.SPDX
}

func makers(w Work) (out []string) {
	if w.Terms == nil || len(w.Terms.Licensor) == 0 {
		for _, m := range w.Makers {
			out = append(out, fault.Printable(m))
		}
		return out
	}
	for _, l := range w.Terms.Licensor {
		name := string(l.ID)
		if l.Name != "" {
			name = fault.Printable(l.Name) + " (" + name + ")"
		}
		out = append(out, name)
	}
	return out
}

// attributions are the texts by which a work asks to be named.
func (n *notice) attributions(id string) (out []string) {
	for _, o := range n.owed {
		if o.Kind == OweAttribution && o.Text != "" && slices.Contains(o.Works, id) {
			out = append(out, fault.Printable(o.Text))
		}
	}
	return out
}

// licenses are the licences of an expression that the table knows.
func (n *notice) licenses(w Work) (out []License) {
	if w.Terms == nil {
		return nil
	}
	root, err := parse(w.Terms.Base.SPDX)
	if err != nil {
		return nil
	}
	root.each(func(x *node) {
		if l := n.table.lookUp(x); l != nil && !slices.ContainsFunc(out, func(o License) bool { return o.ID == l.ID }) {
			out = append(out, *l)
		}
	})
	return out
}

const noticeHead = "This product contains, or was made from, the following data."

func (n *notice) text() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "NOTICE\n\n%s\n", noticeHead)
	for _, w := range n.works {
		fmt.Fprintf(&b, "\n%s\n  statement: %s\n", title(w), w.ID)
		for _, m := range makers(w) {
			fmt.Fprintf(&b, "  by: %s\n", m)
		}
		fmt.Fprintf(&b, "  licence: %s\n", expressionOf(w))
		for _, c := range n.branches(w.ID) {
			fmt.Fprintf(&b, "  used under: %s\n", c)
		}
		if w.TermsCID.Defined() {
			fmt.Fprintf(&b, "  terms: ipfs://%s\n", w.TermsCID)
		}
		for _, l := range n.licenses(w) {
			fmt.Fprintf(&b, "  %s: %s\n", l.ID, l.Source)
		}
		for _, a := range n.attributions(w.ID) {
			fmt.Fprintf(&b, "  %s\n", a)
		}
	}
	if len(n.owed) > 0 {
		b.WriteString("\nWhat is owed for it:\n")
		for _, o := range n.owed {
			fmt.Fprintf(&b, "  - %s\n", o.Words())
			for _, id := range o.Works {
				fmt.Fprintf(&b, "      %s\n", n.name(id))
			}
		}
	}
	n.foot(&b, "")
	return []byte(b.String())
}

func (n *notice) foot(b *strings.Builder, mark string) {
	if n.verdict == Review || n.verdict == Deny {
		fmt.Fprintf(b, "\n%sNot settled: the verdict on this mixture is %q.%s\n", mark, n.verdict, mark)
	}
	fmt.Fprintf(b, "\nFrom the licence table %s, at %s. %s\n", n.table.cid, n.at, NotLegalAdvice)
}

func (n *notice) name(id string) string {
	if i := slices.IndexFunc(n.works, func(w Work) bool { return w.ID == id }); i >= 0 {
		return title(n.works[i])
	}
	return id
}

// markdown escapes what Markdown and HTML would read as theirs.
var markdown = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `&lt;`, ">", `&gt;`, "&", "&amp;", "|", `\|`, "#", `\#`, "!", `\!`)

func (n *notice) markdown() []byte {
	var b strings.Builder
	e := markdown.Replace
	fmt.Fprintf(&b, "## Data attribution\n\n%s\n\n| work | by | licence | terms |\n|---|---|---|---|\n", noticeHead)
	for _, w := range n.works {
		license := e(expressionOf(w))
		for _, c := range n.branches(w.ID) {
			license += ", used under " + e(c)
		}
		for _, l := range n.licenses(w) {
			license += fmt.Sprintf(" ([%s](%s))", e(l.ID), l.Source)
		}
		terms := ""
		if w.TermsCID.Defined() {
			terms = fmt.Sprintf("`ipfs://%s`", w.TermsCID)
		}
		fmt.Fprintf(&b, "| %s `%s` | %s | %s | %s |\n", e(title(w)), strings.ReplaceAll(fault.Printable(w.ID), "`", "'"), e(strings.Join(makers(w), ", ")), license, terms)
	}
	for _, w := range n.works {
		for _, a := range n.attributions(w.ID) {
			fmt.Fprintf(&b, "\n> %s\n", e(a))
		}
	}
	if len(n.owed) > 0 {
		b.WriteString("\n### What is owed\n\n")
		for _, o := range n.owed {
			var names []string
			for _, id := range o.Works {
				names = append(names, e(n.name(id)))
			}
			fmt.Fprintf(&b, "- %s: %s\n", e(o.Words()), strings.Join(names, ", "))
		}
	}
	n.foot(&b, "**")
	return []byte(b.String())
}

// The part of an SPDX 2.3 document that a notice needs; annex and member names are
// those of the specification's JSON schema.
type spdxDocument struct {
	Version       string         `json:"spdxVersion"`
	DataLicense   string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	CreationInfo  spdxCreation   `json:"creationInfo"`
	Comment       string         `json:"comment"`
	Packages      []spdxPackage  `json:"packages"`
	Relationships []spdxRelation `json:"relationships"`
	Extracted     []spdxLicense  `json:"hasExtractedLicensingInfos,omitempty"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type spdxPackage struct {
	ID               string   `json:"SPDXID"`
	Name             string   `json:"name"`
	DownloadLocation string   `json:"downloadLocation"`
	FilesAnalyzed    bool     `json:"filesAnalyzed"`
	Declared         string   `json:"licenseDeclared"`
	Concluded        string   `json:"licenseConcluded"`
	Copyright        string   `json:"copyrightText"`
	Supplier         string   `json:"supplier,omitempty"`
	Attribution      []string `json:"attributionTexts,omitempty"`
	Comment          string   `json:"comment,omitempty"`
}

type spdxRelation struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

type spdxLicense struct {
	ID      string   `json:"licenseId"`
	Text    string   `json:"extractedText"`
	Comment string   `json:"comment,omitempty"`
	SeeAlso []string `json:"seeAlsos,omitempty"`
}

const noAssertion = "NOASSERTION"

// spdx names packages and licences by their place: the namespace is that of the
// content, so that equal notices are equal documents.
func (n *notice) spdx() ([]byte, error) {
	d := spdxDocument{Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: "data attribution",
		CreationInfo: spdxCreation{Created: n.at, Creators: []string{"Tool: cairn"}},
		Comment:      fmt.Sprintf("From the licence table %s. %s", n.table.cid, NotLegalAdvice), Packages: []spdxPackage{}, Relationships: []spdxRelation{}}
	for i, w := range n.works {
		p := spdxPackage{ID: fmt.Sprintf("SPDXRef-work-%d", i+1), Name: title(w), DownloadLocation: noAssertion, Declared: noAssertion, Concluded: noAssertion,
			Copyright: noAssertion, Attribution: n.attributions(w.ID)}
		if w.Terms != nil && len(w.Terms.Licensor) == 1 {
			p.Supplier = "Person: " + cmp.Or(fault.Printable(w.Terms.Licensor[0].Name), string(w.Terms.Licensor[0].ID))
		}
		if w.Terms != nil {
			p.Declared = w.Terms.Base.SPDX
			p.Concluded = p.Declared
			if b := n.branches(w.ID); len(b) == 1 {
				p.Concluded = b[0]
			}
			n.extract(&d, w)
		}
		p.Comment = "statement " + w.ID
		if w.TermsCID.Defined() {
			p.Comment += ", terms ipfs://" + w.TermsCID.String()
		}
		for _, o := range n.owed {
			if slices.Contains(o.Works, w.ID) {
				p.Attribution = append(p.Attribution, o.Words())
			}
		}
		d.Packages = append(d.Packages, p)
		d.Relationships = append(d.Relationships, spdxRelation{d.ID, "DESCRIBES", p.ID})
	}
	slices.SortFunc(d.Extracted, func(a, b spdxLicense) int { return strings.Compare(a.ID, b.ID) })
	body, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	d.Namespace = "https://github.com/cairn-registry/cairn/spdx/" + hex.EncodeToString(sum[:])
	out, err := json.MarshalIndent(d, "", "  ")
	return append(out, '\n'), err
}

// extract adds the licences of w that no list holds.
func (n *notice) extract(d *spdxDocument, w Work) {
	root, err := parse(w.Terms.Base.SPDX)
	if err != nil {
		return
	}
	root.each(func(x *node) {
		if !strings.HasPrefix(x.id, "LicenseRef-") || slices.ContainsFunc(d.Extracted, func(l spdxLicense) bool { return l.ID == x.id }) {
			return
		}
		l := spdxLicense{ID: x.id, Text: "The text is named by the terms document ipfs://" + w.TermsCID.String()}
		if text, ok := Text(x.id); ok {
			l.Text = string(text)
		} else if known := n.table.lookUp(x); known != nil {
			l.Comment, l.SeeAlso = known.Note, []string{known.Source}
		}
		d.Extracted = append(d.Extracted, l)
	})
}

// Words says an obligation in a sentence without a full stop.
func (o Obligation) Words() string {
	from := " (" + o.Source + ", rule " + fmt.Sprint(o.Rule) + ")"
	list := func(before string) string {
		if len(o.Values) == 0 {
			return ""
		}
		return before + fault.Printable(strings.Join(o.Values, ", "))
	}
	switch o.Kind {
	case OweAccept:
		if o.Met {
			return "the terms are accepted" + from
		}
		if o.Text == "bytes" {
			return "accept the terms by signature before the data is fetched" + from
		}
		return "accept the terms by signature before use" + from
	case OweAttribution:
		return "name the makers" + list(" in ") + from
	case OweNotice:
		return "pass notices and the text of the licence on with the data" + from
	case OweShareAlike:
		if o.Text == "" {
			return "pass it on under the same terms" + from
		}
		return "pass it on under " + o.Text + from
	case OweShareAlikeWeight:
		return "publish weights under the same terms" + from
	case OweNonCommercial:
		return "use it for nothing commercial" + from
	case OweNoDerivatives:
		return "pass it on unchanged" + from
	case OweUseRestrictions:
		return "keep its restrictions of use and pass them on" + from
	case OwePurposes:
		return "do not use it for" + list(" ") + from
	case OweTerritory:
		return "use it in" + list(" ") + " only" + from
	case OweReport:
		if o.Days > 0 {
			return fmt.Sprintf("report the use within %d days", o.Days) + from
		}
		return "report the use" + from
	case OweDelete:
		return "after a withdrawal, begin no new training with it" + from
	case OwePayment:
		return fmt.Sprintf("pay %d.%04d %% of revenue, stacking %s", o.Ppm/10_000, o.Ppm%10_000, o.Text) + from
	}
	return o.Kind + from
}
