package manifests

import (
	"cmp"
	"encoding/json"
	"strconv"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// MaxFileLine bounds a line of a file list, its line feed included: a path of
// 4,096 bytes, of which JSON makes at most twice as many, and room for the
// other members.
const MaxFileLine = 16 << 10

// EncodeFileLine returns f as a line of a file list: canonical JSON and a line
// feed.
func EncodeFileLine(f File) ([]byte, error) {
	return AppendFileLine(nil, f)
}

// AppendFileLine is [EncodeFileLine] for many lines: it appends to b. When it
// fails it returns b as it was.
func AppendFileLine(b []byte, f File) ([]byte, error) {
	if err := f.Validate(); err != nil {
		return b, err
	}
	return append(f.append(b), '\n'), nil
}

// append appends the canonical JSON of a valid f. It is written out because
// there may be millions of them; a fuzz test holds it equal to cjson.
func (f *File) append(b []byte) []byte {
	b = append(b, `{"cid":{"/":"`...)
	b = append(b, cjson.V1(f.CID.Cid).String()...)
	b = append(b, `"}`...)
	text := func(name, s string) {
		if s != "" {
			b = append(append(append(b, `,"`...), name...), `":`...)
			b = appendQuoted(b, s)
		}
	}
	text("compression", f.Compression)
	text("config", f.Config)
	text("mediaType", f.MediaType)
	text("path", f.Path)
	if f.Records != nil {
		b = strconv.AppendInt(append(b, `,"records":`...), *f.Records, 10)
	}
	text("schemaRef", f.SchemaRef)
	text("sha256", f.SHA256)
	b = strconv.AppendInt(append(b, `,"size":`...), f.Size, 10)
	text("split", f.Split)
	text("swhid", f.SWHID)
	return append(b, '}')
}

// appendQuoted appends a text without control characters as JSON.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// DecodeFileLine reads a line of a file list with or without its line feed. It
// accepts exactly the bytes that [EncodeFileLine] returns for some file. That
// the lines of a list are sorted is the caller's check, by [ComparePaths].
func DecodeFileLine(b []byte) (File, error) {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	if len(b) >= MaxFileLine {
		return File{}, fault.New(fault.TooLarge, "a line of a file list has %d bytes, more than %d", len(b)+1, MaxFileLine)
	}
	var f File
	if err := json.Unmarshal(b, &f); err != nil {
		return File{}, field.Unreadable(b, new(File), err)
	}
	if bad := f.Validate(); bad != nil {
		// Its form may be wrong too, and then that is what to say.
		again, err := cjson.Marshal(f)
		return File{}, cmp.Or(field.Same(b, again, err, f.Validate), bad)
	}
	if err := field.Same(b, f.append(make([]byte, 0, len(b))), nil, f.Validate); err != nil {
		return File{}, err
	}
	return f, nil
}

// Validate reports everything that is wrong with f as joined [*FieldError]s.
func (f *File) Validate() error {
	var p field.Problems
	f.validate(&p, "")
	return p.Err()
}

// validate checks f, whose members are reported below the path at, which is
// empty or ends in a dot.
func (f *File) validate(p *field.Problems, at string) {
	p.Add(checkPath(f.Path), "%spath", at)
	p.Add(field.DataCID(f.CID.Cid), "%scid", at)
	p.Add(field.Count(f.Size), "%ssize", at)
	p.Add(field.SHA256(f.SHA256), "%ssha256", at)
	if f.SWHID != "" {
		p.Add(checkSWHID(f.SWHID, "cnt"), "%sswhid", at)
	}
	if f.MediaType != "" {
		p.Add(checkMediaType(f.MediaType), "%smediaType", at)
	}
	for _, t := range [...]struct{ name, v string }{{"split", f.Split}, {"config", f.Config}, {"schemaRef", f.SchemaRef}, {"compression", f.Compression}} {
		if t.v != "" {
			p.Add(field.Token(t.v), "%s%s", at, t.name)
		}
	}
	if f.Records != nil {
		p.Add(field.Count(*f.Records), "%srecords", at)
	}
}
