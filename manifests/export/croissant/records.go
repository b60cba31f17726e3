package croissant

import (
	"maps"
	"path"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/export"
)

// dataTypes are the types of fields, by the names that a manifest has for them.
var dataTypes = map[string]string{
	"string": "sc:Text", "integer": "sc:Integer", "number": "sc:Float", "boolean": "sc:Boolean", "date": "sc:Date",
	"datetime": "sc:DateTime", "time": "sc:Time", "url": "sc:URL", "image": "sc:ImageObject", "audio": "sc:AudioObject",
	"video": "sc:VideoObject", "boundingBox": "cr:BoundingBox", "segmentationMask": "cr:SegmentationMask",
}

// likely are other usual names; a field of such a type also carries its name.
var likely = map[string]string{
	"text": "sc:Text", "str": "sc:Text", "int": "sc:Integer", "int8": "sc:Integer", "int16": "sc:Integer", "int32": "sc:Integer", "int64": "sc:Integer",
	"uint8": "sc:Integer", "uint16": "sc:Integer", "uint32": "sc:Integer", "uint64": "sc:Integer", "float": "sc:Float", "float16": "sc:Float",
	"float32": "sc:Float", "float64": "sc:Float", "double": "sc:Float", "decimal": "sc:Float", "bool": "sc:Boolean", "timestamp": "sc:DateTime",
}

var typeNames = func() map[string]string {
	names := make(map[string]string)
	for name, t := range dataTypes {
		names[t] = name
	}
	return names
}()

// known are the data types that the validator takes: those of above, and what
// Croissant 1.1 and its loaders name beside them.
var known = func() map[string]bool {
	list := map[string]bool{"cr:Label": true, "cr:Split": true, "sc:Enumeration": true, "sc:Number": true, "sc:GeoCoordinates": true, "sc:GeoShape": true,
		"sc:name": true, "cr:TrainingSplit": true, "cr:ValidationSplit": true, "cr:TestSplit": true, "sc:Person": true, "sc:Organization": true}
	for t := range maps.Keys(typeNames) {
		list[t] = true
	}
	for _, bits := range []string{"8", "16", "32", "64"} {
		list["cr:Int"+bits], list["cr:UInt"+bits], list["cr:Float"+bits] = true, true, true
	}
	return list
}()

// list is the type of a field that holds several values.
const list = "list"

// dataType returns the Croissant type of a manifest's, and whether it says all.
func dataType(t string) (name string, all bool) {
	if name, ok := dataTypes[t]; ok {
		return name, true
	}
	if name, ok := likely[strings.ToLower(t)]; ok {
		return name, false
	}
	return "sc:Text", false
}

// recordSet describes the records of a file, or of files that are alike.
func recordSet(id, name string, s manifests.RecordSchema, f manifests.File, source obj) obj {
	r := obj{"@type": "cr:RecordSet", "@id": id, "name": label(name)}
	describe(r, f)
	var fields []obj
	for _, d := range s.Fields {
		fields = append(fields, fieldOf(id, d, f, source))
	}
	r["field"] = fields
	var keys []obj
	for _, k := range s.Key {
		keys = append(keys, ref(fieldID(id, k)))
	}
	if keys != nil {
		r["key"] = keys
	}
	return r
}

func fieldID(record, name string) string { return record + "/" + escapeName(name) }

func fieldOf(record string, d manifests.Field, f manifests.File, source obj) obj {
	from := maps.Clone(source)
	from["extract"] = extract(d.Name, f)
	o := obj{"@type": "cr:Field", "@id": fieldID(record, d.Name), "name": d.Name, "source": from}
	put(o, "description", d.Description)
	put(o, "inLanguage", d.Language)
	put(o, "cairn:pii", d.PII)
	t, all := dataType(d.Type)
	if !all {
		o["cairn:type"] = d.Type
	}
	if d.Type == list {
		o["isArray"], o["arrayShape"] = true, "(-1,)"
	}
	o["dataType"] = t
	switch d.Role {
	case "":
	case "label":
		o["dataType"] = []string{t, "cr:Label"}
	default:
		o["cairn:role"] = d.Role
	}
	return o
}

// extract says where in a record the field is: in a table by its column, in JSON
// by a path.
func extract(name string, f manifests.File) obj {
	mt := f.MediaType
	if mt == "" {
		switch path.Ext(strings.TrimSuffix(strings.TrimSuffix(f.Path, ".gz"), ".zst")) {
		case ".json":
			mt = "application/json"
		case ".jsonl", ".ndjson":
			mt = "application/x-ndjson"
		}
	}
	switch mt {
	case "application/json":
		return obj{"jsonPath": "$[*]" + member(name)}
	case "application/x-ndjson", "application/jsonl", "application/jsonlines":
		return obj{"jsonPath": "$" + member(name)}
	}
	return obj{"column": name}
}

// member is the step of a JSONPath (RFC 9535) to a member.
func member(name string) string {
	plain := name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == "" && (name[0] < '0' || name[0] > '9')
	if plain {
		return "." + name
	}
	return "['" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(name) + "']"
}

// escapeName is [export.EscapePath] for one name, slashes too.
func escapeName(name string) string { return strings.ReplaceAll(export.EscapePath(name), "/", "%2F") }
