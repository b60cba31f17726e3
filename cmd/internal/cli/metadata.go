package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests/export"
	"github.com/cairn-registry/cairn/manifests/export/formats"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/importer"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

type metadataOptions struct {
	format, gateway, out string
	from                 remoteFlags
}

func newMetadata(env *Env) *cobra.Command {
	var o metadataOptions
	c := &cobra.Command{
		Use:   "metadata REF",
		Short: "Describe a dataset in a format of others",
		Long: `metadata writes the description of a dataset in the format that --format names:
` + strings.Join(formats.Names(), ", ") + `. Files are where the gateway of --gateway serves them: the one
of --registry, or the address that this home's server listens on, if there is no
--gateway. What the format has no place for is listed on stderr, and by --json.
A server answers the same at /v1/metadata/FORMAT/REF.

` + refHelp,
		Example: `  cairn metadata seattle-weather --gateway https://data.example.org -o croissant.json`,
		Args:    exactly(1, "one REF"),
		RunE:    func(c *cobra.Command, args []string) error { return runMetadata(c.Context(), env, o, args[0]) },
	}
	c.Flags().StringVar(&o.format, "format", formats.Names()[0], "`name` of the format")
	c.Flags().StringVar(&o.gateway, "gateway", "", "`URL` under which a gateway serves the data")
	c.Flags().StringVarP(&o.out, "output", "o", "-", "`file` to write; - is standard output")
	o.from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

// metadataResult is what --json shows of a description.
type metadataResult struct {
	Statement string           `json:"statement"`
	Format    string           `json:"format"`
	MediaType string           `json:"mediaType"`
	File      string           `json:"file,omitempty"`
	Document  string           `json:"document,omitempty"` // its text, unless it is in File
	Dropped   []export.Dropped `json:"dropped"`
}

func runMetadata(ctx context.Context, env *Env, o metadataOptions, ref string) error {
	f, err := formats.ByName(o.format)
	if err != nil {
		return fault.Mark(fault.Invalid, err)
	}
	base, err := env.gatewayURL(o)
	if err != nil {
		return err
	}
	var d *wire.Dataset
	var doc export.Document
	describe := func(ctx context.Context, api *client.Client, b unixfs.Blocks) error {
		if d, err = env.one(ctx, api, ref); err != nil {
			return err
		}
		if !d.Manifest.Defined() {
			return fault.New(fault.NotFound, "%s is no dataset: it has no manifest", fault.Quote(ref))
		}
		in, err := export.Load(ctx, b, export.Facts{Manifest: d.Manifest.Cid, Statement: d.Statement.Cid, PublishedAt: d.IssuedAt, Base: base})
		if err != nil {
			return err
		}
		doc, err = f.Write(in)
		return err
	}
	if o.from.url != "" {
		if err := validURL("--registry", o.from.url); err != nil {
			return err
		}
		src, err := auditing.Remote(o.from.url, nil)
		if err == nil {
			err = describe(ctx, src.Client, auditing.Verified(src))
		}
		if err != nil {
			return err
		}
	} else if err := env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error { return describe(ctx, c.API, c.Blocks) }); err != nil {
		return err
	}
	return env.document(o.out, doc.Bytes, doc.Dropped, func(text, file string, dropped []export.Dropped) any {
		return metadataResult{d.Statement.String(), f.Name, f.MediaType, file, text, dropped}
	})
}

// gatewayURL is the base URL that files get.
func (env *Env) gatewayURL(o metadataOptions) (string, error) {
	base := o.gateway
	if base == "" {
		base = o.from.url
	}
	if base == "" {
		_, cfg, err := env.homeDir()
		if err != nil {
			return "", err
		}
		if base = served(cfg); base == "" {
			return "", fault.WithHint(fault.New(fault.Invalid, "where is the data served?"), "--gateway URL names it; or write.urls or listen in config.yaml, with a port that is not 0")
		}
	}
	base = strings.TrimSuffix(base, "/")
	return base, export.CheckBase(base)
}

