package croissant

import (
	"net/url"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/export"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/terms"
)

// IsCroissant reports whether b looks like a Croissant document.
func IsCroissant(b []byte) bool {
	d, err := parse(b)
	return err == nil && (d.version() != "" || d.has("recordSet") || slices.Contains(d.texts("@type"), "Dataset"))
}

// Read reads a Croissant document of version 1.0 or 1.1, as [Write] writes it or
// as others do, into the beginning of a manifest. What a manifest has no place
// for, or what its grammar refuses, is in Dropped; the reader itself fails only
// for what is no document: fault.Invalid, and fault.TooLarge beyond
// [MaxDocument].
func Read(b []byte) (*export.Fragment, error) {
	d, err := parse(b)
	if err != nil {
		return nil, err
	}
	v := d.version()
	if v == "" && !slices.Contains(d.texts("@type"), "Dataset") {
		return nil, fault.WithHint(fault.New(fault.Invalid, "the document does not say that it is Croissant"), "conformsTo names %s", Version)
	}
	format := "croissant " + v
	if v == "" {
		format = "schema.org Dataset"
	}
	r := &reader{node: d, m: &manifests.Manifest{Schema: manifests.ManifestSchema}, activities: make(map[string]bool), done: map[string]bool{
		"@context": true, "@type": true, "@id": true, "conformsTo": true, "dateModified": true, "size": true,
		"cairn:statement": true, "cairn:manifest": true, "cairn:terms": true, "@language": true,
	}}
	r.about()
	r.people()
	r.facts()
	r.lineage()
	r.distribution()
	license := r.license()
	r.rest()
	f := &export.Fragment{Format: format, Manifest: r.m, License: license, Dropped: r.List()}
	return f, f.Sieve()
}

type reader struct {
	node
	export.Drops
	m          *manifests.Manifest
	done       map[string]bool // members that were looked at
	activities map[string]bool // by their ids
}

func (r *reader) take(name string) string {
	r.done[name] = true
	s := r.text(name)
	if s == "" && r.has(name) {
		r.Add(name, "is not one text")
	}
	return s
}

func (r *reader) takes(name string) []string {
	r.done[name] = true
	list := r.texts(name)
	if n := len(r.list(name)); n > len(list) {
		r.Add(name, "%d values are not text", n-len(list))
	}
	return list
}

const ours = "cairn:manifest" // a document of this package has it

func (r *reader) about() {
	m := r.m
	name := r.take("name")
	if m.Name = name; manifests.ValidName(name) != nil {
		if m.Name = manifests.Slug(name); m.Title == "" {
			m.Title = export.Line(name)
		}
		if m.Name == "" {
			r.Add("name", "has no letter that a name may have")
		}
	}
	if t := r.take("alternateName"); t != "" {
		m.Title = export.Line(t)
	}
	m.Description = r.take("description")
	if !r.has(ours) {
		m.Description = strings.TrimSpace(m.Description)
	}
	if m.Description == m.Title || m.Description == m.Name {
		m.Description = ""
	}
	if v := r.take("version"); v != "" {
		if manifests.ValidVersion(v) == nil {
			m.Version = v
		} else {
			r.Add("version", "%s is not a version like 1.0.0", fault.Quote(v))
		}
	}
	r.done["dateCreated"], r.done["datePublished"] = true, true
	for _, name := range [...]string{"dateCreated", "datePublished"} {
		if r.has(name) && !r.has(ours) {
			r.Add(name, "the manifest says when it was made itself")
		}
	}
	m.CiteAs = r.take("citeAs")
	m.Keywords = r.takes("keywords")
	if len(m.Keywords) == 1 && strings.Contains(m.Keywords[0], ",") && !r.has(ours) {
		m.Keywords = strings.Split(m.Keywords[0], ",")
		for i := range m.Keywords {
			m.Keywords[i] = strings.TrimSpace(m.Keywords[i])
		}
	}
	m.Keywords = r.Keywords("keywords", m.Keywords)
	m.Languages = r.takes("inLanguage")
	m.Modalities = r.takes("cairn:modality")
	m.Homepage = r.take("mainEntityOfPage")
	if u := r.take("url"); m.Homepage == "" && !r.has(ours) {
		m.Homepage = u
	}
	if id := r.texts("identifier"); len(id) == 1 && strings.HasPrefix(id[0], "swh:1:dir:") {
		r.done["identifier"] = true
		m.Data.SWHID = id[0]
	}
	if n, ok := r.number("cairn:records"); ok && n != nil {
		m.Stats = &manifests.Stats{Records: n}
	}
	r.done["cairn:records"] = true
}

