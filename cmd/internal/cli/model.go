package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newModel(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "model",
		Short: "Register a model, and what it was trained on",
	}
	group(c)
	c.AddCommand(newModelAdd(env), newModelShow(env))
	return c
}

type modelOptions struct {
	issue
	licensing
	crediting
	artifact  string
	version   string
	title     string
	trainedOn []string
	bases     []string
	usages    []string
}

func newModelAdd(env *Env) *cobra.Command {
	var o modelOptions
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Register a version of a model",
		Long: `add logs a model and prints the CID of its statement. Its name lives beside those
of datasets. The artifact is the CID of files that are registered or stored
somewhere, or one local file, of which only the SHA-256 is recorded; without one
the statement is about the name alone.

--trained-on names what it was trained on, --base the model that it was made of: a
REF, or a URL or CID that this registry does not know. --usage names the record of a
run instead, which says how much of what was read ("cairn use record").

Of the model's revenue a part flows on to these: REF=ppm, in parts per million. A
REF alone, and the inputs of the runs, get the smallest edge that the terms of each
ask, and add says so.

A next version credits those of the version before, unless --contributor names
others; whoever then has less must sign it too.`,
		Example: `  cairn model add weather-lm --license Apache-2.0 --artifact model.safetensors \
    --trained-on seattle-weather=50000 --trained-on ana/labels
  cairn model add weather-lm --license Apache-2.0 --usage bafkrei… --version 2.0.0
  cairn model add weather-chat --license Apache-2.0 --base weather-lm --trained-on https://data.example/chats`,
		Args: exactly(1, "one NAME"),
		RunE: func(c *cobra.Command, args []string) error { return runModelAdd(c.Context(), env, &o, args[0]) },
	}
	f := c.Flags()
	o.licensing.register(c)
	o.crediting.register(c)
	f.StringVar(&o.artifact, "artifact", "", "the model's `file`, or the CID of its files")
	f.StringVar(&o.version, "version", "", "semantic `version` (default: 1.0.0, then the next MAJOR)")
	f.StringVar(&o.title, "title", "", "one `line` for people")
	f.StringArrayVar(&o.trainedOn, "trained-on", nil, "`REF` or REF=ppm, URL, CID: what it was trained on, and the part of the revenue that flows there (repeatable)")
	f.StringArrayVar(&o.bases, "base", nil, "`REF` or REF=ppm, URL, CID: the model that it was made of, and the part of the revenue that flows there (repeatable)")
	f.StringArrayVar(&o.usages, "usage", nil, "`CID` of the usage/v1 of a run that made it (repeatable)")
	o.issue.register(c)
	return c
}

func runModelAdd(ctx context.Context, env *Env, o *modelOptions, name string) error {
	var errs []error
	if err := manifests.ValidName(name); err != nil {
		errs = append(errs, err)
	}
	if o.version != "" {
		if err := manifests.ValidVersion(o.version); err != nil {
			errs = append(errs, fmt.Errorf("--version: %w", err))
		}
	}
	errs = append(errs, o.licensing.read()...)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return env.issues(ctx, o.issue, func(ctx context.Context, c *daemon.Conn, signer sign.Signer) (*manifests.Statement, error) {
		m := &manifests.Model{Publisher: keyring.Identity(signer), Model: manifests.ModelName{Name: name, Version: o.version, Title: o.title}}
		digest, err := o.readArtifact(m)
		if err != nil {
			return nil, err
		}
		if err := o.crediting.resolve(nil, keyring.Identity(signer)); err != nil {
			return nil, err
		}
		before, err := succeed(ctx, c.API, m)
		if err != nil {
			return nil, err
		}
		if before != nil && o.implied {
			o.takeOver(nil, before.Contributors, before.Total)
			if err := o.follow(ctx, c.API, before.Statement.Cid); err != nil {
				return nil, err
			}
			env.credited(&o.crediting, nodeName(before), keyring.Identity(signer))
		}
		m.Contributors, m.Total, m.Agreement = o.shares, o.total, o.agreement
		if digest == "" {
			sum := sha256.Sum256([]byte(string(m.Publisher) + "/" + name + "@" + m.Model.Version))
			digest = hex.EncodeToString(sum[:])
		}
		if err := env.modelEdges(ctx, c.API, o, m); err != nil {
			return nil, err
		}
		if err := o.storeTerms(ctx, c); err != nil {
			return nil, err
		}
		m.Terms, m.Rules = cjson.CID{Cid: o.cid}, manifests.RulesOf(o.terms)
		if err := env.fresh(ctx, c.API, m); err != nil {
			return nil, err
		}
		return manifests.NewModel(m, digest), nil
	})
}