// served is the URL under which the config says that this home is reached, "" when
// it does not: an address that stands for every interface leads nowhere.
func served(cfg config.Config) string {
	if len(cfg.Write.URLs) > 0 {
		return cfg.Write.URLs[0]
	}
	scheme := "http://"
	if cfg.TLS.CertFile != "" || len(cfg.TLS.ACME.Domains) > 0 {
		scheme = "https://"
	}
	for _, a := range cfg.Listen {
		host, port, err := net.SplitHostPort(a)
		if err != nil || host == "" || port == "0" || strings.HasPrefix(a, "unix:") {
			continue
		}
		if ip, err := netip.ParseAddr(host); err != nil || !ip.IsUnspecified() {
			return scheme + a
		}
	}
	return ""
}

// document writes a text to a file or to standard output, and tells what had no
// place in it. With --json it prints result instead, with the text in it where no
// file is named.
func (env *Env) document(out string, text []byte, dropped []export.Dropped, result func(text, file string, dropped []export.Dropped) any) error {
	inJSON, file := "", out
	if out == "-" {
		inJSON, file = string(text), ""
	}
	if out != "-" || !env.json {
		w, finish, err := env.output(out)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		if err := finish(err); err != nil {
			return err
		}
	}
	if env.json {
		if dropped == nil {
			dropped = []export.Dropped{}
		}
		return env.print(result(inJSON, file, dropped), func(io.Writer) {})
	}
	for _, d := range dropped {
		env.warn("no place for %s: %s", fault.Printable(d.Path), d.Reason)
	}
	return nil
}

func newImportMetadata(env *Env) *cobra.Command {
	var out string
	c := &cobra.Command{
		Use:   "import-metadata FILE",
		Short: "Begin a manifest from what others wrote about a dataset",
		Long: `import-metadata reads a description and writes the beginning of a manifest, a file
for "cairn add --manifest". It knows Croissant 1.0 and 1.1, Data Package 1 and 2
(datapackage.json), the card of a Hub dataset (README.md with YAML at its head)
and CITATION.cff, and sees itself which it is. - reads standard input.

What has no place in a manifest is listed on stderr with the reason, and by
--json. Nobody becomes a contributor by a name alone, and a licence is given to
"cairn add" with --license or --terms. A file that is there is not overwritten.`,
		Example: `  cairn import-metadata datapackage.json -o manifest.yaml
  cairn add data --license CC-BY-4.0 --manifest manifest.yaml`,
		Args: exactly(1, "one FILE"),
		RunE: func(c *cobra.Command, args []string) error { return runImportMetadata(env, args[0], out) },
	}
	c.Flags().StringVarP(&out, "output", "o", "-", "`file` to write; - is standard output")
	return c
}

// importedResult is what --json shows of what was read.
type importedResult struct {
	Format   string           `json:"format"`
	License  string           `json:"license,omitempty"`
	File     string           `json:"file,omitempty"`
	Manifest string           `json:"manifest,omitempty"` // YAML, unless it is in File
	Dropped  []export.Dropped `json:"dropped"`
}

func runImportMetadata(env *Env, name, out string) error {
	if _, err := os.Lstat(out); out != "-" && err == nil {
		return fault.WithHint(fault.New(fault.Conflict, "%s is there already", fault.Quote(out)), "name another file with -o")
	}
	var b []byte
	var err error
	if name == "-" {
		if b, err = io.ReadAll(io.LimitReader(env.Stdin, importer.MaxFile+1)); err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
	} else if b, err = auditing.ReadBounded(name, importer.MaxFile); err != nil {
		return err
	}
	f, err := importer.Read(b)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	text, err := f.YAML()
	if err != nil {
		return err
	}
	return env.document(out, text, f.Dropped, func(text, file string, dropped []export.Dropped) any {
		return importedResult{f.Format, f.License, file, text, dropped}
	})
}
