// Package cli is the cairn command: one file per verb, each a thin layer that
// parses flags, calls the packages that do the work, and prints. Results go to
// stdout alone; progress, warnings and hints to stderr. Exit statuses come from
// the table in package fault.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/term"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// memoryLimit is the soft limit the runtime's collector works against. The
// work is bounded by design (12 MiB of blocks in flight, a few MiB of Badger
// tables); the limit keeps the collector from letting garbage pile up on top.
// GOMEMLIMIT overrides it.
const memoryLimit = 40 << 20

// registryMemory is that limit for commands that do not read a contributor's
// data but work the registry: a server under load, a replay.
const registryMemory = 160 << 20

// roomy raises the memory limit for a command that works the registry.
func (env *Env) roomy() { env.memory(registryMemory) }

// memory sets the collector's limit, unless the user has.
func (env *Env) memory(limit int64) {
	if env.limited {
		debug.SetMemoryLimit(limit)
	}
}

// An Env is the world as a command sees it.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	Now            func() time.Time

	// probe runs the hidden command that reads an index in a process of its own.
	probe func(dir, origin string) error

	limited bool // the process's memory limit is ours to set

	home string // --home
	json bool   // --json
	key  string // --key
	// shown says that the command has printed its verdict itself: the error
	// that Main got only carries the exit status.
	shown bool
}

// Main runs the command with the process's arguments and streams, and returns
// its exit status.
func Main() int {
	limited := os.Getenv("GOMEMLIMIT") == ""
	if limited {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		stop() // a second signal ends the process at once
	}()
	env := &Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Now: time.Now, probe: probeIndex, limited: limited}
	return Run(ctx, env, os.Args[1:])
}

// Run runs one command line and returns the exit status. A panic below it ends
// as status 1, with the stack on stderr: it is a defect of cairn.
func Run(ctx context.Context, env *Env, args []string) (status int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(env.Stderr, "cairn: internal failure: %v\n%s", p, debug.Stack())
			status = fault.Internal.ExitStatus()
		}
	}()
	root := newRoot(env)
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	c, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))) {
		err = fault.WithHint(fault.Mark(fault.Interrupted, err), "nothing is half-done: the same command goes on, or begins anew")
	}
	err = plainFiles(markSystem(err))
	if fault.Of(err) == fault.Invalid && fault.Hint(err) == "" {
		err = fault.WithHint(err, "see %q", c.CommandPath()+" --help")
	}
	env.report(err)
	return fault.Of(err).ExitStatus()
}

// markSystem gives the codes that follow from the operating system's own
// errors, where nothing nearer has said what they mean.
func markSystem(err error) error {
	if fault.Of(err) != fault.Internal {
		return err
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.WithHint(fault.Mark(fault.NoSpace, err), "free some space, then run the same command again: nothing is half-done")
	case errors.Is(err, fs.ErrNotExist):
		return fault.Mark(fault.NotFound, err)
	case errors.Is(err, fs.ErrPermission):
		return fault.Mark(fault.Denied, err)
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		return fault.Mark(fault.Invalid, err)
	case errors.Is(err, syscall.EPIPE):
		return fault.Mark(fault.Interrupted, err)
	}
	return err
}

// A plain error is another one in words that a person would use.
type plain struct {
	error
	text string
}

func (e plain) Error() string { return e.text }
func (e plain) Unwrap() error { return e.error }

// plainFiles says in plain words what the operating system says about a file.
func plainFiles(err error) error {
	var p *fs.PathError
	if !errors.As(err, &p) {
		return err
	}
	name := fault.Quote(p.Path)
	var text string
	switch {
	case errors.Is(p.Err, fs.ErrNotExist):
		text = "there is no file or folder " + name
	case errors.Is(p.Err, fs.ErrPermission):
		text = name + " is not for this user: permission denied"
	case errors.Is(p.Err, syscall.EISDIR):
		text = name + " is a folder, and a file is meant"
	case errors.Is(p.Err, syscall.ENOTDIR):
		text = name + " cannot be: a part of the path is a file"
	default:
		return err
	}
	return plain{err, strings.Replace(err.Error(), p.Error(), text, 1)}
}

