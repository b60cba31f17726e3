package hub

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/api"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/index"
)

const (
	// maxObjects and maxBatchBody bound a question about large files.
	maxObjects   = 1000
	maxBatchBody = 1 << 20
	// urlFor is how long the URL of an upload is good to begin with.
	urlFor = 24 * time.Hour

	lfsType = "application/vnd.git-lfs+json"
)

// An upload is who uploads into what.
type upload struct {
	repo
	caller auth.Caller
	signer sign.Signer
	// identity is what the signer signs for.
	identity sign.KeyID
	// head is the newest version, nil before the first.
	head *revision
}

// upload finds out whether the caller of a request may write into the dataset
// that it names: the token must be bound to a custodial key, and the dataset be
// that key's.
func (h *Hub) upload(r *http.Request) (*upload, error) {
	u := new(upload)
	var err error
	if err = h.writer(r, u); err != nil {
		return nil, err
	}
	if err := onlyMain(r); err != nil {
		return nil, err
	}
	err = h.reg.View(func(s *index.Snapshot) (err error) {
		if u.repo, err = h.repo(s, r); err != nil {
			return err
		}
		u.name = strings.TrimSuffix(u.name, ".git") // as the paths of LFS have it
		return h.head(s, u)
	})
	if err != nil {
		return nil, err
	}
	if u.head != nil {
		if err := h.admit(r.Context(), u.head); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// head fills in the newest version of the dataset that is uploaded into.
func (h *Hub) head(s *index.Snapshot, u *upload) error {
	if u.content.Defined() || u.publisher != u.identity {
		return fault.New(fault.Denied, "this token writes below %s, not below %s", owner(s, u.identity), fault.Printable(u.owner))
	}
	if err := manifests.ValidName(u.name); err != nil {
		return err
	}
	u.head = nil
	d, err := s.Newest(u.publisher, u.name)
	switch {
	case errors.Is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	case d.Kind != string(manifests.KindContribution):
		return fault.New(fault.Conflict, "%s is not a dataset but a %s", u.id(), d.Kind)
	}
	if d.Rules.GatesBytes() {
		return fault.WithHint(fault.New(fault.Denied, "%s is gated: the Hub API writes what everybody may read", u.id()), `change it with "cairn add" and "cairn push"`)
	}
	u.head = &revision{repo: u.repo, Dataset: d, sha: Sha(d.Statement.Cid), by: owner(s, d.Publisher)}
	return nil
}

// writer fills in who uploads, and the key that signs for them. A custodial key that
// was replaced or revoked in the log signs nothing.
func (h *Hub) writer(r *http.Request, u *upload) error {
	if h.stage == nil {
		return fault.New(fault.Denied, "this registry takes no uploads over the Hub API")
	}
	c, err := h.o.Writer(r.Context())
	if err != nil {
		return err
	}
	if c.Custodial == "" || c.Token == "" {
		return fault.WithHint(fault.New(fault.Denied, "the Hub API takes uploads by a token that the operator bound to a custodial key"),
			"with a key of your own use \"cairn push\"")
	}
	u.caller = c
	if u.signer, err = h.o.Signer(c.Custodial); err != nil {
		return fmt.Errorf("the custodial key %s: %w", fault.Quote(c.Custodial), err)
	}
	id, signs, err := h.reg.Party(u.signer.ID())
	if err == nil && !signs {
		err = fault.WithHint(fault.New(fault.Denied, "the custodial key of this token was replaced or revoked: it signs no more"),
			"whoever took %s over uploads with \"cairn push\", by the key that signs for it now", id)
	}
	u.identity = id
	return err
}

// onlyMain refuses branches and pull requests: there is one line of versions.
func onlyMain(r *http.Request) error {
	if rev := r.PathValue("rev"); rev != "" && rev != "main" && rev != "refs/heads/main" {
		return fault.New(fault.Invalid, "only main can be written to, not %s", fault.Quote(rev))
	}
	if flag(r.URL.Query(), "create_pr") {
		return fault.New(fault.Invalid, "this registry has no pull requests")
	}
	return nil
}

type object struct {
	OID           string            `json:"oid"`
	Size          int64             `json:"size"`
	Authenticated bool              `json:"authenticated,omitempty"`
	Actions       map[string]action `json:"actions,omitempty"`
	Error         *objectError      `json:"error,omitempty"`
}

type action struct {
	Href      string            `json:"href"`
	Header    map[string]string `json:"header"`
	ExpiresIn int               `json:"expires_in"`
}

type objectError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// batch answers where large files are to be sent: Git LFS's batch API, the
// basic transfer. A file that this token sent before, or that a version of this
// very dataset has, need not be sent again; that others sent it is nobody's
// business.
func (h *Hub) batch(w http.ResponseWriter, r *http.Request) error {
	u, err := h.upload(r)
	if err != nil {
		return err
	}
	if err := h.stage.sweep(); err != nil {
		h.log.ErrorContext(r.Context(), "dropping old uploads", "error", err)
	}
	body, err := api.ReadBody(w, r, maxBatchBody)
	if err != nil {
		return err
	}
	var in struct {
		Operation string   `json:"operation"`
		Objects   []object `json:"objects"`
		HashAlgo  string   `json:"hash_algo"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return fault.New(fault.Invalid, "the body: %w", err)
	}
	switch {
	case in.Operation != "upload":
		return fault.New(fault.Invalid, "the operation %s is none of this server's: upload", fault.Quote(in.Operation))
	case in.HashAlgo != "" && in.HashAlgo != "sha256" && in.HashAlgo != "sha_256":
		return fault.New(fault.Invalid, "the hash %s is none of this server's: sha256", fault.Quote(in.HashAlgo))
	case len(in.Objects) > maxObjects:
		return fault.New(fault.TooLarge, "%d objects, more than %d", len(in.Objects), maxObjects)
	}
	known, err := h.known(r, u, in.Objects)
	if err != nil {
		return err
	}
	room, files := h.stage.room(u.caller.Token)
	out := make([]object, len(in.Objects))
	for i, o := range in.Objects {
		out[i] = object{OID: o.OID, Size: o.Size, Authenticated: true}
		if !isSHA256(o.OID) || o.Size < 0 {
			out[i].Error = &objectError{http.StatusUnprocessableEntity, "no SHA-256 in lower-case hex, or no size"}
			continue
		}
		if n, ok := h.stage.has(u.caller.Token, o.OID); ok && n == o.Size || known[o.OID] {
			continue
		}
		if room -= o.Size; room < 0 || files == 0 || o.Size > h.o.Limits.CommitBytes {
			out[i].Error = &objectError{http.StatusRequestEntityTooLarge, "more than this token may have here before it commits"}
			continue
		}
		files--
		href := h.signed(r, u, o)
		sec := int(urlFor / time.Second)
		out[i].Actions = map[string]action{
			"upload": {Href: href, Header: map[string]string{}, ExpiresIn: sec},
			"verify": {Href: href, Header: map[string]string{}, ExpiresIn: sec},
		}
	}
	b, err := json.Marshal(map[string]any{"transfer": "basic", "hash_algo": "sha256", "objects": out})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", lfsType)
	w.Header().Set("Cache-Control", "no-store")
	w.Write(b)
	return nil
}

// known are those of objects that the newest version has.
func (h *Hub) known(r *http.Request, u *upload, objects []object) (map[string]bool, error) {
	out := make(map[string]bool)
	if u.head == nil {
		return out, nil
	}
	wanted := make(map[string]int64, len(objects))
	for _, o := range objects {
		wanted[o.OID] = o.Size
	}
	c, err := h.content(r.Context(), u.head)
	if err != nil {
		return nil, err
	}
	for f, err := range c.all(r.Context(), h.blocks) {
		if err != nil {
			return nil, err
		}
		if size, ok := wanted[f.SHA256]; ok && size == f.Size {
			out[f.SHA256] = true
		}
	}
	return out, nil
}

func isSHA256(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }

// signed returns the URL to which a file is sent. Clients send no token with it:
// what it says of the file and the token is signed, and holds for a while.
func (h *Hub) signed(r *http.Request, u *upload, o object) string {
	q := url.Values{}
	q.Set("size", strconv.FormatInt(o.Size, 10))
	q.Set("token", u.caller.Token)
	q.Set("expires", strconv.FormatInt(h.o.Now().Add(urlFor).Unix(), 10))
	path := "/datasets/" + url.PathEscape(u.owner) + "/" + url.PathEscape(u.name) + "/lfs/" + o.OID
	q.Set("signature", h.signature(path, q))
	return h.base(r) + path + "?" + q.Encode()
}

func (h *Hub) signature(path string, q url.Values) string {
	m := hmac.New(sha256.New, h.secret[:])
	fmt.Fprintf(m, "cairn-hub-upload/1\n%q\n%q\n%q\n%q\n", path, q.Get("size"), q.Get("token"), q.Get("expires"))
	return hex.EncodeToString(m.Sum(nil))
}

var errURL = fault.WithHint(fault.New(fault.Denied, "the URL of this upload does not hold, or has expired"), "ask for another one: begin the upload again")

// object checks the signed URL of a request.
func (h *Hub) object(r *http.Request) (token, oid string, size int64, err error) {
	if h.stage == nil {
		return "", "", 0, errURL
	}
	q := r.URL.Query()
	if !hmac.Equal([]byte(h.signature(r.URL.EscapedPath(), q)), []byte(q.Get("signature"))) {
		return "", "", 0, errURL
	}
	expires, err := strconv.ParseInt(q.Get("expires"), 10, 64)
	if err != nil || h.o.Now().Unix() > expires {
		return "", "", 0, errURL
	}
	size, err = strconv.ParseInt(q.Get("size"), 10, 64)
	return q.Get("token"), r.PathValue("oid"), size, err
}

// putObject takes the bytes of a large file.
func (h *Hub) putObject(w http.ResponseWriter, r *http.Request) error {
	token, oid, size, err := h.object(r)
	if err != nil {
		return err
	}
	if r.ContentLength >= 0 && r.ContentLength != size {
		return fault.New(fault.Invalid, "the body has %d bytes, the file was announced with %d", r.ContentLength, size)
	}
	if h.o.Room != nil {
		if err := h.o.Room(size); err != nil {
			return err
		}
	}
	if err := h.stage.put(r.Context(), token, oid, size, r.Body); err != nil {
		return err
	}
	w.Header().Set("ETag", `"`+oid+`"`)
	w.WriteHeader(http.StatusOK)
	return nil
}

// verifyObject says whether a file has arrived.
func (h *Hub) verifyObject(w http.ResponseWriter, r *http.Request) error {
	token, oid, size, err := h.object(r)
	if err != nil {
		return err
	}
	body, err := api.ReadBody(w, r, 4<<10)
	if err != nil {
		return err
	}
	var in object
	if err := json.Unmarshal(body, &in); err != nil || in.OID != oid || in.Size != size {
		return fault.New(fault.Invalid, "the body does not name the file that the URL is for")
	}
	if n, ok := h.stage.has(token, oid); !ok || n != size {
		return fault.New(fault.NotFound, "the file %s has not arrived", oid)
	}
	w.Header().Set("Content-Type", lfsType)
	w.Write([]byte("{}"))
	return nil
}
