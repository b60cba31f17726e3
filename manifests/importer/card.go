package importer

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/export"
	"github.com/cairn-registry/cairn/manifests/fault"
)

type fragment = export.Fragment

func sortedKeys(o map[string]any) []string { return slices.Sorted(maps.Keys(o)) }

// frontMatter cuts the YAML off the beginning of a Markdown file.
func frontMatter(b []byte) (front, body []byte, ok bool) {
	first, rest, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(bytes.TrimRight(first, "\r ")) != "---" {
		return nil, nil, false
	}
	for at := 0; at < len(rest); {
		n := bytes.IndexByte(rest[at:], '\n')
		end := at + n + 1
		if n < 0 {
			n, end = len(rest)-at, len(rest)
		}
		if string(bytes.TrimRight(rest[at:at+n], "\r ")) == "---" {
			return rest[:at], rest[end:], true
		}
		at = end
	}
	return nil, nil, false
}

// card reads a dataset card of the Hub.
func card(front, body []byte) (*fragment, error) {
	if len(body) > MaxFile {
		return nil, fault.New(fault.TooLarge, "the card has more than %d bytes", MaxFile)
	}
	v, err := manifests.YAMLValue(front)
	if err != nil {
		return nil, fmt.Errorf("the card's YAML: %w", err)
	}
	o := object(v)
	if o == nil && v != nil {
		return nil, fault.New(fault.Invalid, "the card's YAML is not an object")
	}
	r := newReader(o)
	m := r.m
	m.Title = export.Line(r.take("pretty_name"))
	m.Languages = append(r.takes("language"), r.takes("languages")...)
	r.done["tags"], r.done["task_categories"] = true, true
	m.Keywords = append(r.Keywords("tags", r.takes("tags")), r.Keywords("task_categories", r.takes("task_categories"))...)
	m.Keywords = compact(m.Keywords)
	r.sources()
	r.done["configs"] = true
	for i, c := range values(o["configs"]) {
		r.config(object(c), fmt.Sprintf("configs[%d]", i))
	}
	r.done["dataset_info"] = true
	for i, d := range values(o["dataset_info"]) {
		r.info(object(d), fmt.Sprintf("dataset_info[%d]", i))
	}
	for i, f := range m.Files { // a configuration's features are those of its files
		if _, ok := m.RecordSchema[f.Config]; ok {
			m.Files[i].SchemaRef = f.Config
		}
	}
	r.skip("sizes are counted when the data is added", "size_categories")
	for _, k := range sortedKeys(o) {
		if strings.HasPrefix(k, "extra_gated_") {
			r.skip("conditions of access belong to the terms (conditions.accept)", k)
		}
	}
	names := r.takes("license")
	if len(names) == 1 && names[0] == "other" {
		if n := r.take("license_name"); n != "" {
			names[0] = "LicenseRef-" + token(n)
		}
	}
	r.skip("the text of a licence belongs to the terms", "license_link", "license_details")
	for i, n := range names {
		names[i] = hubLicense(n)
	}
	r.body(string(body))
	r.files()
	return r.finish("hub dataset card", strings.Join(names, " OR "))
}

