package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
)

func newCreditAttribution(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "attribution",
		Short: "Say how much of a dataset comes from whom, as numbers",
		Long: `An attribution is a published vector: for each parent of a dataset, an integer.
How it was found is a method with a version; what anybody can compute again has
evidence class A or B, what is statistical C, what is somebody's word D. Money
follows the vector once a version or an agreement names it, and whoever disagrees
disputes the vector.`,
	}
	group(c)
	c.AddCommand(newAttributionCompute(env), newAttributionVerify(env))
	return c
}

type attributionOptions struct {
	issue
	method, class, data string
	parents, weights    []string
	agreement, parts    string
	tokenizer, meter    string
	k                   int
	train, tests        string
	evidence, scores    string
	capPpm              uint32
	atSize, from        uint64
	repo, commit, entry string
	dryRun              bool
}

func newAttributionCompute(env *Env) *cobra.Command {
	var o attributionOptions
	c := &cobra.Command{
		Use:   "compute --method M --data REF",
		Short: "Compute a vector, publish it, and log how it was found",
		Long: `compute finds by a method how much of the data comes from each key, stores the
vector, and logs attribution/v1, signed by you. --data is a registered dataset, or
the root CID of data in this home that is to be registered yet. The methods:

  chunk-first-seen/1  bytes that an earlier entry's fingerprint holds; needs nothing
  bytes/1, rows/1, tokens/1
                      what each key's files have; --parts says whose they are
  declared/1          --weight KEY=N (repeatable), or --agreement
  equal/1             the same for each parent, or for each party of --agreement
  usage-meter/1       metered use of the parents; --meter
  knn-shapley/1       --k, --train and --tests, files of points
  external/1          found elsewhere: --scores, --evidence, --cap-ppm, --class C or D

A KEY is a did:key, a handle, a key of this home, the REF of a version, or self.
Parents are what --parent names; chunk-first-seen/1 finds them itself. The files'
forms are in FORMAT.md of manifests/credit/attribution. --dry-run prints the
vector and logs nothing.`,
		Example: `  cairn credit attribution compute --method chunk-first-seen/1 --data frost-days
  cairn credit attribution compute --method bytes/1 --data corpus --parent ana/daily --parts parts.csv
  cairn credit attribution compute --method declared/1 --data corpus --parent ana/daily \
    --weight ana/daily=450000 --weight self=550000`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return runAttributionCompute(c.Context(), env, &o) },
	}
	f := c.Flags()
	f.StringVar(&o.method, "method", "", "`method` with its version, such as chunk-first-seen/1")
	f.StringVar(&o.data, "data", "", "`REF` of the dataset, or the root CID of data in this home")
	f.StringArrayVar(&o.parents, "parent", nil, "`REF` of a version that it comes from (repeatable)")
	f.StringVar(&o.class, "class", "", "evidence `class`, where a method has several")
	f.StringArrayVar(&o.weights, "weight", nil, "declared `KEY=N` (repeatable)")
	f.StringVar(&o.agreement, "agreement", "", "`CID` of the agreement whose shares or parties count")
	f.StringVar(&o.parts, "parts", "", "`file` that says which key each file counts for")
	f.StringVar(&o.tokenizer, "tokenizer", attribution.WordsTokenizer, "`name` of the tokenizer of tokens/1")
	f.StringVar(&o.meter, "meter", "", "what was `counted`, such as inference-token")
	f.Uint64Var(&o.from, "from", 0, "first `entry` whose use counts, with --meter")
	f.IntVar(&o.k, "k", 0, "`number` of neighbours")
	f.StringVar(&o.train, "train", "", "points `file` of the training data")
	f.StringVar(&o.tests, "tests", "", "points `file` of the tests")
	f.StringVar(&o.scores, "scores", "", "vector `file` that was found elsewhere, before the cap")
	f.StringVar(&o.evidence, "evidence", "", "`file` with the record of how it was found")
	f.Uint32Var(&o.capPpm, "cap-ppm", 0, "the most that one key gets, in parts per `million`")
	f.Uint64Var(&o.atSize, "at-size", 0, "look at the first `N` entries of the log (default: all; chunk-first-seen/1: those before the data)")
	f.StringVar(&o.repo, "code-repo", "", "`URL` of the program that found it")
	f.StringVar(&o.commit, "code-commit", "", "its `commit`")
	f.StringVar(&o.entry, "code-entrypoint", "", "its `entry` point")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the vector, and log nothing")
	o.issue.register(c)
	return c
}

