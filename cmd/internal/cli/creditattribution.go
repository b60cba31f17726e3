package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

func newCreditAttribution(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "attribution",
		Short: "Publish and check how much of a dataset comes from whom",
		Long: `An attribution is a published vector of integers: for each parent, or party, or
data point, how much of a dataset is its. Shares may then name it. Who disagrees
disputes the vector; the arithmetic behind it is fixed.`,
	}
	group(c)
	c.AddCommand(newAttributionCompute(env), newAttributionVerify(env))
	return c
}

type attributionOptions struct {
	issue
	data, method, class, train, tests, vector, evidence string
	parents, weights                                    []string
	k                                                   int
	capPpm                                              uint32
}

func newAttributionCompute(env *Env) *cobra.Command {
	var o attributionOptions
	c := &cobra.Command{
		Use:   "compute --method METHOD --data CID --parent REF …",
		Short: "Compute a vector, store it, and log it",
		Long: `compute makes the vector of a method, stores its file as a block, and logs
attribution/v1, which a later statement about the data can name. Methods here:

  equal/1        one for each parent
  declared/1     the --weight of each key, as those declare who sign the contribution
  knn-shapley/1  exact Shapley values from the points files --train and --tests
  external/1     the file --vector, with the --evidence of how it was made

` + refHelp,
		Example: `  cairn credit attribution compute --method equal/1 --data bafybei… --parent weather --parent labels
  cairn credit attribution compute --method knn-shapley/1 --data bafybei… --parent labels --train train.csv --tests tests.csv --k 5`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return runAttributionCompute(c.Context(), env, &o) },
	}
	f := c.Flags()
	f.StringVar(&o.method, "method", "", "`method`, with its version")
	f.StringVar(&o.class, "class", "", "evidence `class` A, B, C or D (default: the method's first)")
	f.StringVar(&o.data, "data", "", "`CID` of the data's root")
	f.StringArrayVar(&o.parents, "parent", nil, "`REF` of a work it comes from (repeatable)")
	f.StringArrayVar(&o.weights, "weight", nil, "`KEY=N` of declared/1 (repeatable); ~self stays with the data")
	f.StringVar(&o.train, "train", "", "points `file` of the training data")
	f.StringVar(&o.tests, "tests", "", "points `file` of the test data")
	f.IntVar(&o.k, "k", 1, "`number` of neighbours")
	f.StringVar(&o.vector, "vector", "", "vector `file` of external/1")
	f.StringVar(&o.evidence, "evidence", "", "`CID` of the evidence of external/1")
	f.Uint32Var(&o.capPpm, "cap-ppm", 0, "the most that one key gets, in `ppm` (external/1)")
	o.issue.register(c)
	return c
}

func runAttributionCompute(ctx context.Context, env *Env, o *attributionOptions) error {
	m := attribution.Method(o.method)
	i := slices.IndexFunc(attribution.Methods(), func(r attribution.Row) bool {
		return r.Method == m && (o.class == "" || string(r.Class) == o.class)
	})
	if i < 0 {
		return fault.WithHint(fault.New(fault.Invalid, "--method %s is none with evidence of class %s", fault.Quote(o.method), fault.Quote(o.class)), "see \"cairn credit attribution compute --help\"")
	}
	row := attribution.Methods()[i]
	if o.data == "" || len(o.parents) == 0 {
		return fault.New(fault.Invalid, "compute needs --data and at least one --parent")
	}
	data, err := statementCID("--data", o.data)
	if err != nil {
		return err
	}
	return env.issues(ctx, o.issue, func(ctx context.Context, c *daemon.Conn, signer sign.Signer) (*manifests.Statement, error) {
		status, err := c.API.Status(ctx)
		if err != nil {
			return nil, err
		}
		a := &manifests.Attribution{Attributor: signer.ID(), Data: data, Method: o.method, EvidenceClass: string(row.Class), AtSize: status.Size,
			Scale: strconv.FormatUint(row.Scale, 10), Negatives: manifests.NegativesReject, CapPpm: int64(o.capPpm)}
		if m == attribution.KNNShapleyV1 {
			a.Negatives = manifests.NegativesClip
		}
		for _, ref := range o.parents {
			id, err := env.statementOf(ctx, c.API, ref)
			if err != nil {
				return nil, fmt.Errorf("--parent: %w", err)
			}
			a.Parents = append(a.Parents, cjson.CID{Cid: id})
		}
		slices.SortFunc(a.Parents, compareCIDs)
		v, err := o.compute(ctx, env, c, a)
		if err != nil {
			return nil, err
		}
		scores, err := env.storeFile(ctx, c, v.Encode())
		if err != nil {
			return nil, err
		}
		a.Scores, a.N, a.Total = cjson.CID{Cid: scores}, int64(v.Len()), strconv.FormatUint(v.Total(), 10)
		return manifests.New(a), env.fresh(ctx, c.API, a)
	})
}