func (r *reader) people() {
	r.done["creator"], r.done["publisher"] = true, true
	for i, v := range r.list("creator") {
		at := "creator[" + itoa(i) + "]"
		o, ok := v.(map[string]any)
		if !ok {
			r.Add(at, "%s has no did:key; name who shares in the data with --contributor", fault.Quote(textOf(v)))
			continue
		}
		c := node(o)
		id, err := sign.ParseKeyID(c.text("@id"))
		if err != nil {
			r.Add(at, "%s has no did:key; name who shares in the data with --contributor", fault.Quote(c.text("name")))
			continue
		}
		who := manifests.Contributor{ID: id, Name: c.text("name"), Roles: c.texts("cairn:role")}
		if who.Name == string(id) {
			who.Name = ""
		}
		for _, x := range c.texts("identifier") {
			if s, ok := strings.CutPrefix(x, orcidURL); ok {
				who.ORCID = s
			} else if s, ok := strings.CutPrefix(x, rorURL); ok {
				who.ROR = s
			} else {
				r.Add(at+".identifier", "%s is neither an ORCID nor a ROR", fault.Quote(x))
			}
		}
		r.m.Contributors = append(r.m.Contributors, who)
	}
	if r.has("publisher") {
		r.Add("publisher", "whoever signs the statement is the publisher")
	}
}

// license returns the licence: the expression of ours, else the SPDX identifier
// in the URL, else what stands there.
func (r *reader) license() string {
	if s := r.text("cairn:license"); s != "" {
		return s
	}
	first := ""
	for i, v := range r.list("license") {
		s := textOf(v)
		if o, ok := v.(map[string]any); ok { // a CreativeWork
			for _, k := range [...]string{"url", "name"} {
				if s == "" {
					s = node(o).text(k)
				}
			}
		}
		switch {
		case s == "":
			r.Add("license["+itoa(i)+"]", "is no name and no URL")
		case first == "":
			first = s
		case export.LicenseOf(s) != export.LicenseOf(first):
			// Whether one may choose, or both hold for parts of it, is not said.
			r.Add("license["+itoa(i)+"]", "%s is another licence; say with --license how they go together", fault.Quote(s))
		}
	}
	first = export.LicenseOf(first)
	if normal, _, err := terms.ParseExpression(first); err == nil {
		return normal
	}
	return first
}

// rest lists what nobody looked at.
func (r *reader) rest() {
	r.done["license"], r.done["cairn:license"] = true, true
	if r.has("usageInfo") {
		r.done["usageInfo"] = true
		r.Add("usageInfo", "the terms say what may be done; write them with \"cairn terms\"")
	}
	for _, name := range sorted(r.node) {
		if !r.done[name] && r.has(name) {
			r.Add(fault.Printable(name), "a manifest has no member for it")
		}
	}
}