// A computedVector is what "attribution compute" prints with --json.
type computedVector struct {
	Method  attribution.Method `json:"method"`
	Class   attribution.Class  `json:"evidenceClass"`
	Data    cjson.CID          `json:"data"`
	AtSize  uint64             `json:"atSize"`
	Parents []cjson.CID        `json:"parents"`
	Scores  cjson.CID          `json:"scores,omitzero"`
	N       int                `json:"n"`
	Total   uint64             `json:"total,string"`
	Scale   uint64             `json:"scale,string"`
	Entries []vectorEntry      `json:"entries"` // the first 1,000
	Washed  []attribution.Wash `json:"washed,omitempty"`
	Issued  *issued            `json:"issued,omitempty"`
}

type vectorEntry struct {
	Key   string `json:"key"`
	Value uint64 `json:"value,string"`
}

// maxShownEntries bounds the entries of a vector that are printed.
const maxShownEntries = 1000

func runAttributionCompute(ctx context.Context, env *Env, o *attributionOptions) error {
	if o.method == "" || o.data == "" {
		return fault.New(fault.Invalid, "attribution compute needs --method and --data")
	}
	row, err := o.row()
	if err != nil {
		return err
	}
	signer, err := env.mine()
	if err != nil {
		return err
	}
	env.roomy()
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		a := &manifests.Attribution{Attributor: keyring.Identity(signer)}
		if err := env.fresh(ctx, c.API, a); err != nil {
			return err
		}
		m := &measuring{attributionOptions: o, env: env, c: c, e: &evidence{api: c.API, blocks: c.Blocks}, row: row}
		v, err := m.vector(ctx)
		if err != nil {
			return err
		}
		out := computedVector{
			Method: row.Method, Class: row.Class, Data: cjson.CID{Cid: m.e.data}, AtSize: m.record.AtSize, Parents: m.parents,
			N: v.Len(), Total: v.Total(), Scale: row.Scale, Entries: []vectorEntry{}, Washed: m.washed,
		}
		for key, value := range v.All() {
			if len(out.Entries) == maxShownEntries {
				break
			}
			out.Entries = append(out.Entries, vectorEntry{key, value})
		}
		if o.dryRun {
			return env.printVector(out)
		}
		if out.Scores.Cid, err = m.store(ctx, v.Encode()); err != nil {
			return err
		}
		if err := m.fill(a, v, out.Scores); err != nil {
			return err
		}
		if out.Issued, err = env.release(ctx, c.API, manifests.New(a), signer, o.issue); err != nil {
			return err
		}
		if o.issue.file != "" && !env.json {
			return env.show(out.Issued)
		}
		return env.printVector(out)
	})
}

// row finds the method in the table. Without --class it is the strongest.
func (o *attributionOptions) row() (attribution.Row, error) {
	var classes, names []string
	for _, r := range attribution.Methods() {
		names = append(names, string(r.Method))
		if string(r.Method) != o.method {
			continue
		}
		classes = append(classes, string(r.Class))
		if o.class == string(r.Class) {
			return r, nil
		}
		if o.class == "" && o.method != string(attribution.ExternalV1) && (o.method != string(attribution.TokensV1) || r.Class == attribution.A) {
			return r, nil
		}
	}
	if len(classes) > 0 {
		return attribution.Row{}, fault.New(fault.Invalid, "--class %s: the evidence of %s has class %s", fault.Quote(o.class), o.method, strings.Join(classes, " or "))
	}
	return attribution.Row{}, fault.WithHint(fault.New(fault.Invalid, "--method %s is not known", fault.Quote(o.method)), "there are %s", strings.Join(slices.Compact(names), ", "))
}

// A measuring computes one vector.
type measuring struct {
	*attributionOptions
	env *Env
	c   *daemon.Conn
	e   *evidence
	row attribution.Row

	record  attribution.Record
	parents []cjson.CID
	washed  []attribution.Wash
}

