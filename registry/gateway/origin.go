package gateway

import (
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multibase"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// An origin is what the Host of a request stands for.
type origin struct {
	host string  // of Options.Hosts, with the port of the request; "" for any other
	root cid.Cid // the root that the origin belongs to; Undef on the host itself
	site string  // from an origin of a root: //HOST, where /v1 is
	// move is where the same origin has its usual name: CID in lower-case base32.
	move string
}

// originOf reads a Host. Those of Options.Hosts may be written in any case, with
// a dot at the end, and with a port.
func originOf(host string, hosts []string) (origin, error) {
	name, port := host, ""
	if h, p, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(p, 10, 16); err != nil {
			return origin{}, nil // not a port, so not one of our hosts
		}
		name, port = h, ":"+p
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	for _, known := range hosts {
		if name == known {
			return origin{host: known + port}, nil
		}
		label, ok := strings.CutSuffix(name, ".ipfs."+known)
		if !ok {
			if strings.HasSuffix(name, ".ipns."+known) {
				return origin{}, fault.New(fault.NotFound, "names under ipns are not served here")
			}
			continue
		}
		c, err := cid.Decode(label)
		if err != nil {
			return origin{}, fault.New(fault.Invalid, "the host %s does not begin with a CID: %w", fault.Quote(host), err)
		}
		o := origin{host: known + port, root: c, site: "//" + known + port}
		want, err := label32(c)
		if err != nil {
			return origin{}, err
		}
		if want != label {
			o.move = "//" + want + ".ipfs." + known + port
		}
		return o, nil
	}
	return origin{}, nil
}

// label32 returns a CID as it stands in a host name: CIDv1, in base32, or in
// base36 when that is too long for DNS.
func label32(c cid.Cid) (string, error) {
	const maxLabel = 63
	v1 := cid.NewCidV1(c.Type(), c.Hash())
	for _, base := range []multibase.Encoding{multibase.Base32, multibase.Base36} {
		if s, err := v1.StringOfBase(base); err == nil && len(s) <= maxLabel {
			return s, nil
		}
	}
	return "", fault.New(fault.Invalid, "the CID %s is too long for the name of a host", c)
}

// owns reports whether a request is one for data.
func (g *content) owns(r *http.Request) bool {
	o, err := originOf(r.Host, g.hosts)
	return err != nil || o.root.Defined() || strings.HasPrefix(r.URL.Path, "/ipfs/")
}

// takes answers a request for data, be it below /ipfs or on an origin of a root;
// false leaves one for anything else to the routes. Paths of data are taken as
// they are written, not cleaned.
func (g *content) takes(w http.ResponseWriter, r *http.Request) bool {
	o, err := originOf(r.Host, g.hosts)
	switch {
	case err != nil:
		Problem(w, r, g.log, err)
	case !o.root.Defined() && strings.HasPrefix(r.URL.Path, "/ipfs/"):
		g.serve(w, r, o)
	case !o.root.Defined():
		return false
	case o.move != "":
		redirect(w, o.move+r.URL.RequestURI(), http.StatusMovedPermanently)
	case r.URL.Path == "/robots.txt", r.URL.Path == "/.well-known/tdmrep.json":
		g.rootSignals(w, r, o)
	default:
		g.serve(w, r, o)
	}
	return true
}

// redirect sends to a place that may be on another host, by the scheme that the
// reader came with: the server may not know it behind a proxy.
func redirect(w http.ResponseWriter, to string, status int) {
	h := w.Header()
	h.Set("Location", to)
	h.Set("Content-Length", "0")
	w.WriteHeader(status)
}