func compact(list []string) (out []string) {
	seen := make(map[string]bool)
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// hubLicenses are the Hub's names that differ from SPDX's by more than their case.
var hubLicenses = map[string]string{"odc-by": "ODC-By-1.0", "odbl": "ODbL-1.0", "pddl": "PDDL-1.0", "c-uda": "C-UDA-1.0"}

// hubLicense returns what the Hub's name of a licence means: an identifier of
// SPDX, or, for families of licences and those that SPDX does not list, a name of
// its own that nobody takes for another.
func hubLicense(s string) string {
	if id, ok := hubLicenses[s]; ok {
		return id
	}
	own := slices.Contains([]string{"unknown", "other", "gpl", "lgpl", "cc", "bsd"}, s)
	for _, family := range [...]string{"openrail", "bigscience-", "creativeml-", "bigcode-", "llama", "gemma"} {
		own = own || strings.HasPrefix(s, family)
	}
	if own {
		return "LicenseRef-hf-" + token(s)
	}
	return s
}

// sources reads which datasets of the Hub this one comes from.
func (r *reader) sources() {
	for i, s := range r.takes("source_datasets") {
		name := strings.TrimPrefix(s, "extended|")
		switch {
		case s == "original":
		case strings.Count(name, "/") != 1 || strings.ContainsAny(name, " |"): // the Hub's old names have no owner
			r.Add(fmt.Sprintf("source_datasets[%d]", i), "%s is no OWNER/NAME; write it into lineage", fault.Quote(s))
		default:
			r.m.Lineage = append(r.m.Lineage, manifests.Lineage{Rel: manifests.DerivedFrom, Target: manifests.Target{URL: "hf:datasets/" + name}})
		}
	}
}

// config reads which files are which part of which configuration.
func (r *reader) config(o map[string]any, at string) {
	if o == nil {
		r.Add(at, "is not an object")
		return
	}
	config := token(text(o["config_name"]))
	taken := false
	add := func(path, split, at string) {
		taken = true
		if path = strings.TrimPrefix(path, "./"); !isPath(path) {
			r.Add(at, "%s is a pattern; a manifest lists the files that are added", fault.Quote(path))
			return
		}
		r.m.Files = append(r.m.Files, manifests.File{Path: path, Config: config, Split: token(split)})
	}
	several := func(v any, split, at string) {
		paths, odd := texts(v)
		if odd > 0 || len(paths) == 0 {
			r.Add(at, "does not name a file")
		}
		for _, p := range paths {
			add(p, split, at)
		}
	}
	for i, d := range values(o["data_files"]) {
		at := fmt.Sprintf("%s.data_files[%d]", at, i)
		x := object(d)
		switch {
		case x == nil:
			several(d, "", at)
		case x["path"] != nil:
			several(x["path"], text(x["split"]), at)
		default: // splits, and the files of each
			for _, split := range sortedKeys(x) {
				several(x[split], split, at+"."+fault.Printable(split))
			}
		}
	}
	if !taken && config != "" {
		r.Add(at+".config_name", "%s has no files that are listed", fault.Quote(config))
	}
	for _, k := range sortedKeys(o) {
		if k != "config_name" && k != "data_files" {
			r.Add(at+"."+fault.Printable(k), "files have no member for it")
		}
	}
}

// info reads the features of a configuration.
func (r *reader) info(o map[string]any, at string) {
	if o == nil {
		r.Add(at, "is not an object")
		return
	}
	name := token(text(o["config_name"]))
	if name == "" {
		name = "default"
	}
	var s manifests.RecordSchema
	names := make(map[string]bool)
	for i, x := range values(o["features"]) {
		f, at := object(x), fmt.Sprintf("%s.features[%d]", at, i)
		d := manifests.Field{Name: text(f["name"])}
		switch t := f["dtype"]; {
		case text(t) != "":
			d.Type = text(t)
		case object(t)["class_label"] != nil:
			d.Type, d.Role = "integer", "label"
			r.Add(at+".dtype.class_label", "the names of labels have no place")
		case f["list"] != nil || f["sequence"] != nil:
			d.Type = "list"
		case f["struct"] != nil || t != nil:
			d.Type = "object"
		default:
			d.Type = "string"
		}
		for _, k := range sortedKeys(f) {
			switch {
			case k == "name", k == "dtype" && (text(f[k]) != "" || d.Role == "label"):
			case k == "dtype" || k == "list" || k == "sequence" || k == "struct":
				r.Add(at+"."+k, "what a field is made of has no place")
			default:
				r.Add(at+"."+fault.Printable(k), "a field has no member for it")
			}
		}
		if d.Name == "" || names[d.Name] {
			r.Add(at, "has no name, or one that is there already")
			continue
		}
		names[d.Name] = true
		s.Fields = append(s.Fields, d)
	}
	if len(s.Fields) > 0 {
		if r.m.RecordSchema == nil {
			r.m.RecordSchema = make(map[string]manifests.RecordSchema)
		}
		if _, ok := r.m.RecordSchema[name]; ok {
			r.Add(at, "a schema %s is there already", fault.Quote(name))
		} else {
			r.m.RecordSchema[name] = s
		}
	}
	for _, k := range sortedKeys(o) {
		switch k {
		case "config_name", "features":
		case "splits", "download_size", "dataset_size":
			r.Add(at+"."+k, "records and bytes are counted when the data is added")
		default:
			r.Add(at+"."+fault.Printable(k), "a schema has no member for it")
		}
	}
}

// body takes of the card's text its title, its first paragraph and a BibTeX entry.
func (r *reader) body(s string) {
	s = strings.ReplaceAll(export.Clean(s), "\t", " ")
	if _, rest, ok := strings.Cut(s, "```bibtex\n"); ok {
		entry, _, _ := strings.Cut(rest, "```")
		r.m.CiteAs = strings.TrimSpace(entry)
	}
	more := false
	for para := range strings.SplitSeq(s, "\n\n") {
		para = strings.TrimSpace(para)
		for strings.HasPrefix(para, "#") {
			line, rest, _ := strings.Cut(para, "\n")
			title := strings.TrimSpace(strings.TrimPrefix(line, "#"))
			if r.m.Title == "" && !strings.HasPrefix(title, "#") {
				r.m.Title = title
			}
			more = more || title != r.m.Title
			para = strings.TrimSpace(rest)
		}
		switch {
		case para == "" || strings.HasPrefix(para, "<!--"):
		case r.m.Description == "" && !strings.HasPrefix(para, "```") && !strings.HasPrefix(para, "[!") && !strings.HasPrefix(para, "![") && para[0] != '<':
			r.m.Description = para
		default:
			more = true
		}
	}
	if more {
		r.Add("text", "only the first paragraph becomes the description")
	}
}
