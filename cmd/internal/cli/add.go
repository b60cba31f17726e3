package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// Limits of what a contributor hands in beside the data.
const (
	maxLicenseText = 1 << 20 // the longest licence in common use has 60 KiB
)

type addOptions struct {
	licensing
	crediting
	name               string
	manifest           string
	from, relation     []string
	edge               []string
	version            string
	title, description string
	keywords           []string
	profile, chunker   string
	hidden, portable   bool
	noSketch           bool
	again, dryRun      bool
	push               pushTarget
}

func newAdd(env *Env) *cobra.Command {
	var o addOptions
	c := &cobra.Command{
		Use:   "add PATH",
		Short: "Register a dataset: a file or a folder",
		Long: `add chunks the file or folder at PATH, stores its blocks, signs a statement
about it, and logs the statement. It prints the root CID alone.

Only a name and a licence are asked for. Everything else that a manifest can say
may come from a YAML or JSON file (--manifest); flags win over the file. Terms
that say more than a licence, such as a share of revenue, come from a file of
their own (--terms).

Revenue of the dataset flows on to others along edges, each a part of a million
(--edge). A source whose terms ask derived versions for a part gets the smallest
edge that they ask, and add says so.

Adding what is already registered, unchanged, appends nothing; --again makes a
new entry all the same. A changed dataset becomes the next version of its name:
PATCH when nothing but the packaging changed, MINOR when files were only added,
MAJOR otherwise. It credits those of the version before, unless --contributor or
the manifest file names others; who would then have less must agree ("cairn agree").

With --registry the dataset is then pushed to another registry, as "cairn push"
does. Both entries are told apart: the one in this home comes first, and is there
whatever becomes of the other.

Files of records (CSV, TSV, JSON lines and arrays, Parquet, text; also in gzip or
zstd) are read in the same pass: their fields and counts go into the manifest,
unless the manifest file says otherwise, and so do a sketch of the records and a
fingerprint of all data, by which reuse is found ("cairn overlap"). --no-sketch
leaves all of this out.

When add returns 0, everything is on disk and in the published log. When it is
killed, nothing is half-done: run it again.`,
		Example: `  cairn add ./weather --name seattle-weather --license CC-PDM-1.0
  cairn add ./labels --name labels --license CC-BY-4.0 \
    --contributor 'Ada L. <did:key:z6Mk…>;share=2;role=annotator' \
    --from weather@1.0.0 --relation annotatedFrom --manifest labels.yaml
  cairn add ./corpus --name corpus --license LicenseRef-house --license-text LICENSE.txt --dry-run`,
		Args: exactly(1, "one PATH"),
		RunE: func(c *cobra.Command, args []string) error { return runAdd(c.Context(), env, &o, args[0]) },
	}
	f := c.Flags()
	f.StringVar(&o.name, "name", "", "`name` of the dataset (default: made from PATH)")
	o.licensing.register(c)
	o.crediting.register(c)
	f.StringVar(&o.manifest, "manifest", "", "YAML or JSON `file` with what else is to be said")
	f.StringArrayVar(&o.from, "from", nil, "source: a `REF`, CID or URL this dataset comes from (repeatable)")
	f.StringArrayVar(&o.relation, "relation", nil, "`relation` to the --from at the same place: derivedFrom (default), subsetOf, …")
	f.StringArrayVar(&o.edge, "edge", nil, "`REF=ppm`: this part of the revenue, in parts per million, flows on to REF (repeatable)")
	f.StringVar(&o.version, "version", "", "semantic `version` (default: from what changed)")
	f.StringVar(&o.title, "title", "", "one `line` for people")
	f.StringVar(&o.description, "description", "", "`text` that says what the dataset is")
	f.StringSliceVar(&o.keywords, "keyword", nil, "`keyword` (repeatable)")
	f.StringVar(&o.profile, "profile", dag.ProfileV1_2025.Name, "CID `profile`: unixfs-v1-2025 or unixfs-v0-2015")
	f.StringVar(&o.chunker, "chunker", "", "`chunker` instead of the profile's: size-N, buzhash or rabin-MIN-AVG-MAX")
	f.BoolVar(&o.hidden, "hidden", false, "take hidden files too")
	f.BoolVar(&o.noSketch, "no-sketch", false, "do not read records, and name neither sketch nor fingerprint in the manifest: reuse of this data is then not found")
	f.BoolVar(&o.portable, "portable", false, "refuse names that some system cannot hold, instead of warning")
	f.BoolVar(&o.again, "again", false, "make a new entry even when nothing changed")
	f.BoolVarP(&o.dryRun, "dry-run", "n", false, "compute everything, store and log nothing")
	o.push.register(c, "register it here, then push it to the registry at this `URL`")
	return c
}

