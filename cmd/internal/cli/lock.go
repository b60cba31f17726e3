package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// checkDepth is how far upstream of its inputs a lock is checked: as far as the
// registry answers.
const checkDepth = 64

type lockOptions struct {
	from       remoteFlags
	file       string
	check      string
	withdrawn  bool
	unverified bool
}

func newLock(env *Env) *cobra.Command {
	var o lockOptions
	c := &cobra.Command{
		Use:   "lock REF[=units:unit[:epochs]]… -o FILE",
		Short: "Freeze a training mixture: versions, terms, shares",
		Long: `lock writes down exactly what a mixture is made of: the statement, data, terms and
licence of each version, how much of it is used, and its share of the whole. It
prints the lock's CID, which a record of use names: "cairn use record --inputs".

Each version's signatures, receipt and place in the log are verified first;
--unverified leaves that out, and the lock says so. A withdrawn version is
refused without --allow-withdrawn. How much is used is said behind the REF, such
as =5000:record:2.5 for 5,000 records two and a half times; without it all of a
dataset's bytes, once. Shares follow from that where all units are the same, else
from the bytes.

--check reads a lock and compares it with the registry, as it is now: it says what
of it, and of what it comes from, is offered no more.

` + refHelp,
		Example: `  cairn lock ana/labels seattle-weather -o lock.json
  cairn lock ana/labels=5000:record:2.5 ben/talks=100:record -o lock.json
  cairn lock --check lock.json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if (o.check != "") == (len(args) > 0) {
				return fault.WithHint(fault.New(fault.Invalid, "what is to be locked?"), "name at least one REF, or a lock with --check FILE")
			}
			return env.ask(c.Context(), o.from.url, func(ctx context.Context, api *client.Client) error {
				if o.check != "" {
					return runLockCheck(ctx, env, api, o.check)
				}
				return runLock(ctx, env, api, &o, args)
			})
		},
	}
	f := c.Flags()
	f.StringVarP(&o.file, "output", "o", "", "write the lock to this `file` (default: stdout)")
	f.StringVar(&o.check, "check", "", "compare the lock in this `file` with the registry")
	f.BoolVar(&o.withdrawn, "allow-withdrawn", false, "take versions that are withdrawn")
	f.BoolVar(&o.unverified, "unverified", false, "do not verify receipts and signatures")
	o.from.register(c, "registry", "ask the registry at this `URL`", true)
	return c
}

// locked is what lock prints with --json.
type locked struct {
	Lock   string                `json:"lock"` // its CID
	File   string                `json:"file,omitempty"`
	Inputs []manifests.LockInput `json:"inputs"`
}

func runLock(ctx context.Context, env *Env, api *client.Client, o *lockOptions, args []string) error {
	status, err := api.Status(ctx)
	if err != nil {
		return err
	}
	l := &manifests.Lock{Schema: manifests.LockSchema, Registry: status.Origin, CreatedAt: env.Now().UTC().Format(time.RFC3339)}
	var policy *auditing.Policy
	if !o.unverified {
		dir, _, err := env.homeDir()
		if err != nil {
			return err
		}
		if policy, err = (auditing.Trust{Home: dir, PolicyFile: o.from.policy, FirstUse: o.from.firstUse}).At(ctx, api); err != nil {
			return err
		}
	}
	sizes := make(map[cid.Cid]int64)
	for _, text := range args {
		in, size, err := env.lockInput(ctx, api, o, text)
		if err != nil {
			return err
		}
		if _, twice := sizes[in.Statement.Cid]; twice {
			return fault.New(fault.Invalid, "%s@%s is named twice", in.Name, in.Version)
		}
		sizes[in.Statement.Cid] = size
		if policy != nil {
			if err := verifyInput(ctx, api, policy, l, in, size); err != nil {
				return err
			}
		}
		l.Inputs = append(l.Inputs, *in)
	}
	slices.SortFunc(l.Inputs, func(a, b manifests.LockInput) int { return compareCIDs(a.Statement, b.Statement) })
	if err := share(l.Inputs, sizes); err != nil {
		return err
	}
	b, err := manifests.EncodeLock(l)
	if err != nil {
		return err
	}
	out := locked{Lock: manifests.LockCID(b).String(), File: o.file, Inputs: l.Inputs}
	if o.file == "" || o.file == "-" {
		_, err := env.Stdout.Write(append(b, '\n'))
		return err
	}
	w, finish, err := env.output(o.file)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	if err := finish(err); err != nil {
		return err
	}
	return env.print(out, func(w io.Writer) { fmt.Fprintln(w, out.Lock) })
}

// lockInput finds what REF=units:unit[:epochs] names, and how many bytes it has.
func (env *Env) lockInput(ctx context.Context, api *client.Client, o *lockOptions, text string) (*manifests.LockInput, int64, error) {
	ref, measure := text, ""
	if i := strings.LastIndexByte(text, '='); i > 0 {
		ref, measure = text[:i], text[i+1:]
	}
	n, err := env.node(ctx, api, ref)
	if err != nil {
		return nil, 0, err
	}
	in := &manifests.LockInput{
		Statement: n.Statement, Index: n.Index, Publisher: n.Publisher, Name: n.Name, Version: n.Version,
		Root: n.Artifact, Terms: n.Terms, EpochsPpm: credit.PPM,
	}
	st, err := api.Statement(ctx, n.Statement.Cid)
	if err != nil {
		return nil, 0, err
	}
	size := int64(0)
	if d := st.Dataset; d != nil {
		in.Root, in.Manifest, in.License, size = d.Root, d.Manifest, d.License, d.Bytes
		in.Units, in.Unit = fmt.Sprint(d.Bytes), "byte"
	}
	if measure != "" || in.Unit == "" {
		parts := strings.Split(measure, ":")
		if len(parts) != 2 && len(parts) != 3 {
			return nil, 0, fault.WithHint(fault.New(fault.Invalid, "%s does not say how much is used", fault.Quote(text)), "write REF=units:unit[:epochs], such as labels=5000:record:2.5")
		}
		in.Units, in.Unit = parts[0], parts[1]
		if len(parts) == 3 {
			if in.EpochsPpm, err = epochs(parts[2]); err != nil {
				return nil, 0, err
			}
		}
	}
	gone, err := api.Withdrawals(ctx, n.Statement.Cid)
	if err != nil {
		return nil, 0, err
	}
	if g := gone.Gone; g != nil && !o.withdrawn {
		what := "withdrawn"
		if g.Erased {
			what = "erased"
		}
		return nil, 0, fault.WithHint(fault.New(fault.Gone, "%s is %s: entry %d says so", nodeName(n), what, g.Index), "--allow-withdrawn takes it all the same")
	}
	if n.Rules == nil || n.Rules.Accept == "" {
		return in, size, nil
	}
	own := env.own()
	if own != "" {
		p, err := api.Acceptances(ctx, n.Terms.Cid, own, "")
		if err != nil {
			return nil, 0, err
		}
		if len(p.Acceptances) > 0 {
			in.Accepted = p.Acceptances[0].Statement
		}
	}
	if !in.Accepted.Defined() {
		env.warn("the terms of %s ask to be accepted: \"cairn accept %s\"; without it each use is recorded as unaccepted", nodeName(n), n.Statement)
	}
	return in, size, nil
}

// verifyInput checks the bundle of an input and, against it, what the registry said
// of it, size included, and moves the lock's anchor on to the newest checkpoint.
func verifyInput(ctx context.Context, api *client.Client, policy *auditing.Policy, l *manifests.Lock, in *manifests.LockInput, size int64) error {
	b, err := api.Bundle(ctx, in.Statement.Cid)
	if err != nil {
		return fmt.Errorf("%s@%s: %w", in.Name, in.Version, err)
	}
	r, err := proof.VerifyBundle(b, policy.Policy)
	if err != nil {
		return err
	}
	if !r.Holds() || !r.Statement.Equals(in.Statement.Cid) || r.Index != in.Index || !sameVersion(r, in, size) {
		return fault.WithHint(fault.New(fault.Unverified, "the registry's proof for %s@%s does not hold", in.Name, in.Version), `"cairn audit" says what`)
	}
	bundle, err := proof.ParseBundle(b)
	if err != nil {
		return err
	}
	rec, err := proof.ParseReceipt(bundle.Entry.Receipt)
	if err != nil {
		return err
	}
	text, _, _ := bytes.Cut(rec.Checkpoint, []byte("\n\n"))
	c, err := proof.ParseCheckpoint(append(text, '\n'))
	if err != nil {
		return err
	}
	if l.Anchor == nil || c.Size > l.Anchor.Size {
		l.Anchor = &manifests.Anchor{Size: c.Size, Root: base64.StdEncoding.EncodeToString(c.Root[:])}
	}
	in.Verified = true
	return nil
}

// sameVersion holds what the registry answered about a version against what its
// statement says.
func sameVersion(r *proof.BundleReport, in *manifests.LockInput, size int64) bool {
	switch p := r.Predicate().(type) {
	case *manifests.Contribution:
		root, err := r.Subject()
		return err == nil && root.Equals(in.Root.Cid) && p.Publisher == in.Publisher && p.Dataset.Name == in.Name && p.Dataset.Version == in.Version &&
			p.Terms == in.Terms && p.Dataset.Manifest == in.Manifest && p.Dataset.License == in.License &&
			p.Dataset.Bytes == size
	case *manifests.Model:
		return p.Publisher == in.Publisher && p.Model.Name == in.Name && p.Model.Version == in.Version && p.Terms == in.Terms && p.Model.Artifact == in.Root
	}
	return false
}

// share divides a million among inputs by the largest remainder: by units times
// epochs where all count the same, else by bytes times epochs; evenly when that
// comes to nothing.
func share(inputs []manifests.LockInput, sizes map[cid.Cid]int64) error {
	same := !slices.ContainsFunc(inputs, func(n manifests.LockInput) bool { return n.Unit != inputs[0].Unit })
	weights, sum := make([]*big.Int, len(inputs)), new(big.Int)
	for i, n := range inputs {
		w, ok := new(big.Int).SetString(n.Units, 10)
		if !ok || w.Sign() < 0 {
			return fault.New(fault.Invalid, "%s@%s: %s is no number of units", n.Name, n.Version, fault.Quote(n.Units))
		}
		if !same {
			w.SetInt64(sizes[n.Statement.Cid])
		}
		weights[i] = w.Mul(w, big.NewInt(n.EpochsPpm))
		sum.Add(sum, w)
	}
	if sum.Sign() == 0 {
		for i := range weights {
			weights[i] = big.NewInt(1)
		}
		sum.SetInt64(int64(len(weights)))
	}
	left := int64(credit.PPM)
	rest := make([]*big.Int, len(inputs))
	order := make([]int, len(inputs))
	for i, w := range weights {
		q, r := new(big.Int).QuoRem(new(big.Int).Mul(w, big.NewInt(credit.PPM)), sum, new(big.Int))
		inputs[i].SharePpm = q.Int64()
		left -= q.Int64()
		rest[i], order[i] = r, i
	}
	slices.SortStableFunc(order, func(a, b int) int { return rest[b].Cmp(rest[a]) })
	for _, i := range order[:left] {
		inputs[i].SharePpm++
	}
	return nil
}

// readLock reads a lock and its CID.
func readLock(name string) (*manifests.Lock, cid.Cid, error) {
	b, err := auditing.ReadBounded(name, manifests.MaxLock+1)
	if err != nil {
		return nil, cid.Undef, err
	}
	l, err := manifests.DecodeLock(b)
	if err != nil {
		return nil, cid.Undef, fmt.Errorf("%s: %w", name, err)
	}
	return l, manifests.LockCID(b), nil
}

// lockReport is what lock --check prints with --json.
type lockReport struct {
	Lock     string          `json:"lock"`
	Findings []proof.Finding `json:"findings"` // what does not hold
	Gone     []wire.Gone     `json:"gone"`     // what is offered no more
	// WithdrawnUpstream is what the inputs come from and is offered no more.
	WithdrawnUpstream []cjson.CID `json:"withdrawnUpstream"`
}

func runLockCheck(ctx context.Context, env *Env, api *client.Client, file string) error {
	l, id, err := readLock(file)
	if err != nil {
		return err
	}
	status, err := api.Status(ctx)
	if err != nil {
		return err
	}
	if status.Origin != l.Registry {
		return fault.New(fault.Invalid, "the lock is about %s, this registry is %s", l.Registry, status.Origin)
	}
	out := lockReport{Lock: id.String(), Findings: []proof.Finding{}, Gone: []wire.Gone{}, WithdrawnUpstream: []cjson.CID{}}
	for _, in := range l.Inputs {
		fails := func(detail string) {
			out.Findings = append(out.Findings, proof.Finding{Check: "lock", Status: proof.Fails, Subject: in.Statement.String(), Detail: detail})
		}
		n, err := api.Node(ctx, in.Statement.Cid)
		if errors.Is(err, fault.NotFound) {
			fails("the registry has no such version")
			continue
		}
		if err != nil {
			return err
		}
		same := n.Index == in.Index && n.Publisher == in.Publisher && n.Name == in.Name && n.Version == in.Version && n.Terms == in.Terms
		if st, err := api.Statement(ctx, in.Statement.Cid); err != nil {
			return err
		} else if d := st.Dataset; d != nil {
			// What only the body said is gone with it.
			same = same && d.Root == in.Root && d.Manifest == in.Manifest && (d.License == in.License || d.License == "")
		} else {
			same = same && n.Artifact == in.Root
		}
		if !same {
			fails("the lock says something else of it than the registry")
		}
		w, err := api.Withdrawals(ctx, in.Statement.Cid)
		if err != nil {
			return err
		}
		if w.Gone != nil {
			out.Gone = append(out.Gone, *w.Gone)
		}
		g, err := api.Graph(ctx, in.Statement.Cid, "up", checkDepth)
		if err != nil {
			return err
		}
		for _, n := range g.Nodes {
			if n.Statement != in.Statement {
				continue
			}
			for _, c := range n.WithdrawnUpstream {
				if !slices.Contains(out.WithdrawnUpstream, c) {
					out.WithdrawnUpstream = append(out.WithdrawnUpstream, c)
				}
			}
		}
	}
	err = env.print(out, func(w io.Writer) {
		for _, f := range out.Findings {
			fmt.Fprintf(w, "does not hold  %s  %s\n", f.Subject, f.Detail)
		}
		for _, g := range out.Gone {
			fmt.Fprintf(w, "offered no more  %s  entry %d\n", g.About, g.Index)
		}
		for _, c := range out.WithdrawnUpstream {
			fmt.Fprintf(w, "offered no more  %s  upstream of an input\n", c)
		}
		if len(out.Findings) == 0 {
			fmt.Fprintf(w, "the lock holds: %d inputs\n", len(l.Inputs))
		}
	})
	if err == nil && len(out.Findings) > 0 {
		env.shown = true
		err = fault.New(fault.Unverified, "the lock does not hold")
	}
	return err
}
