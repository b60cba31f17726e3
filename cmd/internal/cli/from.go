package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/cmd/internal/term"
	"github.com/cairn-registry/cairn/ingest/blocks/remote"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/client"
)

const (
	// statusTimeout is how long a source may take to say whether it has /v1.
	statusTimeout = 10 * time.Second
	// maxBearerFile bounds a file of tokens: a line of a few KiB for each source.
	maxBearerFile = 256 << 10
)

// sourceFlags are the gateways elsewhere that data is fetched from, and whom to
// trust there.
type sourceFlags struct {
	remoteFlags
	urls   []string
	bearer string
	peers  peerFlags
	accept acceptFlag
	record *recording // --fetch-record; nil where a command has no such flag
}

func (f *sourceFlags) register(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.urls, "from", nil, "fetch from the gateway at this `URL` (repeatable)")
	c.Flags().StringVar(&f.bearer, "bearer-file", "", "`file` with the bearer token to show them, or a line \"URL TOKEN\" for each (default $CAIRN_BEARER)")
	c.Flags().StringVar(&f.policy, "policy", "", "`file` with the log's verifier key, or a C2SP tlog-policy")
	c.Flags().BoolVar(&f.firstUse, "trust-on-first-use", false, "believe the registry about its own key, once")
	f.peers.register(c)
	f.accept.register(c)
}

const fromHelp = `--from fetches from a cairn server or any other trustless IPFS gateway, and from
several at once when it is given several times: each block from the one that
should have it soonest. One that sends a wrong byte is dropped and named; one
that fails or is slow is left alone, and dropped in the end. A CID needs no
trust. A name is resolved by the first of them that is a registry, so its proof
is checked against --policy, or the keys in this home's trust/.

A token of --bearer-file is sent to its own host over https, and to no other.

` + acceptHelp + `

` + peerHelp

// tokens returns the bearer token of each URL, "" for none.
func (env *Env) tokens(f sourceFlags) ([]string, error) {
	text, where := env.Getenv("CAIRN_BEARER"), "CAIRN_BEARER"
	if f.bearer != "" {
		var err error
		if text, err = readBearerFile(f.bearer); err != nil {
			return nil, err
		}
		where = f.bearer
	}
	return parseTokens(text, where, f.urls)
}

// readBearerFile reads a file with tokens, which nobody but its owner may read.
func readBearerFile(name string) (string, error) {
	file, err := keyring.OpenOwn(name, "bearer")
	if err != nil {
		return "", fmt.Errorf("--bearer-file: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxBearerFile+1))
	if err != nil {
		return "", fmt.Errorf("--bearer-file: %w", err)
	}
	if len(b) > maxBearerFile {
		return "", fault.New(fault.TooLarge, "%s has more than %d bytes", name, maxBearerFile)
	}
	return string(b), nil
}

// parseTokens reads tokens: one alone, for the only source there is, or lines with
// a URL and a token. Lines for other sources may be there; a token is never
// printed.
func parseTokens(text, where string, urls []string) ([]string, error) {
	out := make([]string, len(urls))
	for i, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case len(words) == 1 && len(urls) == 1:
			out[0] = words[0]
		case len(words) == 2:
			for k, url := range urls {
				if strings.TrimRight(url, "/") == strings.TrimRight(words[0], "/") {
					out[k] = words[1]
				}
			}
		default:
			return nil, fault.WithHint(fault.New(fault.Invalid, "%s, line %d: neither a token for the one source nor a URL and a token", where, i+1),
				`with several --from, write "URL TOKEN", a line for each`)
		}
	}
	return out, nil
}

