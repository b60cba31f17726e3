package croissant

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/export"
)

// distribution writes the files and what their records are.
//
// Up to [MaxFileObjects] files are FileObjects, with a RecordSet for each that
// has a schema. Where these would be more than [MaxRecordSets], or have more than
// [MaxFields] fields, the records are described by FileSets instead, beside the
// FileObjects. More files are FileSets only, beside the FileObject "list": the
// file list, with the path and SHA-256 of each. A FileSet lies in the FileObject
// "root": the block of the directory, whose SHA-256 stands in its CID.
func (w *writer) distribution() error {
	var files []manifests.File // the first ones
	var sets groups
	n, fields, described := 0, 0, 0
	tooMany := w.M.Data.FileCount > MaxListed
	list := fileList{sum: sha256.New()}
	if !tooMany {
		for f, err := range w.Files {
			if err != nil {
				return err
			}
			if n++; n <= MaxFileObjects {
				files = append(files, f)
			}
			if s, ok := w.M.RecordSchema[f.SchemaRef]; ok {
				described++
				fields += len(s.Fields)
			}
			sets.add(f)
			if w.M.Data.FileList.Defined() {
				if err := list.add(f); err != nil {
					return err
				}
			}
			if n > MaxListed {
				tooMany = true
				break
			}
		}
	}
	var dist, records []obj
	switch {
	case tooMany:
		w.Add("data.fileList", "more than %d files are one FileSet, without RecordSets", MaxListed)
		dist = append(dist, w.root(), obj{"@type": "cr:FileSet", "@id": "sets/1", "name": "all files", "containedIn": ref(rootID),
			"encodingFormat": octets, "includes": "**", "cairn:files": w.M.Data.FileCount})
	case n > MaxFileObjects:
		dist, records = w.fileSets(sets.list(), true)
		if w.M.Data.FileList.Defined() {
			dist = append([]obj{w.fileList(list)}, dist...)
		}
	default:
		for _, f := range files {
			dist = append(dist, w.fileObject(f))
		}
		if described <= MaxRecordSets && fields <= MaxFields {
			for _, f := range files {
				if s, ok := w.M.RecordSchema[f.SchemaRef]; ok {
					records = append(records, recordSet("records/"+export.EscapePath(f.Path), f.Path, s, f, obj{"fileObject": ref(fileID(f.Path))}))
				}
			}
			break
		}
		w.Add("files", "more than %d RecordSets or %d fields are described by FileSets", MaxRecordSets, MaxFields)
		more, of := w.fileSets(sets.list(), false)
		dist, records = append(dist, more...), of
	}
	w.doc["distribution"] = dist
	if len(dist) == 0 { // an empty dataset is its root
		w.doc["distribution"] = []obj{w.root()}
	}
	if records != nil {
		w.doc["recordSet"] = records
	}
	w.unused(records)
	return nil
}

// unused lists the schemas that no RecordSet shows.
func (w *writer) unused(records []obj) {
	shown := make(map[string]bool)
	for _, r := range records {
		shown[r["cairn:schema"].(string)] = true
	}
	for _, name := range slices.Sorted(maps.Keys(w.M.RecordSchema)) {
		if !shown[name] {
			w.Add("schema."+name, "no RecordSet has it: no file, or no FileSet, has this schema alone")
		}
	}
}

const (
	rootID = "root"
	listID = "list"
	octets = "application/octet-stream"
)

func fileID(path string) string { return "files/" + export.EscapePath(path) }

// root is the block of the directory: what FileSets lie in.
func (w *writer) root() obj {
	c := w.M.Data.Root.Cid
	return obj{
		"@type": "cr:FileObject", "@id": rootID, "name": c.String(), "contentUrl": w.Block(c), "encodingFormat": "application/vnd.ipld.raw",
		"sha256": hex.EncodeToString(c.Hash()[len(c.Hash())-32:]), "description": "The block of the root directory; names lead from it to the files.",
	}
}

// A fileList is the digest of a file list, made from its files: there is one way
// to write each line.
type fileList struct {
	sum   hash.Hash
	bytes int64
}

func (l *fileList) add(f manifests.File) error {
	line, err := manifests.EncodeFileLine(f)
	if err != nil {
		return fmt.Errorf("the file list: %w", err)
	}
	l.sum.Write(line)
	l.bytes += int64(len(line))
	return nil
}

func (w *writer) fileList(l fileList) obj {
	return obj{
		"@type": "cr:FileObject", "@id": listID, "name": "files.jsonl", "contentUrl": strings.TrimSuffix(w.URL(w.M.Data.FileList.Cid, ""), "/"),
		"contentSize": strconv.FormatInt(l.bytes, 10) + " B", "encodingFormat": encodings("application/x-ndjson", ""), "sha256": hex.EncodeToString(l.sum.Sum(nil)),
		"description": "The list of files, a JSON object in each line: path, cid, size, sha256, and more.",
	}
}

func (w *writer) fileObject(f manifests.File) obj {
	url := w.URL(w.M.Data.Root.Cid, f.Path)
	if f.CID.Equals(w.M.Data.Root.Cid) {
		url = strings.TrimSuffix(w.URL(w.M.Data.Root.Cid, ""), "/") // the data is this file, of one block or of many
	}
	o := obj{
		"@type": "cr:FileObject", "@id": fileID(f.Path), "name": label(f.Path), "contentUrl": url,
		"contentSize": strconv.FormatInt(f.Size, 10) + " B", "encodingFormat": encodings(f.MediaType, f.Path), "sha256": f.SHA256,
		"cairn:cid": ref(ipfs(f.CID.Cid)),
	}
	if o["name"] != f.Path {
		o["cairn:path"] = f.Path
	}
	describe(o, f)
	put(o, "cairn:compression", f.Compression)
	put(o, "cairn:swhid", f.SWHID)
	return o
}