func (m *measuring) vector(ctx context.Context) (v attribution.Vector, err error) {
	status, err := m.c.API.Status(ctx)
	if err != nil {
		return v, err
	}
	m.record = attribution.Record{Method: m.row.Method, Class: m.row.Class, AtSize: status.Size, CapPpm: m.capPpm}
	if m.atSize > status.Size {
		return v, fault.New(fault.Invalid, "--at-size %d: the log has %d entries", m.atSize, status.Size)
	}
	if m.atSize > 0 {
		m.record.AtSize = m.atSize
	}
	if err := m.child(ctx); err != nil {
		return v, fmt.Errorf("--data: %w", err)
	}
	if m.atSize == 0 && m.row.Method == attribution.ChunkFirstSeenV1 {
		// Data that is registered already does not come from itself.
		for _, d := range m.e.versions {
			m.record.AtSize = min(m.record.AtSize, d.Index)
		}
	}
	if m.parents, err = m.parentsOf(ctx); err != nil {
		return v, err
	}
	if len(m.parents) == 0 && m.row.Method != attribution.ChunkFirstSeenV1 {
		return v, fault.WithHint(fault.New(fault.Invalid, "--parent is missing: an attribution names what the data comes from"), "--parent REF")
	}
	for _, p := range m.parents {
		m.record.Parents = append(m.record.Parents, p.String())
	}
	if err := m.params(ctx); err != nil {
		return v, err
	}
	if err := m.record.Params.Check(m.row.Method, m.row.Class); err != nil {
		return v, fmt.Errorf("%s: %w", m.row.Method, err)
	}
	switch {
	case m.row.Method == attribution.DeclaredV1 && m.agreement == "":
		entries, err := m.declaredWeights(ctx)
		if err != nil {
			return v, err
		}
		v, err = attribution.NewVector(entries)
		if err != nil {
			return v, err
		}
		m.env.warn("the weights hold once every party but self has signed the version that names this record")
	default:
		in, err := m.e.gather(ctx, m.record, cid.Undef)
		if err != nil {
			return v, err
		}
		if v, m.washed, err = attribution.Compute(m.record, in); err != nil {
			return v, err
		}
	}
	return v, m.found(v)
}

// child finds the data.
func (m *measuring) child(ctx context.Context) error {
	res, err := m.env.resolve(ctx, m.c.API, m.data)
	if err == nil {
		return m.e.child(ctx, cjson.V1(res.Root.Cid))
	}
	if !errors.Is(err, fault.NotFound) {
		return err
	}
	id, perr := cjson.ParseCID(m.data)
	if perr != nil {
		return err
	}
	return m.e.child(ctx, cjson.V1(id))
}

func (m *measuring) parentsOf(ctx context.Context) ([]cjson.CID, error) {
	var out []cjson.CID
	for _, ref := range m.attributionOptions.parents {
		n, err := m.env.node(ctx, m.c.API, ref)
		if err != nil {
			return nil, fmt.Errorf("--parent: %w", err)
		}
		out = append(out, n.Statement)
	}
	slices.SortFunc(out, compareCIDs)
	return slices.Compact(out), nil
}

// found settles the parents of a vector: those that were named, and for
// chunk-first-seen/1 without any, those that it found.
func (m *measuring) found(v attribution.Vector) error {
	if m.row.Method == attribution.ChunkFirstSeenV1 && len(m.parents) == 0 {
		for key := range v.All() {
			if key == attribution.Self {
				continue
			}
			id, err := cjson.ParseCID(key)
			if err != nil {
				return fault.Mark(fault.Internal, err)
			}
			m.parents = append(m.parents, cjson.CID{Cid: id})
		}
		if len(m.parents) == 0 {
			return fault.WithHint(fault.New(fault.NotFound, "no earlier entry holds a chunk of the data: all of it counts for self"),
				"entries without a fingerprint take no part: those that were added with --no-sketch")
		}
		slices.SortFunc(m.parents, compareCIDs)
	}
	if m.row.Method != attribution.ChunkFirstSeenV1 && m.row.Method != attribution.UsageMeterV1 {
		return nil
	}
	for key := range v.All() {
		if key != attribution.Self && !slices.ContainsFunc(m.parents, func(p cjson.CID) bool { return p.String() == key }) {
			return fault.New(fault.Invalid, "%s has a part, and is no --parent", key)
		}
	}
	return nil
}

func (m *measuring) declaredWeights(ctx context.Context) ([]attribution.Entry, error) {
	if len(m.weights) == 0 {
		return nil, fault.New(fault.Invalid, "declared/1 needs --weight KEY=N, or --agreement")
	}
	var out []attribution.Entry
	for _, text := range m.weights {
		name, value, err := pair("--weight", text, "KEY=N")
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil {
			return nil, fault.New(fault.Invalid, "--weight %s: %s is no whole number from 0 on", fault.Quote(text), fault.Quote(value))
		}
		key, err := m.env.partyKey(ctx, m.c.API, name)
		if err != nil {
			return nil, fmt.Errorf("--weight: %w", err)
		}
		out = append(out, attribution.Entry{Key: key, Value: n})
	}
	return out, nil
}