// storeTerms stores the terms document before it is named.
func (o *modelOptions) storeTerms(ctx context.Context, c *daemon.Conn) error {
	if err := o.complete(); err != nil {
		return err
	}
	s, err := openSink(ctx, c, cid.Undef)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := o.licensing.store(ctx, s); err != nil {
		return err
	}
	return s.Finish(ctx)
}

// readArtifact sets the artifact's CID, or returns the SHA-256 of a local file.
func (o *modelOptions) readArtifact(m *manifests.Model) (digest string, err error) {
	if o.artifact == "" {
		return "", nil
	}
	f, err := os.Open(o.artifact)
	if errors.Is(err, os.ErrNotExist) {
		c, cerr := cjson.ParseCID(o.artifact)
		if cerr != nil {
			return "", fault.New(fault.NotFound, "--artifact %s is neither a file nor a CID", fault.Quote(o.artifact))
		}
		m.Model.Artifact = cjson.CID{Cid: cjson.V1(c)}
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return "", err
	} else if !info.Mode().IsRegular() {
		return "", fault.WithHint(fault.New(fault.Invalid, "--artifact %s is not a file", fault.Quote(o.artifact)), "register a folder with \"cairn add\" and give its CID")
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// succeed makes m the version after the newest one of its name, which it
// returns; nil when there is none.
func succeed(ctx context.Context, api *client.Client, m *manifests.Model) (*wire.Node, error) {
	head, err := api.NamedNode(ctx, string(m.Publisher), m.Model.Name, "")
	if errors.Is(err, fault.NotFound) {
		if m.Model.Version == "" {
			m.Model.Version = manifests.FirstVersion
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if head.Kind != string(manifests.KindModel) {
		return nil, fault.WithHint(fault.New(fault.Conflict, "the name %s is that of a dataset", m.Model.Name), "choose another NAME")
	}
	m.Supersedes = head.Statement
	if m.Model.Version == "" {
		m.Model.Version = manifests.NextVersion(head.Version, manifests.Difference{Changed: 1})
	}
	return head, nil
}

// A madeFrom is a flag that names what a model comes from.
type madeFrom struct {
	flag  string
	rel   manifests.Rel
	texts []string
}

// sources reads what a model comes from: each is named in the statement, and those
// with a part of the revenue are told to g.
func (env *Env) sources(ctx context.Context, api *client.Client, g *edging, from madeFrom) (out []manifests.Source, err error) {
	var weighted []string
	for _, text := range from.texts {
		s := manifests.Source{Rel: from.rel}
		if strings.Contains(text, "://") {
			s.URL = text
			out = append(out, s)
			continue
		}
		ref, _, part := strings.Cut(text, "=")
		id, notCID := cjson.ParseCID(ref)
		switch n, err := env.node(ctx, api, ref); {
		case errors.Is(err, fault.NotFound) && notCID == nil && !part:
			s.CID = cjson.CID{Cid: cjson.V1(id)}
		case err != nil:
			return nil, fmt.Errorf("%s: %w", from.flag, err)
		default:
			s.Statement = n.Statement
		}
		out = append(out, s)
		if part {
			weighted = append(weighted, text)
		}
	}
	return out, g.give(ctx, from.flag, weighted)
}

// modelEdges says what a model comes from, and works out the edges to that.
func (env *Env) modelEdges(ctx context.Context, api *client.Client, o *modelOptions, m *manifests.Model) error {
	g := env.edging(api, manifests.KindModel, m.Publisher, m.Model.Name)
	for _, from := range []madeFrom{{"--trained-on", manifests.TrainedOn, o.trainedOn}, {"--base", manifests.DerivedFrom, o.bases}} {
		list, err := env.sources(ctx, api, g, from)
		if err != nil {
			return err
		}
		for _, s := range list {
			if slices.Contains(m.Sources, s) {
				return fault.New(fault.Invalid, "%s names %s twice", from.flag, target(wire.Source{Statement: s.Statement, CID: s.CID, URL: s.URL}))
			}
			m.Sources = append(m.Sources, s)
		}
	}
	var parents []cid.Cid
	for _, s := range m.Sources {
		if s.Statement.Defined() {
			parents = append(parents, s.Statement.Cid)
		}
	}
	var err error
	if m.Usages, err = cids("--usage", o.usages); err != nil {
		return err
	}
	slices.SortFunc(m.Usages, compareCIDs)
	m.Usages = slices.Compact(m.Usages)
	for _, u := range m.Usages {
		_, s, err := envelopeAt(ctx, api, u.Cid)
		if err != nil {
			return fmt.Errorf("--usage: %w", err)
		}
		run, ok := s.Predicate.(*manifests.Usage)
		if !ok {
			return fault.New(fault.Invalid, "--usage %s is of kind %s, not a record of use", u, s.Kind)
		}
		for _, in := range run.Inputs {
			parents = append(parents, in.Statement.Cid)
		}
	}
	for _, p := range parents {
		if err := g.ask(ctx, p); err != nil {
			return err
		}
	}
	e, err := g.edges(ctx)
	m.Edges, m.SelfWeight, m.EdgeTotal = e.list, e.self, e.total
	return err
}

func newModelShow(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:   "show REF",
		Short: "Show a version of a model, and where its revenue flows",
		Long:  "show prints what the log knows about a model. \"cairn lineage\" shows what it was\nmade from, \"cairn impact\" what is made from it.\n\n" + refHelp,
		Example: `  cairn model show weather-lm
  cairn model show lab/weather-lm@2.0.0 --registry https://registry.example --json`,
		Args: exactly(1, "one REF"),
		RunE: func(c *cobra.Command, args []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				n, err := env.node(ctx, api, args[0])
				if err != nil {
					return err
				}
				if n.Kind != string(manifests.KindModel) {
					return fault.WithHint(fault.New(fault.NotFound, "%s is a dataset, not a model", nodeName(n)), "cairn show %s", args[0])
				}
				return env.showModel(ctx, api, n)
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// A shownModel is what show prints of a model with --json.
type shownModel struct {
	*wire.Node
	Gone *wire.Gone `json:"gone,omitempty"` // why it is offered no more
}

func (env *Env) showModel(ctx context.Context, api *client.Client, n *wire.Node) error {
	w, err := api.Withdrawals(ctx, n.Statement.Cid)
	if err != nil {
		return err
	}
	m := shownModel{n, w.Gone}
	return env.print(m, func(w io.Writer) { describeModel(w, m) })
}

func describeModel(w io.Writer, n shownModel) {
	fmt.Fprintf(w, "name       %s\npublisher  %s\n", nodeName(n.Node), n.Publisher)
	switch g := n.Gone; {
	case g == nil:
	case g.Erased:
		fmt.Fprintf(w, "erased     by the operators, entry %d: what its statement says is forgotten here\n", g.Index)
	default:
		fmt.Fprintf(w, "withdrawn  by its publisher, entry %d: offered no more\n", g.Index)
	}
	if n.Artifact.Defined() {
		fmt.Fprintf(w, "artifact   %s\n", n.Artifact)
	}
	printShares(w, n.Contributors, n.Total)
	for _, e := range n.Edges {
		fmt.Fprintf(w, "flows      %s of %s to %s\n", e.Weight, n.EdgeTotal, e.Statement)
	}
	for _, s := range n.Sources {
		fmt.Fprintf(w, "source     %s %s\n", s.Rel, target(s))
	}
	for _, u := range n.Usages {
		fmt.Fprintf(w, "run        %s\n", u)
	}
	fmt.Fprintf(w, "entry      %d\nstatement  %s\nterms      %s\n", n.Index, n.Statement, n.Terms)
}

// nodeName is how a version is shown.
func nodeName(n *wire.Node) string { return n.Name + "@" + n.Version }
