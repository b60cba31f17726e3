package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/demo"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func newDemoCredit(env *Env) *cobra.Command {
	var keep string
	c := &cobra.Command{
		Use:   "credit",
		Short: "Run a year of revenue through a diamond of derivations, explained",
		Long: `credit registers a dataset and three that are derived from it, by four people
who share them, and a model that was trained on the last. The model earns money
for a year, with a refund, and a dispute that holds a part for some months.
Everybody gets a statement, and an auditor with a home of their own computes all
of it again from the log. It runs the real commands in a temporary folder.`,
		Example: `  cairn demo credit
  cairn demo credit --keep ./demo`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return runDemonstration(c.Context(), env, keep, (*demonstration).credit)
		},
	}
	c.Flags().StringVar(&keep, "keep", "", "new `folder` to work in and to keep")
	return c
}

// demoTerms are the terms of the four works: a twentieth of what is earned with
// them, or with what is made from them, flows back.
const demoTerms = `base:
  spdx: LicenseRef-demo-share
grants:
  - use: [train, evaluate, redistribute-derived]
    commercial: true
payment:
  model: revenue-share
  policy: relative
  ratePpm: 50000
  base: net-revenue
  stacking: sum
  toDerived: true
`

const demoLicense = "Use it for what you like. A twentieth of the revenue is for those who made it.\n"

// demoYear is the year of the demo's revenue.
const demoYear = 2026

func month(m int) string { return fmt.Sprintf("%d-%02d", demoYear, m) }

