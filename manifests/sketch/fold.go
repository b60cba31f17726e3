package sketch

import (
	"sync"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// appendFolded appends text that has characters outside ASCII: NFC, full case
// folding, NFC again.
func appendFolded(dst, text []byte) []byte {
	if out, ok := appendSimple(dst, text); ok {
		return out
	}
	return appendFull(dst, text)
}

// appendFull does it for any text.
func appendFull(dst, text []byte) []byte {
	if !norm.NFC.IsNormal(text) {
		text = norm.NFC.Bytes(text)
	}
	fold := cases.Fold()
	return norm.NFC.Append(dst, fold.Bytes(text)...)
}

// tableEnd is behind the characters that have a row in the table: alphabets,
// punctuation and symbols.
const tableEnd = 0x3000

// A folded character is the canonical form of one that stands for itself: it
// does not combine with what is before it, and neither does what it becomes.
// Text of such characters is done a character at a time, many times faster.
type folded struct {
	n uint8 // bytes of b; 0 for a character that needs its neighbours
	b [7]byte
}

// foldTable is made when text outside ASCII first comes: 96 KiB.
var foldTable = sync.OnceValue(func() *[tableEnd]folded {
	t := new([tableEnd]folded)
	fold := cases.Fold()
	for r := range rune(tableEnd) {
		s := string(r)
		if norm.NFC.String(s) != s || !norm.NFC.PropertiesString(s).BoundaryBefore() {
			continue
		}
		f := fold.String(s)
		if f == "" || !norm.NFC.PropertiesString(f).BoundaryBefore() {
			continue
		}
		if f = norm.NFC.String(f); len(f) <= len(t[r].b) {
			t[r].n = uint8(copy(t[r].b[:], f))
		}
	}
	return t
})

// itself reports whether a character behind the table is its own canonical form,
// whatever stands before it: kana, Han, Hangul syllables, and pictures.
func itself(r rune) bool {
	return r >= 0x3041 && r <= 0x3096 || r >= 0x30a1 && r <= 0x30fa || r >= 0x3400 && r <= 0x4dbf || r >= 0x4e00 && r <= 0x9fff ||
		r >= 0xac00 && r <= 0xd7a3 || r >= 0x1f300 && r <= 0x1faff || r >= 0x3001 && r <= 0x3020
}

func appendSimple(dst, text []byte) ([]byte, bool) {
	table := foldTable()
	from := len(dst)
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r < tableEnd && table[r].n > 0:
			f := &table[r]
			dst = append(dst, f.b[:f.n]...)
		case r >= tableEnd && itself(r):
			dst = append(dst, text[i:i+n]...)
		default:
			return dst[:from], false
		}
		i += n
	}
	return dst, true
}
