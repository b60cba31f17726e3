package cli

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

func newUse(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "use",
		Short: "Record what a model was trained on, and other use",
	}
	group(c)
	c.AddCommand(newUseRecord(env), newUseList(env), newUseVerify(env), newUseFetchRecord(env))
	return c
}

type useOptions struct {
	issue
	privateOptions
	modelRun   string
	locked     string
	inputs     []string
	lock       string
	private    string
	metered    string
	meter, qty string
	from, to   string
}

func newUseRecord(env *Env) *cobra.Command {
	var o useOptions
	c := &cobra.Command{
		Use:   "record --inputs LOCK | --model-run RUN --input REF=units:unit …",
		Short: "Record a training run, or metered use",
		Long: `record logs a record of use and prints the CID of its statement.

A training run names what it read: all of a lock that "cairn lock" made with
--inputs, or one by one --input REF=units:unit[:epochs], where epochs says how
often, such as 2.5, and is 1 when left out; then --lock is the CID of the run's
list of pinned inputs. --model-run names the run, 128 random bits; "new", which is
the default beside --inputs, makes them.

What is marked private goes into a record that the trainer keeps, a file: the log
gets the SHA-256 of a salt and the record. --record takes all of it from a file
(stage, code, trainer, selections and purposes of inputs, other inputs, measures).
--private is such a hash that was made elsewhere; alone, nothing but it is logged.

Metered use names a version, what was counted, and between which times. Whoever
pays signs it.

` + refHelp,
		Example: `  cairn lock seattle-weather ana/labels -o lock.json
  cairn use record --inputs lock.json --model weather-lm@1.0.0 --stage pretrain \
    --code https://example.org/train@0a1b… --record private.yaml
  cairn use record --model-run new --lock bafkrei… --input seattle-weather=120000:record:2.5
  cairn use record --metered weather-lm --meter inference-token --qty 987654 \
    --from 2026-10-01T00:00:00Z --to 2026-11-01T00:00:00Z`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.issues(c.Context(), o.issue, func(ctx context.Context, c *daemon.Conn, signer sign.Signer) (*manifests.Statement, error) {
				return env.usage(ctx, c.API, &o, signer)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&o.modelRun, "model-run", "", "the training `run`: 22 characters of base64url, or \"new\"")
	f.StringArrayVar(&o.inputs, "input", nil, "what the run read: `REF=units:unit[:epochs]` (repeatable)")
	f.StringVar(&o.lock, "lock", "", "`CID` of the list of pinned inputs")
	f.StringVar(&o.private, "private", "", "`SHA-256` of the salted private record, in hex")
	f.StringVar(&o.metered, "metered", "", "`REF` of the version that was used, for metered use")
	f.StringVar(&o.meter, "meter", "", "what is counted: a `word` like inference-token")
	f.StringVar(&o.qty, "qty", "", "how `many`")
	f.StringVar(&o.from, "from", "", "begin of the metered `time`")
	f.StringVar(&o.to, "to", "", "end of the metered `time`")
	f.StringVar(&o.locked, "inputs", "", "the run's inputs: a lock `file`")
	o.issue.register(c)
	o.privateOptions.register(c)
	return c
}

// usage makes the statement.
func (env *Env) usage(ctx context.Context, api *client.Client, o *useOptions, signer sign.Signer) (*manifests.Statement, error) {
	u := &manifests.Usage{Private: o.private, Meter: o.meter, Qty: o.qty, From: o.from, To: o.to}
	var err error
	lockOf := ""
	switch {
	case o.private != "" && o.wanted():
		return nil, fault.New(fault.Invalid, "--private is the hash of a record that was made elsewhere: leave out what is private")
	case o.metered == "" && o.modelRun == "" && o.locked == "" && !o.wanted() || o.metered != "" && (o.modelRun != "" || o.locked != ""):
		return nil, fault.WithHint(fault.New(fault.Invalid, "is it a training run or metered use?"), "give --inputs or --model-run, or else --metered")
	case o.metered != "":
		if len(o.inputs) > 0 || o.wanted() {
			return nil, fault.New(fault.Invalid, "--input and what is private belong to a training run")
		}
		n, err := env.node(ctx, api, o.metered)
		if err != nil {
			return nil, fmt.Errorf("--metered: %w", err)
		}
		u.Type, u.Payer, u.Statement = manifests.UsageMetered, keyring.Identity(signer), n.Statement
	case o.locked != "":
		if len(o.inputs) > 0 || o.lock != "" {
			return nil, fault.New(fault.Invalid, "--inputs says all inputs and the lock: leave out --input and --lock")
		}
		l, id, err := readLock(o.locked)
		if err != nil {
			return nil, fmt.Errorf("--inputs: %w", err)
		}
		u.Type, u.Trainer, u.Lock = manifests.UsageTraining, keyring.Identity(signer), cjson.CID{Cid: id}
		for i := range l.Inputs {
			u.Inputs = append(u.Inputs, l.Inputs[i].Usage())
		}
		lockOf = l.Registry
	case len(o.inputs) == 0 && o.lock == "":
		u.Type, u.Trainer = manifests.UsageHashOnly, keyring.Identity(signer)
		if o.private == "" && !o.wanted() {
			return nil, fault.WithHint(fault.New(fault.Invalid, "the run says nothing"), "--input REF=units:unit, or --private SHA-256 alone")
		}
	default:
		u.Type, u.Trainer = manifests.UsageTraining, keyring.Identity(signer)
		if o.lock == "" {
			return nil, fault.WithHint(fault.New(fault.Invalid, "--lock is missing"), "it is the CID of the file that pins the run's inputs; \"cairn add\" prints one")
		}
		c, err := statementCID("--lock", o.lock)
		if err != nil {
			return nil, err
		}
		u.Lock = c
		if u.Inputs, err = env.inputs(ctx, api, o.inputs); err != nil {
			return nil, err
		}
	}
	if u.Run = o.modelRun; u.Run == "new" || u.Run == "" {
		if u.Run, err = manifests.NewNonce(rand.Reader); err != nil {
			return nil, err
		}
	}
	if err := env.fresh(ctx, api, u); err != nil {
		return nil, err
	}
	if lockOf != "" && lockOf != u.Registry {
		return nil, fault.New(fault.Invalid, "the lock is about the registry %s, this one is %s", lockOf, u.Registry)
	}
	if o.wanted() {
		if err := env.private(ctx, api, &o.privateOptions, u, signer); err != nil {
			return nil, err
		}
	}
	return manifests.New(u), nil
}

// inputs reads REF=units:unit[:epochs].
func (env *Env) inputs(ctx context.Context, api *client.Client, list []string) ([]manifests.Input, error) {
	var out []manifests.Input
	for _, text := range list {
		const want = "REF=units:unit[:epochs]"
		ref, measure, err := pair("--input", text, want)
		if err != nil {
			return nil, err
		}
		parts := strings.Split(measure, ":")
		if len(parts) != 2 && len(parts) != 3 {
			return nil, fault.WithHint(fault.New(fault.Invalid, "--input %s", fault.Quote(text)), "write --input '%s', such as labels=5000:record:2.5", want)
		}
		n, err := env.node(ctx, api, ref)
		if err != nil {
			return nil, fmt.Errorf("--input: %w", err)
		}
		in := manifests.Input{Statement: n.Statement, Terms: n.Terms, Units: parts[0], Unit: parts[1], EpochsPpm: credit.PPM}
		if len(parts) == 3 {
			if in.EpochsPpm, err = epochs(parts[2]); err != nil {
				return nil, err
			}
		}
		if slices.ContainsFunc(out, func(o manifests.Input) bool { return o.Statement == in.Statement }) {
			return nil, fault.New(fault.Invalid, "--input: %s is named twice", nodeName(n))
		}
		out = append(out, in)
	}
	slices.SortFunc(out, func(a, b manifests.Input) int { return compareCIDs(a.Statement, b.Statement) })
	return out, nil
}

// epochs reads how often an input was read, in parts per million.
func epochs(text string) (int64, error) {
	a, err := credit.ParseDecimal(text, 6)
	if err != nil {
		return 0, fmt.Errorf("epochs: %w", err)
	}
	n, ok := a.Uint64()
	if !ok || n > math.MaxInt64 {
		return 0, fault.New(fault.Invalid, "epochs %s are too many, or below 0", fault.Quote(text))
	}
	return int64(n), nil
}

func newUseList(env *Env) *cobra.Command {
	var from remoteFlags
	var of string
	c := &cobra.Command{
		Use:   "list",
		Short: "List records of use",
		Long: `list prints the records of use of a version, newest first, or all of them in the
order of the log.`,
		Example: `  cairn use list --of seattle-weather`,
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				return runUseList(ctx, env, api, of)
			})
		},
	}
	c.Flags().StringVar(&of, "of", "", "`REF` of the version that was used")
	from.register(c, "registry", "ask the registry at this `URL`", false)
	return c
}

