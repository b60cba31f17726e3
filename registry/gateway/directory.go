package gateway

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"hash/crc32"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

const (
	// maxEntries bounds a directory page. Whoever wants more takes the CAR.
	maxEntries = 10_000
	// maxLooks bounds the entries of a page whose blocks are read for their size
	// and kind; the size of the rest is that of their blocks.
	maxLooks = 1000
)

//go:embed directory.html
var directoryHTML string

var (
	directoryPage = template.Must(template.New("directory").Parse(directoryHTML))
	// pageVersion tells pages of one directory apart that different programs made.
	pageVersion = strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(directoryHTML))), 36)
)

type pageData struct {
	Title    string
	CID      string
	Crumbs   []crumb
	Up       bool
	Entries  []pageEntry
	TooMany  int // the limit, when the directory has more entries
	Datasets []pageDataset
	More     bool // statements that are not shown
}

type crumb struct {
	Name string
	URL  string // "" for the page itself
}

type pageEntry struct {
	Name, URL, Size, Exact, CID string
	Directory                   bool
}

type pageDataset struct {
	Name, Version, Title, License, Terms, Statement string
}

// pageCache is for pages: what they say beside the data changes with the log.
const pageCache = "public, max-age=600, stale-while-revalidate=86400"

// shown bounds the statements that a page names.
const shown = 5

// directory answers with the index.html of a directory, as the Path Gateway
// specification has it, else with a page that lists what is in it. The page has
// no scripts, and links only below its own URL, to the data's terms and to its
// statements.
func (g *content) directory(w *sealed, r *http.Request, q *request, c cid.Cid) {
	ctx, h := r.Context(), w.Header()
	found := g.notices.of(ctx, q.root)
	etag := `"DirIndex-` + pageVersion + "-" + noticeVersion(found) + "_CID-" + c.String() + `"`
	if none := r.Header["If-None-Match"]; len(none) > 0 && (matches(none, etag, false) || matches(none, `"`+c.String()+`"`, false)) {
		h.Set("Etag", etag)
		h.Set("Cache-Control", pageCache)
		notModified(w)
		return
	}
	if !q.slash && !(q.origin != "" && len(q.names) == 0) {
		to := url.URL{Path: r.URL.Path + "/", RawQuery: r.URL.RawQuery}
		at := to.EscapedPath()
		if strings.HasPrefix(at, "//") { // never another host
			at = "/" + strings.TrimLeft(at, "/")
		}
		if to.RawQuery != "" {
			at += "?" + to.RawQuery
		}
		redirect(w, at, http.StatusMovedPermanently)
		return
	}
	steps, err := unixfs.Trace(ctx, g.guard, c, []string{"index.html"})
	switch {
	case err == nil:
		index := steps[1]
		if ok, err := g.isFile(ctx, index); err != nil || !ok {
			if err == nil {
				err = fault.New(fault.Unverified, "index.html is no file")
			}
			Problem(w, r, g.log, err)
			return
		}
		g.file(w, r, q, index, "index.html", `"`+c.String()+`"`)
		return
	case !errors.Is(err, fault.NotFound):
		Problem(w, r, g.log, err)
		return
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policyPage)
	h.Set("Etag", etag)
	h.Set("Cache-Control", pageCache)
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return
	}
	page, err := g.page(ctx, q, c, found)
	if err != nil {
		drop(h)
		Problem(w, r, g.log, err)
		return
	}
	var b bytes.Buffer
	if err := directoryPage.Execute(&b, page); err != nil {
		drop(h)
		Problem(w, r, g.log, fmt.Errorf("making a page: %w", err))
		return
	}
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.Write(b.Bytes())
}

// noticeVersion changes when the page says something else about the dataset.
func noticeVersion(found *notice) string {
	if found == nil || len(found.datasets) == 0 {
		return "0"
	}
	return strconv.FormatUint(found.datasets[0].Index, 36)
}

func (g *content) isFile(ctx context.Context, c cid.Cid) (bool, error) {
	if c.Prefix().Codec == cid.Raw {
		return true, nil
	}
	n, err := g.guard.Node(ctx, c)
	return err == nil && n.Kind() == unixfs.File, err
}

func (g *content) page(ctx context.Context, q *request, c cid.Cid, found *notice) (*pageData, error) {
	p := &pageData{Title: q.last(), CID: c.String(), Up: len(q.names) > 0}
	if p.Title == "" {
		p.Title = q.root.String()
	}
	if found != nil {
		for i, d := range found.datasets {
			if p.More = i == shown; p.More {
				break
			}
			p.Datasets = append(p.Datasets, pageDataset{
				d.Name, d.Version, d.Title, d.License, termsURL(q.site, d.Terms.Cid), statementURL(q.site, d.Statement.Cid),
			})
		}
		if len(p.Datasets) > 0 && len(q.names) == 0 {
			p.Title = p.Datasets[0].Name
		}
	}
	for i := range len(q.names) + 1 {
		name, up := q.root.String(), strings.Repeat("../", len(q.names)-i)
		if i > 0 {
			name = q.names[i-1]
		}
		p.Crumbs = append(p.Crumbs, crumb{name, up})
	}
	entries, err := unixfs.ReadDirAtMost(ctx, g.guard, c, maxEntries)
	if errors.Is(err, fault.TooLarge) {
		p.TooMany = maxEntries
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	looks := 0
	for _, e := range entries {
		out := pageEntry{Name: e.Name, URL: "./" + url.PathEscape(e.Name), CID: e.CID.String()}
		size := e.Cumulative
		if e.CID.Prefix().Codec == cid.DagProtobuf && looks < maxLooks {
			looks++
			if n, err := g.guard.Node(ctx, e.CID); err == nil {
				switch n.Kind() {
				case unixfs.File:
					size = n.Size()
				case unixfs.Directory:
					out.Directory = true
					out.URL += "/"
				}
			}
		}
		out.Size, out.Exact = humanize.IBytes(size), humanize.Comma(int64(min(size, 1<<62)))
		p.Entries = append(p.Entries, out)
	}
	return p, nil
}
