package hub

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/index"
)

const (
	// maxSiblings is one more than the files up to which clients trust that a
	// version's siblings are all of its files; with more they ask for the tree.
	maxSiblings = 50_001
	// searchPage and maxSearched bound one answer of a search: entries, and the
	// versions that are read for it.
	searchPage  = 100
	maxSearched = 5000
	// commitsPage is the versions of one page of a history: each one's manifest
	// is read.
	commitsPage = 100
	// maxQuery bounds a parameter of a search.
	maxQuery = 256
)

// info answers what a version is.
func (h *Hub) info(w http.ResponseWriter, r *http.Request) error {
	v, err := h.revision(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	wanted := q["expand"]
	if len(wanted) == 1 && strings.Contains(wanted[0], ",") {
		wanted = strings.Split(wanted[0], ",")
	}
	wants := func(name string) bool { return len(wanted) == 0 || slices.Contains(wanted, name) }
	out := describe(v)
	c, err := h.content(r.Context(), v)
	if err != nil {
		return err
	}
	if isCustodial(c.m) {
		out["custodial"] = Custodial
	}
	if d := c.m.Description; d != "" {
		out["description"] = d
	}
	if wants("cardData") {
		if out["cardData"], err = h.cardData(r.Context(), v, c); err != nil {
			return err
		}
	}
	if v.denied == nil && wants("siblings") {
		if out["siblings"], err = h.siblings(r.Context(), c, flag(q, "blobs")); err != nil {
			return err
		}
	}
	if len(wanted) > 0 {
		for k := range out {
			if k != "_id" && k != "id" && !slices.Contains(wanted, k) {
				delete(out, k)
			}
		}
	}
	v.headers(w.Header())
	return send(w, http.StatusOK, out)
}

// describe is a version without what its manifest says.
func describe(v *revision) map[string]any {
	gated := any(false)
	if v.gated() {
		gated = "auto"
	}
	license, _ := licenseData(v.License)["license"].(string)
	tags := []string{"license:" + license}
	tags = append(tags, v.Keywords...)
	when := date(v.IssuedAt)
	return map[string]any{
		"_id": v.sha[:24], "id": v.id(), "author": v.by, "sha": v.sha, "lastModified": when, "createdAt": when,
		"private": false, "gated": gated, "disabled": false, "downloads": 0, "likes": 0, "tags": tags,
		"cardData": licenseData(v.License), "usedStorage": v.Bytes,
		"cairn": map[string]any{
			"statement": v.Statement, "root": v.Root, "manifest": v.Manifest, "terms": v.Terms,
			"publisher": v.Publisher, "version": v.Version, "license": v.License, "index": v.Index,
		},
	}
}

// cardData is the card at the head of the version's README.md, with the licence
// that is registered where it names none.
func (h *Hub) cardData(ctx context.Context, v *revision, c *content) (map[string]any, error) {
	if c.card != nil {
		return c.card.data, nil
	}
	if v.denied != nil {
		return licenseData(v.License), nil
	}
	f, ok, err := c.own(ctx, h.blocks, readme)
	if err != nil || !ok {
		return nil, err
	}
	var b bytes.Buffer
	err = unixfs.ReadRange(ctx, h.blocks, f.CID.Cid, 0, maxReadme, func(p []byte) error {
		b.Write(p)
		return nil
	})
	if err != nil {
		return nil, err
	}
	data, err := parseCard(b.Bytes())
	if err != nil {
		return licenseData(v.License), nil // somebody's README.md, not an error of the question
	}
	if _, ok := data["license"]; !ok {
		for k, x := range licenseData(v.License) {
			data[k] = x
		}
	}
	return data, nil
}

// A sibling is a file as the info of a version lists it.
type sibling struct {
	Name   string      `json:"rfilename"`
	Size   *int64      `json:"size,omitempty"`
	BlobID string      `json:"blobId,omitempty"`
	LFS    *siblingLFS `json:"lfs,omitempty"`
}

type siblingLFS struct {
	SHA256      string `json:"sha256"`
	Size        int64  `json:"size"`
	PointerSize int    `json:"pointerSize"`
}

// siblings lists the files of a version. With blobs, a git name for which too
// many bytes would have to be read is left out.
func (h *Hub) siblings(ctx context.Context, c *content, blobs bool) ([]sibling, error) {
	out := []sibling{}
	budget := int64(maxHashed)
	for i, err := range c.from(ctx, h.blocks, "") {
		if err != nil {
			return nil, err
		}
		if len(out) == maxSiblings {
			break
		}
		s := sibling{Name: i.path}
		if blobs {
			f, err := i.get()
			if err != nil {
				return nil, err
			}
			s.Size = &f.Size
			s.LFS = &siblingLFS{f.SHA256, f.Size, len(pointer(&f))}
			if cost := h.oidCost(&f); cost <= budget {
				budget -= cost
				if s.BlobID, err = h.oid(ctx, &f); err != nil {
					return nil, err
				}
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// refs lists the versions of a dataset as tags; its one branch is the newest.
func (h *Hub) refs(w http.ResponseWriter, r *http.Request) error {
	type ref struct {
		Name   string `json:"name"`
		Ref    string `json:"ref"`
		Target string `json:"targetCommit"`
	}
	v, err := h.revision(r)
	if err != nil {
		return err
	}
	out := map[string]any{"branches": []ref{{"main", "refs/heads/main", v.sha}}, "converts": []ref{}}
	tags := []ref{}
	if v.content.Defined() {
		tags = append(tags, ref{v.Version, "refs/tags/" + v.Version, v.sha})
	} else {
		page, err := h.versions(v, index.Query{Limit: index.MaxLimit})
		if err != nil {
			return err
		}
		for _, d := range page.Datasets {
			tags = append(tags, ref{d.Version, "refs/tags/" + d.Version, Sha(d.Statement.Cid)})
		}
	}
	out["tags"] = tags
	if flag(r.URL.Query(), "include_prs") {
		out["pullRequests"] = []ref{}
	}
	return send(w, http.StatusOK, out)
}

// versions lists the versions of the name of v, newest first.
func (h *Hub) versions(v *revision, q index.Query) (page index.Page, err error) {
	q.Publisher, q.Name = v.Publisher, v.Name
	err = h.reg.View(func(s *index.Snapshot) error {
		page, err = s.List(q)
		return err
	})
	return page, err
}

// history lists a version and those before it as commits.
func (h *Hub) history(w http.ResponseWriter, r *http.Request) error {
	type author struct {
		User   string `json:"user"`
		Avatar string `json:"avatar"`
	}
	type item struct {
		ID      string   `json:"id"`
		Title   string   `json:"title"`
		Message string   `json:"message"`
		Authors []author `json:"authors"`
		Date    string   `json:"date"`
	}
	v, err := h.revision(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	most, err := limit(q, commitsPage)
	if err != nil {
		return err
	}
	after := v.Index + 1
	if text := q.Get("cursor"); text != "" {
		if after, err = strconv.ParseUint(text, 10, 63); err != nil || after > v.Index+1 {
			return fault.New(fault.Invalid, "the cursor is none of this server's")
		}
	}
	page := index.Page{Datasets: []index.Dataset{v.Dataset}}
	if !v.content.Defined() {
		if page, err = h.versions(v, index.Query{After: after, Limit: most}); err != nil {
			return err
		}
	}
	out := []item{}
	for _, d := range page.Datasets {
		title, message, err := h.message(r.Context(), &d)
		if err != nil {
			return err
		}
		out = append(out, item{ID: Sha(d.Statement.Cid), Title: title, Message: message, Authors: []author{{User: v.by}}, Date: date(d.IssuedAt)})
	}
	if page.Next != 0 {
		h.next(w, r, strconv.FormatUint(page.Next, 10))
	}
	return send(w, http.StatusOK, out)
}

// message is what was said when a version was made: by whoever committed it over
// the Hub API, else its name.
func (h *Hub) message(ctx context.Context, d *index.Dataset) (title, message string, err error) {
	title = d.Name + " " + d.Version
	b, err := h.blocks.Block(ctx, d.Manifest.Cid)
	if fault.Of(err) == fault.NotFound {
		return title, "", nil // not for this caller
	}
	var m manifests.Manifest
	if err != nil || json.Unmarshal(b, &m) != nil {
		return title, "", err
	}
	e := extensionOf(&m)
	if e.Commit != nil {
		message = e.Commit.Description
		if e.Commit.Summary != "" {
			title = e.Commit.Summary
		}
	}
	if e.Custodial {
		message = strings.TrimPrefix(message+"\n\n"+Custodial, "\n\n")
	}
	return title, message, nil
}

// search lists the newest version of each dataset that the parameters select.
func (h *Hub) search(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	for k, values := range q {
		for _, v := range values {
			if len(v) > maxQuery {
				return fault.New(fault.Invalid, "the parameter %s is longer than %d bytes", fault.Quote(k), maxQuery)
			}
		}
	}
	most, err := limit(q, searchPage)
	if err != nil {
		return err
	}
	query := index.Query{Latest: true, Limit: searchPage}
	if text := q.Get("cursor"); text != "" {
		if query.After, err = strconv.ParseUint(text, 10, 63); err != nil || query.After == 0 {
			return fault.New(fault.Invalid, "the cursor is none of this server's")
		}
	}
	var keywords []string
	for _, f := range q["filter"] {
		for f := range strings.SplitSeq(f, ",") {
			if license, ok := strings.CutPrefix(f, "license:"); ok && query.License == "" {
				query.License = license
			} else if query.Keyword == "" {
				query.Keyword = f
			} else {
				keywords = append(keywords, f)
			}
		}
	}
	search := strings.ToLower(q.Get("search"))
	out := []map[string]any{}
	err = h.reg.View(func(s *index.Snapshot) error {
		if name := q.Get("author"); name != "" {
			id, err := party(s, name)
			if errors.Is(err, fault.NotFound) {
				return nil
			}
			if err != nil {
				return err
			}
			query.Publisher = id
		}
		for read := 0; ; {
			page, err := s.List(query)
			if err != nil {
				return err
			}
			read += searchPage
			for _, d := range page.Datasets {
				if len(out) == most {
					return h.more(w, r, query.After)
				}
				query.After = d.Index
				v := &revision{Dataset: d, sha: Sha(d.Statement.Cid), by: owner(s, d.Publisher)}
				v.repo = repo{owner: v.by, name: d.Name}
				if !finds(v, search, keywords) || h.admit(r.Context(), v) != nil {
					continue
				}
				out = append(out, describe(v))
			}
			if query.After = page.Next; page.Next == 0 {
				return nil
			}
			// A page that is not full has read all that one page may.
			if read >= maxSearched || len(out) == most || len(page.Datasets) < query.Limit {
				return h.more(w, r, page.Next)
			}
		}
	})
	if err != nil {
		return err
	}
	return send(w, http.StatusOK, out)
}

func (h *Hub) more(w http.ResponseWriter, r *http.Request, after uint64) error {
	h.next(w, r, strconv.FormatUint(after, 10))
	return nil
}

// finds reports whether a search finds v: the text in its id, title or a keyword.
func finds(v *revision, text string, keywords []string) bool {
	for _, k := range keywords {
		if !slices.Contains(v.Keywords, strings.ToLower(k)) {
			return false
		}
	}
	return text == "" || strings.Contains(strings.ToLower(v.id()), text) || strings.Contains(strings.ToLower(v.Title), text) ||
		slices.ContainsFunc(v.Keywords, func(k string) bool { return strings.Contains(k, text) })
}

// croissant hands out the document that describes a version.
func (h *Hub) croissant(w http.ResponseWriter, r *http.Request) error {
	v, err := h.revision(r)
	if err != nil {
		return err
	}
	if h.o.Croissant == nil {
		return &answerError{error: fault.New(fault.NotFound, "this registry makes no Croissant documents"), code: entryNotFound}
	}
	b, err := h.o.Croissant(r.Context(), h.base(r), v.Dataset)
	if err != nil {
		return err
	}
	v.headers(w.Header())
	w.Header().Set("Content-Type", "application/ld+json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(b)
	return nil
}

// whoami tells the holder of a token who they are here.
func (h *Hub) whoami(w http.ResponseWriter, r *http.Request) error {
	c, ok := auth.FromContext(r.Context())
	if !ok {
		return fault.New(fault.Unauthenticated, "Invalid username or password.")
	}
	id := c.Key
	if c.Custodial != "" && h.o.Signer != nil {
		s, err := h.o.Signer(c.Custodial)
		if err != nil {
			return err
		}
		if id, _, err = h.reg.Party(s.ID()); err != nil {
			return err
		}
	}
	name := c.Token
	if id != "" {
		err := h.reg.View(func(s *index.Snapshot) error {
			name = owner(s, id)
			return nil
		})
		if err != nil {
			return err
		}
	}
	role := "read"
	if c.Custodial != "" && h.stage != nil {
		role = "write"
	}
	w.Header().Set("Cache-Control", "private, no-store")
	return send(w, http.StatusOK, map[string]any{
		"type": "user", "id": hex.EncodeToString([]byte(name)), "name": name, "fullname": name, "email": "", "emailVerified": false,
		"canPay": false, "isPro": false, "periodEnd": nil, "avatarUrl": "", "orgs": []any{},
		"auth": map[string]any{"type": "access_token", "accessToken": map[string]string{"displayName": c.Token, "role": role}},
	})
}

// isCustodial reports whether a manifest says that a custodial key signed for it.
func isCustodial(m *manifests.Manifest) bool { return extensionOf(m).Custodial }
