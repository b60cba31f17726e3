package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry/client"
)

func newTermsExplain(env *Env) *cobra.Command {
	var from remoteFlags
	var at string
	c := &cobra.Command{
		Use:   "explain REF|FILE",
		Short: "Say in plain words what terms allow, and why",
		Long: `explain says what the terms of a registered dataset, or of a terms file, come to
for each use, commercial and not: allowed, allowed with obligations, to be
reviewed, or denied, with the rule and the source of each line. It looks at these
terms alone; "cairn terms check" looks at a mixture and what is upstream of it.

` + terms.NotLegalAdvice + `

` + refHelp,
		Example: `  cairn terms explain terms.yaml
  cairn terms explain ana/labels --registry https://registry.example`,
		Args: exactly(1, "one REF or FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			when, err := env.at(at)
			if err != nil {
				return err
			}
			t, id, err := env.termsOf(c.Context(), from.url, args[0])
			if err != nil {
				return err
			}
			x, err := terms.DefaultTable().Explain(t, id, when)
			if err != nil {
				return err
			}
			return env.print(x, func(w io.Writer) { explain(w, t, x) })
		},
	}
	c.Flags().StringVar(&at, "at", "", "the `instant` of use, like 2026-11-22T08:00:00Z (default: now)")
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// at reads --at: an instant, or a day.
func (env *Env) at(text string) (string, error) {
	if text == "" {
		return env.Now().UTC().Format("2006-01-02T15:04:05Z"), nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC().Format("2006-01-02T15:04:05Z"), nil
	}
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t.Format("2006-01-02T15:04:05Z"), nil
	}
	return "", fault.New(fault.Invalid, "--at %s is no instant like 2026-11-22T08:00:00Z, and no day", fault.Quote(text))
}

// termsOf reads a terms file, or the terms of what REF names. A file is meant
// where there is one of that name.
func (env *Env) termsOf(ctx context.Context, url, arg string) (t *terms.Terms, id cjson.CID, err error) {
	if info, failed := os.Stat(arg); failed == nil && info.Mode().IsRegular() {
		b, err := auditing.ReadBounded(arg, manifests.MaxYAML)
		if err != nil {
			return nil, id, err
		}
		if t, err = manifests.TermsFromYAML(b); err != nil {
			return nil, id, fmt.Errorf("%s: %w", arg, err)
		}
		if t.Base.SPDX, _, err = terms.ParseExpression(t.Base.SPDX); err != nil {
			return nil, id, fmt.Errorf("%s: base.spdx: %w", arg, err)
		}
		return t, id, nil
	}
	if strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".yml") || strings.HasSuffix(arg, ".json") {
		return nil, id, fault.New(fault.NotFound, "there is no file %s", fault.Quote(arg))
	}
	err = env.ask(ctx, url, func(ctx context.Context, api *client.Client) error {
		id = cjson.CID{}
		if c, failed := cjson.ParseCID(arg); failed == nil {
			b, failed := api.Terms(ctx, c)
			if failed == nil {
				id = cjson.CID{Cid: c}
				t, err = terms.Decode(b)
				return err
			}
			if !errors.Is(failed, fault.NotFound) {
				return failed
			}
		}
		n, err := env.node(ctx, api, arg)
		if err != nil {
			return err
		}
		id = n.Terms
		b, err := api.Terms(ctx, id.Cid)
		if err != nil {
			return fmt.Errorf("the terms of %s: %w", nodeName(n), err)
		}
		t, err = terms.Decode(b)
		return err
	})
	return t, id, err
}

// verdictWords says a verdict to people.
var verdictWords = map[terms.Verdict]string{
	terms.Allow: "allowed", terms.Obligations: "allowed, with obligations", terms.Review: "needs review", terms.Deny: "denied",
}

// useWords says a use to people.
var useWords = map[string]string{
	terms.UseTrain: "train a model on it", terms.UseFinetune: "fine-tune a model with it", terms.UseEvaluate: "evaluate a model with it",
	terms.UseRAG: "retrieve from it", terms.UseDistill: "make synthetic data from it", terms.UseCopy: "pass it on unchanged",
	terms.UseDerive: "pass on data derived from it", terms.UseWeightsOpen: "publish weights openly", terms.UseWeightsClosed: "publish weights, closed",
}

func explain(w io.Writer, t *terms.Terms, x *terms.Explanation) {
	if t.Title != "" {
		fmt.Fprintf(w, "%s\n", fault.Printable(t.Title))
	}
	fmt.Fprintf(w, "licence %s\n", x.License)
	if x.Terms.Defined() {
		fmt.Fprintf(w, "terms   %s\n", x.Terms)
	}
	for _, l := range x.Licenses {
		fmt.Fprintf(w, "  %s: %s %s\n", l.ID, l.Note, l.Source)
	}
	for _, id := range x.Unknown {
		fmt.Fprintf(w, "  %s: not in the licence table; what it allows is not known\n", id)
	}
	for i := 0; i < len(x.Uses); i += 2 {
		commercial, free := x.Uses[i], x.Uses[i+1]
		fmt.Fprintf(w, "\n%s\n", useWords[commercial.Use])
		if sameAnswer(commercial, free) {
			answer(w, "commercial or not", commercial)
			continue
		}
		answer(w, "commercial", commercial)
		answer(w, "not commercial", free)
	}
	if len(x.Signals) > 0 {
		fmt.Fprintln(w, "\nservers tell crawlers (source: signals, payment, prohibits)")
		for _, h := range x.Signals {
			fmt.Fprintf(w, "  %s: %s\n", h.Name, h.Value)
		}
	}
	for _, n := range x.Notes {
		fmt.Fprintf(w, "\n%s\n", n)
	}
	fmt.Fprintf(w, "\nlicence table %s. %s\n", x.Table, x.Notice)
}

func sameAnswer(a, b terms.UseExplained) bool {
	words := func(u terms.UseExplained) string {
		var s strings.Builder
		answer(&s, "", u)
		return strings.ReplaceAll(s.String(), "commercial "+u.Use, u.Use)
	}
	return a.Verdict == b.Verdict && words(a) == words(b)
}

// answer prints a verdict with its reasons and what is owed.
func answer(w io.Writer, who string, u terms.UseExplained) {
	fmt.Fprintf(w, "  %-18s %s\n", who, verdictWords[u.Verdict])
	reasons := u.Reasons
	if u.Verdict == terms.Obligations {
		reasons = reasons[:1] // the others are the obligations
	}
	for _, r := range reasons {
		fmt.Fprintf(w, "    %s (%s, rule %d)\n", fault.Printable(r.Why), r.Source, r.Rule)
	}
	for _, o := range u.Obligations {
		fmt.Fprintf(w, "    must %s\n", o.Words())
		if o.Kind == terms.OweAttribution && o.Text != "" {
			fmt.Fprintf(w, "      %q\n", fault.Printable(o.Text))
		}
	}
}
