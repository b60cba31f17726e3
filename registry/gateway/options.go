package gateway

import (
	"log/slog"
	"time"

	"github.com/cairn-registry/cairn/ingest/blocks"
)

// Options say how a gateway serves. The zero value is good for a registry that
// listens on its own machine.
type Options struct {
	// Version is that of the program, for /v1/status.
	Version string
	// URL is how strangers reach this server, without a slash at its end; "" is
	// what each request says.
	URL string
	// Log takes what happens; nil discards it.
	Log *slog.Logger
	// Front is what strangers have to pass.
	Front FrontOptions
	// Blocks is where what is served is read from, with the request's context;
	// nil means the store that New is given.
	Blocks blocks.Reader
	// Hosts are the DNS names, without port, under which each root has an origin
	// of its own: CID.ipfs.HOST. A listener beyond this machine serves files and
	// pages there and nowhere else. On a loopback listener "localhost" is one
	// always.
	Hosts []string
	// Denylist is the path of a list of content that is not served, in the
	// Compact Denylist Format (IPIP-383); "" means none. New fails when it cannot
	// be read. It is read again when it has changed and was the same at two looks;
	// one that cannot be read leaves the last good one in force, and is logged.
	Denylist string
	// DenylistEvery is how often the file is looked at; default 10 s.
	DenylistEvery time.Duration
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.DenylistEvery == 0 {
		o.DenylistEvery = 10 * time.Second
	}
	return o
}