// maxLabel is how many characters of a name mlcroissant takes.
const maxLabel = 255

// label returns the end of a name that is longer than that: the name of the
// file, and what of its folders there is room for.
func label(name string) string {
	if r := []rune(name); len(r) > maxLabel {
		return string(r[len(r)-maxLabel:])
	}
	return name
}

// describe writes what the records of files have in common.
func describe(o obj, f manifests.File) {
	put(o, "cairn:schema", f.SchemaRef)
	put(o, "cairn:config", f.Config)
	put(o, "cairn:split", f.Split)
	if f.Records != nil {
		o["cairn:records"] = *f.Records
	}
}

// aliases are the names by which Croissant's loaders know formats.
var aliases = map[string]string{
	"application/x-ndjson": "application/jsonlines", "application/vnd.apache.parquet": "application/x-parquet", "text/tab-separated-values": "text/tsv",
}

// encodings returns the media types of a file: its own, the name that loaders
// know, and that of the compression around it.
func encodings(mediaType, name string) any {
	list := []string{mediaType}
	if mediaType == "" {
		list[0] = octets
	}
	if alias, ok := aliases[mediaType]; ok {
		list = append(list, alias)
	}
	switch path.Ext(name) {
	case ".gz":
		list = append(list, "application/gzip")
	case ".zst":
		list = append(list, "application/zstd")
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// A group is some files that one pattern finds.
type group struct {
	dir, ext string
	deep     bool // everything below dir
	one      manifests.File
	mixed    bool // the files differ in schema, config or split
	types    bool // they differ in media type
	files    int64
	counted  int64 // of them with a count
	records  int64
}

// groups are files by patterns, never more than [MaxFileSets]: files of one
// extension in a folder; where these are too many, below each folder at the top;
// then anywhere; then all files.
type groups struct {
	level int
	m     map[[2]string]*group
}

// at returns where the files of x belong at a level.
func (x *group) at(level int) (key [2]string, deep bool) {
	switch level {
	case 0:
		return [2]string{x.dir, x.ext}, false
	case 1:
		top, _, _ := strings.Cut(x.dir, "/")
		return [2]string{top, x.ext}, top != "."
	case 2:
		return [2]string{".", x.ext}, true
	}
	return [2]string{".", "*"}, true
}

// add counts a file.
func (g *groups) add(f manifests.File) {
	x := &group{dir: path.Dir(f.Path), ext: path.Ext(f.Path), one: f, files: 1}
	if f.Records != nil {
		x.counted, x.records = 1, *f.Records
	}
	g.join(x)
	for len(g.m) > MaxFileSets {
		old := g.list()
		g.level++
		g.m = nil
		for _, x := range old {
			g.join(x)
		}
	}
}

func (g *groups) join(x *group) {
	if g.m == nil {
		g.m = make(map[[2]string]*group)
	}
	key, deep := x.at(g.level)
	y := g.m[key]
	if y == nil {
		x.dir, x.ext, x.deep = key[0], key[1], deep
		g.m[key] = x
		return
	}
	y.mixed = y.mixed || x.mixed || x.one.SchemaRef != y.one.SchemaRef || x.one.Config != y.one.Config || x.one.Split != y.one.Split
	y.types = y.types || x.types || x.one.MediaType != y.one.MediaType
	y.files += x.files
	y.counted += x.counted
	y.records += x.records
}

// list returns the groups by their patterns.
func (g *groups) list() []*group {
	return slices.SortedFunc(maps.Values(g.m), func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.dir, b.dir), cmp.Compare(a.ext, b.ext))
	})
}

// includes returns the patterns of the group's files, * within a name and **
// across folders, and those of files that are none of it.
func (x *group) includes() (includes []string, excludes []string) {
	if x.ext == "*" {
		return []string{"**"}, nil
	}
	name := "*" + glob(x.ext)
	dir := ""
	if x.dir != "." {
		dir = glob(x.dir) + "/"
	}
	if x.ext == "" {
		excludes = []string{dir + "*.*"}
		if x.deep {
			excludes = append(excludes, dir+"**/*.*")
		}
	}
	includes = []string{dir + name}
	if x.deep {
		includes = append(includes, dir+"**/"+name)
	}
	return includes, excludes
}

// glob escapes what has a meaning in a pattern.
func glob(s string) string {
	return strings.NewReplacer("[", "[[]", "*", "[*]", "?", "[?]").Replace(s)
}

// fileSets describes files by groups.
func (w *writer) fileSets(list []*group, all bool) (dist, records []obj) {
	dist = append(dist, w.root())
	for i, x := range list {
		if !all && (x.one.SchemaRef == "" || x.mixed) {
			continue
		}
		id := fmt.Sprintf("sets/%d", i+1)
		includes, excludes := x.includes()
		o := obj{
			"@type": "cr:FileSet", "@id": id, "name": label(strings.Join(includes, ", ")), "containedIn": ref(rootID), "includes": includes,
			"encodingFormat": octets, "cairn:files": x.files,
		}
		if excludes != nil {
			o["excludes"] = excludes
		}
		if !x.types {
			o["encodingFormat"] = encodings(x.one.MediaType, "x"+x.ext)
		}
		dist = append(dist, o)
		s, ok := w.M.RecordSchema[x.one.SchemaRef]
		if !ok || x.mixed || x.types { // no loader reads two formats as one
			continue
		}
		f := x.one
		if f.Records = nil; x.counted == x.files {
			f.Records = &x.records
		}
		records = append(records, recordSet("records/"+id, o["name"].(string), s, f, obj{"fileSet": ref(id)}))
	}
	return dist, records
}
