package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
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

// ask runs fn with the registry at a URL, or with the home's own.
func (env *Env) ask(ctx context.Context, at string, fn func(ctx context.Context, api *client.Client) error) error {
	if at == "" {
		return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error { return fn(ctx, c.API) })
	}
	if err := validURL("--registry", at); err != nil {
		return err
	}
	return fn(ctx, client.New(at, http.DefaultTransport))
}

// validURL checks the URL of a server before anything is sent there.
func validURL(flag, text string) error {
	u, err := url.Parse(text)
	if err == nil && u.Port() != "" {
		_, err = strconv.ParseUint(u.Port(), 10, 16)
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return fault.WithHint(fault.New(fault.Invalid, "%s %s is no http or https URL", flag, fault.Quote(text)), "for example http://127.0.0.1:8411 or https://registry.example")
	}
	return nil
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

// resolve finds the datasets that REF names at a registry.
func (env *Env) resolve(ctx context.Context, api *client.Client, ref string) (*wire.Resolution, error) {
	res, err := auditing.Resolve(ctx, api, ref, env.own())
	if !errors.Is(err, fault.NotFound) {
		return res, err
	}
	if n, _ := env.named(ctx, api, ref); n != nil && n.Kind == string(manifests.KindModel) {
		return nil, isModel(n, ref)
	}
	if other := env.otherKind(ctx, api, ref, "a dataset"); other != nil {
		return nil, other
	}
	if fault.Hint(err) == "" {
		err = fault.WithHint(err, `"cairn ls" lists the datasets`)
	}
	return nil, err
}

// isModel is the answer to who asks for a dataset by the REF of a model.
func isModel(n *wire.Node, ref string) error {
	hint := fmt.Sprintf("cairn model show %s", fault.Printable(ref))
	if n.Artifact.Defined() {
		hint += fmt.Sprintf("; its files, if they are registered or stored somewhere, are %s", n.Artifact)
	}
	return fault.WithHint(fault.New(fault.NotFound, "%s is a model, not a dataset", nodeName(n)), "%s", hint)
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
	// statement is the version that REF led to; undefined when it is none, or several
	// have the data.
	statement cid.Cid
	// accepted is what --accept came to; nil when nothing had to be accepted.
	accepted *agreed
}

// data runs fn with the data that REF names, in the home or, with --from, at
// gateways. With path, REF may go on with a path inside the data.
func (env *Env) data(ctx context.Context, ref string, from sourceFlags, path bool, fn func(context.Context, found) error) error {
	env.roomy()
	if err := errors.Join(from.peers.check(), from.accept.check(&from), from.record.check(&from)); err != nil {
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
				return fn(ctx, found{blocks: c.Blocks, root: id, path: rest})
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
		f, err := env.rootOf(ctx, api, id, blocks)
		f.path = rest
		return f, err
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
		return found{root: root, path: t.path, statement: soleVersion(res)}, nil
	}
	return found{}, last
}

// soleVersion is the one version that a resolution is about.
func soleVersion(res *wire.Resolution) cid.Cid {
	if len(res.Datasets) != 1 {
		return cid.Undef
	}
	return res.Datasets[0].Statement.Cid
}

// rootOf finds the data root that a CID leads to: it may be that of a
// statement or a manifest; any other is taken for a root. What comes from
// elsewhere, when there are blocks to read it from, is checked against the CID on
// the way; which version has a root, or a manifest, is the registry's word.
func (env *Env) rootOf(ctx context.Context, api *client.Client, id cid.Cid, blocks unixfs.Blocks) (found, error) {
	res, err := api.Resolve(ctx, id.String())
	if errors.Is(err, fault.NotFound) {
		if n, _ := api.Node(ctx, id); n != nil && n.Kind == string(manifests.KindModel) {
			return found{}, isModel(n, id.String())
		}
		if id.Prefix().Codec == cid.DagJSON { // raw blocks are data, whatever is in them
			if other := env.otherKind(ctx, api, id.String(), "data"); other != nil {
				return found{}, other
			}
		}
	}
	if err != nil {
		// A gateway without /v1, or a CID that the registry does not know.
		if blocks != nil || fault.Of(err) == fault.NotFound {
			err = ctx.Err()
		}
		return found{root: id}, err
	}
	f := found{root: id, statement: soleVersion(res)}
	if blocks == nil {
		if res.Kind != "root" {
			f.root = res.Root.Cid
		}
		return f, nil
	}
	switch res.Kind {
	case "statement":
		f.root, err = subjectOf(ctx, api, id)
		return f, err
	case "manifest":
		b, err := blocks.Block(ctx, id)
		if err != nil {
			return found{}, err
		}
		m, err := manifests.DecodeManifest(b)
		if err != nil {
			return found{}, err
		}
		f.root = m.Data.Root.Cid
	}
	return f, nil
}

// subjectOf returns what a statement is about, by its envelope.
func subjectOf(ctx context.Context, api *client.Client, statement cid.Cid) (cid.Cid, error) {
	b, err := api.Envelope(ctx, statement)
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
}

// proofOf returns what the registry's proof of a statement says, verified with
// policy. Whether all of it holds, and is about what is meant, the caller asks.
func proofOf(ctx context.Context, api *client.Client, policy *auditing.Policy, statement cid.Cid) (*proof.BundleReport, error) {
	b, err := api.Bundle(ctx, statement)
	if err != nil {
		return nil, err
	}
	return proof.VerifyBundle(b, policy.Policy)
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
	r, err := proofOf(ctx, api, p, d.Statement.Cid)
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
