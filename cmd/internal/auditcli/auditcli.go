// Package auditcli is the cairn-audit command. It uses the standard library's
// flags, so that the auditor's program stays small. Results go to stdout alone;
// the exit status says how it came out: 0 holds, 3 does not hold, any other
// that it could not be checked.
package auditcli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry/audit"
)

const usage = `cairn-audit checks what a cairn registry says, without trusting it.

Usage:
  cairn-audit bundle FILE.cairn.json [--policy FILE]
  cairn-audit dataset REF --registry URL [--policy FILE] [--blocks all|sample|none] [-o report.json]
  cairn-audit log --registry URL [--policy FILE] [--since CHECKPOINT]

  bundle    checks a proof bundle, offline
  dataset   checks a dataset: signatures, statement, log, terms, lineage, every block
  log       checks a whole log: signature, growth, every entry and hash

A REF is a CID (statement, manifest or data), did:key:…/name[@version],
handle/name[@version], or a name that one publisher alone has.

Whom you trust is your choice: --policy names a file with the log's verifier key
(one line) or a C2SP tlog-policy; without it the keys in the home folder
(CAIRN_HOME, else ~/.cairn) count. --trust-on-first-use takes the registry's own
word for its key, once, and the report says so.

Exit status: 0 it holds, 3 it does not hold; any other: it could not be checked.

Examples:
  cairn-audit bundle weather.cairn.json --policy log.vkey
  cairn-audit dataset seattle-weather --registry http://127.0.0.1:8411 --policy log.vkey
  cairn-audit log --registry http://127.0.0.1:8411 --since yesterday.checkpoint
`

// An Env is the world as the command sees it.
type Env struct {
	Stdout, Stderr io.Writer
	Getenv         func(string) string
}

// Main runs the command with the process's arguments and returns its exit status.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return Run(ctx, &Env{os.Stdout, os.Stderr, os.Getenv}, os.Args[1:])
}

// Run runs one command line and returns the exit status. A panic below it ends
// as status 1.
func Run(ctx context.Context, env *Env, args []string) (status int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(env.Stderr, "cairn-audit: internal failure: %v\n%s", p, debug.Stack())
			status = fault.Internal.ExitStatus()
		}
	}()
	err := run(ctx, env, args)
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = fault.Mark(fault.Interrupted, err)
	}
	if !errors.Is(err, errShown) {
		w := fault.Plain(env.Stderr)
		fmt.Fprintf(w, "cairn-audit: %v\n", err)
		if hint := fault.Hint(err); hint != "" {
			fmt.Fprintf(w, "hint: %s\n", hint)
		}
	}
	return fault.Of(err).ExitStatus()
}

// errShown marks an error that the printed report has told already.
var errShown = errors.New("see the report")

// flags are those of all verbs; a verb takes those that it has a use for.
type flags struct {
	registry, policy, since, out, blocks string
	seed                                 uint64
	json, firstUse                       bool
}

func run(ctx context.Context, env *Env, args []string) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		fmt.Fprint(env.Stdout, usage)
		return nil
	}
	verb, args := args[0], args[1:]
	var f flags
	set := flag.NewFlagSet(verb, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&f.policy, "policy", "", "")
	set.StringVar(&f.out, "o", "", "")
	set.BoolVar(&f.json, "json", false, "")
	operands := 1
	switch verb {
	case "bundle":
	case "dataset":
		set.StringVar(&f.blocks, "blocks", string(audit.All), "")
		set.Uint64Var(&f.seed, "seed", auditing.Seed(), "")
		fallthrough
	case "log":
		set.StringVar(&f.registry, "registry", "", "")
		set.StringVar(&f.since, "since", "", "")
		set.BoolVar(&f.firstUse, "trust-on-first-use", false, "")
		if verb == "log" {
			operands = 0
		}
	default:
		return misused("there is no command %s", fault.Quote(verb))
	}
	rest, err := parse(set, args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(env.Stdout, usage)
		return nil
	}
	if err != nil {
		return misused("%v", err)
	}
	if len(rest) != operands {
		return misused("%s takes %d argument, not %d", verb, operands, len(rest))
	}
	home, err := config.Home("", env.Getenv)
	if err != nil {
		home = "" // an auditor needs none
	}
	trust := auditing.Trust{Home: home, PolicyFile: f.policy, FirstUse: f.firstUse}
	if verb == "bundle" {
		return bundle(env, trust, f, rest[0])
	}
	if f.registry == "" {
		return misused("%s needs --registry URL", verb)
	}
	return online(ctx, env, trust, f, rest)
}

func misused(format string, args ...any) error {
	return fault.WithHint(fault.New(fault.Invalid, format, args...), "see \"cairn-audit help\"")
}

// parse takes flags before, between and behind the operands.
func parse(set *flag.FlagSet, args []string) (operands []string, err error) {
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		args = set.Args()
		if len(args) == 0 {
			return operands, nil
		}
		operands, args = append(operands, args[0]), args[1:]
	}
}

// bundle checks a bundle offline.
func bundle(env *Env, trust auditing.Trust, f flags, name string) error {
	b, err := auditing.ReadBundle(name)
	if err != nil {
		return err
	}
	r, err := auditing.Bundle(b, trust)
	if err != nil {
		return err
	}
	return report(env, f, r)
}

// online audits a dataset or a log at a registry.
func online(ctx context.Context, env *Env, trust auditing.Trust, f flags, rest []string) error {
	src, err := auditing.Remote(f.registry, nil)
	if err != nil {
		return err
	}
	p, err := trust.At(ctx, src.Client)
	if err != nil {
		return err
	}
	o := audit.Options{Policy: p.Policy, Trust: p.From, Since: p.Seen, Seed: f.seed}
	if f.since != "" {
		if o.Since, err = auditing.ReadBounded(f.since, proof.MaxCheckpoint); err != nil {
			return fmt.Errorf("--since: %w", err)
		}
	}
	var r *audit.Report
	if len(rest) == 0 {
		r, err = audit.Log(ctx, src, o)
	} else {
		if o.Blocks, err = auditing.ParseMode(f.blocks); err != nil {
			return err
		}
		res, rerr := auditing.Resolve(ctx, src.Client, rest[0], "")
		if rerr != nil {
			return rerr
		}
		d, rerr := auditing.One(rest[0], res)
		if rerr != nil {
			return rerr
		}
		r, err = audit.Dataset(ctx, src, d.Statement.Cid, src.Options(o))
	}
	if err != nil {
		return err
	}
	if err := p.Saw(r.Origin, r.Latest); err != nil {
		return err
	}
	return report(env, f, r)
}

// report prints a report and returns what the exit status follows from.
func report(env *Env, f flags, r *audit.Report) error {
	if err := auditing.Print(env.Stdout, r, f.json, f.out); err != nil {
		return err
	}
	if err := r.Err(); err != nil {
		if !strings.Contains(err.Error(), "\n") && r.Result == audit.Incomplete {
			fmt.Fprintf(fault.Plain(env.Stderr), "cairn-audit: %v\n", err)
		}
		return fmt.Errorf("%w: %w", errShown, err)
	}
	return nil
}