// compute makes the vector, and sets the parameters that say how.
func (o *attributionOptions) compute(ctx context.Context, env *Env, c *daemon.Conn, a *manifests.Attribution) (v attribution.Vector, err error) {
	var p attribution.Params
	var in attribution.Inputs
	for _, s := range a.Parents {
		in.Parties = append(in.Parties, s.String())
	}
	switch attribution.Method(o.method) {
	case attribution.EqualV1:
	case attribution.DeclaredV1:
		for _, text := range o.weights {
			key, n, err := pair("--weight", text, "KEY=N")
			if err != nil {
				return v, err
			}
			w, err := strconv.ParseUint(n, 10, 63)
			if err != nil {
				return v, fault.New(fault.Invalid, "--weight %s is no number", fault.Quote(text))
			}
			in.Declared = append(in.Declared, attribution.Entry{Key: key, Value: w})
		}
		in.Signed = func(string) bool { return true } // by the contribution that will name it
	case attribution.KNNShapleyV1:
		p.K = o.k
		if in.Train, p.Train, err = env.points(ctx, c, "--train", o.train); err != nil {
			return v, err
		}
		if in.Tests, p.Tests, err = env.points(ctx, c, "--tests", o.tests); err != nil {
			return v, err
		}
	case attribution.ExternalV1:
		b, err := auditing.ReadBounded(o.vector, attribution.MaxVector)
		if err != nil {
			return v, fmt.Errorf("--vector: %w", err)
		}
		before, err := attribution.Decode(b)
		if err != nil {
			return v, fmt.Errorf("--vector %s: %w", o.vector, err)
		}
		if p.Evidence, err = statementCID("--evidence", o.evidence); err != nil {
			return v, err
		}
		in.Uncapped = &before
	default:
		return v, fault.New(fault.Invalid, "the command line does not feed %s; its vector can be made with the package and logged as a statement", o.method)
	}
	if v, _, err = attribution.Compute(recordOf(a, p), in); err != nil {
		return v, err
	}
	if p == (attribution.Params{}) {
		return v, nil
	}
	b, err := json.Marshal(p)
	if err == nil {
		a.Params, err = cjson.Canonicalize(b)
	}
	return v, err
}

// points reads a points file and stores it, so that others can compute again.
func (env *Env) points(ctx context.Context, c *daemon.Conn, flag, name string) ([]attribution.Point, cjson.CID, error) {
	b, err := auditing.ReadBounded(name, attribution.MaxPointsFile)
	if err != nil {
		return nil, cjson.CID{}, fmt.Errorf("%s: %w", flag, err)
	}
	list, err := attribution.DecodePoints(b)
	if err != nil {
		return nil, cjson.CID{}, fmt.Errorf("%s %s: %w", flag, name, err)
	}
	id, err := env.storeFile(ctx, c, b)
	return list, cjson.CID{Cid: id}, err
}

