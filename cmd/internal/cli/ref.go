package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// node finds the one version of a dataset or a model that REF names.
func (env *Env) node(ctx context.Context, api *client.Client, ref string) (*wire.Node, error) {
	if id, err := cjson.ParseCID(ref); err == nil {
		n, err := api.Node(ctx, id)
		if !errors.Is(err, fault.NotFound) {
			return n, err
		}
		return env.datasetNode(ctx, api, ref)
	}
	publisher, name, ok := strings.Cut(ref, "/")
	if !ok {
		publisher, name = string(env.own()), ref
	}
	name, version, _ := strings.Cut(name, "@")
	if publisher != "" {
		n, err := api.NamedNode(ctx, publisher, name, version)
		if ok || !errors.Is(err, fault.NotFound) {
			return n, err
		}
	}
	return env.datasetNode(ctx, api, ref)
}

// datasetNode finds a version by what names only datasets: a root or a manifest,
// or a name that somebody else has.
func (env *Env) datasetNode(ctx context.Context, api *client.Client, ref string) (*wire.Node, error) {
	d, err := env.one(ctx, api, ref)
	if err != nil {
		return nil, err
	}
	return api.Node(ctx, d.Statement.Cid)
}

// statementOf finds the statement that REF names, of any kind: by its own CID,
// else that of a version.
func (env *Env) statementOf(ctx context.Context, api *client.Client, ref string) (cid.Cid, error) {
	if id, err := cjson.ParseCID(ref); err == nil {
		st, err := api.Statement(ctx, id)
		if err == nil {
			return st.Statement.Cid, nil
		}
		if !errors.Is(err, fault.NotFound) {
			return cid.Undef, err
		}
	}
	n, err := env.node(ctx, api, ref)
	if err != nil {
		return cid.Undef, err
	}
	return n.Statement.Cid, nil
}

// party finds an identity: a did:key, the name of a key in the ring, or a handle.
func (env *Env) party(ctx context.Context, api *client.Client, text string) (sign.KeyID, error) {
	if strings.HasPrefix(text, "did:") {
		return sign.ParseKeyID(text)
	}
	ring, _, err := env.keys()
	if err != nil {
		return "", err
	}
	if k, err := ring.Show(text); err == nil {
		return k.For(), nil
	}
	who, err := api.Identity(ctx, sign.KeyID(text))
	if fault.Of(err) == fault.NotFound || fault.Of(err) == fault.Invalid {
		return "", fault.WithHint(fault.New(fault.NotFound, "%s is neither a did:key, nor a key of this home, nor a handle", fault.Quote(text)),
			"\"cairn key list\" lists the keys")
	}
	if err != nil {
		return "", err
	}
	return who.Identity, nil
}

// pair splits NAME=VALUE at its last equals sign: a NAME may be a URL.
func pair(flag, text, want string) (name, value string, err error) {
	i := strings.LastIndexByte(text, '=')
	if i <= 0 || i == len(text)-1 {
		return "", "", fault.WithHint(fault.New(fault.Invalid, "%s %s", flag, fault.Quote(text)), "write %s '%s'", flag, want)
	}
	return text[:i], text[i+1:], nil
}

// optionalStatement reads a CID of a statement that may be left out.
func optionalStatement(flag, text string) (cjson.CID, error) {
	if text == "" {
		return cjson.CID{}, nil
	}
	return statementCID(flag, text)
}

func statementCID(flag, text string) (cjson.CID, error) {
	c, err := cjson.ParseCID(text)
	if err != nil {
		return cjson.CID{}, fault.New(fault.Invalid, "%s %s is not a CID: %w", flag, fault.Quote(text), err)
	}
	return cjson.CID{Cid: cjson.V1(c)}, nil
}

// cids reads a list of CIDs.
func cids(flag string, list []string) (out []cjson.CID, err error) {
	for _, text := range list {
		c, err := statementCID(flag, text)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// compareCIDs orders CIDs by their text, as lists in statements are ordered.
func compareCIDs(a, b cjson.CID) int { return strings.Compare(a.String(), b.String()) }
