package attribution

// A WordCounter counts the words of the bytes written to it, in pieces of any
// size, by cairn-words/1: a word is a longest run of bytes without white space
// in it. White space is the UTF-8 of a code point with the Unicode property
// White_Space, in the fixed list of FORMAT.md. Bytes that are no UTF-8 are no
// white space, so every file has a count. The zero value is ready.
type WordCounter struct {
	words  uint64
	inWord bool
	// held are the bytes of a white space that may still become one.
	held [2]byte
	n    int
}

// Write counts on. It never fails.
func (w *WordCounter) Write(p []byte) (int, error) {
	for _, c := range p {
		if w.n > 0 {
			if more, space := continues(w.held[:w.n], c); space {
				w.n, w.inWord = 0, false
				continue
			} else if more {
				w.held[w.n] = c
				w.n++
				continue
			}
			w.n = 0
			w.word() // what was held was no white space
		}
		switch {
		case c == ' ' || '\t' <= c && c <= '\r':
			w.inWord = false
		case c == 0xc2 || 0xe1 <= c && c <= 0xe3:
			w.held[0], w.n = c, 1
		default:
			w.word()
		}
	}
	return len(p), nil
}

func (w *WordCounter) word() {
	if !w.inWord {
		w.words++
		w.inWord = true
	}
}

// Words returns the number of words, were the file to end here.
func (w *WordCounter) Words() uint64 {
	if w.n > 0 && !w.inWord {
		return w.words + 1
	}
	return w.words
}

// continues reports whether held and c together are a white space, or the
// beginning of one of three bytes.
func continues(held []byte, c byte) (more, space bool) {
	if len(held) == 1 {
		switch held[0] {
		case 0xc2: // U+0085, U+00A0
			return false, c == 0x85 || c == 0xa0
		case 0xe1: // U+1680
			return c == 0x9a, false
		case 0xe2: // U+2000 to U+205F
			return c == 0x80 || c == 0x81, false
		default: // 0xe3, U+3000
			return c == 0x80, false
		}
	}
	switch {
	case held[0] == 0xe1 || held[0] == 0xe3:
		return false, c == 0x80
	case held[1] == 0x80: // U+2000 to U+200A, U+2028, U+2029, U+202F
		return false, 0x80 <= c && c <= 0x8a || c == 0xa8 || c == 0xa9 || c == 0xaf
	default: // U+205F
		return false, c == 0x9f
	}
}
