package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
)

// privateOptions are what goes into the private record of a run.
type privateOptions struct {
	record  string
	model   string
	stage   string
	code    string
	purpose string
	fetches []string
	keep    string
}

func (o *privateOptions) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.record, "record", "", "`file` with the private record, YAML or JSON; what is said here wins over it")
	f.StringVar(&o.model, "model", "", "the model that the run makes: `name[@version]` (private)")
	f.StringVar(&o.stage, "stage", "", "`stage`: pretrain, finetune, alignment or eval (private)")
	f.StringVar(&o.code, "code", "", "the training program: `URL@revision` (private)")
	f.StringVar(&o.purpose, "purpose", "", "what the run is for, in a `text` (private)")
	f.StringArrayVar(&o.fetches, "fetch", nil, "a fetch record, a gateway's receipt of a download, in this `file` (repeatable; private)")
	f.StringVar(&o.keep, "keep", "", "write the private record to this `file` (default: the home's use folder)")
}

// wanted reports whether there is to be a private record.
func (o *privateOptions) wanted() bool {
	return o.record != "" || o.model != "" || o.stage != "" || o.code != "" || o.purpose != "" || len(o.fetches) > 0
}

// private makes the private record of u, writes it down, and commits u to it.
// The file is on disk before the commitment is anywhere else.
func (env *Env) private(ctx context.Context, api *client.Client, o *privateOptions, u *manifests.Usage, signer sign.Signer) error {
	r := &manifests.UseRecord{Schema: manifests.UseRecordSchema}
	if o.record != "" {
		b, err := auditing.ReadBounded(o.record, manifests.MaxUseRecord)
		if err != nil {
			return fmt.Errorf("--record: %w", err)
		}
		if r, err = manifests.UseRecordFromYAML(b); err != nil {
			return fmt.Errorf("--record %s: %w", o.record, err)
		}
		slices.SortFunc(r.Inputs, func(a, b manifests.UseInput) int { return compareCIDs(a.Statement, b.Statement) })
	}
	var err error
	if r.Salt, err = manifests.NewSalt(rand.Reader); err != nil {
		return err
	}
	r.Run, r.Lock = u.Run, u.Lock
	set := func(to *string, v string) {
		if v != "" {
			*to = v
		}
	}
	set(&r.Stage, o.stage)
	set(&r.Purpose, o.purpose)
	if o.code != "" {
		repo, rev, ok := strings.Cut(o.code, "@")
		if i := strings.LastIndexByte(o.code, '@'); ok {
			repo, rev = o.code[:i], o.code[i+1:]
		}
		if n := len(rev); n != 40 && n != 64 || strings.Trim(rev, "0123456789abcdef") != "" {
			return fault.WithHint(fault.New(fault.Invalid, "--code %s does not end in @ and a whole revision, 40 or 64 lower-case hex digits", fault.Quote(o.code)),
				"\"git rev-parse HEAD\" prints it")
		}
		r.Code = &manifests.Code{Repo: repo, Rev: rev}
	}
	if o.model != "" {
		if r.Model == nil {
			r.Model = new(manifests.ModelFacts)
		}
		r.Model.Name, r.Model.Version, _ = strings.Cut(o.model, "@")
	}
	if r.Trainer == nil {
		r.Trainer = new(manifests.Trainer)
	}
	if r.Trainer.ID == "" {
		r.Trainer.ID = keyring.Identity(signer)
	}
	if err := env.attachFetches(ctx, api, o.fetches, r, u); err != nil {
		return err
	}
	if u.Private, err = r.Commitment(); err != nil {
		return fmt.Errorf("the private record: %w", err)
	}
	if err := r.Opens(u); err != nil {
		return fault.Mark(fault.Invalid, fmt.Errorf("the private record: %w", err))
	}
	if err := manifests.New(u).Validate(); err != nil {
		return fmt.Errorf("the statement: %w", err) // before a file is left behind
	}
	b, err := manifests.EncodeUseRecord(r)
	if err != nil {
		return err
	}
	name := o.keep
	if name == "" {
		dir, _, err := env.homeDir()
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(dir, "use"), 0o700); err != nil {
			return err
		}
		name = filepath.Join(dir, "use", u.Private[:16]+".use.json")
	}
	if err := writePrivate(name, append(b, '\n')); err != nil {
		return fmt.Errorf("keeping the private record: %w", err)
	}
	env.warn("the private record is in %s: keep it, the log holds only its hash", name)
	return nil
}

// writePrivate writes a new file that only its owner can read, and waits until
// it is on disk.
func writePrivate(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fault.New(fault.Conflict, "%s is there already", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(name)
	}
	return err
}

// attachFetches verifies fetch records against the gateways of the registry and
// names them at the inputs that they are about.
func (env *Env) attachFetches(ctx context.Context, api *client.Client, files []string, r *manifests.UseRecord, u *manifests.Usage) error {
	if len(files) == 0 {
		return nil
	}
	reg, err := api.Registry(ctx)
	if err != nil {
		return err
	}
	for _, name := range files {
		b, err := readFetchRecord(name)
		if err != nil {
			return fmt.Errorf("--fetch: %w", err)
		}
		f, _, err := manifests.VerifyFetchRecord(b, reg.GatewayKeys)
		if err != nil {
			return fmt.Errorf("--fetch %s: %w", name, err)
		}
		if f.Registry != u.Registry {
			return fault.New(fault.Invalid, "--fetch %s is about the registry %s", name, f.Registry)
		}
		if !slices.ContainsFunc(u.Inputs, func(in manifests.Input) bool { return in.Statement == f.Statement }) {
			return fault.New(fault.Invalid, "--fetch %s is about %s, which is no input of the run", name, f.Statement)
		}
		i, ok := slices.BinarySearchFunc(r.Inputs, f.Statement, func(n manifests.UseInput, c cjson.CID) int { return compareCIDs(n.Statement, c) })
		if !ok {
			r.Inputs = slices.Insert(r.Inputs, i, manifests.UseInput{Statement: f.Statement})
		}
		in := &r.Inputs[i]
		in.Fetches = append(in.Fetches, cjson.CID{Cid: cjson.RawCID(b)})
		if in.FirstUsedAt == "" {
			in.FirstUsedAt = f.FetchedTo // not before; the trainer may say better
		}
	}
	return nil
}

func newUseVerify(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:   "verify STATEMENT FILE",
		Short: "Check a private record against the log",
		Long: `verify checks that the private record in FILE is the one that the record of use
STATEMENT commits to: whoever is shown it can be sure that it was not changed since.`,
		Example: `  cairn use verify bafkrei… ~/.cairn/use/0a1b2c3d4e5f6071.use.json`,
		Args:    exactly(2, "a STATEMENT and a FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := auditing.ReadBounded(args[1], manifests.MaxUseRecord+1)
			if err != nil {
				return err
			}
			r, err := manifests.DecodeUseRecord(b)
			if err != nil {
				return fmt.Errorf("%s: %w", args[1], err)
			}
			id, err := statementCID("the record of use", args[0])
			if err != nil {
				return err
			}
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				_, s, err := envelopeAt(ctx, api, id.Cid)
				if err != nil {
					return err
				}
				u, ok := s.Predicate.(*manifests.Usage)
				if !ok {
					return fault.New(fault.Invalid, "%s is of kind %s, not a record of use", args[0], s.Kind)
				}
				if err := r.Opens(u); err != nil {
					return err
				}
				return env.print(struct {
					Statement string `json:"statement"`
					Holds     bool   `json:"holds"`
				}{id.String(), true}, func(w io.Writer) { fmt.Fprintln(w, "holds") })
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}