// recordOf is a statement as its check needs it.
func recordOf(a *manifests.Attribution, p attribution.Params) attribution.Record {
	r := attribution.Record{Method: attribution.Method(a.Method), Class: attribution.Class(a.EvidenceClass), Params: p, AtSize: a.AtSize, N: int(a.N), Negatives: a.Negatives, CapPpm: uint32(a.CapPpm)}
	for _, s := range a.Parents {
		r.Parents = append(r.Parents, s.String())
	}
	r.Total, _ = strconv.ParseUint(a.Total, 10, 63) // the statement was validated
	r.Scale, _ = strconv.ParseUint(a.Scale, 10, 63)
	return r
}

func newAttributionVerify(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "verify CID",
		Short: "Compute a published vector again, and compare",
		Long: `verify reads an attribution and its vector, computes the vector again where its
method and the home's blocks allow it, and compares. Where they do not, it says
which class of evidence it is, and what is left to trust.

Exit status: 0 it holds, 3 it does not; 1 it was not checked.`,
		Example: `  cairn credit attribution verify bafkrei…`,
		Args:    exactly(1, "one CID"),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := statementCID("CID", args[0])
			if err != nil {
				return err
			}
			return env.withHome(c.Context(), func(ctx context.Context, conn *daemon.Conn) error {
				return runAttributionVerify(ctx, env, conn, id.Cid)
			})
		},
	}
}

func runAttributionVerify(ctx context.Context, env *Env, c *daemon.Conn, id cid.Cid) error {
	_, s, err := envelopeAt(ctx, c.API, id)
	if err != nil {
		return err
	}
	a, ok := s.Predicate.(*manifests.Attribution)
	if !ok {
		return fault.New(fault.Invalid, "%s is a %s, not an attribution", id, s.Kind)
	}
	p, err := attribution.DecodeParams(a.Params)
	if err != nil {
		return err
	}
	b, err := readFile(ctx, c.Blocks, a.Scores.Cid, attribution.MaxVector)
	if err != nil {
		return fmt.Errorf("the vector %s: %w", a.Scores, err)
	}
	v, err := attribution.Decode(b)
	if err != nil {
		return fmt.Errorf("the vector %s: %w", a.Scores, err)
	}
	var in attribution.Inputs
	switch attribution.Method(a.Method) {
	case attribution.EqualV1:
		if !p.Agreement.Defined() {
			in.Parties = recordOf(a, p).Parents
		}
	case attribution.KNNShapleyV1:
		for _, f := range []struct {
			id cid.Cid
			to *[]attribution.Point
		}{{p.Train.Cid, &in.Train}, {p.Tests.Cid, &in.Tests}} {
			b, err := readFile(ctx, c.Blocks, f.id, attribution.MaxPointsFile)
			if err == nil {
				*f.to, err = attribution.DecodePoints(b)
			}
			if err != nil && fault.Of(err) != fault.NotFound {
				return err
			}
		}
	case attribution.ExternalV1:
		if p.Uncapped.Defined() {
			if b, err := readFile(ctx, c.Blocks, p.Uncapped.Cid, attribution.MaxVector); err == nil {
				if u, err := attribution.Decode(b); err == nil {
					in.Uncapped = &u
				}
			}
		}
	}
	f, err := attribution.Verify(recordOf(a, p), v, in)
	if err != nil {
		return err
	}
	if err := env.print(f, func(w io.Writer) { fmt.Fprintln(w, f.Line(id.String())) }); err != nil {
		return err
	}
	env.shown = true
	switch f.Status {
	case proof.Holds:
		return nil
	case proof.Fails:
		return fault.New(fault.Unverified, "the vector does not hold")
	}
	return fault.New(fault.Internal, "the vector was not checked")
}

// readFile reads a file of at most limit bytes from verified blocks.
func readFile(ctx context.Context, blocks unixfs.Blocks, id cid.Cid, limit int) ([]byte, error) {
	var out bytes.Buffer
	err := unixfs.ReadFile(ctx, blocks, id, func(p []byte) error {
		if out.Len()+len(p) > limit {
			return fault.New(fault.TooLarge, "the file %s has more than %d bytes", id, limit)
		}
		out.Write(p)
		return nil
	})
	return out.Bytes(), err
}
