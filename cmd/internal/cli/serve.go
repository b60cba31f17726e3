package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests/fault"
)

type serveOptions struct {
	listen, admin   []string
	tlsCert, tlsKey string
	set             []string
	printConfig     bool
	writes          writeFlags
	p2p             bool
	p2pListen       []string
}

func newServe(env *Env) *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve this home over HTTP",
		Long: `serve answers anyone who can reach its addresses: blocks, CARs and files under
/ipfs, the log under /checkpoint and /tile, questions under /v1, which
/v1/openapi.json describes. Standard output has the URL of each address, a line
each, and with --p2p the multiaddresses for IPFS peers after them; requests are
logged on standard error. Files are served on loopback
addresses, and on the origins of gateway.hosts. Strangers only read, unless
--write says who may upload.

Every setting is a key of config.yaml in the home. --print-config shows them all
with what they mean and the value in force. A flag wins over the environment
(CAIRN_LIMITS_MIN_RATE for limits.minRate), the environment over the file, the
file over the default.

Metrics, health and profiles are for operators: they have listeners of their own
(--admin), which must be on this machine unless admin.public says otherwise. The
home's socket has /metrics too.

The home's other commands go on working: they talk to the server through that
socket. SIGTERM or an interrupt makes /readyz answer 503 at once, lets running
answers end within shutdown.drain, publishes the log, and exits with 0; a second
signal ends the process at once.`,
		Example: `  cairn serve --listen 127.0.0.1:8411
  cairn serve --listen :443 --tls-cert chain.pem --tls-key key.pem --admin 127.0.0.1:9411
  cairn serve --listen :443 --set tls.acme.domains=registry.example.org --set tls.acme.email=ops@example.org
  cairn serve --write allowlist --allow did:key:z6Mk… --public-url https://registry.example.org
  cairn serve --listen unix:/run/cairn/http.sock --set trustedProxies=unix
  cairn serve --p2p --p2p-listen /ip4/0.0.0.0/tcp/4001
  cairn serve --print-config > ~/.cairn/config.yaml
  curl --unix-socket ~/.cairn/cairn.sock http://home/metrics`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return runServe(c.Context(), env, o.settings(c), o) },
	}
	f := c.Flags()
	f.StringSliceVar(&o.listen, "listen", nil, "`address` to listen on, host:port or unix:PATH (repeatable; default: the config's, else 127.0.0.1:0)")
	f.StringSliceVar(&o.admin, "admin", nil, "`address` for metrics, health and profiles (repeatable; default: the config's, else none)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "certificate `file`, PEM, for HTTPS")
	f.StringVar(&o.tlsKey, "tls-key", "", "private key `file` of the certificate")
	f.BoolVar(&o.p2p, "p2p", false, "serve blocks to IPFS peers by bitswap")
	f.StringSliceVar(&o.p2pListen, "p2p-listen", nil, "`multiaddress` to listen on for peers (repeatable; default: the config's, else /ip4/0.0.0.0/tcp/4001)")
	o.writes.register(c)
	f.StringArrayVar(&o.set, "set", nil, "a `KEY=VALUE` of the config, lists with commas (repeatable)")
	f.BoolVar(&o.printConfig, "print-config", false, "print the settings in force, with comments, and exit")
	return c
}

// settings are the flags as settings of the config, --set first: what has a
// flag of its own is said more plainly there.
func (o *serveOptions) settings(c *cobra.Command) []config.Setting {
	var all []config.Setting
	for _, s := range o.set {
		key, value, _ := strings.Cut(s, "=")
		all = append(all, config.Setting{Key: key, Value: value})
	}
	for _, f := range []struct{ flag, key, value string }{
		{"listen", "listen", strings.Join(o.listen, ",")},
		{"admin", "admin.listen", strings.Join(o.admin, ",")},
		{"tls-cert", "tls.certFile", here(o.tlsCert)},
		{"tls-key", "tls.keyFile", here(o.tlsKey)},
		{"p2p", "p2p.enabled", strconv.FormatBool(o.p2p)},
		{"p2p-listen", "p2p.listen", strings.Join(o.p2pListen, ",")},
	} {
		if c.Flags().Changed(f.flag) {
			all = append(all, config.Setting{Key: f.key, Value: f.value})
		}
	}
	return append(all, o.writes.settings(c)...)
}

// here is a file of the command line, which is named from where the command runs:
// one of the config is named from the home.
func here(name string) string {
	if abs, err := filepath.Abs(name); err == nil && name != "" {
		return abs
	}
	return name
}

func runServe(ctx context.Context, env *Env, flags []config.Setting, opts serveOptions) (err error) {
	for _, s := range opts.set {
		if !strings.Contains(s, "=") {
			return fault.New(fault.Invalid, "--set takes KEY=VALUE, not %s", fault.Quote(s))
		}
	}
	dir, err := config.Home(env.home, env.Getenv)
	if err != nil {
		return err
	}
	cfg, err := config.Load(dir, env.Getenv, flags...)
	if err != nil {
		return err
	}
	if err := opts.writes.addTokens(&cfg.Write); err != nil {
		return err
	}
	if opts.printConfig {
		_, err := io.WriteString(env.Stdout, config.Print(cfg))
		return err
	}
	if !daemon.HasLog(dir) {
		return noRegistry(dir)
	}
	if err := somebodyWrites(cfg.Write); err != nil {
		return err
	}
	env.roomy()
	o := env.options(cfg)
	o.Log = env.logger(slog.LevelInfo)
	access, closeLog, err := daemon.OpenAccessLog(dir, cfg.AccessLog, o.Log)
	if err != nil {
		return err
	}
	defer closeLog()
	o.AccessLog = access
	c, err := daemon.Connect(ctx, dir, o)
	if err != nil {
		return err
	}
	defer func() { err = joinClose(ctx, err, c) }()
	if c.Home == nil {
		return fault.WithHint(fault.New(fault.Conflict, "another server has this home open"), "other commands work while it runs: they talk to it")
	}
	return c.Home.Serve(ctx, func(urls []string) error {
		for _, u := range urls {
			if _, err := fmt.Fprintln(env.Stdout, u); err != nil {
				return err
			}
		}
		return nil
	})
}
