package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

const recordHelp = `With --fetch-record, the registry of --from counts what it sends, for the key of
this home, and signs the count when everything is here: a fetch record, for "cairn
use record --fetch" and for whoever asks one day where the data is from. After an
interruption the same command goes on with the same count. It says what was sent
over HTTP by that registry; what was here before is not in it.`

// A recording is --fetch-record: a download that a gateway counts and signs for. All
// methods of one that is not wanted, or nil, do nothing.
type recording struct {
	file    string
	purpose string

	fetch    atomic.Pointer[string] // its ID, once it is known
	signed   *client.Client
	url      string
	state    recordState
	gateways []sign.KeyID
	origin   string
}

// A recordState is what is kept, in a file beside the record's, until there is one.
type recordState struct {
	Registry  string     `json:"registry"` // URL
	Statement cjson.CID  `json:"statement"`
	Root      cjson.CID  `json:"root"`
	Fetcher   sign.KeyID `json:"fetcher"`
	Purpose   string     `json:"purpose,omitempty"`
	Fetch     string     `json:"fetch"`
}

// A fetchRecorded is what get prints of a fetch record with --json.
type fetchRecorded struct {
	File        string     `json:"file"`
	CID         cjson.CID  `json:"cid"` // by which a private record of use names it
	Statement   cjson.CID  `json:"statement"`
	Bytes       int64      `json:"bytes"`
	CoveragePpm int64      `json:"coveragePpm"`
	Fetcher     sign.KeyID `json:"fetcher"`
	Gateway     sign.KeyID `json:"gateway"`
}

func (r *recording) register(c *cobra.Command) {
	c.Flags().StringVar(&r.file, "fetch-record", "", "have the registry of --from sign what it sends, and write that to this new `file`")
	c.Flags().StringVar(&r.purpose, "purpose", "", "what the data is fetched for, in a `text` that the fetch record says")
}

func (r *recording) wanted() bool { return r != nil && r.file != "" }

