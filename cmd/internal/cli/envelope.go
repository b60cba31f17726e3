package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newStatement(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "statement",
		Short: "Pass a statement around until everybody has signed it",
		Long: `A statement that several people must sign travels as an envelope file. Whoever
makes it writes the file with -o, others add their names, and anyone submits it.
The file is a DSSE envelope: it may go by mail, its signatures are all it needs.

Every command that makes a statement prints its CID, or with --json an object:
statement, kind, signers, says (the statement in plain words), index and receipt
once it is logged, unchanged when it was there before, file where it was written
instead, missing for those whose signatures an agreement waits for.`,
	}
	group(c)
	c.AddCommand(newStatementSign(env), newStatementSubmit(env), newStatementShow(env))
	return c
}

func newStatementSign(env *Env) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "sign FILE",
		Short: "Add my signature to an envelope file",
		Long: `sign reads an envelope, verifies the signatures in it, says in plain words what
the statement says, and adds a signature. The file is rewritten; -o writes
another one. Nothing is logged, and no registry is needed.`,
		Example: `  cairn statement sign agreement.json --key ana`,
		Args:    exactly(1, "one FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			return runStatementSign(env, args[0], out, "")
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "`file` to write instead of FILE")
	return c
}

// runStatementSign signs an envelope file; with a kind, only a statement of it.
func runStatementSign(env *Env, name, out string, kind manifests.Kind) error {
	e, s, err := env.readEnvelope(name)
	if err != nil {
		return err
	}
	if kind != "" && s.Kind != kind {
		return fault.WithHint(fault.New(fault.Invalid, "%s holds a statement of kind %s, not %s", name, s.Kind, kind), "cairn statement sign %s", name)
	}
	signer, err := env.mine()
	if err != nil {
		return err
	}
	if err := e.Add(signer); err != nil {
		return err
	}
	d := describeEnvelope(e, s)
	env.say("signed as "+string(signer.ID()), d.Says)
	if out == "" {
		out = name
	}
	if err := env.writeEnvelope(out, e, d); err != nil || out == "-" {
		return err
	}
	return env.print(d, func(w io.Writer) { fmt.Fprintln(w, out) })
}

func newStatementSubmit(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "submit FILE",
		Short: "Log the statement of an envelope file",
		Long: `submit logs an envelope with the signatures that it has, and prints the CID of
its statement. A statement that is in the log already gets the signatures that
are new. Submitting the same again changes nothing.`,
		Example: `  cairn statement submit agreement.json`,
		Args:    exactly(1, "one FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			return runStatementSubmit(c.Context(), env, args[0], "")
		},
	}
}

func runStatementSubmit(ctx context.Context, env *Env, name string, kind manifests.Kind) error {
	e, s, err := env.readEnvelope(name)
	if err != nil {
		return err
	}
	if kind != "" && s.Kind != kind {
		return fault.WithHint(fault.New(fault.Invalid, "%s holds a statement of kind %s, not %s", name, s.Kind, kind), "cairn statement submit %s", name)
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		out := describeEnvelope(e, s)
		if err := env.logEnvelope(ctx, c.API, e, out); err != nil {
			return err
		}
		if err := env.tellMissing(ctx, c.API, out); err != nil {
			return err
		}
		return env.show(out)
	})
}

func newStatementShow(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:   "show FILE|CID",
		Short: "Say in plain words what a statement says, and who signed",
		Long: `show reads an envelope file, or the envelope of a logged statement, verifies its
signatures, and says what it says. Of a logged one it also says what became of
it.`,
		Example: `  cairn statement show agreement.json
  cairn statement show bafkrei… --json`,
		Args: exactly(1, "one FILE or CID"),
		RunE: func(c *cobra.Command, args []string) error {
			return runStatementShow(c.Context(), env, from.url, args[0])
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// A shown is what "statement show" prints with --json.
type shown struct {
	*issued
	// Log is what became of a logged statement.
	Log *wire.Statement `json:"log,omitempty"`
	// Predicate is the statement itself.
	Predicate manifests.Predicate `json:"predicate"`
}

func runStatementShow(ctx context.Context, env *Env, url, what string) error {
	if isFile(what) {
		e, s, err := env.readEnvelope(what)
		if err != nil {
			return err
		}
		return env.showStatement(shown{describeEnvelope(e, s), nil, s.Predicate})
	}
	id, err := cjson.ParseCID(what)
	if err != nil {
		return fault.WithHint(fault.New(fault.NotFound, "%s is neither a file nor a CID", fault.Quote(what)), "a statement is named by its CID, as \"cairn show REF\" prints it")
	}
	return env.ask(ctx, url, func(ctx context.Context, api *client.Client) error {
		e, s, err := envelopeAt(ctx, api, id)
		if err != nil {
			return err
		}
		if _, _, err := e.Open(); err != nil {
			return err
		}
		st, err := api.Statement(ctx, id)
		if err != nil {
			return err
		}
		out := describeEnvelope(e, s)
		out.Index = &st.Index
		if st.Verdict == "accepted" {
			if err := env.tellMissing(ctx, api, out); err != nil {
				return err
			}
		}
		return env.showStatement(shown{out, st, s.Predicate})
	})
}

func (env *Env) showStatement(v shown) error {
	return env.print(v, func(w io.Writer) {
		fmt.Fprintf(w, "statement  %s\n", v.Statement)
		for _, l := range v.Says {
			fmt.Fprintf(w, "says       %s\n", fault.Printable(l))
		}
		if v.Log == nil {
			for _, id := range v.Signers {
				fmt.Fprintf(w, "signed by  %s\n", id)
			}
			return
		}
		for _, s := range v.Log.Signers {
			fmt.Fprintf(w, "signed by  %s, entry %d\n", s.ID, s.Index)
			if s.Key != "" {
				fmt.Fprintf(w, "with key   %s\n", s.Key)
			}
		}
		verdict := v.Log.Verdict
		if v.Log.Code != "" {
			verdict += ": " + v.Log.Code
		}
		fmt.Fprintf(w, "log        entry %d, %s\n", v.Log.Index, verdict)
	})
}
