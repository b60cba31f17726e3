package cli

import (
	"context"
	"net/http"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A remoteFlags is a registry elsewhere, and whom to trust there.
type remoteFlags struct {
	url      string
	policy   string
	firstUse bool
}

// register adds the flags; name is that of the URL's.
func (r *remoteFlags) register(c *cobra.Command, name, usage string, trust bool) {
	c.Flags().StringVar(&r.url, name, "", usage)
	if trust {
		c.Flags().StringVar(&r.policy, "policy", "", "`file` with the log's verifier key, or a C2SP tlog-policy")
		c.Flags().BoolVar(&r.firstUse, "trust-on-first-use", false, "believe the registry about its own key, once")
	}
}

// ask runs fn with the registry at url, or with the home's own.
func (env *Env) ask(ctx context.Context, url string, fn func(ctx context.Context, api *client.Client) error) error {
	if url == "" {
		return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error { return fn(ctx, c.API) })
	}
	if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
		return fault.New(fault.Invalid, "--registry %s is no http or https URL", fault.Quote(url))
	}
	return fn(ctx, client.New(url, http.DefaultTransport))
}

// own is the identity whose bare names are meant: that of the signing key, ""
// when there is none.
func (env *Env) own() sign.KeyID {
	ring, cfg, err := env.keys()
	if err != nil {
		return ""
	}
	k, err := ring.Show(env.keyName(cfg))
	if err != nil {
		return ""
	}
	return k.For()
}

// resolve finds what REF names at a registry.
func (env *Env) resolve(ctx context.Context, api *client.Client, ref string) (*wire.Resolution, error) {
	return auditing.Resolve(ctx, api, ref, env.own())
}

// one finds the one dataset version that REF names.
func (env *Env) one(ctx context.Context, api *client.Client, ref string) (*wire.Dataset, error) {
	res, err := env.resolve(ctx, api, ref)
	if err != nil {
		return nil, err
	}
	return auditing.One(ref, res)
}

// A found is data to read: where its blocks are, and the entry in its DAG.
type found struct {
	blocks unixfs.Blocks
	root   cid.Cid
	path   string // below root
}

// data runs fn with the data that REF names, in the home or, with --from, at
// gateways. With path, REF may go on with a path inside the data.
func (env *Env) data(ctx context.Context, ref string, from sourceFlags, path bool, fn func(context.Context, found) error) error {
	env.roomy()
	if err := from.peers.check(); err != nil {
		return err
	}
	if from.peers.on {
		return env.fromPeers(ctx, ref, from, path, fn)
	}
	if len(from.urls) > 0 {
		return env.elsewhere(ctx, ref, from, path, fn)
	}
	dir, cfg, err := env.homeDir()
	if err != nil {
		return err
	}
	if first, rest, _ := strings.Cut(ref, "/"); !daemon.HasLog(dir) && daemon.HasBlocks(dir) {
		// A home that has only imported blocks: a CID is all that can be meant.
		if id, err := cjson.ParseCID(first); err == nil {
			return env.connect(ctx, dir, cfg, func(ctx context.Context, c *daemon.Conn) error {
				return fn(ctx, found{c.Blocks, id, rest})
			})
		}
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		f, err := env.find(ctx, c.API, ref, path, nil, nil)
		if err != nil {
			return err
		}
		f.blocks = c.Blocks
		return fn(ctx, f)
	})
}

// find splits REF from the path behind it and resolves it; from and blocks are those
// of --from, nil for the home.
func (env *Env) find(ctx context.Context, api *client.Client, ref string, path bool, from *remoteFlags, blocks unixfs.Blocks) (found, error) {
	first, rest, slash := strings.Cut(ref, "/")
	if id, err := cjson.ParseCID(first); err == nil {
		if slash && !path {
			return found{}, fault.New(fault.Invalid, "%s: a path inside the data is not taken here", fault.Quote(ref))
		}
		root, err := env.rootOf(ctx, api, id, blocks)
		return found{root: root, path: rest}, err
	}
	tries := []struct{ ref, path string }{{ref, ""}}
	if path {
		// publisher/name/path, else name/path
		name, inside, _ := strings.Cut(rest, "/")
		tries = []struct{ ref, path string }{{first + "/" + name, inside}, {first, rest}}
		if !slash {
			tries = tries[1:]
		}
	}
	var last error
	for _, t := range tries {
		res, err := env.resolve(ctx, api, t.ref)
		if err != nil {
			if last == nil || fault.Of(err) != fault.NotFound {
				last = err
			}
			if fault.Of(err) == fault.NotFound {
				continue
			}
			return found{}, last
		}
		root := res.Root.Cid
		if from != nil {
			if root, err = env.vouched(ctx, api, *from, res); err != nil {
				return found{}, err
			}
		}
		return found{root: root, path: t.path}, nil
	}
	return found{}, last
}

// rootOf returns the data root that a CID leads to: it may be that of a
// statement or a manifest; any other is taken for a root. What comes from
// elsewhere, when there are blocks to read it from, is checked against the CID on
// the way.
func (env *Env) rootOf(ctx context.Context, api *client.Client, id cid.Cid, blocks unixfs.Blocks) (cid.Cid, error) {
	res, err := api.Resolve(ctx, id.String())
	if err != nil {
		// A gateway without /v1, or a CID that the registry does not know.
		if blocks != nil || fault.Of(err) == fault.NotFound {
			err = ctx.Err()
		}
		return id, err
	}
	if blocks == nil {
		if res.Kind == "root" {
			return id, nil
		}
		return res.Root.Cid, nil
	}
	switch res.Kind {
	case "statement":
		b, err := api.Envelope(ctx, id)
		if err != nil {
			return cid.Undef, err
		}
		e, err := sign.Decode(b)
		if err != nil {
			return cid.Undef, err
		}
		s, err := manifests.Decode(e.Payload)
		if err != nil {
			return cid.Undef, err
		}
		return s.SubjectCID()
	case "manifest":
		b, err := blocks.Block(ctx, id)
		if err != nil {
			return cid.Undef, err
		}
		m, err := manifests.DecodeManifest(b)
		if err != nil {
			return cid.Undef, err
		}
		return m.Data.Root.Cid, nil
	}
	return id, nil
}

// vouched returns the root of the statement that a name led to, once its bundle
// verifies: which is the newest version stays the server's word.
func (env *Env) vouched(ctx context.Context, api *client.Client, from remoteFlags, res *wire.Resolution) (cid.Cid, error) {
	dir, _, err := env.homeDir()
	if err != nil {
		return cid.Undef, err
	}
	p, err := auditing.Trust{Home: dir, PolicyFile: from.policy, FirstUse: from.firstUse}.At(ctx, api)
	if err != nil {
		return cid.Undef, err
	}
	d := res.Datasets[0]
	b, err := api.Bundle(ctx, d.Statement.Cid)
	if err != nil {
		return cid.Undef, err
	}
	r, err := proof.VerifyBundle(b, p.Policy)
	if err != nil {
		return cid.Undef, err
	}
	c, ok := r.Predicate().(*manifests.Contribution)
	if !r.Holds() || !ok || !r.Statement.Equals(d.Statement.Cid) || c.Publisher != d.Publisher || c.Dataset.Name != d.Name || c.Dataset.Version != d.Version {
		return cid.Undef, fault.WithHint(fault.New(fault.Unverified, "the registry's proof for %s@%s does not hold", d.Name, d.Version), `"cairn audit" says what`)
	}
	env.note("%s/%s@%s by its receipt; that it is the newest is the server's word", d.Publisher, d.Name, d.Version)
	root, err := r.Subject()
	return root, err
}