// An addResult is what add prints with --json.
type addResult struct {
	Root      string           `json:"root"`
	Statement string           `json:"statement,omitempty"`
	Name      string           `json:"name"`
	Version   string           `json:"version"`
	Index     *uint64          `json:"index,omitempty"`
	Bytes     int64            `json:"bytes"`
	Files     int64            `json:"files"`
	Blocks    int64            `json:"blocks"`
	NewBytes  int64            `json:"newBytes"`
	Reused    int64            `json:"reusedFiles,omitempty"` // known to the stat cache, and not read
	Manifest  string           `json:"manifest,omitempty"`
	Unchanged bool             `json:"unchanged,omitempty"`
	DryRun    bool             `json:"dryRun,omitempty"`
	Edges     []manifests.Edge `json:"edges,omitempty"` // of a total of 1,000,000
	Receipt   string           `json:"receipt,omitempty"`
	Warnings  []ingest.Warning `json:"warnings,omitempty"`
	// TermsWarnings are where the terms contradict those of the sources.
	TermsWarnings []string    `json:"termsWarnings,omitempty"`
	Remote        *pushResult `json:"remote,omitempty"` // at the registry of --registry
}

func runAdd(ctx context.Context, env *Env, o *addOptions, path string) error {
	shedStartup()
	a := &addition{env: env, o: o, path: path}
	if err := a.read(); err != nil {
		return err
	}
	if o.dryRun {
		return a.dryRun(ctx)
	}
	ring, cfg, err := env.keys()
	if err != nil {
		return err
	}
	if err := ensureKey(env, ring, cfg); err != nil {
		return err
	}
	if a.signer, err = env.signer(ring, cfg); err != nil {
		return err
	}
	dir, _, err := env.homeDir()
	if err != nil {
		return err
	}
	return env.connect(ctx, dir, cfg, func(ctx context.Context, c *daemon.Conn) error {
		a.conn = c
		return a.run(ctx)
	})
}

// read checks everything that can be checked before a byte of data is read,
// and reports all problems at once.
func (a *addition) read() error {
	var errs []error
	o := a.o
	if _, err := os.Lstat(a.path); err != nil {
		errs = append(errs, fault.Mark(fault.NotFound, fmt.Errorf("nothing to add: %w", err)))
		return errors.Join(errs...)
	}
	a.base = new(manifests.Manifest)
	if o.manifest != "" {
		m, err := readManifest(o.manifest)
		if err != nil {
			return err
		}
		a.base = m
	}
	if o.name == "" {
		o.name = a.base.Name
	}
	if o.name == "" {
		abs, err := filepath.Abs(a.path)
		if err != nil {
			return err
		}
		if o.name = manifests.Slug(filepath.Base(abs)); o.name == "" {
			errs = append(errs, fault.WithHint(fault.New(fault.Invalid, "no name can be made from %s", fault.Quote(a.path)), "give one with --name"))
		}
	}
	if o.name != "" {
		if err := manifests.ValidName(o.name); err != nil {
			errs = append(errs, fmt.Errorf("--name: %w", err))
		}
	}
	if o.version == "" {
		o.version = a.base.Version
	}
	if o.version != "" {
		if err := manifests.ValidVersion(o.version); err != nil {
			errs = append(errs, fmt.Errorf("--version: %w", err))
		}
	}
	errs = append(errs, o.licensing.read()...)
	var err error
	if a.profile, err = dag.ParseProfile(o.profile); err != nil {
		errs = append(errs, fmt.Errorf("--profile: %w", err))
	} else if o.chunker != "" {
		if _, err := dag.ParseChunker(o.chunker, a.profile); err != nil {
			errs = append(errs, fmt.Errorf("--chunker: %w", err))
		}
	}
	if len(o.relation) > len(o.from) {
		errs = append(errs, fault.New(fault.Invalid, "%d --relation for %d --from: each belongs to the --from at the same place", len(o.relation), len(o.from)))
	}
	for i, rel := range o.relation {
		if err := manifests.Rel(rel).Valid(); err != nil {
			errs = append(errs, fmt.Errorf("--relation %d: %w", i+1, err))
		}
	}
	return errors.Join(errs...)
}

func readManifest(name string) (*manifests.Manifest, error) {
	b, err := auditing.ReadBounded(name, manifests.MaxYAML)
	if err != nil {
		return nil, fmt.Errorf("--manifest: %w", err)
	}
	m, err := manifests.FromYAML(b)
	if err != nil {
		return nil, fmt.Errorf("--manifest %s: %w", name, err)
	}
	return m, nil
}
