package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/payslip"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newCredit(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "credit",
		Short: "See who is owed what, and check it",
		Long: `What is owed follows from the log alone: recorded revenue flows along the edges
between versions, and what each version keeps is shared among its contributors.
Every sum is exact, and anybody can compute it again with "cairn credit verify".
Amounts are shown with all their decimals: "33.356666666667" is thirty-three
dollars and thirty-five cents, and a rest that is carried on.`,
	}
	group(c)
	c.AddCommand(newCreditStatus(env), newCreditBalance(env), newCreditAllocate(env), newCreditStatement(env), newCreditExplain(env),
		newCreditVerify(env), newCreditSimulate(env), newCreditAdjust(env), newCreditJournal(env), newCreditAttribution(env))
	return c
}

func newCreditStatus(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the open period, the closed ones and the currencies",
		Long: `status says in which period money counts now, and for each closed period and
currency whether its result is published and is what the log comes to.`,
		Example: `  cairn credit status`,
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				return runCreditStatus(ctx, env, api)
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// statusPeriods bounds the closed periods that status asks about: two years.
const statusPeriods = 24

// A creditStatus is what "credit status" prints with --json.
type creditStatus struct {
	*wire.CreditStatus
	Runs []runState `json:"runs"` // of the newest closed periods, newest first; those in which money moved
}

type runState struct {
	Period     credit.Period `json:"period"`
	Currency   string        `json:"currency"`
	In         credit.Amount `json:"inFine"`
	Payees     int64         `json:"payees"`
	Allocation string        `json:"allocation,omitempty"` // the newest published one
	Matches    bool          `json:"matches"`
}

func runCreditStatus(ctx context.Context, env *Env, api *client.Client) error {
	s, err := api.Credit(ctx)
	if err != nil {
		return err
	}
	out := creditStatus{CreditStatus: s, Runs: []runState{}}
	for p := s.Open - 1; p >= s.First && p >= s.Open-statusPeriods; p-- {
		for _, c := range s.Currencies {
			run, err := api.Run(ctx, p, c.Code)
			if err != nil {
				return err
			}
			r := runState{Period: p, Currency: c.Code, In: run.In, Payees: run.Payees.N}
			if len(run.Allocations) > 0 {
				r.Allocation, r.Matches = run.Allocations[0].Statement.String(), run.Allocations[0].Matches
			} else if run.Payees.N == 0 && run.Events.N == 0 {
				continue
			}
			out.Runs = append(out.Runs, r)
		}
	}
	return env.print(out, func(w io.Writer) {
		fmt.Fprintf(w, "engine      %s, at log size %d\n", s.Engine, s.Size)
		fmt.Fprintf(w, "open        %s\n", s.Open)
		switch {
		case s.Open == s.First:
			fmt.Fprintln(w, "closed      none yet")
		case s.Open == s.First+1:
			fmt.Fprintf(w, "closed      %s\n", s.First)
		default:
			fmt.Fprintf(w, "closed      %s to %s\n", s.First, s.Open-1)
		}
		var codes []string
		for _, c := range s.Currencies {
			codes = append(codes, c.Code)
		}
		fmt.Fprintf(w, "currencies  %s\n", strings.Join(codes, " "))
		for _, r := range out.Runs {
			state := "not published"
			switch {
			case r.Matches:
				state = "published in " + r.Allocation
			case r.Allocation != "":
				state = "PUBLISHED WRONGLY in " + r.Allocation
			}
			fmt.Fprintf(w, "run         %s  %s %s in, %s, %s\n", r.Period, payslip.Decimal(r.In, currencyOf(s, r.Currency)), r.Currency, count(r.Payees, "payee"), state)
		}
	})
}

// currencyOf finds a unit of account among those of a status.
func currencyOf(s *wire.CreditStatus, code string) credit.Currency {
	for _, c := range s.Currencies {
		if c.Code == code {
			return c
		}
	}
	return credit.Currency{Code: code}
}

// unit finds a unit of account by its code, or says which there are.
func unit(s *wire.CreditStatus, code string) (credit.Currency, error) {
	if code == "" {
		return credit.Currency{}, fault.WithHint(fault.New(fault.Invalid, "--currency is missing"), "for example --currency %s", s.Currencies[0].Code)
	}
	if c := currencyOf(s, code); c.FineDigits > 0 {
		return c, nil
	}
	var codes []string
	for _, c := range s.Currencies {
		codes = append(codes, c.Code)
	}
	return credit.Currency{}, fault.WithHint(fault.New(fault.NotFound, "--currency %s is no unit of account here", fault.Quote(code)), "there are %s", strings.Join(codes, ", "))
}

// runOf asks for the run that --period and --currency name.
func runOf(ctx context.Context, api *client.Client, period, currency string) (*wire.CreditRun, error) {
	s, err := api.Credit(ctx)
	if err != nil {
		return nil, err
	}
	cur, err := unit(s, currency)
	if err != nil {
		return nil, err
	}
	p, err := closed(s, period)
	if err != nil {
		return nil, err
	}
	return api.Run(ctx, p, cur.Code)
}

// closed reads the period of a run: by default the last closed one.
func closed(s *wire.CreditStatus, text string) (credit.Period, error) {
	if s.Open == s.First {
		return 0, fault.WithHint(fault.New(fault.NotFound, "no period is closed yet: %s is open", s.Open), "an operator closes it with \"cairn period close\"")
	}
	if text == "" {
		return s.Open - 1, nil
	}
	p, err := credit.ParsePeriod(text)
	if err != nil {
		return 0, fmt.Errorf("--period: %w", err)
	}
	switch {
	case p >= s.Open:
		return 0, fault.WithHint(fault.New(fault.NotFound, "--period %s is not closed: %s is open", p, s.Open), "what it comes to is known once it is closed")
	case p < s.First:
		return 0, fault.New(fault.NotFound, "--period %s is before the first, %s", p, s.First)
	}
	return p, nil
}

// count writes a number of things.
func count(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func newCreditBalance(env *Env) *cobra.Command {
	var from remoteFlags
	var party string
	c := &cobra.Command{
		Use:   "balance",
		Short: "Show what a party has, in each currency",
		Long: `balance shows a party's balance at the end of the last closed period, what of it
is held, and what is payable now: in whole minor units, less what was paid since.
--party is a did:key, a handle, or the name of a key of this home; without it,
the key that signs.`,
		Example: `  cairn credit balance
  cairn credit balance --party ana --json`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				return runCreditBalance(ctx, env, api, party)
			})
		},
	}
	c.Flags().StringVar(&party, "party", "", "`who`: a did:key, a handle, or a key of this home")
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// payee finds the party that --party names: the text of a did, else as
// [Env.party] does; without one, the key that signs.
func (env *Env) payee(ctx context.Context, api *client.Client, text string) (string, error) {
	if text == "" {
		if id := env.own(); id != "" {
			return string(id), nil
		}
		return "", fault.WithHint(fault.New(fault.Invalid, "--party is missing, and this home has no key"), "a did:key, or a handle")
	}
	id, err := env.party(ctx, api, text)
	return string(id), err
}

func runCreditBalance(ctx context.Context, env *Env, api *client.Client, party string) error {
	who, err := env.payee(ctx, api, party)
	if err != nil {
		return err
	}
	b, err := api.Balances(ctx, who)
	if err != nil {
		return err
	}
	return env.print(b, func(w io.Writer) {
		fmt.Fprintf(w, "%s\n", b.Party)
		if len(b.Balances) == 0 {
			fmt.Fprintln(w, "no balance in any currency")
		}
		for _, x := range b.Balances {
			fmt.Fprintf(w, "%s  %s at the end of %s, payable now %s", x.Currency.Code, payslip.Decimal(x.Close, x.Currency), x.Period, x.Payable.Decimal(x.Currency.MinorDigits))
			if !x.Held.IsZero() {
				fmt.Fprintf(w, ", held %s", payslip.Decimal(x.Held, x.Currency))
			}
			fmt.Fprintln(w)
		}
	})
}
