package hub

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	gitignore "github.com/crackcomm/go-gitignore"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/index"
)

const (
	// regularSize is the size up to which a file travels in the commit's own
	// lines; a README.md may be larger.
	regularSize = 64 << 10
	// maxPreupload and maxPreuploadBody bound a question about how to send files.
	maxPreupload     = 1000
	maxPreuploadBody = 4 << 20
	// maxIgnore, maxIgnoreLines and maxIgnoreWork bound a .gitignore: its bytes, its
	// patterns, and patterns times bytes of paths, which is what it costs.
	maxIgnore, maxIgnoreLines, maxIgnoreWork = 64 << 10, 1000, 1 << 25
	// maxSmallBody bounds the other questions.
	maxSmallBody = 64 << 10
)

// create answers whether a dataset of this name can be begun. Nothing is made:
// the first commit makes the first version.
func (h *Hub) create(w http.ResponseWriter, r *http.Request) error {
	u := new(upload)
	err := h.writer(r, u)
	if err != nil {
		return err
	}
	body, err := api.ReadBody(w, r, maxSmallBody)
	if err != nil {
		return err
	}
	var in struct {
		Name         string            `json:"name"`
		Organization string            `json:"organization"`
		Type         string            `json:"type"`
		Private      bool              `json:"private"`
		Visibility   string            `json:"visibility"`
		Files        []json.RawMessage `json:"files"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return fault.New(fault.Invalid, "the body: %w", err)
	}
	if in.Organization == "" {
		if org, name, ok := strings.Cut(in.Name, "/"); ok {
			in.Organization, in.Name = org, name
		}
	}
	switch {
	case in.Type != "dataset":
		return fault.New(fault.Invalid, "only datasets can be made here, not the type %s", fault.Quote(in.Type))
	case in.Private || in.Visibility != "" && in.Visibility != "public":
		return fault.New(fault.Invalid, "what is registered here is public")
	case len(in.Files) > 0:
		return fault.New(fault.Invalid, "files are sent by a commit, not when a dataset is made")
	}
	u.repo = repo{owner: in.Organization, name: in.Name}
	err = h.reg.View(func(s *index.Snapshot) (err error) {
		if u.owner == "" {
			u.owner = owner(s, u.identity)
		}
		u.publisher, err = party(s, u.owner)
		if err != nil && !errors.Is(err, fault.NotFound) {
			return err
		}
		return h.head(s, u)
	})
	if err != nil {
		return err
	}
	url := h.base(r) + "/datasets/" + u.id()
	if u.head != nil {
		w.Header().Set("X-Error-Message", "You already created this dataset repo")
		return send(w, http.StatusConflict, map[string]string{"error": "You already created this dataset repo", "url": url})
	}
	return send(w, http.StatusOK, map[string]string{"url": url, "name": u.id(), "id": u.id(), "custodial": Custodial})
}

// validateYAML says what is wrong with a card, before the files are sent.
func (h *Hub) validateYAML(w http.ResponseWriter, r *http.Request) error {
	type message struct {
		Message string `json:"message"`
	}
	body, err := api.ReadBody(w, r, 2*maxReadme)
	if err != nil {
		return err
	}
	var in struct {
		Content  string `json:"content"`
		RepoType string `json:"repoType"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return fault.New(fault.Invalid, "the body: %w", err)
	}
	data, err := parseCard([]byte(in.Content))
	if err == nil {
		_, err = cardLicense(data)
	}
	if err != nil {
		text := err.Error()
		if hint := fault.Hint(err); hint != "" {
			text += " (" + hint + ")"
		}
		w.Header().Set("X-Error-Message", oneLine(text))
		return send(w, http.StatusBadRequest, map[string]any{"errors": []message{{text}}, "warnings": []message{}, "error": text})
	}
	return send(w, http.StatusOK, map[string]any{"errors": []message{}, "warnings": []message{}})
}

// preupload says how each file is to be sent: in the commit's own lines, or by LFS.
func (h *Hub) preupload(w http.ResponseWriter, r *http.Request) error {
	if _, err := h.upload(r); err != nil {
		return err
	}
	body, err := api.ReadBody(w, r, maxPreuploadBody)
	if err != nil {
		return err
	}
	type answer struct {
		Path         string  `json:"path"`
		UploadMode   string  `json:"uploadMode"`
		ShouldIgnore bool    `json:"shouldIgnore"`
		OID          *string `json:"oid"`
	}
	var in struct {
		Files []struct {
			Path string `json:"path"`
			Size int64  `json:"size"`
		} `json:"files"`
		GitIgnore string `json:"gitIgnore"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return fault.New(fault.Invalid, "the body: %w", err)
	}
	if len(in.Files) > maxPreupload || len(in.GitIgnore) > maxIgnore {
		return fault.New(fault.TooLarge, "more than %d files, or a .gitignore of more than %d bytes", maxPreupload, maxIgnore)
	}
	lines, names := strings.Count(in.GitIgnore, "\n")+1, 0
	for _, f := range in.Files {
		if err := checkPath(f.Path); err != nil {
			return err
		}
		names += len(f.Path)
	}
	if lines > maxIgnoreLines || lines*names > maxIgnoreWork {
		return fault.New(fault.TooLarge, "a .gitignore of %d lines for paths of %d bytes is more than is matched here", lines, names)
	}
	ignore, err := gitignore.CompileIgnoreLines(strings.Split(in.GitIgnore, "\n")...)
	if err != nil {
		return fault.New(fault.Invalid, ".gitignore: %w", err)
	}
	out := []answer{}
	for _, f := range in.Files {
		a := answer{Path: f.Path, UploadMode: "lfs", ShouldIgnore: ignore.MatchesPath(f.Path)}
		if f.Size <= regularSize || f.Path == readme && f.Size <= maxReadme {
			a.UploadMode = "regular"
		}
		out = append(out, a)
	}
	return send(w, http.StatusOK, map[string]any{"files": out})
}
