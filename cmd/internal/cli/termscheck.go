package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

type termsCheckOptions struct {
	uses, purposes, accepted []string
	territory, at            string
	direct, strict           bool
	notice, output           string
	from                     remoteFlags
}

func newTermsCheck(env *Env) *cobra.Command {
	var o termsCheckOptions
	c := &cobra.Command{
		Use:   "check --use USE[,commercial] REF…",
		Short: "Say whether a mixture may be used for what is planned",
		Long: `check reads the terms of datasets and of everything upstream in their lineage, and
says whether they may be used together: allowed, allowed with obligations, to be
reviewed, or denied. Every reason names the work and the rule. It decides here, by
the documents, not by the registry's word; which works are upstream is what the
registry says.

Uses are train, finetune (fine-tune), evaluate, rag (retrieve), distill-synthetic,
redistribute-verbatim, redistribute-derived (redistribute is both),
publish-weights-open, publish-weights-closed (publish-weights is both), joined by
commas, with "commercial" for commercial use.

External sources (URLs and CIDs that no statement is about) have no terms on
record. They are listed, and no verdict counts them but with --strict, where they
are unknown: what is unknown is never passed on.

The exit status is 3 when a use is denied, and 0 otherwise: what needs review is
said on stderr.

` + terms.NotLegalAdvice + `

` + refHelp,
		Example: `  cairn terms check --use train,commercial weather labels
  cairn terms check --use redistribute ana/corpus@2.0.0 --notice md -o NOTICE.md
  cairn terms check --use train --json --registry https://registry.example ana/corpus`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exactly(1, "at least one REF")(c, args)
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runTermsCheck(c.Context(), env, &o, args) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.uses, "use", nil, "`uses` that are planned, and \"commercial\" (repeatable, or with commas)")
	f.StringSliceVar(&o.purposes, "purpose", nil, "`purpose`, in the words that terms use: military, … (repeatable)")
	f.StringVar(&o.territory, "in", "", "`place` of use, like CH")
	f.StringVar(&o.at, "at", "", "the `instant` of use, like 2026-11-22T08:00:00Z (default: now)")
	f.StringSliceVar(&o.accepted, "accepted", nil, "`CID` of terms that you have accepted (repeatable)")
	f.BoolVar(&o.direct, "direct", false, "look at these works alone, not at what is upstream")
	f.BoolVar(&o.strict, "strict", false, "count external sources, as unknown")
	f.StringVar(&o.notice, "notice", "", "write an attribution notice instead, as `form` text, md or spdx")
	f.StringVarP(&o.output, "output", "o", "-", "`file` for the notice; - is standard output")
	o.from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// useNames maps the words of the command line to uses.
var useNames = map[string][]string{
	"fine-tune": {terms.UseFinetune}, "retrieve": {terms.UseRAG}, "redistribute": {terms.UseCopy, terms.UseDerive},
	"publish-derived": {terms.UseDerive}, "publish-weights": {terms.UseWeightsOpen, terms.UseWeightsClosed},
}

// parseUses reads --use.
func parseUses(list []string) (uses []string, commercial bool, err error) {
	for _, word := range list {
		word = strings.TrimSpace(word)
		names, known := useNames[word]
		switch {
		case word == "commercial":
			commercial = true
			continue
		case !known && !slices.Contains(terms.Uses(), word):
			return nil, false, fault.WithHint(fault.New(fault.Invalid, "--use %s is no use", fault.Quote(word)), "the uses are %s; beside them \"commercial\"", strings.Join(terms.Uses(), ", "))
		case !known:
			names = []string{word}
		}
		for _, n := range names {
			if !slices.Contains(uses, n) {
				uses = append(uses, n)
			}
		}
	}
	if len(uses) == 0 {
		return nil, false, fault.WithHint(fault.New(fault.Invalid, "--use is missing: what is planned?"), "for example --use train,commercial")
	}
	return uses, commercial, nil
}

func runTermsCheck(ctx context.Context, env *Env, o *termsCheckOptions, refs []string) error {
	q := terms.Question{Purposes: o.purposes, Territory: o.territory}
	var err error
	var uses []string
	if uses, q.Commercial, err = parseUses(o.uses); err != nil {
		return err
	}
	if q.At, err = env.at(o.at); err != nil {
		return err
	}
	accepted, err := cids("--accepted", o.accepted)
	if err != nil {
		return err
	}
	if !slices.Contains([]string{"", terms.NoticeText, terms.NoticeMarkdown, terms.NoticeSPDX}, o.notice) {
		return fault.WithHint(fault.New(fault.Invalid, "--notice %s is no form", fault.Quote(o.notice)), "text, md or spdx")
	}
	var works []terms.Work
	out := wire.TermsChecked{Verdict: terms.Allow, Notice: terms.NotLegalAdvice}
	err = env.ask(ctx, o.from.url, func(ctx context.Context, api *client.Client) error {
		status, err := api.Status(ctx)
		if err != nil {
			return err
		}
		out.Size = status.Applied
		works, out.External, err = env.mixture(ctx, api, refs, !o.direct)
		return err
	})
	if err != nil {
		return err
	}
	terms.MarkAccepted(works, accepted)
	if o.strict {
		works = append(works, outside(out.External)...)
	}
	for _, q.Use = range uses {
		d, err := terms.Decide(q, works...)
		if err != nil {
			return err
		}
		out.Verdict = out.Verdict.Worse(d.Verdict)
		out.Decisions = append(out.Decisions, d)
	}
	if o.notice != "" {
		b, err := terms.DefaultTable().Attribute(o.notice, works, out.Decisions...)
		if err != nil {
			return err
		}
		if err := env.writeOutput(o.output, b); err != nil {
			return err
		}
	} else if err := env.print(out, func(w io.Writer) { describeCheck(w, &out) }); err != nil {
		return err
	}
	if len(out.External) > 0 && !o.strict && !env.json {
		what := "1 external source has"
		if n := len(outside(out.External)); n != 1 {
			what = fmt.Sprintf("%d external sources have", n)
		}
		env.warn("%s no terms on record, and is not counted; --strict counts them as unknown", what)
	}
	switch out.Verdict {
	case terms.Review:
		if !env.json {
			env.warn("a person must look at this before it is used")
		}
	case terms.Deny:
		env.shown = o.notice == ""
		return fault.New(fault.Unverified, "the mixture may not be used so. %s", terms.NotLegalAdvice)
	}
	return nil
}

// outside makes works without terms of external sources, each once.
func outside(list []terms.External) (works []terms.Work) {
	seen := make(map[string]bool)
	for _, x := range list {
		if !seen[x.Target] {
			seen[x.Target] = true
			works = append(works, terms.Work{ID: x.Target, Name: fault.Printable(x.Target), Upstream: true})
		}
	}
	return works
}

// mixture reads the works that refs name, with what is upstream of them.
func (env *Env) mixture(ctx context.Context, api *client.Client, refs []string, upstream bool) ([]terms.Work, []terms.External, error) {
	var roots []string
	for _, ref := range refs {
		n, err := env.node(ctx, api, ref)
		if err != nil {
			return nil, nil, err
		}
		roots = append(roots, n.Statement.String())
	}
	docs := &terms.Documents{Read: api.Terms}
	return terms.Upstream(ctx, roots, func(ctx context.Context, id string) (*terms.Version, error) {
		v, err := versionOf(ctx, api, id)
		if err != nil {
			return nil, err
		}
		if !upstream {
			v.Links = nil
		}
		if v.Terms, err = docs.Terms(ctx, v.TermsCID.Cid); err == nil && v.Terms == nil {
			env.warn("the terms of %s are not there: it counts as unknown", v.Name)
		}
		return v, err
	})
}

// declared are the sources of a version as terms take them.
func declared(list []wire.Source) (out []terms.Declared) {
	for _, s := range list {
		x := terms.Declared{Rel: s.Rel}
		if s.Statement.Defined() {
			x.Statement = s.Statement.String()
		} else {
			x.Other = target(s)
		}
		out = append(out, x)
	}
	return out
}

// versionOf reads what a version is and what it names: its sources and edges and,
// of a model, what its runs read. What the registry offers no more is withdrawn.
func versionOf(ctx context.Context, api *client.Client, id string) (*terms.Version, error) {
	c, err := cjson.ParseCID(id)
	if err != nil {
		return nil, err
	}
	st, err := api.Statement(ctx, c)
	if err != nil {
		return nil, err
	}
	v := &terms.Version{Work: terms.Work{ID: id}}
	var sources []terms.Declared
	var edges []wire.Edge
	if d := st.Dataset; d != nil {
		v.Name, v.TermsCID, edges = fmt.Sprintf("%s/%s@%s", d.Publisher, d.Name, d.Version), d.Terms, d.Edges
		v.Withdrawn = d.Withdrawn != nil || d.Erased != nil
		for _, x := range d.Contributors {
			v.Makers = append(v.Makers, string(x.ID))
		}
		sources = declared(d.Sources)
	} else {
		n, err := api.Node(ctx, c)
		if err != nil {
			return nil, err
		}
		v.Name, v.TermsCID, edges = fmt.Sprintf("%s/%s@%s", n.Publisher, n.Name, n.Version), n.Terms, n.Edges
		for _, x := range n.Contributors {
			v.Makers = append(v.Makers, string(x.ID))
		}
		w, err := api.Withdrawals(ctx, c)
		if err != nil {
			return nil, err
		}
		v.Withdrawn = w.Gone != nil
		sources = declared(n.Sources)
		for _, run := range n.Usages {
			inputs, err := inputsOf(ctx, api, run.Cid)
			if errors.Is(err, fault.Gone) {
				sources = append(sources, terms.Declared{Rel: string(manifests.TrainedOn), Other: run.String()})
				continue // of which it is not known what it read
			}
			if err != nil {
				return nil, err
			}
			sources = append(sources, inputs...)
		}
	}
	var paid []string
	for _, e := range edges {
		paid = append(paid, e.Statement.String())
	}
	v.Declare(sources, paid)
	return v, nil
}

// inputsOf is what a run read, as its record says.
func inputsOf(ctx context.Context, api *client.Client, run cid.Cid) (out []terms.Declared, err error) {
	b, err := api.Envelope(ctx, run)
	if err != nil {
		return nil, err
	}
	e, err := sign.Decode(b)
	if err != nil {
		return nil, err
	}
	st, err := manifests.Decode(e.Payload)
	if err != nil {
		return nil, err
	}
	u, ok := st.Predicate.(*manifests.Usage)
	if !ok {
		return nil, fault.New(fault.Unverified, "%s is no record of use", run)
	}
	for _, in := range u.Inputs {
		out = append(out, terms.Declared{Rel: string(manifests.TrainedOn), Statement: in.Statement.String()})
	}
	return out, nil
}

func describeCheck(w io.Writer, c *wire.TermsChecked) {
	for i, d := range c.Decisions {
		if i > 0 {
			fmt.Fprintln(w)
		}
		kind := "not commercial"
		if d.Question.Commercial {
			kind = "commercial"
		}
		fmt.Fprintf(w, "%s, %s: %s\n", d.Question.Use, kind, verdictWords[d.Verdict])
		// What stands against the use comes first: a long list is read from its top.
		works := slices.Clone(d.Works)
		slices.SortStableFunc(works, func(a, b terms.WorkVerdict) int {
			switch {
			case a.Verdict == b.Verdict:
				return 0
			case a.Verdict.Worse(b.Verdict) == a.Verdict:
				return -1
			}
			return 1
		})
		for _, x := range works {
			describeWork(w, x)
		}
		for _, f := range d.Findings {
			fmt.Fprintf(w, "  %s (rule %d)\n", fault.Printable(f.Why), f.Rule)
			for _, id := range f.Works {
				fmt.Fprintf(w, "    %s\n", id)
			}
		}
		for _, o := range d.Obligations {
			fmt.Fprintf(w, "  must %s\n", o.Words())
			if len(d.Works) > 1 {
				for _, id := range o.Works {
					fmt.Fprintf(w, "    for %s\n", workName(d, id))
				}
			}
		}
		if d.Output != nil {
			fmt.Fprintf(w, "  the least licence for derived data: %s (asks %s, rule 7)\n", d.Output.License, d.Output.Level)
			for _, also := range d.Output.Also {
				fmt.Fprintf(w, "    with %s kept\n", also)
			}
		}
	}
	for _, x := range c.External {
		fmt.Fprintf(w, "external, terms not on record: %s\n", fault.Printable(x.Target))
	}
	if len(c.Decisions) > 0 {
		fmt.Fprintf(w, "licence table %s. %s\n", c.Decisions[0].Table, c.Notice)
	}
}

func describeWork(w io.Writer, x terms.WorkVerdict) {
	where := ""
	if x.Upstream {
		where = ", upstream"
	}
	license := x.License
	if license == "" {
		license = "no terms"
	}
	if x.Branch != "" {
		license += ", used under " + x.Branch
	}
	fmt.Fprintf(w, "  %-11s %s (%s%s)\n", x.Verdict, fault.Printable(x.Name), license, where)
	fmt.Fprintf(w, "              %s\n", x.ID)
	reasons := x.Reasons
	if x.Verdict == terms.Obligations {
		reasons = reasons[:1] // the others are listed below
	}
	for _, r := range reasons {
		fmt.Fprintf(w, "              %s (%s, rule %d)\n", fault.Printable(r.Why), r.Source, r.Rule)
	}
}

func workName(d *terms.Decision, id string) string {
	for _, x := range d.Works {
		if x.ID == id && x.Name != "" {
			return fault.Printable(x.Name)
		}
	}
	return id
}
