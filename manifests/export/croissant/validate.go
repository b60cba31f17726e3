package croissant

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// maxProblems bounds how many problems Validate reports.
const maxProblems = 100

// Required are the members that Croissant 1.1 wants in every dataset.
var required = []string{"@context", "@type", "conformsTo", "name", "description", "url", "license", "creator", "datePublished", "distribution"}

// Validate reports everything that is wrong with a document, as joined errors of
// code fault.Invalid, each with its path: members that Croissant 1.1 requires,
// names (@id) that are there twice or lead nowhere, files without a name, a URL or
// a SHA-256, patterns without a container, and data types that nobody knows. It
// is stricter than the specification where loaders are: a FileObject must have a
// SHA-256, except in a live dataset.
func Validate(b []byte) error {
	d, err := parse(b)
	if err != nil {
		return err
	}
	v := &validator{ids: make(map[string]string), version: d.version()}
	v.dataset(d)
	for _, r := range v.refs {
		if v.ids[r[1]] == "" {
			v.add(r[0], "there is no node %s", fault.Quote(r[1]))
		} else if r[2] != "" && v.ids[r[1]] != r[2] {
			v.add(r[0], "%s is a %s, not a %s", fault.Quote(r[1]), v.ids[r[1]], r[2])
		}
	}
	if v.more > 0 {
		v.errs = append(v.errs, fault.New(fault.Invalid, "and %d more problems", v.more))
	}
	return errors.Join(v.errs...)
}

type validator struct {
	version string
	ids     map[string]string // what each node is
	refs    [][3]string       // where, to what, of what kind
	errs    []error
	more    int
}

func (v *validator) add(at, format string, args ...any) {
	if len(v.errs) == maxProblems {
		v.more++
		return
	}
	v.errs = append(v.errs, fault.New(fault.Invalid, "%s: %s", at, fmt.Sprintf(format, args...)))
}

// node notes what a node is called, and that it is what it should be.
func (v *validator) node(n node, at, kind string) string {
	id := n.text("@id")
	switch {
	case id == "":
		v.add(at, "@id is missing")
	case v.ids[id] != "":
		v.add(at, "@id %s is there already", fault.Quote(id))
	default:
		v.ids[id] = kind
	}
	if !slices.Contains(n.texts("@type"), kind) {
		v.add(at, "@type is not cr:%s", kind)
	}
	return id
}

func (v *validator) ref(n node, name, at, kind string) bool {
	list := n.nodes(name)
	for _, r := range list {
		id := r.text("@id")
		if id == "" {
			v.add(at+"."+name, "names no node by @id")
			continue
		}
		v.refs = append(v.refs, [3]string{at + "." + name, id, kind})
	}
	return len(list) > 0
}

func (v *validator) dataset(d node) {
	for _, name := range required {
		if !d.has(name) {
			v.add(name, "is missing")
		}
	}
	if d.has("@type") && !slices.Contains(d.texts("@type"), "Dataset") {
		v.add("@type", "is not sc:Dataset")
	}
	if d.has("conformsTo") && v.version == "" {
		v.add("conformsTo", "does not name a version of Croissant")
	}
	for _, name := range []string{"name", "description", "url", "datePublished", "version"} {
		if d.has(name) && d.text(name) == "" {
			v.add(name, "must be one text")
		}
	}
	if url := d.text("url"); url != "" && !isURL(url) {
		v.add("url", "is not an absolute URL")
	}
	for i, c := range d.nodes("creator") {
		if c.text("name") == "" {
			v.add(fmt.Sprintf("creator[%d]", i), "name is missing")
		}
	}
	live, _ := d["isLiveDataset"].(bool)
	for i, f := range d.nodes("distribution") {
		v.file(f, fmt.Sprintf("distribution[%d]", i), live)
	}
	for i, r := range d.nodes("recordSet") {
		v.recordSet(r, fmt.Sprintf("recordSet[%d]", i))
	}
}