// report says on stderr what went wrong, and what to do about it. With --json
// it is an object {error, code, hint}.
func (env *Env) report(err error) {
	if env.shown {
		return
	}
	if env.json {
		body := struct {
			Error string     `json:"error"`
			Code  fault.Code `json:"code"`
			Hint  string     `json:"hint,omitempty"`
		}{err.Error(), fault.Of(err), fault.Hint(err)}
		b, _ := json.Marshal(body)
		fmt.Fprintf(env.Stderr, "%s\n", b)
		return
	}
	w := fault.Plain(env.Stderr)
	lines := strings.Split(strings.TrimRight(err.Error(), "\n"), "\n")
	fmt.Fprintf(w, "cairn: %s\n", lines[0])
	for _, line := range lines[1:] {
		fmt.Fprintf(w, "       %s\n", line)
	}
	if hint := fault.Hint(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}

// print writes a result: v as one JSON object with --json, else whatever text
// writes.
func (env *Env) print(v any, text func(w io.Writer)) error {
	if !env.json {
		text(fault.Plain(env.Stdout))
		return nil
	}
	e := json.NewEncoder(env.Stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// warn writes a line to stderr.
func (env *Env) warn(format string, args ...any) {
	fmt.Fprintf(fault.Plain(env.Stderr), "cairn: "+format+"\n", args...)
}

// note tells a person something that is good to know; scripts are not told.
func (env *Env) note(format string, args ...any) {
	if !env.json && term.IsTerminal(env.Stderr) {
		env.warn(format, args...)
	}
}

// bar starts a progress bar on stderr; nothing with --json or without a terminal.
func (env *Env) bar(label string) *term.Bar {
	if env.json {
		return nil
	}
	return term.NewBar(env.Stderr, label)
}

// newRoot builds the command tree.
func newRoot(env *Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "cairn",
		Short: "A verifiable data contribution registry",
		Long: `cairn registers datasets so that anyone can check who made them, from what, and
on which terms. It chunks a folder into blocks with IPFS addresses, signs a
statement about it, and logs the statement in an append-only, publicly
checkable log.`,
		Example: `  cairn add ./weather --name seattle-weather --license CC-PDM-1.0
  cairn serve --listen 127.0.0.1:8411
  cairn get seattle-weather -o ./copy
  cairn audit seattle-weather`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	group(root)
	root.SetHelpCommand(newHelp())
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return noneEmpty(c) }
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fault.WithHint(fault.Mark(fault.Invalid, err), "see %q", c.CommandPath()+" --help")
	})
	flags := root.PersistentFlags()
	flags.StringVar(&env.home, "home", "", "home `folder` (default $CAIRN_HOME, else ~/.cairn)")
	flags.BoolVar(&env.json, "json", false, "print the result as a JSON object")
	flags.StringVar(&env.key, "key", "", "`name` of the key that signs (default: the config's, else \"default\")")

	root.AddGroup(
		&cobra.Group{ID: "contribute", Title: "Contribute:"},
		&cobra.Group{ID: "use", Title: "Find and fetch:"},
		&cobra.Group{ID: "share", Title: "Share and settle:"},
		&cobra.Group{ID: "check", Title: "Check:"},
		&cobra.Group{ID: "run", Title: "Run a registry:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("contribute", newInit(env), newKey(env), newProfile(env), newAdd(env), newPush(env), newImportMetadata(env), newClaim(env), newWithdraw(env), newDemo(env))
	add("use", newLs(env), newOverlap(env), newShow(env), newHistory(env), newLineage(env), newImpact(env), newGet(env), newCat(env), newCar(env), newMetadata(env), newTerms(env))
	add("share", newAccept(env), newAccess(env), newAccepted(env), newCosign(env), newAgree(env), newModel(env), newLock(env), newUse(env), newRevenue(env), newDispute(env), newPayee(env), newStatement(env), newCredit(env), newPayout(env))
	add("check", newAudit(env), newReceipt(env), newCheck(env))
	add("run", newServe(env), newRegistry(env), newToken(env), newPeriod(env), newCurrency(env), newLog(env), newRebuild(env), newTombstone(env), newVersion(env), newCompletion())
	root.AddCommand(newProbe())
	env.completions(root)
	return root
}

// meant are flags that say where, whom to trust and who signs. Given empty, as by a
// variable that is not set, they would mean something else than was meant.
var meant = []string{"registry", "policy", "key", "home", "bearer-file", "gateway", "since"}

// noneEmpty refuses flags that are given, and empty.
func noneEmpty(c *cobra.Command) error {
	for _, name := range meant {
		if f := c.Flags().Lookup(name); f != nil && f.Changed && f.Value.String() == "" {
			return fault.WithHint(fault.New(fault.Invalid, "--%s is given, and empty", name), "is a variable not set?")
		}
	}
	return nil
}

// group makes c a command that only has subcommands: alone it prints its help,
// and a word that is none of them is invalid, with the nearest ones named.
func group(c *cobra.Command) {
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		return unknown(c, args)
	}
	c.SuggestionsMinimumDistance = 2
}

// unknown is the answer to a word that is no command of c.
func unknown(c *cobra.Command, args []string) error {
	err := fault.New(fault.Invalid, "%s has no command %s", c.CommandPath(), fault.Quote(args[0]))
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return fault.WithHint(err, "did you mean %s?", strings.Join(near, " or "))
	}
	return fault.WithHint(err, "see %q", c.CommandPath()+" --help")
}

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Help about any command",
		Long:    `help prints what "cairn COMMAND --help" does.`,
		Example: "  cairn help terms check",
		RunE: func(c *cobra.Command, args []string) error {
			found, rest, err := c.Root().Find(args)
			if found == nil {
				return err
			}
			if len(rest) > 0 && found.HasSubCommands() {
				return unknown(found, rest)
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

// exactly returns an argument check that answers with a hint.
func exactly(n int, what string) cobra.PositionalArgs { return between(n, n, what) }

// atMost is exactly for arguments that may be left out.
func atMost(n int, what string) cobra.PositionalArgs { return between(0, n, what) }

func between(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		n := len(args)
		if least <= n && n <= most {
			return nil
		}
		given := fmt.Sprintf("%d are given", n)
		switch n {
		case 0:
			given = "none is given"
		case 1:
			given = "one is given: " + fault.Quote(args[0])
		}
		return fault.WithHint(fault.New(fault.Invalid, "%s takes %s, and %s", c.CommandPath(), what, given),
			"write %q; %q says more", strings.TrimSuffix(c.CommandPath()+strings.TrimPrefix(c.Use, c.Name()), " "), c.CommandPath()+" --help")
	}
}
