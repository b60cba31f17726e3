package overlap

import (
	"bytes"
	"context"
	"encoding/binary"
	"path"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/sketch"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

const (
	// maxBoilerplate bounds a file that is taken for a licence by its name: the
	// longest of the usual ones, GPL-3.0, has 35 kB. Data that hides behind such a
	// name hides 64 KiB at most.
	maxBoilerplate = 64 << 10
	// maxBoilerplates bounds how many of a dataset's files are.
	maxBoilerplates = 16
)

// stems are the names of files that datasets have in common which have nothing
// to do with each other.
var stems = map[string]bool{
	"license": true, "licence": true, "unlicense": true, "copying": true, "copyright": true, "notice": true,
	".gitattributes": true, ".gitignore": true,
}

// isBoilerplate reports whether a file holds a licence, or settings of a tool, as
// far as its name and size tell. In a list of more than a thousand files one
// licence is no share that matters; these are not looked through.
func isBoilerplate(f manifests.File) bool {
	name := strings.ToLower(path.Base(f.Path))
	for _, ext := range [...]string{".txt", ".text", ".md", ".rst"} {
		name = strings.TrimSuffix(name, ext)
	}
	return f.Size <= maxBoilerplate && stems[name]
}

// boilerplate returns the hashes of records and of chunks that a dataset's
// licence texts have. They do not count: two datasets under one licence share
// its text, and no more.
func boilerplate(ctx context.Context, b unixfs.Blocks, m *manifests.Manifest) (records, chunks map[uint64]bool, err error) {
	records, chunks = make(map[uint64]bool), make(map[uint64]bool)
	n := 0
	for _, f := range m.Files {
		if !isBoilerplate(f) {
			continue
		}
		if n++; n > maxBoilerplates {
			break
		}
		var text []byte
		if err := unixfs.ReadRange(ctx, b, f.CID.Cid, 0, maxBoilerplate, func(p []byte) error { text = append(text, p...); return nil }); err != nil {
			return nil, nil, err
		}
		for rest := text; len(rest) > 0; {
			k := attribution.Cut(rest)
			c := attribution.ChunkOf(rest[:k])
			chunks[binary.BigEndian.Uint64(c.Hash[:])] = true
			rest = rest[k:]
		}
		var r sketch.Record
		for line := range bytes.Lines(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))) {
			r.Add(line)
			if h, ok := r.Hash(); ok {
				records[h] = true
			}
			r.Reset()
		}
	}
	return records, chunks, nil
}