// distribution reads files and records.
func (r *reader) distribution() {
	for _, name := range [...]string{"distribution", "recordSet"} {
		r.done[name] = true
		if n := len(r.list(name)) - len(r.nodes(name)); n > 0 {
			r.Add(name, "%d values are no objects", n)
		}
	}
	for i, f := range r.nodes("distribution") {
		at := "distribution[" + itoa(i) + "]"
		if slices.Contains(f.texts("@type"), "FileSet") {
			if !r.has(ours) {
				r.Add(at, "a FileSet is a pattern; a manifest lists the files that are added")
			}
			continue
		}
		if id := f.text("@id"); (id == rootID || id == listID) && r.has(ours) {
			continue
		}
		if slices.Contains(f.texts("encodingFormat"), "git+https") {
			r.Add(at, "%s is a repository; a manifest lists the files that are added", fault.Quote(f.text("contentUrl")))
			continue
		}
		path := r.path(f)
		if path == "" {
			r.Add(at, "has no path that a file of a dataset can have")
			continue
		}
		out := manifests.File{
			Path: path, Split: f.text("cairn:split"), Config: f.text("cairn:config"), SchemaRef: f.text("cairn:schema"),
			Compression: f.text("cairn:compression"), SWHID: f.text("cairn:swhid"), MediaType: mediaType(f.texts("encodingFormat")),
		}
		var ok bool
		if out.Records, ok = f.number("cairn:records"); !ok {
			r.Add(at+".cairn:records", "is not a whole number")
		}
		r.m.Files = append(r.m.Files, out)
		for _, name := range sorted(f) {
			switch name {
			case "@id", "@type", "name", "contentUrl", "contentSize", "encodingFormat", "sha256", "md5":
			default:
				if !strings.HasPrefix(name, "cairn:") {
					r.Add(at+"."+fault.Printable(name), "a file has no member for it")
				}
			}
		}
	}
	slices.SortStableFunc(r.m.Files, func(a, b manifests.File) int { return manifests.ComparePaths(a.Path, b.Path) })
	r.m.Files = slices.CompactFunc(r.m.Files, func(a, b manifests.File) bool {
		if a.Path == b.Path {
			r.Add("distribution", "%s is there twice; the first counts", fault.Quote(a.Path))
		}
		return a.Path == b.Path
	})
	if len(r.m.Files) > manifests.MaxInlineFiles {
		r.Add("distribution", "more than %d files cannot be described one by one", manifests.MaxInlineFiles)
		r.m.Files = nil
	}
	byID := make(map[string]int, len(r.m.Files))
	for i, f := range r.m.Files {
		byID[fileID(f.Path)] = i
	}
	for _, f := range r.nodes("distribution") {
		if p := r.path(f); p != "" {
			if i, ok := byID[fileID(p)]; ok {
				byID[f.text("@id")] = i
			}
		}
	}
	for i, s := range r.nodes("recordSet") {
		r.recordSet(s, "recordSet["+itoa(i)+"]", byID)
	}
}

// path returns a file's path below the root: its name in a document of ours, else
// the last part of where it lies.
func (r *reader) path(f node) string {
	p := f.text("name")
	if full := f.text("cairn:path"); full != "" {
		p = full
	}
	if !r.has(ours) {
		p = f.text("contentUrl")
		if u, err := url.Parse(p); err == nil && u.Scheme != "" {
			p = u.Path[strings.LastIndexByte(u.Path, '/')+1:]
		}
	}
	return p
}

// mediaType is the inverse of [encodings].
func mediaType(list []string) string {
	if len(list) == 0 {
		return ""
	}
	mt := list[0]
	if mt == octets {
		return ""
	}
	return mt
}

func (r *reader) recordSet(s node, at string, files map[string]int) {
	name := s.text("cairn:schema")
	if name == "" {
		if name = schemaName(s.text("@id")); name == "" {
			name = schemaName(s.text("name"))
		}
		if name == "" || s.has("data") {
			r.Add(at, "holds its records itself, or has no name that a schema can have")
			return
		}
	}
	var out manifests.RecordSchema
	ids := make(map[string]string)
	used := make(map[string]bool)
	for i, f := range s.nodes("field") {
		d, source := r.field(f, at+".field["+itoa(i)+"]")
		if fromName(f) {
			r.Add(at+".field["+itoa(i)+"]", "%s is not in the data: it comes from the names of files", fault.Quote(d.Name))
			continue
		}
		if d.Name == "" || used[d.Name] {
			r.Add(at+".field["+itoa(i)+"]", "has no name, or one that is there already")
			continue
		}
		used[d.Name] = true
		ids[f.text("@id")] = d.Name
		out.Fields = append(out.Fields, d)
		if i, ok := files[source]; ok && r.m.Files[i].SchemaRef == "" {
			r.m.Files[i].SchemaRef = name
		}
	}
	for _, k := range s.list("key") {
		if id := textOf(k); ids[id] != "" {
			out.Key = append(out.Key, ids[id])
		} else {
			r.Add(at+".key", "%s is not a field of it", fault.Quote(id))
		}
	}
	for _, x := range sorted(s) {
		switch x {
		case "@id", "@type", "name", "field", "key":
		default:
			if s.has(x) && !strings.HasPrefix(x, "cairn:") {
				r.Add(at+"."+fault.Printable(x), "a schema has no member for it")
			}
		}
	}
	if len(out.Fields) == 0 {
		r.Add(at, "has no fields")
		return
	}
	if old, ok := r.m.RecordSchema[name]; ok {
		if !equal(old, out) {
			r.Add(at, "another RecordSet of the schema %s has other fields", fault.Quote(name))
		}
		return
	}
	if r.m.RecordSchema == nil {
		r.m.RecordSchema = make(map[string]manifests.RecordSchema)
	}
	r.m.RecordSchema[name] = out
}

