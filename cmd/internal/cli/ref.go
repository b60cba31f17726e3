package cli

import (
	"context"
	"errors"
	"fmt"
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
	n, err := env.named(ctx, api, ref)
	if n != nil || err != nil {
		return n, err
	}
	// A root or a manifest, or a name that somebody else has, names datasets alone.
	d, err := env.one(ctx, api, ref)
	if errors.Is(err, fault.NotFound) {
		if other := env.otherKind(ctx, api, ref, "a dataset or model"); other != nil {
			return nil, other
		}
		return nil, fault.WithHint(fault.New(fault.NotFound, "there is no dataset or model %s", fault.Quote(ref)),
			`"cairn ls" lists the datasets; a model of somebody else is named publisher/name`)
	}
	if err != nil {
		return nil, err
	}
	return api.Node(ctx, d.Statement.Cid)
}

// named finds the version that REF names as a statement's CID, as publisher/name,
// or as a name of one's own; nil when it is none of these.
func (env *Env) named(ctx context.Context, api *client.Client, ref string) (n *wire.Node, err error) {
	if id, bad := cjson.ParseCID(ref); bad == nil {
		n, err = api.Node(ctx, id)
	} else {
		publisher, name, ok := strings.Cut(ref, "/")
		if !ok {
			publisher, name = string(env.own()), ref
		}
		name, version, _ := strings.Cut(name, "@")
		if publisher == "" {
			return nil, nil
		}
		if n, err = api.NamedNode(ctx, publisher, name, version); ok && errors.Is(err, fault.NotFound) {
			return nil, fault.WithHint(err, `"cairn ls" lists the datasets`)
		}
	}
	if errors.Is(err, fault.NotFound) {
		return nil, nil
	}
	return n, err
}

// otherKind is the answer to who names something of another kind than asked for, by
// its CID: another statement, or a terms document. nil when it is nothing known.
func (env *Env) otherKind(ctx context.Context, api *client.Client, ref, want string) error {
	id, err := cjson.ParseCID(ref)
	if err != nil {
		return nil
	}
	if st, err := api.Statement(ctx, id); err == nil {
		what := "a statement of kind " + st.Kind
		if st.Verdict != "accepted" {
			what += ", which the log recorded as " + st.Verdict + ": " + st.Code
		}
		return fault.WithHint(fault.New(fault.NotFound, "%s is %s, not %s", id, what, want), "cairn statement show %s", id)
	}
	if id.Prefix().Codec == cid.DagJSON {
		if _, err := api.Terms(ctx, id); err == nil {
			return fault.WithHint(fault.New(fault.NotFound, "%s is a terms document, not %s", id, want), "cairn terms explain %s", id)
		}
	}
	return nil
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
		return cjson.CID{}, fmt.Errorf("%s: %w", flag, err)
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