// params stores the files that the method reads, and names them.
func (m *measuring) params(ctx context.Context) error {
	p := &m.record.Params
	var err error
	if p.Agreement, err = optionalStatement("--agreement", m.agreement); err != nil {
		return err
	}
	p.K, p.Meter, p.From = m.k, m.meter, m.from
	if m.row.Method == attribution.TokensV1 {
		p.Tokenizer = m.tokenizer
	}
	for _, x := range []struct {
		flag, name string
		limit      int64
		to         *cjson.CID
	}{
		{"--parts", m.parts, attribution.MaxPartsFile, &p.Parts},
		{"--train", m.train, attribution.MaxPointsFile, &p.Train},
		{"--tests", m.tests, attribution.MaxPointsFile, &p.Tests},
		{"--scores", m.scores, attribution.MaxVector, &p.Uncapped},
		{"--evidence", m.attributionOptions.evidence, maxCSV, &p.Evidence},
	} {
		if x.name == "" {
			continue
		}
		b, err := auditing.ReadBounded(x.name, x.limit)
		if err != nil {
			return fmt.Errorf("%s: %w", x.flag, err)
		}
		if x.to == &p.Parts {
			if b, err = m.named(ctx, b); err != nil {
				return fmt.Errorf("%s: %w", x.flag, err)
			}
		}
		if x.to.Cid, err = storeFile(ctx, m.c, b); err != nil {
			return err
		}
	}
	return nil
}

// named reads a parts file whose keys may be names and REFs, in any order, and
// returns it in its own form.
func (m *measuring) named(ctx context.Context, b []byte) ([]byte, error) {
	if _, err := attribution.DecodeParts(b); err == nil && !hasNames(b) {
		return b, nil
	}
	head, rest, _ := bytes.Cut(b, []byte("\n"))
	if string(bytes.TrimRight(head, "\r")) != "key,path" {
		return nil, fault.New(fault.Invalid, "a parts file begins with the line \"key,path\"")
	}
	keys := make(map[string]string)
	var parts []attribution.Part
	for i, line := range strings.Split(strings.TrimRight(string(rest), "\r\n"), "\n") {
		name, path, ok := strings.Cut(strings.TrimRight(line, "\r"), ",")
		if !ok {
			return nil, fault.New(fault.Invalid, "line %d has no comma", i+2)
		}
		if _, ok := keys[name]; !ok {
			key, err := m.env.partyKey(ctx, m.c.API, name)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+2, err)
			}
			keys[name] = key
		}
		parts = append(parts, attribution.Part{Key: keys[name], Path: path})
	}
	return attribution.EncodeParts(parts)
}

// hasNames reports whether a parts file has a key that is neither self, a did nor
// a CID.
func hasNames(b []byte) bool {
	parts, err := attribution.DecodeParts(b)
	return err != nil || slices.ContainsFunc(parts, func(p attribution.Part) bool {
		if p.Key == attribution.Self || strings.HasPrefix(p.Key, "did:") {
			return false
		}
		_, err := cjson.ParseCID(p.Key)
		return err != nil
	})
}

// store stores the vector, which is one raw block whatever its size is in the
// format; larger ones are files.
func (m *measuring) store(ctx context.Context, b []byte) (cid.Cid, error) {
	return storeFile(ctx, m.c, b)
}

// fill fills in the statement.
func (m *measuring) fill(a *manifests.Attribution, v attribution.Vector, scores cjson.CID) error {
	a.Data, a.Parents = cjson.CID{Cid: m.e.data}, m.parents
	a.Method, a.EvidenceClass, a.AtSize = string(m.row.Method), string(m.row.Class), m.record.AtSize
	a.Scores, a.N, a.Total = scores, int64(v.Len()), strconv.FormatUint(v.Total(), 10)
	a.Scale, a.CapPpm = strconv.FormatUint(m.row.Scale, 10), int64(m.capPpm)
	a.Negatives = manifests.NegativesReject
	if m.row.Method == attribution.KNNShapleyV1 {
		a.Negatives = manifests.NegativesClip
	}
	if m.repo != "" || m.commit != "" || m.entry != "" {
		a.Code = &manifests.MethodCode{Repo: m.repo, Commit: m.commit, Entrypoint: m.entry}
	}
	if m.record.Params == (attribution.Params{}) {
		return nil
	}
	b, err := cjson.Marshal(m.record.Params)
	a.Params = b
	return err
}

