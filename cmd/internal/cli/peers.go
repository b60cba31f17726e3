package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/ingest/blocks/remote"
	"github.com/cairn-registry/cairn/ingest/node"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// peerFlags are the peers that data is fetched from by bitswap.
type peerFlags struct {
	on      bool
	peers   []string
	routers []string
	key     string
}

func (p *peerFlags) register(c *cobra.Command) {
	c.Flags().BoolVar(&p.on, "p2p", false, "fetch by bitswap from IPFS peers")
	c.Flags().StringArrayVar(&p.peers, "peer", nil, "`multiaddress` of a peer, ending in /p2p/ID (repeatable)")
	c.Flags().StringArrayVar(&p.routers, "router", nil, "base `URL` of a server to ask for peers (Delegated Routing V1); each --from is asked too")
	c.Flags().StringVar(&p.key, "peer-key", "", "`name` of the Ed25519 key to be known by among peers (default: a new one)")
}

func (p *peerFlags) check() error {
	if !p.on && (len(p.peers) > 0 || len(p.routers) > 0 || p.key != "") {
		return fault.WithHint(fault.New(fault.Invalid, "--peer, --router and --peer-key are for fetching from peers"), "add --p2p")
	}
	return nil
}

const peerHelp = `--p2p fetches by bitswap instead, from the peers that --peer names and those that
the routers of --router and --from know. No other host is contacted. A CID needs
nothing else; a name is resolved at --from.`

// fromPeers is data for --p2p.
func (env *Env) fromPeers(ctx context.Context, ref string, from sourceFlags, path bool, fn func(context.Context, found) error) (err error) {
	o := node.Options{Peers: from.peers.peers, Routers: append(append([]string(nil), from.peers.routers...), from.urls...)}
	if len(o.Peers) == 0 && len(o.Routers) == 0 {
		return fault.WithHint(fault.New(fault.Invalid, "--p2p needs somebody to ask"), "--peer MULTIADDRESS, or --router URL")
	}
	if from.peers.key != "" {
		dir, _, err := env.homeDir()
		if err != nil {
			return err
		}
		if o.Key, err = keyring.Open(dir).Load(from.peers.key, env.passphrase(from.peers.key, false)); err != nil {
			return err
		}
	}
	n, err := node.New(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	var failed error
	reached := 0
	for _, p := range o.Peers {
		if err := n.Connect(ctx, p); err != nil {
			if fault.Of(err) == fault.Invalid {
				return err
			}
			failed = err
			env.warn("warning: %v", err)
			continue
		}
		reached++
	}
	if reached == 0 && len(o.Routers) == 0 {
		return failed
	}
	src := n.Source(ctx)
	first, rest, _ := strings.Cut(ref, "/")
	id, notCID := cjson.ParseCID(first)
	if notCID == nil {
		if rest != "" && !path {
			return fault.New(fault.Invalid, "%s: a path inside the data is not taken here", fault.Quote(ref))
		}
		return fn(ctx, found{blocks: src, root: id, path: rest})
	}
	if len(from.urls) == 0 {
		return fault.WithHint(fault.New(fault.Invalid, "peers know no names, only CIDs: %s is none", fault.Quote(ref)), "name a registry that does with --from")
	}
	list := make([]remote.Source, len(from.urls))
	for i, url := range from.urls {
		list[i] = remote.Source{URL: url}
	}
	api, _, err := env.registryAmong(ctx, list)
	if err != nil {
		return err
	}
	f, err := env.find(ctx, api, ref, path, &from.remoteFlags, src)
	if err != nil {
		return err
	}
	f.blocks = src
	return fn(ctx, f)
}
