package fault

import (
	"io"
	"strconv"
	"unicode/utf8"
)

// Plain returns a writer of text for people to w: what is neither printable nor a
// new line or tab is escaped, so that no text of a stranger, from a registry or a
// file, moves the cursor or hides what stands beside it. Text that a Write cuts in
// the middle of a rune is escaped there.
func Plain(w io.Writer) io.Writer { return plain{w} }

type plain struct{ w io.Writer }

func (p plain) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case r == utf8.RuneError && n <= 1:
			out = append(out, `\x`...)
			out = append(out, "0123456789abcdef"[b[i]>>4], "0123456789abcdef"[b[i]&15])
		case r == '\n' || r == '\t' || strconv.IsPrint(r):
			out = append(out, b[i:i+n]...)
		default:
			q := strconv.AppendQuoteRune(nil, r)
			out = append(out, q[1:len(q)-1]...)
		}
		i += n
	}
	if _, err := p.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}
