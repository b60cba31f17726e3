package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
)

func newTerms(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "terms",
		Short: "Write, explain and check the terms of data",
		Long: `terms works with terms documents: what may be done with data, on which
conditions, and what is owed for it.

` + terms.NotLegalAdvice + ` The licence table and the rules were not reviewed by a
lawyer; the table's facts name their sources.`,
		Example: `  cairn terms new --template cc-by -o terms.yaml
  cairn terms check --use train,commercial weather labels`,
	}
	group(c)
	c.AddCommand(newTermsNew(env), newTermsTemplates(env), newTermsLicenses(env), newTermsExplain(env), newTermsCheck(env))
	return c
}

func newTermsNew(env *Env) *cobra.Command {
	var name, out string
	c := &cobra.Command{
		Use:   "new",
		Short: "Write a commented terms file to begin with",
		Long: `new writes a template of terms as commented YAML, which "cairn add --terms FILE"
takes as it is. "cairn terms templates" lists the templates.`,
		Example: `  cairn terms new --template revenue-share -o terms.yaml`,
		Args:    exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			if name == "" {
				return fault.WithHint(fault.New(fault.Invalid, "--template is missing"), "\"cairn terms templates\" lists them")
			}
			t, err := terms.LookUpTemplate(name)
			if err != nil {
				return err
			}
			return env.writeOutput(out, t.YAML)
		},
	}
	c.Flags().StringVar(&name, "template", "", "`name` of the template")
	c.Flags().StringVarP(&out, "output", "o", "-", "`file` to write; - is standard output")
	return c
}

// writeOutput writes b to the file that -o names.
func (env *Env) writeOutput(name string, b []byte) error {
	w, finish, err := env.output(name)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return finish(err)
}

func newTermsTemplates(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "templates",
		Short:   "List the templates of terms",
		Example: `  cairn terms templates`,
		Args:    exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			type row struct {
				Name string `json:"name"`
				Says string `json:"says"`
			}
			list := []row{}
			for _, t := range terms.Templates() {
				list = append(list, row{t.Name, t.Says})
			}
			return env.print(struct {
				Templates []row `json:"templates"`
			}{list}, func(w io.Writer) {
				t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
				for _, r := range list {
					fmt.Fprintf(t, "%s\t%s\n", r.Name, r.Says)
				}
				t.Flush()
			})
		},
	}
}

func newTermsLicenses(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "licenses [ID]",
		Short: "Show the licence table, or what it says of one licence",
		Long: `licenses lists what cairn knows of licences, as verdicts use it: A attribution,
SA share-alike, NC non-commercial, ND no derivatives, N notice, DB covers the
EU's database right, U restrictions of use that flow down; ? is not settled and
counts as asked. An id may be that of SPDX or of the Hugging Face Hub. What is
not in the table is never guessed: it needs review.`,
		Example: `  cairn terms licenses CC-BY-SA-4.0
  cairn terms licenses --json > licenses.json`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactly(1, "at most one ID")(c, args)
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			table := terms.DefaultTable()
			if len(args) == 0 {
				return listLicenses(env, table)
			}
			l, ok := table.License(args[0])
			if !ok {
				l, ok = table.License(table.FromHF(args[0]))
			}
			if !ok {
				return fault.WithHint(fault.New(fault.NotFound, "the licence table says nothing of %s, so it needs review", fault.Quote(args[0])), "\"cairn terms licenses\" lists what it knows")
			}
			return env.print(struct {
				Table   cjson.CID     `json:"table"`
				License terms.License `json:"license"`
				Notice  string        `json:"notice"`
			}{table.CID(), l, terms.NotLegalAdvice}, func(w io.Writer) { describeLicense(w, l, table) })
		},
	}
	return c
}

func listLicenses(env *Env, table *terms.Table) error {
	if env.json {
		_, err := fmt.Fprintf(env.Stdout, "%s\n", table.Bytes())
		return err
	}
	t := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
	for _, l := range table.Licenses() {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.ID, l.Kind, facets(l), l.Source)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "table %s. %s\n", table.CID(), terms.NotLegalAdvice)
	return nil
}

// facets says in a word what a licence asks.
func facets(l terms.License) string {
	switch {
	case l.Unknown:
		return "unknown"
	case l.Reserved:
		return "reserved"
	}
	if f := l.Facets(); len(f) > 0 {
		return strings.Join(f, " ")
	}
	return "-"
}

func describeLicense(w io.Writer, l terms.License, table *terms.Table) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-11s"+format+"\n", append([]any{name}, args...)...)
	}
	line("licence", "%s", l.ID)
	line("for", "%s", l.Kind)
	line("asks", "%s", facets(l))
	if len(l.Uses) > 0 {
		line("only for", "%s", strings.Join(l.Uses, ", "))
	}
	if l.Output != "" {
		line("goes on as", "%s", l.Output)
	}
	if len(l.Into) > 0 {
		line("may become", "%s", strings.Join(l.Into, ", "))
	}
	if len(l.HF) > 0 {
		line("on the Hub", "%s", strings.Join(l.HF, ", "))
	}
	line("note", "%s", l.Note)
	line("source", "%s", l.Source)
	line("table", "%s", table.CID())
	fmt.Fprintln(w, terms.NotLegalAdvice)
}
