package hub

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/api"
)

const (
	// maxPage is the entries of one page of a listing.
	maxPage = 1000
	// maxPaths and maxPathsBody bound a question about paths.
	maxPaths     = 1000
	maxPathsBody = 2 << 20
	// maxPath bounds a path in a request: that of a dataset, which is stored.
	maxPath = 4096
)

// A treeEntry is a line of a listing on the wire.
type treeEntry struct {
	Type string `json:"type"` // file or directory
	Path string `json:"path"`
	Size int64  `json:"size"`
	// OID is a file's name as a git blob. Of a directory it is no git tree, but
	// stands for the directory in this one version.
	OID        string  `json:"oid"`
	LFS        *lfs    `json:"lfs,omitempty"`
	LastCommit *commit `json:"lastCommit,omitempty"`
}

type lfs struct {
	OID         string `json:"oid"` // SHA-256 of the file
	Size        int64  `json:"size"`
	PointerSize int    `json:"pointerSize"`
}

type commit struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Date  string `json:"date"`
}

// entry is how a listing shows a file or directory. All of a version's paths
// have that version as their last commit: an older one that had the same bytes
// is not looked for.
func (h *Hub) entry(r *http.Request, v *revision, e entry, expand bool) (treeEntry, error) {
	out := treeEntry{Type: "file", Path: e.Path, Size: e.Size}
	if e.dir {
		out.Type = "directory"
		sum := sha256.Sum256([]byte(v.sha + "/" + e.Path))
		out.OID = hex.EncodeToString(sum[:20])
	} else {
		var err error
		if out.OID, err = h.oid(r.Context(), &e.file); err != nil {
			return out, err
		}
		out.LFS = &lfs{e.SHA256, e.Size, len(pointer(&e.file))}
	}
	if expand {
		out.LastCommit = &commit{v.sha, v.Name + " " + v.Version, date(v.IssuedAt)}
	}
	return out, nil
}

// date is a time as the Hub writes it, which some clients insist on.
func date(rfc3339 string) string { return strings.TrimSuffix(rfc3339, "Z") + ".000Z" }

// readable returns what a version holds, if the caller may have its bytes.
func (h *Hub) readable(r *http.Request) (*revision, *content, error) {
	v, err := h.revision(r)
	if err != nil {
		return nil, nil, err
	}
	if v.denied != nil {
		return nil, nil, v.denied
	}
	c, err := h.content(r.Context(), v)
	return v, c, err
}

// path reads the path of a request, without a slash at its end.
func path(r *http.Request) (string, error) {
	p := strings.TrimSuffix(r.PathValue("path"), "/")
	if len(p) > maxPath {
		return "", noEntry(p)
	}
	return p, nil
}

func flag(q url.Values, name string) bool {
	v, _ := strconv.ParseBool(q.Get(name))
	return v
}

func limit(q url.Values, most int) (int, error) {
	text := q.Get("limit")
	if text == "" {
		return most, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fault.New(fault.Invalid, "limit is %s, not a number from 1 on", fault.Quote(text))
	}
	return min(n, most), nil
}

// next sets the Link to the next page, absolute because JavaScript fetches it as it is.
func (h *Hub) next(w http.ResponseWriter, r *http.Request, cursor string) {
	q := r.URL.Query()
	q.Set("cursor", cursor)
	w.Header().Add("Link", fmt.Sprintf(`<%s%s?%s>; rel="next"`, h.base(r), r.URL.EscapedPath(), q.Encode()))
}

// tree lists a directory, a page at a time. A page also ends when enough bytes
// were read for the git names of its files.
func (h *Hub) tree(w http.ResponseWriter, r *http.Request) error {
	dir, err := path(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	most, err := limit(q, maxPage)
	if err != nil {
		return err
	}
	v, c, err := h.readable(r)
	if err != nil {
		return err
	}
	after := q.Get("cursor")
	if len(after) > maxPath {
		return fault.New(fault.Invalid, "the cursor is none of this server's")
	}
	out := []treeEntry{}
	budget := int64(maxHashed)
	for e, err := range c.below(r.Context(), h.blocks, dir, after, flag(q, "recursive")) {
		if err != nil {
			return err
		}
		if !e.dir {
			budget -= h.oidCost(&e.file)
		}
		if n := len(out); n == most || n > 0 && budget < 0 {
			h.next(w, r, out[n-1].Path)
			break
		}
		t, err := h.entry(r, v, e, flag(q, "expand"))
		if err != nil {
			return err
		}
		out = append(out, t)
	}
	if len(out) == 0 && after == "" && dir != "" {
		w.Header().Set("X-Repo-Commit", v.sha)
		return noEntry(dir)
	}
	v.headers(w.Header())
	return send(w, http.StatusOK, out)
}

// headers says how an answer about a version may be kept.
func (v *revision) headers(h http.Header) {
	h.Set("X-Repo-Commit", v.sha)
	switch {
	case v.gated():
		h.Set("Cache-Control", "private, no-store")
		h.Add("Vary", "Authorization, Signature-Input")
	case v.fixed:
		h.Set("Cache-Control", "public, max-age=3600")
	default:
		h.Set("Cache-Control", "no-cache")
	}
}

// pathsInfo answers about single paths: a form from Python, JSON from JavaScript.
func (h *Hub) pathsInfo(w http.ResponseWriter, r *http.Request) error {
	body, err := api.ReadBody(w, r, maxPathsBody)
	if err != nil {
		return err
	}
	paths, expand, err := parsePaths(r.Header.Get("Content-Type"), body)
	if err != nil {
		return err
	}
	v, c, err := h.readable(r)
	if err != nil {
		return err
	}
	out := []treeEntry{}
	budget := int64(maxHashed)
	for _, p := range paths {
		p = strings.Trim(p, "/")
		if p == "" || len(p) > maxPath {
			continue
		}
		f, ok, err := c.file(r.Context(), h.blocks, p)
		e := entry{file: f}
		if err == nil && !ok {
			if e.dir, err = c.directory(r.Context(), h.blocks, p); !e.dir && err == nil {
				continue
			}
			e.Path = p
		}
		if err != nil {
			return err
		}
		if !e.dir {
			if budget -= h.oidCost(&e.file); budget < 0 && len(out) > 0 {
				return fault.WithHint(fault.New(fault.TooLarge, "the files of one question have more than %d bytes", int64(maxHashed)), "ask for fewer paths at once")
			}
		}
		t, err := h.entry(r, v, e, expand)
		if err != nil {
			return err
		}
		out = append(out, t)
	}
	v.headers(w.Header())
	return send(w, http.StatusOK, out)
}

func parsePaths(contentType string, body []byte) (paths []string, expand bool, err error) {
	kind, _, _ := mime.ParseMediaType(contentType)
	if kind == "application/x-www-form-urlencoded" {
		q, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, false, fault.New(fault.Invalid, "the form: %w", err)
		}
		paths, expand = q["paths"], flag(q, "expand")
	} else {
		var in struct {
			Paths  []string `json:"paths"`
			Expand bool     `json:"expand"`
		}
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, false, fault.New(fault.Invalid, "the body: %w", err)
		}
		paths, expand = in.Paths, in.Expand
	}
	if len(paths) > maxPaths {
		return nil, false, fault.New(fault.TooLarge, "%d paths, more than %d", len(paths), maxPaths)
	}
	return paths, expand, nil
}