// check refuses the flags where nobody could sign.
func (r *recording) check(f *sourceFlags) error {
	switch {
	case r == nil:
		return nil
	case r.file == "" && r.purpose != "":
		return fault.New(fault.Invalid, "--purpose belongs to --fetch-record")
	case r.file == "":
		return nil
	case f.peers.on:
		return fault.New(fault.Invalid, "--fetch-record does not go with --p2p: what peers send is not counted")
	case len(f.urls) != 1:
		return fault.WithHint(fault.New(fault.Invalid, "--fetch-record is one gateway's word, and belongs to one --from"), "fetch from others without it")
	}
	if _, err := os.Lstat(r.file); err == nil {
		return fault.WithHint(fault.New(fault.Conflict, "%s is there already", r.file), "a fetch record is written to a new file")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// tell returns what adds the fetch to requests; nil when there is none.
func (r *recording) tell() func(http.Header) {
	if !r.wanted() {
		return nil
	}
	return func(h http.Header) {
		if id := r.fetch.Load(); id != nil {
			h.Set(wire.FetchHeader, *id)
		}
	}
}

func (r *recording) stateFile() string { return r.file + ".open" }

// begin opens the fetch of f at the registry at url, or goes on with the one that
// was cut short.
func (r *recording) begin(ctx context.Context, env *Env, api *client.Client, url, ref string, f found, from *remoteFlags) error {
	if !r.wanted() {
		return nil
	}
	if !f.statement.Defined() {
		return fault.WithHint(fault.New(fault.Invalid, "--fetch-record: %s is not one version that the registry knows", fault.Quote(ref)), "name the statement by its CID, or publisher/name@version")
	}
	if subject, err := subjectOf(ctx, api, f.statement); err != nil {
		return err
	} else if !subject.Equals(f.root) {
		return fault.New(fault.Unverified, "the registry says that %s is about other data than it is", f.statement)
	}
	signer, err := env.mineOrNew()
	if err != nil {
		return err
	}
	if r.signed, err = env.signed(url, signer); err != nil {
		return err
	}
	status, err := api.Status(ctx)
	if err != nil {
		return err
	}
	r.url, r.origin = url, status.Origin
	if r.gateways, err = env.gateways(ctx, api, from); err != nil {
		return err
	}
	want := recordState{
		Registry: strings.TrimRight(url, "/"), Statement: cjson.CID{Cid: f.statement}, Root: cjson.CID{Cid: f.root}, Fetcher: keyring.Identity(signer), Purpose: r.purpose,
	}
	if before, err := readRecordState(r.stateFile()); err != nil {
		return err
	} else if before != nil {
		want.Fetch = before.Fetch
		if *before != want {
			return fault.WithHint(fault.New(fault.Conflict, "%s is that of another download", r.stateFile()), "remove it, or write the fetch record to another file")
		}
		// A fetch may be over by now. What was sent under it is then on no record; what
		// is still to come shall be.
		_, err := again(ctx, func(ctx context.Context) ([]byte, error) { return r.signed.FetchRecord(ctx, before.Fetch) })
		if !errors.Is(err, fault.NotFound) {
			r.state = want
			r.fetch.Store(&r.state.Fetch)
			return nil // what else there is to say, the end says
		}
		want.Fetch = ""
		env.warn("the count that %s names is over: a new one begins, without what is here already", r.stateFile())
	}
	opened, err := again(ctx, func(ctx context.Context) (*wire.Fetch, error) { return r.signed.OpenFetch(ctx, f.statement, r.purpose) })
	if errors.Is(err, fault.NotFound) {
		return fault.WithHint(fmt.Errorf("--fetch-record: %w", err), "without the flag the data comes without a record")
	}
	if err != nil {
		return err
	}
	if !slices.Contains(r.gateways, opened.Gateway) {
		return fault.New(fault.Unverified, "the gateway would sign as %s, which its registry/v1 does not list", opened.Gateway)
	}
	want.Fetch = opened.Fetch
	r.state = want
	b, err := json.Marshal(want)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(r.stateFile(), append(b, '\n'), 0o600); err != nil {
		return err
	}
	r.fetch.Store(&r.state.Fetch)
	return nil
}

// maxRecordState bounds the file of a recordState.
const maxRecordState = 64 << 10

func readRecordState(name string) (*recordState, error) {
	b, err := auditing.ReadBounded(name, maxRecordState)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := new(recordState)
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fault.WithHint(fault.New(fault.Invalid, "%s is not what get left there", name), "remove it")
	}
	return s, nil
}

// end gets the record, verifies it, and writes it down.
func (r *recording) end(ctx context.Context, env *Env) (*fetchRecorded, error) {
	if !r.wanted() {
		return nil, nil
	}
	b, err := again(ctx, func(ctx context.Context) ([]byte, error) { return r.signed.FetchRecord(ctx, r.state.Fetch) })
	switch fault.Of(err) {
	case "":
	case fault.NotFound, fault.Conflict, fault.TooLarge: // it will not get better
		os.Remove(r.stateFile())
		return nil, fmt.Errorf("the data is here, without a fetch record: %w", err)
	default:
		return nil, fault.WithHint(fmt.Errorf("the data is here, without a fetch record: %w", err), "the same command asks for it again")
	}
	f, by, err := manifests.VerifyFetchRecord(b, r.gateways)
	if err == nil && (f.Registry != r.origin || f.Statement != r.state.Statement || f.Root != r.state.Root || f.Fetcher != r.state.Fetcher) {
		err = fault.New(fault.Unverified, "it is about something else")
	}
	if err != nil {
		return nil, fmt.Errorf("the fetch record of %s: %w", fault.Printable(r.url), err)
	}
	if err := durable.CreateFile(r.file, append(b, '\n'), 0o600); err != nil {
		return nil, err
	}
	if err := os.Remove(r.stateFile()); err != nil {
		return nil, err
	}
	out := &fetchRecorded{r.file, cjson.CID{Cid: cjson.RawCID(b)}, f.Statement, f.Bytes, f.CoveragePpm, f.Fetcher, by}
	env.note("%s says that %s of the data was sent", r.file, ppmText(f.CoveragePpm))
	return out, nil
}

// ppmText writes parts of a million, rounded down: 100 % is all.
func ppmText(ppm int64) string {
	s := fmt.Sprintf("%d.%04d", ppm/10_000, ppm%10_000)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + " %"
}

// gateways are the keys whose fetch records hold: those that the registry/v1 in
// force lists. Its bundle is verified where the log's key is known; that no later
// one is in force is the registry's word.
func (env *Env) gateways(ctx context.Context, api *client.Client, from *remoteFlags) ([]sign.KeyID, error) {
	reg, err := api.Registry(ctx)
	if err != nil {
		return nil, err
	}
	dir, _, err := env.homeDir()
	if err != nil {
		return nil, err
	}
	p, err := auditing.Trust{Home: dir, PolicyFile: from.policy, FirstUse: from.firstUse}.At(ctx, api)
	if err != nil {
		if from.policy != "" || fault.Of(err) == fault.Unverified {
			return nil, err
		}
		return reg.GatewayKeys, nil
	}
	r, err := proofOf(ctx, api, p, reg.Statement.Cid)
	if err != nil {
		return nil, err
	}
	c, ok := r.Predicate().(*manifests.Registry)
	if !r.Holds() || !ok || !r.Statement.Equals(reg.Statement.Cid) {
		return nil, fault.New(fault.Unverified, "the registry's proof of its registry/v1, %s, does not hold", reg.Statement)
	}
	return c.GatewayKeys, nil
}

func newUseFetchRecord(env *Env) *cobra.Command {
	var from remoteFlags
	c := &cobra.Command{
		Use:   "fetch-record FILE",
		Short: "Check a fetch record, and say what it says",
		Long: `fetch-record checks that the fetch record in FILE is signed by a gateway key that the
registry/v1 in force lists, and says what was sent to whom: of which version, how
much of it, when. It is the gateway's word, and says nothing of what became of the
data. Exit status 3 means that it does not hold.`,
		Example: `  cairn use fetch-record weather.fetch.json --registry https://registry.example --policy registry.vkey`,
		Args:    exactly(1, "one FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := readFetchRecord(args[0])
			if err != nil {
				return err
			}
			return env.ask(c.Context(), from.url, func(ctx context.Context, api *client.Client) error {
				keys, err := env.gateways(ctx, api, &from)
				if err != nil {
					return err
				}
				f, by, err := manifests.VerifyFetchRecord(b, keys)
				if err != nil {
					return fmt.Errorf("%s: %w", args[0], err)
				}
				status, err := api.Status(ctx)
				if err != nil {
					return err
				}
				if f.Registry != status.Origin {
					return fault.New(fault.Unverified, "%s is about the registry %s", args[0], f.Registry)
				}
				return env.print(struct {
					CID     cjson.CID  `json:"cid"`
					Gateway sign.KeyID `json:"gateway"`
					*manifests.FetchRecord
				}{cjson.CID{Cid: cjson.RawCID(b)}, by, f}, func(w io.Writer) { describeFetch(w, f, by) })
			})
		},
	}
	from.register(c, "registry", "ask the registry at this `URL`", true)
	return c
}

// readFetchRecord reads an envelope from a file; a line feed may end it.
func readFetchRecord(name string) ([]byte, error) {
	b, err := auditing.ReadBounded(name, sign.MaxEnvelope+1)
	return []byte(strings.TrimSuffix(string(b), "\n")), err
}

func describeFetch(w io.Writer, f *manifests.FetchRecord, by sign.KeyID) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s%s\n", name, fault.Printable(fmt.Sprintf(format, args...)))
	}
	line("holds", "signed by the gateway %s", by)
	line("registry", "%s", f.Registry)
	line("statement", "%s", f.Statement)
	line("root", "%s", f.Root)
	line("fetcher", "%s", f.Fetcher)
	line("sent", "%d bytes of files; %s of the data at least once", f.Bytes, ppmText(f.CoveragePpm))
	line("from", "%s", f.FetchedFrom)
	line("to", "%s", f.FetchedTo)
	if f.Terms.Defined() {
		line("terms", "%s, accepted", f.Terms)
	}
	if f.Purpose != "" {
		line("purpose", "%s", f.Purpose)
	}
	for _, r := range f.Ranges {
		path := r.Path
		if path == "" {
			path = "the file"
		}
		line("", "%s: %d bytes from %d on", path, r.Length, r.Offset)
	}
}