func (env *Env) printVector(v computedVector) error {
	return env.print(v, func(w io.Writer) {
		for _, e := range v.Entries {
			fmt.Fprintf(w, "%-20d %s\n", e.Value, e.Key)
		}
		if n := v.N - len(v.Entries); n > 0 {
			fmt.Fprintf(w, "and %s more\n", count(int64(n), "key"))
		}
		for _, x := range v.Washed {
			fmt.Fprintf(w, "excluded             %d of the %d that %s used of %s: use that one pays to oneself\n", x.Excluded, x.Qty, x.Payer, x.Statement)
		}
		fmt.Fprintf(w, "method     %s, evidence class %s, %s that add up to %d\n", v.Method, v.Class, count(int64(v.N), "key"), v.Total)
		if v.Issued != nil {
			fmt.Fprintf(w, "scores     %s\n", v.Scores)
			fmt.Fprintf(w, "statement  %s\n", v.Issued.Statement)
		}
	})
}

func newAttributionVerify(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:   "verify CID",
		Short: "Compute a published vector again, and compare",
		Long: `verify reads an attribution record and its vector, computes the vector again from
the log and the blocks that it names, and compares. What cannot be computed again
it says: because of the evidence class, or because an input is not at hand. Exit
status 0 means that the vector holds, 3 that it does not, 1 that it was not
checked.`,
		Example: `  cairn credit attribution verify bafkrei…`,
		Args:    exactly(1, "one CID"),
		RunE:    func(c *cobra.Command, args []string) error { return runAttributionVerify(c.Context(), env, args[0]) },
	}
}

// A checkedVector is what "attribution verify" prints with --json.
type checkedVector struct {
	Statement string     `json:"statement"`
	Data      cjson.CID  `json:"data"`
	By        sign.KeyID `json:"attributor"`
	attribution.Finding
}

func runAttributionVerify(ctx context.Context, env *Env, text string) error {
	id, err := statementCID("the record", text)
	if err != nil {
		return err
	}
	env.roomy()
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		envelope, st, err := envelopeAt(ctx, c.API, id.Cid)
		if err != nil {
			return err
		}
		a, ok := st.Predicate.(*manifests.Attribution)
		if !ok {
			return fault.New(fault.Invalid, "%s is of kind %s, not an attribution", text, st.Kind)
		}
		if _, _, err := envelope.Open(); err != nil {
			return err
		}
		f, err := verifyAttribution(ctx, c, a, id.Cid)
		if err != nil {
			return err
		}
		out := checkedVector{id.String(), a.Data, a.Attributor, f}
		if err := env.print(out, func(w io.Writer) { fmt.Fprintln(w, f.Line(id.String())) }); err != nil {
			return err
		}
		switch f.Status {
		case proof.Fails:
			env.shown = true
			return fault.New(fault.Unverified, "it does not hold")
		case proof.NotChecked:
			env.shown = true
			return fault.New(fault.Internal, "it was not checked")
		}
		return nil
	})
}

func verifyAttribution(ctx context.Context, c *daemon.Conn, a *manifests.Attribution, id cid.Cid) (attribution.Finding, error) {
	r, err := recordOf(a)
	if err != nil {
		f := attribution.Finding{Method: attribution.Method(a.Method), Class: attribution.Class(a.EvidenceClass)}
		f.Status, f.Code, f.Detail = proof.Fails, attribution.CodeParams, err.Error()
		return f, nil
	}
	e := &evidence{api: c.API, blocks: c.Blocks}
	missing := func(err error) (attribution.Finding, error) {
		return attribution.Finding{
			Method: r.Method, Class: r.Class, Status: proof.NotChecked, Code: attribution.CodeInputs, Detail: err.Error(),
		}, nil
	}
	b, err := e.file(ctx, a.Scores.Cid, attribution.MaxVector)
	if errors.Is(err, fault.NotFound) {
		return missing(fmt.Errorf("the vector: %w", err))
	}
	if err != nil {
		return attribution.Finding{}, err
	}
	v, err := attribution.Decode(b)
	if err != nil {
		return attribution.Finding{}, fault.Mark(fault.Unverified, fmt.Errorf("the scores %s are no vector: %w", a.Scores, err))
	}
	if err := e.child(ctx, a.Data.Cid); err != nil {
		return attribution.Finding{}, err
	}
	in, err := e.gather(ctx, r, id)
	if err != nil && !errors.Is(err, fault.NotFound) {
		return attribution.Finding{}, err
	}
	f, ferr := attribution.Verify(r, v, in)
	switch {
	case errors.Is(ferr, fault.NotFound):
		return missing(ferr)
	case ferr == nil && err != nil && f.Code == attribution.CodeInputs:
		return missing(err)
	}
	return f, ferr
}
