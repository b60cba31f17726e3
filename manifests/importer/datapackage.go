package importer

import (
	"fmt"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/export"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// dataPackage reads a Data Package, version 1 (specs.frictionlessdata.io) or 2
// (datapackage.org).
func dataPackage(o map[string]any) (*fragment, error) {
	r := newReader(o)
	m := r.m
	version := "1"
	if s := text(o["$schema"]); strings.Contains(s, "/2.") || s != "" && !strings.Contains(s, "/1.") {
		version = "2"
	}
	r.done["$schema"], r.done["profile"] = true, true
	m.Name = r.take("name")
	if m.Name != "" && manifests.ValidName(m.Name) != nil {
		r.Add("name", "%s is written as %s", fault.Quote(m.Name), manifests.Slug(m.Name))
		m.Name = manifests.Slug(m.Name)
	}
	m.Title, m.Description, m.Version, m.Homepage = export.Line(r.take("title")), r.take("description"), r.take("version"), r.take("homepage")
	m.Keywords = r.Keywords("keywords", r.takes("keywords"))
	r.skip("the manifest says when it was made itself", "created")
	if id := r.take("id"); strings.HasPrefix(id, "https://doi.org/") || strings.HasPrefix(id, "http://doi.org/") || strings.HasPrefix(id, "doi:") {
		r.mirror(id)
	} else if id != "" {
		r.Add("id", "names no place where the data lies")
	}
	r.done["licenses"], r.done["license"] = true, true
	var names []string
	for i, l := range append(values(o["licenses"]), values(o["license"])...) {
		name := text(l)
		if x := object(l); x != nil {
			if name = text(x["name"]); name == "" {
				name = text(x["path"])
			} else if x["path"] != nil && export.LicenseOf(text(x["path"])) != name {
				r.Add(fmt.Sprintf("licenses[%d].path", i), "the name says which licence it is")
			}
		}
		if name == "" {
			r.Add(fmt.Sprintf("licenses[%d]", i), "has neither a name nor a path")
			continue
		}
		names = append(names, name)
	}
	r.nobody("contributors", values(o["contributors"]))
	r.nobody("author", values(o["author"]))
	r.done["sources"] = true
	for i, s := range values(o["sources"]) {
		at, x := fmt.Sprintf("sources[%d]", i), object(s)
		l := manifests.Lineage{Rel: manifests.CollectedFrom, Note: text(x["title"])}
		if l.Target.URL = text(x["path"]); !strings.Contains(l.Target.URL, "://") {
			r.Add(at, "%s has no URL; write it into lineage", fault.Quote(l.Note))
			continue
		}
		for _, k := range sortedKeys(x) {
			if k != "title" && k != "path" {
				r.Add(at+"."+fault.Printable(k), "a relation has no member for it")
			}
		}
		m.Lineage = append(m.Lineage, l)
	}
	r.done["resources"] = true
	for i, s := range values(o["resources"]) {
		r.resource(object(s), fmt.Sprintf("resources[%d]", i))
	}
	r.files()
	return r.finish("data package "+version, license(names))
}

func (r *reader) resource(o map[string]any, at string) {
	if o == nil {
		r.Add(at, "is not an object")
		return
	}
	var schema string
	if s := object(o["schema"]); s != nil {
		schema = r.tableSchema(s, token(text(o["name"])), at+".schema")
	} else if o["schema"] != nil {
		r.Add(at+".schema", "lies elsewhere")
	}
	paths, _ := texts(o["path"])
	if len(paths) == 0 {
		r.Add(at, "has no path: data inside the document is not a file")
	}
	for _, p := range paths {
		p = strings.TrimPrefix(p, "./")
		if !isPath(p) {
			r.Add(at+".path", "%s is not a file of the dataset", fault.Quote(p))
			continue
		}
		f := manifests.File{Path: p, SchemaRef: schema, MediaType: text(o["mediatype"])}
		switch text(o["compression"]) {
		case "gz", "gzip":
			f.Compression = "gzip"
		case "zst", "zstd":
			f.Compression = "zstd"
		}
		r.m.Files = append(r.m.Files, f)
	}
	for _, k := range sortedKeys(o) {
		switch k {
		case "name":
			if schema == "" {
				r.Add(at+".name", "a file has no name but its path")
			}
		case "path", "schema", "mediatype", "profile", "$schema", "type", "compression":
		case "bytes", "hash", "format":
			// An add finds these itself.
		default:
			r.Add(at+"."+fault.Printable(k), "a file has no member for it")
		}
	}
}

// tableSchema reads a Table Schema and returns the name that it has now.
func (r *reader) tableSchema(o map[string]any, name, at string) string {
	if name == "" {
		name = fmt.Sprintf("schema-%d", len(r.m.RecordSchema)+1)
	}
	if _, ok := r.m.RecordSchema[name]; ok {
		r.Add(at, "a schema %s is there already", fault.Quote(name))
		return ""
	}
	var s manifests.RecordSchema
	names := make(map[string]bool)
	for i, x := range values(o["fields"]) {
		f, at := object(x), fmt.Sprintf("%s.fields[%d]", at, i)
		d := manifests.Field{Name: text(f["name"]), Type: text(f["type"]), Description: text(f["description"])}
		if d.Description == "" {
			d.Description = text(f["title"])
		} else if f["title"] != nil {
			r.Add(at+".title", "a field has no member for it")
		}
		switch d.Type {
		case "":
			d.Type = "string"
		case "array":
			d.Type = "list"
		}
		if d.Name == "" || names[d.Name] {
			r.Add(at, "has no name, or one that is there already")
			continue
		}
		names[d.Name] = true
		s.Fields = append(s.Fields, d)
		for _, k := range sortedKeys(f) {
			switch k {
			case "name", "type", "description", "title":
			default:
				r.Add(at+"."+fault.Printable(k), "a field has no member for it")
			}
		}
	}
	keys, _ := texts(o["primaryKey"])
	for _, k := range keys {
		if names[k] {
			s.Key = append(s.Key, k)
		} else {
			r.Add(at+".primaryKey", "%s is not a field", fault.Quote(k))
		}
	}
	for _, k := range sortedKeys(o) {
		switch k {
		case "fields", "primaryKey", "$schema", "profile":
		default:
			r.Add(at+"."+fault.Printable(k), "a schema has no member for it")
		}
	}
	if len(s.Fields) == 0 {
		return ""
	}
	if r.m.RecordSchema == nil {
		r.m.RecordSchema = make(map[string]manifests.RecordSchema)
	}
	r.m.RecordSchema[name] = s
	return name
}