func equal(a, b manifests.RecordSchema) bool {
	return slices.Equal(a.Fields, b.Fields) && slices.Equal(a.Key, b.Key)
}

// schemaName makes a name that a schema may have, "" when nothing is left.
func schemaName(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-', c == '+':
			return c
		}
		return '-'
	}, s)
	if s = strings.TrimLeft(s, "-.+"); len(s) > 64 {
		s = s[:64]
	}
	return s
}

// field reads a field, and the name of the file that it comes from.
func (r *reader) field(f node, at string) (d manifests.Field, source string) {
	d = manifests.Field{
		Name: f.text("name"), Description: f.text("description"), Language: f.text("inLanguage"), PII: f.text("cairn:pii"), Role: f.text("cairn:role"),
	}
	for _, s := range f.nodes("source") {
		for _, k := range s.nodes("fileObject") {
			source = k.text("@id")
		}
		for _, e := range s.nodes("extract") {
			// What the field is called in the data counts, not in the document.
			if c := e.text("column"); c != "" {
				d.Name = c
			}
		}
		for _, x := range [...]string{"transform", "format"} {
			if s.has(x) {
				r.Add(at+".source."+x, "a schema describes what lies in the file")
			}
		}
	}
	if d.Name == "" {
		id := f.text("@id")
		d.Name = id[strings.LastIndexByte(id, '/')+1:]
	}
	for _, t := range f.rawTexts("dataType") {
		switch s := short(t); {
		case s == "cr:Label":
			d.Role = "label"
		case d.Type == "":
			d.Type = typeName(s)
		default:
			r.Add(at+".dataType", "%s: a field has one type", fault.Quote(t))
		}
	}
	switch t := f.text("cairn:type"); {
	case t != "":
		d.Type = t
	case f["isArray"] == true || f["repeated"] == true:
		if shape := f.text("arrayShape"); shape != "" && shape != "(-1,)" {
			r.Add(at+".arrayShape", "the shape %s of a list has no place", fault.Quote(shape))
		}
		if d.Type != "" {
			r.Add(at+".dataType", "of a list, the type of its values has no place")
		}
		d.Type = list
	case d.Type == "":
		d.Type = "string"
	}
	for _, x := range sorted(f) {
		switch x {
		case "@id", "@type", "name", "description", "inLanguage", "dataType", "isArray", "arrayShape", "repeated", "source":
		default:
			if f.has(x) && !strings.HasPrefix(x, "cairn:") {
				r.Add(at+"."+fault.Printable(x), "a field has no member for it")
			}
		}
	}
	return d, source
}

// fromName reports whether a field's values come from the names of files.
func fromName(f node) bool {
	for _, s := range f.nodes("source") {
		for _, e := range s.nodes("extract") {
			switch e.text("fileProperty") {
			case "fullpath", "filepath", "filename":
				return true
			}
		}
	}
	return false
}

func typeName(t string) string {
	if !strings.Contains(t, ":") {
		t = "sc:" + t
	}
	if name, ok := typeNames[t]; ok {
		return name
	}
	if bits, ok := strings.CutPrefix(t, "cr:"); ok && known[t] && strings.Trim(bits, "IntUFloa0123456789") == "" {
		return strings.ToLower(bits)
	}
	name := t[strings.LastIndexAny(t, ":/#")+1:]
	if name == "" || len(name) > 64 {
		return "string"
	}
	return name
}
