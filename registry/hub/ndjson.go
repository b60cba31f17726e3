package hub

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/api"
)

const (
	// maxInline is the largest file in a commit's own lines, and maxLine such a
	// line: base64, and a path in JSON. Larger files are sent before, by LFS.
	maxInline = 4 << 20
	maxLine   = maxInline/3*4 + 64<<10
	// maxCommitBody bounds all lines of a commit.
	maxCommitBody = 1 << 30
	// What people write about a commit is kept in the manifest.
	maxSummary     = 256
	maxDescription = 8 << 10
)

// A change is a file that a commit adds or replaces.
type change struct {
	path   string
	sha256 string
	size   int64 // -1: not said
	inline bool  // its bytes are in the spool, at off
	off    int64
}

// A commitRequest is what a commit asks for.
type commitRequest struct {
	summary, description string
	parent               string   // sha of the version that it is made on; "" for any
	changes              []change // sorted by path, each once
	deleted, folders     []string // paths; folders without a slash at the end
}

// parseCommit reads a commit: lines of JSON, the header first. The bytes of
// small files go to spool as they come. What it does not know it refuses:
// a member that is ignored would be a change that is not made. At most max
// changes are taken.
func parseCommit(r io.Reader, max int, spool io.Writer) (*commitRequest, error) {
	lines := bufio.NewReaderSize(r, 64<<10)
	out := new(commitRequest)
	var line []byte
	var spooled int64
	begun := false
	paths := make(map[string]bool)
	for n := 1; ; n++ {
		var err error
		line, err = readLine(lines, line[:0])
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return nil, err
		}
		if b := bytes.TrimSpace(line); len(b) > 0 {
			if err := out.line(b, begun, max, paths, spool, &spooled); err != nil {
				return nil, fault.Mark(fault.Of(err), badLine{n, err})
			}
			begun = true
		}
		if end {
			break
		}
	}
	if !begun {
		return nil, fault.New(fault.Invalid, "the commit is empty: it has no header")
	}
	slices.SortFunc(out.changes, func(a, b change) int { return manifests.ComparePaths(a.path, b.path) })
	return out, nil
}

// badLine says which line of a commit is wrong.
type badLine struct {
	n   int
	err error
}

func (e badLine) Error() string {
	return "line " + strconv.Itoa(e.n) + " of the commit: " + e.err.Error()
}
func (e badLine) Unwrap() error { return e.err }

// readLine appends a line to buf; io.EOF comes with the last one.
func readLine(r *bufio.Reader, buf []byte) ([]byte, error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(buf)+len(part) > maxLine {
			return buf, fault.WithHint(fault.New(fault.TooLarge, "a line of the commit is longer than %d bytes", maxLine), "send the file by LFS")
		}
		buf = append(buf, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			var large *http.MaxBytesError
			switch {
			case errors.As(err, &large):
				err = fault.New(fault.TooLarge, "a commit of more than %d bytes", large.Limit)
			case err != nil && !errors.Is(err, io.EOF):
				err = fault.New(fault.Interrupted, "reading the commit: %w", err)
			}
			return buf, err
		}
	}
}

