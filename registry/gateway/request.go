package gateway

import (
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"

	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// Media types of answers that can be verified.
const (
	rawType = "application/vnd.ipld.raw"
	carType = "application/vnd.ipld.car"
)

// A request is what a URL below /ipfs, or on a root's own origin, asks for.
type request struct {
	root   cid.Cid
	names  []string // of the path below the root
	slash  bool     // the path ends in one
	format string   // a media type; "" for the file or page itself
	params map[string]string
	query  url.Values
	// origin is the host that has an origin for this root alone, as the browser
	// sees it; "" on a host that serves all.
	origin string
	// base is what stands before the path of the root in the URL: /ipfs/CID, or
	// nothing on an origin of its own.
	base string
	// site is where /v1 and /ipfs are: "" on the host itself, else //HOST.
	site string
}

// formats are the values of ?format=, as IPIP-523 has them.
var formats = map[string]string{
	"raw": rawType, "car": carType, "tar": "application/x-tar", "json": "application/json", "cbor": "application/cbor",
	"dag-json": "application/vnd.ipld.dag-json", "dag-cbor": "application/vnd.ipld.dag-cbor", "ipns-record": "application/vnd.ipfs.ipns-record",
}

// parseRequest reads the path and what the request accepts. False is a request
// that only the general handler understands, or refuses.
func parseRequest(r *http.Request, o origin) (*request, bool) {
	q := &request{origin: o.host, site: o.site}
	path := r.URL.Path
	if o.root.Defined() {
		q.root = o.root
	} else {
		rest, ok := strings.CutPrefix(path, "/ipfs/")
		if !ok {
			return nil, false
		}
		text, below, found := strings.Cut(rest, "/")
		c, err := cid.Decode(text)
		if err != nil {
			return nil, false
		}
		q.root, q.base, path = c, "/ipfs/"+text, ""
		if found {
			path = "/" + below
		}
	}
	if len(path) > unixfs.MaxPath {
		return nil, false
	}
	q.slash = strings.HasSuffix(path, "/")
	for name := range strings.SplitSeq(path, "/") {
		switch name {
		case "":
		default:
			q.names = append(q.names, name)
		}
	}
	if r.URL.RawQuery != "" {
		q.query = r.URL.Query()
		if q.query.Has("uri") {
			return nil, false
		}
	}
	if len(r.Header["Service-Worker"]) > 0 || r.Header.Get("Cache-Control") == "only-if-cached" {
		return nil, false
	}
	var ok bool
	q.format, q.params, ok = accepted(r, q.query.Get("format"))
	return q, ok
}

// accepted says which media type is wanted, with its parameters: ?format= wins,
// then the first type of the Accept headers that is not for people.
func accepted(r *http.Request, format string) (string, map[string]string, bool) {
	wanted := formats[format]
	for _, h := range r.Header["Accept"] {
		for part := range strings.SplitSeq(h, ",") {
			part = strings.TrimSpace(part)
			if !strings.HasPrefix(part, "application/") || !special(part) {
				continue
			}
			t, params, err := mime.ParseMediaType(part)
			if err != nil {
				return "", nil, false
			}
			if wanted == "" || wanted == t {
				return t, params, true
			}
			return wanted, nil, true
		}
	}
	return wanted, nil, true
}

func special(part string) bool {
	for _, p := range []string{"application/vnd.ipld", "application/vnd.ipfs", "application/x-tar", "application/json", "application/cbor"} {
		if strings.HasPrefix(part, p) {
			return true
		}
	}
	return false
}

// uri returns the ipfs:// URI of the path, every byte outside the unreserved
// ones escaped (IPIP-548).
func (q *request) uri() string {
	v1, err := cid.NewCidV1(q.root.Type(), q.root.Hash()).StringOfBase(multibase.Base32)
	if err != nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("ipfs://")
	b.WriteString(v1)
	for _, name := range q.names {
		b.WriteByte('/')
		escape(&b, name)
	}
	if q.slash && (len(q.names) > 0 || b.Len() > 0) {
		b.WriteByte('/')
	}
	return b.String()
}

func escape(b *strings.Builder, name string) {
	const hex = "0123456789ABCDEF"
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
}

// last is the name that the path ends in; "" for the root.
func (q *request) last() string {
	if len(q.names) == 0 {
		return ""
	}
	return q.names[len(q.names)-1]
}
