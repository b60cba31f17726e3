package api

import "net/http"

// BaseURL is the URL that the absolute URLs of an answer begin with, without a
// slash at its end: own, which the operator says, or without it what the request
// names. A request may name any host, so a URL from there is good for whoever
// asked, and for no cache that others share.
func BaseURL(own string, r *http.Request) string {
	if own != "" {
		return own
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
