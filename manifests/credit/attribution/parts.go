package attribution

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// Limits of a parts file.
const (
	// MaxParts bounds the paths of a parts file: as many as a vector has entries.
	MaxParts = 1 << 20
	// MaxPartsFile bounds a parts file: MaxParts lines of some 128 bytes.
	MaxPartsFile = 128 << 20
	// maxPath is the limit of a path in a manifest.
	maxPath = 4096
)

const partsHeader = "key,path\n"

// A Part says which key a file of the dataset counts for: [Self] or another.
// It is a claim of whoever publishes it.
type Part struct {
	Key, Path string
}

// EncodeParts returns the parts file: a header line, then a line "key,path" for
// each part, in the order of the paths' bytes. Malformed keys and paths, and a
// path twice, are fault.Invalid; above a limit, fault.TooLarge.
func EncodeParts(parts []Part) ([]byte, error) {
	p := byPath(parts)
	if err := checkParts(p); err != nil {
		return nil, err
	}
	b := []byte(partsHeader)
	for _, x := range p {
		b = fmt.Appendf(b, "%s,%s\n", x.Key, x.Path)
	}
	if len(b) > MaxPartsFile {
		return nil, fault.New(fault.TooLarge, "a parts file may have %d bytes, this one would have %d", MaxPartsFile, len(b))
	}
	return b, nil
}

// DecodeParts reads a parts file. It accepts what [EncodeParts] returns and
// nothing else: the rest is fault.Invalid, or fault.TooLarge above a limit.
func DecodeParts(b []byte) ([]Part, error) {
	if len(b) > MaxPartsFile {
		return nil, fault.New(fault.TooLarge, "a parts file may have %d bytes, this one has %d", MaxPartsFile, len(b))
	}
	rest, ok := bytes.CutPrefix(b, []byte(partsHeader))
	if !ok {
		return nil, fault.New(fault.Invalid, "a parts file begins with the line %q", partsHeader)
	}
	var parts []Part
	for line := 2; len(rest) > 0; line++ {
		var text []byte
		if text, rest, ok = bytes.Cut(rest, []byte("\n")); !ok {
			return nil, fault.New(fault.Invalid, "line %d of the parts file has no end", line)
		}
		key, path, ok := strings.Cut(string(text), ",")
		if !ok {
			return nil, fault.New(fault.Invalid, "line %d of the parts file: %s has no comma", line, fault.Quote(key))
		}
		if len(parts) > 0 && parts[len(parts)-1].Path >= path {
			return nil, fault.New(fault.Invalid, "line %d of the parts file: %s is out of order", line, fault.Quote(path))
		}
		if len(parts) == MaxParts {
			break // checkParts says so
		}
		parts = append(parts, Part{key, path})
	}
	if len(rest) > 0 {
		return nil, fault.New(fault.TooLarge, "a parts file may name %d paths", MaxParts)
	}
	return parts, checkParts(parts)
}

func byPath(parts []Part) []Part {
	p := slices.Clone(parts)
	slices.SortFunc(p, func(a, b Part) int { return strings.Compare(a.Path, b.Path) })
	return p
}

// checkParts checks parts that are in the order of their paths.
func checkParts(p []Part) error {
	if len(p) > MaxParts {
		return fault.New(fault.TooLarge, "a parts file may name %d paths, this one has %d", MaxParts, len(p))
	}
	for i, x := range p {
		if err := CheckKey(x.Key); err != nil {
			return err
		}
		if x.Path == "" || len(x.Path) > maxPath || !utf8.ValidString(x.Path) || strings.ContainsFunc(x.Path, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fault.New(fault.Invalid, "%s is no path of a file", fault.Quote(x.Path))
		}
		if i > 0 && p[i-1].Path == x.Path {
			return fault.New(fault.Invalid, "the path %s stands twice", fault.Quote(x.Path))
		}
	}
	return nil
}

// A File is a file of the dataset, as its manifest has it.
type File struct {
	Path      string
	Size      uint64
	MediaType string
	// Compression is the manifest's: not empty when the bytes are compressed.
	Compression string
	// Read writes the file's bytes to w, all of them and in order, and returns
	// w's error if there is one. Only rows/1 and tokens/1 call it.
	Read func(w io.Writer) error
}

// CountBytes computes bytes/1: for each key, the sizes of its files. Files that
// no part names count for nobody. Keys that get nothing are left out.
//
// A part whose file is not among the files, and a path given twice, are
// fault.Invalid. The files may come in any order.
func CountBytes(parts []Part, files iter.Seq2[File, error]) (Vector, error) {
	return count(parts, files, func(f File) (uint64, error) { return f.Size, nil })
}

// CountRows computes rows/1: as [CountBytes], with the rows that [RowCounter]
// finds in the file's bytes. A file that a part names and whose rows no rule
// defines, or that is compressed, is fault.Invalid: to count it as 0 would give
// its rows to the others.
func CountRows(parts []Part, files iter.Seq2[File, error]) (Vector, error) {
	return count(parts, files, func(f File) (uint64, error) {
		if f.Compression != "" {
			return 0, fault.New(fault.Invalid, "the file is compressed")
		}
		c, err := NewRowCounter(f.MediaType)
		if err != nil {
			return 0, err
		}
		if err := f.Read(c); err != nil {
			return 0, err
		}
		return c.Rows()
	})
}

// CountWords computes tokens/1 with the tokenizer cairn-words/1: as
// [CountBytes], with the words that [WordCounter] finds in the file's bytes. A
// compressed file that a part names is fault.Invalid.
func CountWords(parts []Part, files iter.Seq2[File, error]) (Vector, error) {
	return count(parts, files, func(f File) (uint64, error) {
		if f.Compression != "" {
			return 0, fault.New(fault.Invalid, "the file is compressed")
		}
		var c WordCounter
		if err := f.Read(&c); err != nil {
			return 0, err
		}
		return c.Words(), nil
	})
}

func count(parts []Part, files iter.Seq2[File, error], size func(File) (uint64, error)) (Vector, error) {
	parts = byPath(parts)
	if err := checkParts(parts); err != nil {
		return Vector{}, err
	}
	key := make(map[string]string, len(parts))
	for _, p := range parts {
		key[p.Path] = p.Key
	}
	t, seen := make(tally), make(map[string]bool, len(parts))
	for f, err := range files {
		if err != nil {
			return Vector{}, err
		}
		k, ok := key[f.Path]
		if !ok {
			continue
		}
		if seen[f.Path] {
			return Vector{}, fault.New(fault.Invalid, "the file %s is there twice", fault.Quote(f.Path))
		}
		seen[f.Path] = true
		n, err := size(f)
		if err == nil {
			err = t.add(k, n)
		}
		if err != nil {
			return Vector{}, fmt.Errorf("%s: %w", fault.Quote(f.Path), err)
		}
	}
	for _, p := range parts {
		if !seen[p.Path] {
			return Vector{}, fault.New(fault.Invalid, "the parts file names %s, which the dataset does not have", fault.Quote(p.Path))
		}
	}
	return t.vector(false)
}