func (v *validator) file(f node, at string, live bool) {
	contained := false
	for _, c := range f.nodes("containedIn") {
		if contained = true; c.has("fileObject") || c.has("fileSet") { // a DataSource
			v.ref(c, "fileObject", at+".containedIn", "FileObject")
			v.ref(c, "fileSet", at+".containedIn", "FileSet")
			continue
		}
		v.ref(node{"containedIn": map[string]any(c)}, "containedIn", at, "")
	}
	if f.text("encodingFormat") == "" && len(f.texts("encodingFormat")) == 0 {
		v.add(at, "encodingFormat is missing")
	}
	if slices.Contains(f.texts("@type"), "FileSet") {
		v.node(f, at, "FileSet")
		if !contained {
			v.add(at, "containedIn is missing")
		}
		if len(f.texts("includes")) == 0 {
			v.add(at, "includes is missing")
		}
		return
	}
	v.node(f, at, "FileObject")
	switch url := f.text("contentUrl"); {
	case url == "":
		v.add(at, "contentUrl is missing")
	case !contained && !isURL(url):
		v.add(at, "contentUrl is not an absolute URL")
	}
	sum := f.text("sha256")
	switch {
	case sum != "" && (len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != ""):
		v.add(at, "sha256 is not 64 lower-case hex digits")
	case sum == "" && f.text("md5") == "" && !contained && !live:
		v.add(at, "sha256 is missing")
	}
	if size := f.text("contentSize"); size != "" {
		number, _, _ := strings.Cut(size, " ")
		if _, err := strconv.ParseFloat(number, 64); err != nil {
			v.add(at, "contentSize does not begin with a number")
		}
	}
}

func (v *validator) recordSet(r node, at string) {
	v.node(r, at, "RecordSet")
	fields := r.nodes("field")
	if len(fields) == 0 && !r.has("data") {
		v.add(at, "has no field")
	}
	for i, f := range fields {
		v.field(f, fmt.Sprintf("%s.field[%d]", at, i), r.has("data"), 0)
	}
	for _, k := range r.nodes("key") {
		v.ref(node{"key": map[string]any(k)}, "key", at, "Field")
	}
}

func (v *validator) field(f node, at string, inline bool, depth int) {
	v.node(f, at, "Field")
	types := f.rawTexts("dataType")
	for _, t := range types {
		if s := short(t); !known[s] && (strings.HasPrefix(s, "sc:") || strings.HasPrefix(s, "cr:") || !strings.Contains(s, ":")) {
			v.add(at, "the data type %s is not known", fault.Quote(t))
		}
	}
	sub := f.nodes("subField")
	if len(types) == 0 && len(sub) == 0 && !f.has("references") {
		v.add(at, "dataType is missing")
	}
	if f.has("arrayShape") && f["isArray"] != true {
		v.add(at, "arrayShape stands only beside isArray")
	}
	for _, s := range f.nodes("source") {
		n := 0
		for _, k := range [...]string{"fileObject", "fileSet", "recordSet"} {
			if v.ref(s, k, at+".source", strings.ToUpper(k[:1])+k[1:]) {
				n++
			}
		}
		if s.has("@id") {
			n++
		}
		if n != 1 {
			v.add(at+".source", "must have exactly one of fileObject, fileSet and recordSet")
		}
	}
	if !f.has("source") && !f.has("value") && !f.has("data") && !inline && len(sub) == 0 {
		v.add(at, "source is missing")
	}
	if depth == maxDepth {
		return
	}
	for i, s := range sub {
		v.field(s, fmt.Sprintf("%s.subField[%d]", at, i), inline || f.has("source"), depth+1)
	}
}

// isURL reports whether s looks like an absolute URL.
func isURL(s string) bool {
	scheme, rest, ok := strings.Cut(s, ":")
	return ok && scheme != "" && rest != "" && strings.Trim(strings.ToLower(scheme), "abcdefghijklmnopqrstuvwxyz0123456789+.-") == "" && !strings.ContainsAny(s, " \n\t<>\"")
}
