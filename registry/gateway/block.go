package gateway

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
)

// rawType is the media type of a block.
const rawType = "application/vnd.ipld.raw"

// rawBlock reports whether a request asks for one block by its CID, as readers
// that verify do, and for which.
func rawBlock(r *http.Request) (cid.Cid, bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return cid.Undef, false
	}
	format := r.URL.Query().Get("format")
	if format != "raw" && (format != "" || r.Header.Get("Accept") != rawType) {
		return cid.Undef, false
	}
	c, err := cjson.ParseCID(strings.TrimPrefix(r.URL.Path, "/ipfs/"))
	return c, err == nil
}

// block serves one block: the Trustless Gateway's raw answer, straight from the
// store. What is damaged or missing is a problem with its code, which the
// general handler would turn into a server error.
func (g *Gateway) block(w http.ResponseWriter, r *http.Request, c cid.Cid) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	b, err := g.store.Block(r.Context(), c)
	if err != nil {
		Problem(w, r, g.log, err)
		return
	}
	h.Set("Content-Type", rawType)
	h.Set("Content-Disposition", `attachment; filename="`+c.String()+`.bin"`)
	h.Set("Cache-Control", "public, max-age=29030400, immutable")
	h.Set("Etag", `"`+c.String()+`.raw"`)
	h.Set("X-Ipfs-Roots", c.String())
	h.Set("Ipfs-Uri", "ipfs://"+c.String())
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}