// elsewhere is data for --from.
func (env *Env) elsewhere(ctx context.Context, ref string, from sourceFlags, path bool, fn func(context.Context, found) error) error {
	for _, u := range from.urls {
		if err := validURL("--from", u); err != nil {
			return err
		}
	}
	tokens, err := env.tokens(from)
	if err != nil {
		return err
	}
	list := make([]remote.Source, len(from.urls))
	for i, url := range from.urls {
		list[i] = remote.Source{URL: url, Bearer: tokens[i], Tell: from.record.tell()}
	}
	src, err := remote.OpenSources(list, remote.SourcesOptions{})
	if err != nil {
		return err
	}
	defer func() { src.Close() }()
	api, at, err := env.registryAmong(ctx, list)
	if err != nil {
		first, rest, _ := strings.Cut(ref, "/")
		id, notCID := cjson.ParseCID(first)
		if notCID != nil || ctx.Err() != nil || from.record.wanted() {
			return err
		}
		return env.fetched(ctx, src, found{blocks: src, root: id, path: rest}, path, ref, fn) // no registry is needed
	}
	f, err := env.find(ctx, api, ref, path, &from.remoteFlags, src)
	if err != nil {
		return err
	}
	f.blocks = src
	if from.accept.on {
		// Whether terms must be accepted, the first block says.
		if _, err := src.Block(ctx, f.root); fault.Of(err) == fault.Denied {
			g, failed := env.gateOf(ctx, api, at, ref, f.root)
			if failed != nil || g == nil {
				return cmp.Or(failed, err)
			}
			if list[at].Bearer, f.accepted, err = env.pass(ctx, g, list[at].URL, &from.remoteFlags); err != nil {
				return err
			}
			opened, err := remote.OpenSources(list, remote.SourcesOptions{})
			if err != nil {
				return err
			}
			src.Close()
			src, f.blocks = opened, opened
		}
	}
	if err := from.record.begin(ctx, env, api, list[at].URL, ref, f, &from.remoteFlags); err != nil {
		return env.refused(ctx, err, api, list, at, ref, f.root)
	}
	return env.refused(ctx, env.fetched(ctx, src, f, path, ref, fn), api, list, at, ref, f.root)
}

// fetched runs fn, and says which sources were dropped whether it fails or not.
func (env *Env) fetched(ctx context.Context, src *remote.Sources, f found, path bool, ref string, fn func(context.Context, found) error) error {
	if f.path != "" && !path {
		return fault.New(fault.Invalid, "%s: a path inside the data is not taken here", fault.Quote(ref))
	}
	err := fn(ctx, f)
	if env.json {
		return err // it is in the result, or in the error
	}
	for _, r := range src.Reports() {
		switch {
		case r.Lied:
			env.warn("warning: %s is dropped, and lies: %s", fault.Printable(r.URL), r.Dropped)
		case r.Dropped != "" && err == nil: // an error says it itself
			env.warn("warning: %s is dropped: %s", fault.Printable(r.URL), r.Dropped)
		}
	}
	return err
}

// registryAmong returns the first of the sources that has /v1, and its place in the
// list. None is fault.NotFound, or fault.Busy when some could not be asked, with the
// causes.
func (env *Env) registryAmong(ctx context.Context, list []remote.Source) (*client.Client, int, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	type answer struct {
		api *client.Client
		err error
	}
	answers := make([]chan answer, len(list))
	for i, s := range list {
		answers[i] = make(chan answer, 1)
		var rt http.RoundTripper
		if s.Bearer != "" {
			var err error
			if rt, err = remote.Bearer(s.URL, s.Bearer, http.DefaultTransport); err != nil {
				return nil, 0, err
			}
		}
		go func() {
			api := client.New(s.URL, rt)
			_, err := api.Status(ctx)
			answers[i] <- answer{api, err}
		}()
	}
	code := fault.NotFound
	var texts []string
	for i := range answers {
		a := <-answers[i]
		if a.err == nil {
			return a.api, i, nil
		}
		if fault.Of(a.err) == fault.Busy || ctx.Err() != nil {
			code = fault.Busy
		}
		texts = append(texts, fmt.Sprintf("%s: %v", fault.Printable(list[i].URL), a.err))
	}
	return nil, 0, fault.WithHint(fault.New(code, "no source is a registry that could resolve a name:\n%s", strings.Join(texts, "\n")),
		"a CID needs none")
}

// reports returns what became of the sources that data came from; nil for the home.
func (f found) reports() []remote.Report {
	if s, ok := f.blocks.(*remote.Sources); ok {
		return s.Reports()
	}
	return nil
}

// perSource says in a few words how much came from each source.
func perSource(list []remote.Report) string {
	if len(list) < 2 {
		return ""
	}
	parts := make([]string, len(list))
	for i, r := range list {
		_, host, _ := strings.Cut(r.URL, "://")
		if parts[i] = fmt.Sprintf("%s %s", fault.Printable(host), term.Bytes(r.Bytes)); r.Dropped != "" {
			parts[i] += " dropped"
		}
	}
	return strings.Join(parts, ", ")
}