func runUseList(ctx context.Context, env *Env, api *client.Client, of string) error {
	q := client.About{Limit: pageSize}
	if of != "" {
		n, err := env.node(ctx, api, of)
		if err != nil {
			return err
		}
		q.Statement = n.Statement.Cid
	}
	out := wire.UsagePage{Usages: []wire.Usage{}}
	t := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
	for {
		p, err := api.Usages(ctx, q)
		if err != nil {
			return err
		}
		if q.After == 0 && len(p.Usages) == 0 {
			env.note("none")
		}
		out.Size = p.Size
		if env.json {
			out.Usages = append(out.Usages, p.Usages...)
		}
		for _, u := range p.Usages {
			if !env.json {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", u.Kind, read(u), u.Statement, who(u))
			}
		}
		if q.After = p.Next; q.After == 0 {
			break
		}
	}
	if env.json {
		return env.print(out, nil)
	}
	return t.Flush()
}

// read says in short what a record of use counts.
func read(u wire.Usage) string {
	switch u.Kind {
	case manifests.UsageMetered:
		return u.Qty + " " + u.Meter
	case manifests.UsageHashOnly:
		return "private"
	}
	sums := make(map[string]*big.Int)
	var units []string
	for _, in := range u.Inputs {
		n, ok := new(big.Int).SetString(in.Units, 10)
		if !ok {
			continue
		}
		if sums[in.Unit] == nil {
			sums[in.Unit] = new(big.Int)
			units = append(units, in.Unit)
		}
		sums[in.Unit].Add(sums[in.Unit], n)
	}
	var parts []string
	for _, unit := range units {
		parts = append(parts, sums[unit].String()+" "+unit)
	}
	return fmt.Sprintf("%d inputs, %s", len(u.Inputs), strings.Join(parts, ", "))
}

func who(u wire.Usage) sign.KeyID {
	if u.Payer != "" {
		return u.Payer
	}
	return u.Trainer
}
