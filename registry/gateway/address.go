package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxForwarded bounds the hops of X-Forwarded-For that are looked at.
const maxForwarded = 16

// Proxies are the peers whose word about a client's address is taken.
type Proxies struct {
	Prefixes []netip.Prefix
	Unix     bool // whoever connects by a unix socket
}

func (p Proxies) has(a netip.Addr) bool {
	if !a.IsValid() {
		return p.Unix
	}
	return contains(p.Prefixes, a)
}

func contains(ps []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Contains(a) })
}

// peer is the address at the other end of the connection; the zero Addr on a
// unix socket.
func peer(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// clientAddr is the address that a request comes from, and whether a trusted
// proxy says so. X-Forwarded-For is read from its end, where the nearest proxy
// wrote; the first address that is no trusted proxy is the client. From anybody
// else the field is a claim, and not read.
func clientAddr(r *http.Request, trusted Proxies) (a netip.Addr, told bool) {
	a = peer(r)
	if !trusted.has(a) {
		return a, false
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= max(0, len(hops)-maxForwarded); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			return a, true
		}
		a = hop.Unmap().WithZone("")
		if !contains(trusted.Prefixes, a) {
			return a, true
		}
	}
	return a, true
}

// limitName is what an address is counted as: itself, or its /64 with IPv6,
// because a household gets at least that much.
func limitName(a netip.Addr) string {
	if a.Is6() {
		p, _ := a.Prefix(64)
		return p.String()
	}
	return a.String()
}

// logName is what the access log says of an address: the network, not the
// person.
func logName(a netip.Addr) string {
	bits := 24
	switch {
	case !a.IsValid():
		return "unix"
	case a.Is6():
		bits = 48
	}
	p, _ := a.Prefix(bits)
	return p.String()
}
