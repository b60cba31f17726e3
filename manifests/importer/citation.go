package importer

import (
	"fmt"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/export"
)

// citation reads a CITATION.cff (Citation File Format 1.2).
func citation(o map[string]any) (*fragment, error) {
	r := newReader(o)
	m := r.m
	r.done["cff-version"] = true
	r.skip("citeAs says what to cite", "message")
	if kind := r.take("type"); kind != "" && kind != "dataset" {
		r.Add("type", "the file describes a %s", kind)
	}
	m.Title, m.Description, m.Version = export.Line(r.take("title")), r.take("abstract"), r.take("version")
	if m.Title != "" {
		m.Name = manifests.Slug(m.Title)
	}
	m.Keywords = r.Keywords("keywords", r.takes("keywords"))
	for _, k := range [...]string{"url", "repository", "repository-artifact", "repository-code"} {
		switch u := r.take(k); {
		case u == "" || u == m.Homepage:
		case m.Homepage == "":
			m.Homepage = u
		default:
			r.Add(k, "a manifest has one homepage")
		}
	}
	if doi := r.take("doi"); doi != "" {
		r.mirror("doi:" + strings.TrimPrefix(strings.TrimPrefix(doi, "https://doi.org/"), "doi:"))
	}
	r.done["identifiers"] = true
	for i, x := range values(o["identifiers"]) {
		id := object(x)
		if id["description"] != nil {
			r.Add(fmt.Sprintf("identifiers[%d].description", i), "a relation to another place has no member for it")
		}
		switch value := text(id["value"]); text(id["type"]) {
		case "doi":
			r.mirror("doi:" + value)
		case "swh":
			if strings.HasPrefix(value, "swh:1:dir:") {
				m.Data.SWHID = value
				continue
			}
			r.mirror(value)
		case "url":
			r.mirror(value)
		default:
			r.Add(fmt.Sprintf("identifiers[%d]", i), "is not a DOI, a URL or a SWHID")
		}
	}
	r.nobody("authors", values(o["authors"]))
	r.nobody("contact", values(o["contact"]))
	m.CiteAs = bibtex(o)
	if p := object(o["preferred-citation"]); p != nil {
		r.done["preferred-citation"] = true
		m.CiteAs = bibtex(p)
		r.Add("preferred-citation", "of its members, those of a BibTeX entry are in citeAs")
	}
	r.skip("the manifest says when it was made itself", "date-released")
	r.skip("works that are cited are not sources of the data; write those into lineage", "references")
	names := r.takes("license")
	switch u := r.take("license-url"); {
	case u != "" && len(names) == 0:
		names = []string{u}
	case u != "":
		r.Add("license-url", "license names the licence")
	}
	return r.finish("CITATION.cff "+text(o["cff-version"]), license(names))
}

// bibtex writes a work as a BibTeX entry.
func bibtex(o map[string]any) string {
	title := text(o["title"])
	if title == "" {
		return ""
	}
	value := func(s string) string {
		return strings.Join(strings.Fields(strings.NewReplacer("{", "(", "}", ")", `\`, "/").Replace(s)), " ")
	}
	var people []string
	for _, x := range values(o["authors"]) {
		a := object(x)
		family := text(a["family-names"])
		if particle := text(a["name-particle"]); particle != "" && family != "" {
			family = particle + " " + family
		}
		if suffix := text(a["name-suffix"]); suffix != "" && family != "" {
			family += ", " + suffix // von Last, Jr, First
		}
		switch {
		case family != "" && text(a["given-names"]) != "":
			people = append(people, value(family)+", "+value(text(a["given-names"])))
		case family != "":
			people = append(people, value(family))
		case text(a["name"]) != "":
			people = append(people, "{"+value(text(a["name"]))+"}")
		case text(a["alias"]) != "":
			people = append(people, "{"+value(text(a["alias"]))+"}")
		}
	}
	year := text(o["year"])
	if day := text(o["date-released"]); year == "" && len(day) >= 4 {
		year = day[:4]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "@misc{%s,\n", manifests.Slug(title))
	for _, m := range [...][2]string{{"author", strings.Join(people, " and ")}, {"title", value(title)}, {"year", value(year)}, {"version", value(text(o["version"]))}, {"doi", value(text(o["doi"]))}, {"url", value(text(o["url"]))}} {
		if m[1] != "" {
			fmt.Fprintf(&b, "  %s = {%s},\n", m[0], m[1])
		}
	}
	return b.String() + "}"
}