// line takes one line.
func (c *commitRequest) line(b []byte, begun bool, max int, paths map[string]bool, spool io.Writer, spooled *int64) error {
	var l struct {
		Key   string          `json:"key"`
		Value json.RawMessage `json:"value"`
	}
	if err := api.Strict(b, &l); err != nil {
		return err
	}
	if begun == (l.Key == "header") {
		return fault.New(fault.Invalid, "a commit has one header, on its first line")
	}
	take := func(path string) error {
		if err := checkPath(path); err != nil {
			return err
		}
		if paths[path] {
			return fault.New(fault.Invalid, "%s is in the commit already", fault.Quote(path))
		}
		if len(paths) == max {
			return fault.WithHint(fault.New(fault.TooLarge, "a commit of more than %d changes", max), "make several commits")
		}
		paths[path] = true
		return nil
	}
	switch l.Key {
	case "header":
		var v struct {
			Summary      string `json:"summary"`
			Description  string `json:"description"`
			ParentCommit string `json:"parentCommit"`
		}
		if err := api.Strict(l.Value, &v); err != nil {
			return err
		}
		if v.ParentCommit != "" && !isSha(v.ParentCommit) {
			return fault.New(fault.Invalid, "parentCommit is %s, not 40 hex digits", fault.Quote(v.ParentCommit))
		}
		c.summary, c.description, c.parent = cut(v.Summary, maxSummary), cut(v.Description, maxDescription), v.ParentCommit
	case "file":
		var v struct {
			Path     string `json:"path"`
			Content  string `json:"content"`
			Encoding string `json:"encoding"`
		}
		if err := api.Strict(l.Value, &v); err != nil {
			return err
		}
		if err := take(v.Path); err != nil {
			return err
		}
		if err := checkNew(v.Path); err != nil {
			return err
		}
		var b []byte
		switch v.Encoding {
		case "base64":
			var err error
			if b, err = base64.StdEncoding.Strict().DecodeString(v.Content); err != nil {
				return fault.New(fault.Invalid, "%s: its content is not base64", fault.Quote(v.Path))
			}
		case "", "utf-8":
			b = []byte(v.Content)
		default:
			return fault.New(fault.Invalid, "%s: the encoding %s is none of this server's: base64", fault.Quote(v.Path), fault.Quote(v.Encoding))
		}
		if len(b) > maxInline {
			return fault.WithHint(fault.New(fault.TooLarge, "%s: a commit's own lines carry files of at most %d bytes", fault.Quote(v.Path), maxInline), "send the file by LFS")
		}
		sum := sha256.Sum256(b)
		if _, err := spool.Write(b); err != nil {
			return err
		}
		c.changes = append(c.changes, change{path: v.Path, sha256: hex.EncodeToString(sum[:]), size: int64(len(b)), inline: true, off: *spooled})
		*spooled += int64(len(b))
	case "lfsFile":
		var v struct {
			Path string `json:"path"`
			Algo string `json:"algo"`
			OID  string `json:"oid"`
			Size *int64 `json:"size"`
		}
		if err := api.Strict(l.Value, &v); err != nil {
			return err
		}
		if err := take(v.Path); err != nil {
			return err
		}
		if err := checkNew(v.Path); err != nil {
			return err
		}
		if v.Algo != "sha256" && v.Algo != "sha_256" || !isSHA256(v.OID) {
			return fault.New(fault.Invalid, "%s: not a SHA-256 in lower-case hex", fault.Quote(v.Path))
		}
		ch := change{path: v.Path, sha256: v.OID, size: -1}
		if v.Size != nil {
			if ch.size = *v.Size; ch.size < 0 {
				return fault.New(fault.Invalid, "%s: a negative size", fault.Quote(v.Path))
			}
		}
		c.changes = append(c.changes, ch)
	case "deletedFile", "deletedFolder":
		var v struct {
			Path string `json:"path"`
		}
		if err := api.Strict(l.Value, &v); err != nil {
			return err
		}
		folder := l.Key == "deletedFolder"
		if folder {
			v.Path = strings.TrimSuffix(v.Path, "/")
		}
		if err := take(v.Path); err != nil {
			return err
		}
		if folder {
			c.folders = append(c.folders, v.Path)
		} else {
			c.deleted = append(c.deleted, v.Path)
		}
	default:
		return fault.New(fault.Invalid, "the key %s is none of this server's", fault.Quote(l.Key))
	}
	return nil
}

// checkNew refuses the path of a file that is added under another name than the
// client meant: JSON reads what is no text as U+FFFD.
func checkNew(p string) error {
	if strings.ContainsRune(p, utf8.RuneError) {
		return fault.New(fault.Invalid, "the path %s holds U+FFFD, which stands for what is no text", fault.Quote(p))
	}
	return nil
}

// checkPath returns nil for a path that a dataset may hold.
func checkPath(p string) error {
	switch {
	case len(p) > maxPath:
		return fault.New(fault.TooLarge, "a path of more than %d bytes", maxPath)
	case strings.Count(p, "/") >= unixfs.MaxPathDepth:
		return fault.New(fault.TooLarge, "a path of more than %d names", unixfs.MaxPathDepth)
	}
	for name := range strings.SplitSeq(p, "/") {
		if err := unixfs.CheckName(name); err != nil {
			return err
		}
	}
	return nil
}

// cut shortens a text to at most n bytes, at the end of a character, and drops
// what canonical JSON cannot hold.
func cut(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' || r == 0x7f || r == 0x2028 || r == 0x2029 || r == 0xfffd {
			return -1
		}
		return r
	}, s)
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return s
}
