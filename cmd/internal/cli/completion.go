package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry/client"
)

const (
	// completeWait bounds what the tab key waits for a home that is busy.
	completeWait = time.Second
	// maxCompleted bounds the names that are offered: more are not read by anybody.
	maxCompleted = 200
)

func newCompletion() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a script that completes commands in a shell",
		Long: `completion prints a script for a shell: it completes commands, flags, the words that
a flag takes, the names of keys, and the datasets of the home where a REF is meant.
Load it in the shell's start-up file.`,
		Example: `  source <(cairn completion bash)                                      # in ~/.bashrc
  cairn completion zsh > "${fpath[1]}/_cairn"                         # once, then a new shell
  cairn completion fish > ~/.config/fish/completions/cairn.fish`,
		Args:      exactly(1, "bash, zsh or fish"),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(c *cobra.Command, args []string) error {
			switch root, out := c.Root(), c.OutOrStdout(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			}
			return fault.New(fault.Invalid, "there is no completion for %s: it is bash, zsh or fish", fault.Quote(args[0]))
		},
	}
}

// flagWords are the words that flags take, by the command's path below cairn.
var flagWords = map[string]map[string][]string{
	"key new":          {"type": {"ed25519", "p256"}},
	"add":              {"profile": {"unixfs-v1-2025", "unixfs-v0-2015"}},
	"claim":            {"profile": {"unixfs-v1-2025", "unixfs-v0-2015"}},
	"get":              {"links": {"inside", "all", "none"}},
	"cat":              {"links": {"inside", "all", "none"}},
	"lineage":          {"format": {"text", "dot", "mermaid", "prov", "json"}, "direction": {"up", "down", "both"}},
	"audit":            {"blocks": {"all", "sample", "none"}},
	"dispute open":     {"kind": {"plagiarism", "share", "wash", "duplicate", "error"}},
	"dispute resolve":  {"ruling": {"hold", "release", "reallocate", "dismiss"}},
	"tombstone":        {"reason": {"legal-order", "personal-data", "illegal-content", "infringement", "other"}},
	"payout create":    {"rail": {"csv", "pain.001", "oz-merkle", "uniswap-merkle", "splits", "drips"}},
	"credit journal":   {"format": {"hledger", "beancount", "ledger"}},
	"credit statement": {"format": {"text", "md", "html", "csv", "json"}},
	"serve":            {"write": {"open", "allowlist", "token"}},
}

// refFlags are flags that name a version, whatever the command.
var refFlags = []string{"of", "about", "statement", "subject", "trained-on", "base"}

// completions gives every command below root what it completes.
func (env *Env) completions(root *cobra.Command) {
	root.CompletionOptions.DisableDefaultCmd = true
	keys := func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return env.keyNames(), cobra.ShellCompDirectiveNoFileComp
	}
	root.RegisterFlagCompletionFunc("key", keys)
	eachCommand(root, func(c *cobra.Command) {
		path := strings.TrimPrefix(c.CommandPath(), root.Name()+" ")
		arg, _, _ := strings.Cut(strings.TrimPrefix(c.Use, c.Name()+" "), " ")
		switch {
		case c.ValidArgs != nil || c.HasSubCommands():
		case strings.HasPrefix(path, "key ") && path != "key new":
			c.ValidArgsFunction = keys
		case strings.HasPrefix(arg, "REF"):
			also := cobra.ShellCompDirectiveNoFileComp
			if strings.Contains(arg, "FILE") {
				also = cobra.ShellCompDirectiveDefault
			}
			c.ValidArgsFunction = env.completeRefs(also)
		case !strings.Contains(c.Use, "FILE") && !strings.Contains(c.Use, "PATH"):
			c.ValidArgsFunction = cobra.NoFileCompletions
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			switch {
			case flagWords[path][f.Name] != nil:
				c.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(flagWords[path][f.Name], cobra.ShellCompDirectiveNoFileComp))
			case f.Name == "license":
				c.RegisterFlagCompletionFunc(f.Name, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
					return licenseIDs(), cobra.ShellCompDirectiveNoFileComp
				})
			case f.Name == "template":
				c.RegisterFlagCompletionFunc(f.Name, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
					return templateNames(), cobra.ShellCompDirectiveNoFileComp
				})
			case f.Name == "peer-key":
				c.RegisterFlagCompletionFunc(f.Name, keys)
			}
		})
		for _, name := range refFlags {
			if c.LocalFlags().Lookup(name) != nil {
				c.RegisterFlagCompletionFunc(name, env.completeRefs(cobra.ShellCompDirectiveNoFileComp))
			}
		}
		if path == "add" {
			c.RegisterFlagCompletionFunc("from", env.completeRefs(cobra.ShellCompDirectiveNoFileComp))
		}
	})
}

func eachCommand(c *cobra.Command, fn func(*cobra.Command)) {
	for _, sub := range c.Commands() {
		fn(sub)
		eachCommand(sub, fn)
	}
}

func licenseIDs() (out []cobra.Completion) {
	for _, l := range terms.DefaultTable().Licenses() {
		out = append(out, cobra.CompletionWithDesc(l.ID, l.Kind))
	}
	return out
}

func templateNames() (out []cobra.Completion) {
	for _, t := range terms.Templates() {
		out = append(out, cobra.CompletionWithDesc(t.Name, t.Says))
	}
	return out
}

func (env *Env) keyNames() (out []cobra.Completion) {
	ring, _, err := env.keys()
	if err != nil {
		return nil
	}
	list, err := ring.List()
	if err != nil {
		return nil
	}
	for _, k := range list {
		out = append(out, cobra.CompletionWithDesc(k.Name, string(k.ID)))
	}
	return out
}

// completeRefs completes the datasets of the home. Elsewhere nobody is asked: a tab
// key must not wait for the network.
func (env *Env) completeRefs(also cobra.ShellCompDirective) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		for _, name := range []string{"registry", "from"} {
			if f := c.Flags().Lookup(name); f != nil && f.Changed && !(name == "from" && c.Name() == "add") {
				return nil, also
			}
		}
		ctx, cancel := context.WithTimeout(c.Context(), completeWait)
		defer cancel()
		return env.refs(ctx, begun), also
	}
}

// refs are REFs of the home's datasets that begin with a text: one's own by their
// names, others below their publishers. Beside them stand versions, not titles: a
// text of strangers has no business in a shell. What goes wrong is not told.
func (env *Env) refs(ctx context.Context, begun string) (out []cobra.Completion) {
	dir, cfg, err := env.homeDir()
	if err != nil || !daemon.HasLog(dir) {
		return nil
	}
	env.connect(ctx, dir, cfg, func(ctx context.Context, c *daemon.Conn) error {
		own := env.own()
		for q := (client.Query{Latest: true}); len(out) < maxCompleted; {
			page, err := c.API.Datasets(ctx, q)
			if err != nil {
				return err
			}
			for _, d := range page.Datasets {
				ref := d.Name
				if d.Publisher != own {
					ref = string(d.Publisher) + "/" + d.Name
				}
				if strings.HasPrefix(ref, begun) && len(out) < maxCompleted {
					out = append(out, cobra.CompletionWithDesc(ref, d.Version))
				}
			}
			if q.After = page.Next; q.After == 0 {
				return nil
			}
		}
		return nil
	})
	return out
}