// credit is the whole demo.
func (d *demonstration) credit(ctx context.Context) error {
	if err := demo.WriteDerived(d.path("")); err != nil {
		return err
	}
	for name, text := range map[string]string{"terms.yaml": demoTerms, "LICENSE.txt": demoLicense} {
		if err := os.WriteFile(d.path(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context) error{d.people, d.works, d.year, d.statements, d.payout, d.audited} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.env.Stdout, "\n# Done in %.1f s. Every amount followed from the log; nobody asserted one.\n", time.Since(d.start).Seconds())
	return nil
}

const registryHome = "registry"

// cairn runs a command of the registry's home and shows it.
func (d *demonstration) cairn(ctx context.Context, line ...string) error {
	return d.command(ctx, registryHome, 0, append([]string{"cairn"}, line...)...)
}

// quietly runs commands without showing them.
func (d *demonstration) quietly(ctx context.Context, lines ...[]string) error {
	shown := d.env
	quiet := *shown
	quiet.Stdout = new(strings.Builder)
	d.env = &quiet
	defer func() { d.env = shown }()
	for _, l := range lines {
		if err := d.cairn(ctx, l...); err != nil {
			return fmt.Errorf("%w: %s", err, quiet.Stdout)
		}
	}
	return nil
}

// people makes keys with handles, and the registry.
func (d *demonstration) people(ctx context.Context) error {
	d.say("Four people, a laboratory and an arbiter, with a key each. The registry's operator\n# has the home's own key. Money is counted in dollars, from January on. (Keys are\n# written short here.)")
	var lines [][]string
	people := []string{"default", "ana", "ben", "cho", "dia", "lab", "arbiter"}
	for _, p := range people {
		lines = append(lines, []string{"key", "new", p})
	}
	if err := d.quietly(ctx, lines...); err != nil {
		return err
	}
	if err := d.cairn(ctx, "init", "--currency", "USD:2", "--first-period", month(1), "--arbiter", "arbiter"); err != nil {
		return err
	}
	lines = nil
	var brief []string
	for _, p := range people {
		if p != "default" {
			lines = append(lines, []string{"profile", "set", "--handle", p, "--key", p})
		}
		if err := d.party(ctx, p); err != nil {
			return err
		}
		brief = append(brief, d.out, d.out[:14]+"…("+strings.Replace(p, "default", "operator", 1)+")")
	}
	d.brief = strings.NewReplacer(brief...)
	return d.quietly(ctx, lines...)
}

// works registers the diamond and the model.
func (d *demonstration) works(ctx context.Context) error {
	terms := []string{"--terms", d.path("terms.yaml"), "--license-text", d.path("LICENSE.txt")}
	add := func(folder, key string, more ...string) error {
		line := append([]string{"add", d.path(folder), "--key", key}, terms...)
		return d.cairn(ctx, append(line, more...)...)
	}
	d.say("Ana registers daily weather observations. Her terms: a twentieth flows back.")
	if err := add(demo.Daily, "ana"); err != nil {
		return err
	}
	d.say("Ben sums up the rain of each month. The edge to Ana's work, with the twentieth that\n# her terms ask for, is made by the command.")
	if err := add(demo.Months, "ben", "--from", "ana/daily"); err != nil {
		return err
	}
	d.say("Cho and Dia list the days of frost, two parts to one. Ana gets a tenth: more than\n# she asked for. Dia has not signed yet, so her part will be held.")
	if err := d.party(ctx, "cho"); err != nil {
		return err
	}
	cho := d.out
	if err := d.party(ctx, "dia"); err != nil {
		return err
	}
	dia := d.out
	if err := add(demo.Frost, "cho", "--from", "ana/daily", "--edge", "ana/daily=100000",
		"--contributor", "Cho <"+cho+">;share=2", "--contributor", "Dia <"+dia+">;share=1"); err != nil {
		return err
	}
	d.say("Dia puts both together. It is a diamond now: Ana's work is in it twice.")
	if err := add(demo.Winter, "dia", "--from", "ben/months", "--from", "cho/frost",
		"--edge", "ben/months=200000", "--edge", "cho/frost=100000"); err != nil {
		return err
	}
	d.say("The laboratory trains a model on it. A tenth of what it earns is for the data.")
	return d.cairn(ctx, "model", "add", "weather-lm", "--license", "Apache-2.0", "--trained-on", "dia/winter=100000", "--key", "lab")
}

// party sets d.out to the did:key of a person.
func (d *demonstration) party(ctx context.Context, name string) error {
	shown := d.env
	quiet := *shown
	quiet.Stdout = new(strings.Builder)
	d.env = &quiet
	defer func() { d.env = shown }()
	return d.cairn(ctx, "key", "show", name)
}

// year records twelve months of revenue.
func (d *demonstration) year(ctx context.Context) error {
	record := func(m int, amount string) []string {
		return []string{"revenue", "record", "--subject", "lab/weather-lm", "--amount", amount, "--currency", "USD", "--id", fmt.Sprintf("stripe:in_%02d", m)}
	}
	d.say("January: the model earns 100.07 USD. Then the month is closed.")
	if err := d.cairn(ctx, record(1, "100.07")...); err != nil {
		return err
	}
	if err := d.cairn(ctx, "period", "close"); err != nil {
		return err
	}
	d.say("Dia signs for her part of the days of frost. What was held for her will be released.")
	if err := d.cairn(ctx, "cosign", "cho/frost", "--key", "dia"); err != nil {
		return err
	}
	if err := d.quietly(ctx, record(2, "250.00"), []string{"period", "close"}); err != nil {
		return err
	}
	d.say("March: a customer of February gets 40.00 back. A refund takes back what it brought.")
	if err := d.quietly(ctx, record(3, "310.40")); err != nil {
		return err
	}
	if err := d.cairn(ctx, "revenue", "record", "--kind", "refund", "--reverses", "stripe:in_02", "--subject", "lab/weather-lm",
		"--amount", "40.00", "--currency", "USD", "--id", "stripe:re_02"); err != nil {
		return err
	}
	if err := d.cairn(ctx, "period", "close"); err != nil {
		return err
	}
	d.say("April: Ben contests the days of frost. The arbiter holds what it keeps, from May on.")
	if err := d.cairn(ctx, "dispute", "open", "cho/frost", "--kind", "share", "--key", "ben"); err != nil {
		return err
	}
	dispute := d.out
	if err := d.cairn(ctx, "dispute", "resolve", dispute, "--ruling", "hold", "--key", "arbiter"); err != nil {
		return err
	}
	var lines [][]string
	for m := 4; m <= 7; m++ {
		lines = append(lines, record(m, fmt.Sprintf("%d.%02d", 200+37*m, 13*m%100)), []string{"period", "close"})
	}
	if err := d.quietly(ctx, lines...); err != nil {
		return err
	}
	d.say("August: the arbiter finds nothing wrong. What was held is released in September.")
	if err := d.cairn(ctx, "dispute", "resolve", dispute, "--ruling", "release", "--key", "arbiter"); err != nil {
		return err
	}
	lines = nil
	for m := 8; m <= 12; m++ {
		lines = append(lines, record(m, fmt.Sprintf("%d.%02d", 200+37*m, 13*m%100)), []string{"period", "close"})
	}
	if err := d.quietly(ctx, lines...); err != nil {
		return err
	}
	return d.cairn(ctx, "period", "show")
}

// statements publishes results and shows what people are told.
func (d *demonstration) statements(ctx context.Context) error {
	d.say("The operator publishes what each month came to: roots and totals, nothing else. Anyone\n# can compute them; the registry refuses to log others.")
	var lines [][]string
	for m := 1; m <= 11; m++ {
		lines = append(lines, []string{"credit", "allocate", "--period", month(m), "--currency", "USD"})
	}
	if err := d.quietly(ctx, lines...); err != nil {
		return err
	}
	if err := d.cairn(ctx, "credit", "allocate", "--period", month(12), "--currency", "USD"); err != nil {
		return err
	}
	d.say("Ana's statement for December, with the proof that it is part of that result.")
	if err := d.cairn(ctx, "credit", "statement", "--party", "ana", "--period", month(12), "--currency", "USD"); err != nil {
		return err
	}
	d.say("How December's payment reached her: the integer at each hop, through both arms.")
	return d.cairn(ctx, "credit", "explain", "--party", "ana", "--event", "stripe:in_12")
}

// payout pays out what is payable.
func (d *demonstration) payout(ctx context.Context) error {
	d.say("Whoever has at least one dollar is paid. Where to is in a private file; the log gets\n# the amounts.")
	var text strings.Builder
	text.WriteString("payee,destination,name,bic\n")
	for i, p := range []string{"ana", "ben", "cho", "dia", "lab"} {
		if err := d.party(ctx, p); err != nil {
			return err
		}
		iban := []string{"DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606", "NL91ABNA0417164300", "ES9121000418450200051332"}[i]
		fmt.Fprintf(&text, "%s,%s,%s,%s\n", d.out, iban, strings.ToUpper(p[:1])+p[1:], []string{"COBADEFFXXX", "WESTGB22XXX", "PSSTFRPPXXX", "ABNANL2AXXX", "CAIXESBBXXX"}[i])
	}
	if err := os.WriteFile(d.path("accounts.csv"), []byte(text.String()), 0o600); err != nil {
		return err
	}
	return d.cairn(ctx, "payout", "create", "--rail", "csv", "--currency", "USD", "--min", "1.00", "--destinations", d.path("accounts.csv"),
		"--id", "payout-"+month(12), "-o", d.path("transfers.csv"))
}

// audited has a stranger compute all of it again.
func (d *demonstration) audited(ctx context.Context) error {
	d.say("The log's key, by a way the auditor trusts; and the registry, which she does not.")
	if err := d.cairn(ctx, "log", "key"); err != nil {
		return err
	}
	if err := os.WriteFile(d.path("log.vkey"), []byte(d.out+"\n"), 0o644); err != nil {
		return err
	}
	return d.serving(ctx, registryHome, func(ctx context.Context, url string) error {
		d.say("In a home of her own she reads the log, judges every entry anew, computes every run,\n# and compares: statements, roots, payments.")
		if err := d.command(ctx, "auditor", 0, "cairn", "credit", "verify", "--all", "--registry", url, "--policy", d.path("log.vkey")); err != nil {
			return err
		}
		if strings.Contains(d.out, "fails") {
			return fault.New(fault.Internal, "the audit found something")
		}
		return nil
	})
}
