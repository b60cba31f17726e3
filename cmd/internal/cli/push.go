package cli

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/cmd/internal/term"
	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

const (
	// pushesDir is where pushes that are on their way keep what they need to go on;
	// receiptsDir is where the proofs of other registries are kept, a folder each.
	pushesDir, receiptsDir = "pushes", "receipts"
	// connectWait bounds the wait for a connection, and for the word that a shard
	// is wanted.
	connectWait = 10 * time.Second
)

// A pushTarget is the registry that is pushed to, whom to trust there, and who
// pushes.
type pushTarget struct {
	remoteFlags
	token string
}

func (p *pushTarget) register(c *cobra.Command, usage string) {
	p.remoteFlags.register(c, "registry", usage, true)
	c.Flags().StringVar(&p.token, "bearer-file", "", "`file` with the bearer token to show it, or a line \"URL TOKEN\" (default: sign the requests)")
}

func newPush(env *Env) *cobra.Command {
	var to pushTarget
	c := &cobra.Command{
		Use:   "push REF --registry URL",
		Short: "Register a dataset of this home at another registry",
		Long: `push sends a dataset that is registered in this home to the registry at URL, and
registers it there: the same manifest and the same data, in a new statement for
that registry, signed by the same key. Whoever co-signed here signs there again.
It prints the root CID.

What the registry has of earlier versions that this key pushed is not sent again.
After an interruption the same command goes on: parts that were acknowledged stay.

The registry's receipt is verified against --policy, or the keys in this home's
trust/, and kept as a proof in the home's receipts/.

` + refHelp,
		Example: `  cairn push seattle-weather --registry https://registry.example --policy registry.vkey`,
		Args:    exactly(1, "one REF"),
		RunE: func(c *cobra.Command, args []string) error {
			if to.url == "" {
				return fault.New(fault.Invalid, "where to? --registry URL is missing")
			}
			return runPush(c.Context(), env, args[0], to)
		},
	}
	to.register(c, "push to the registry at this `URL`")
	return c
}

// A pushResult is what push prints with --json, and add --registry as "remote".
type pushResult struct {
	Registry  string `json:"registry"`
	Origin    string `json:"origin"`
	Root      string `json:"root"`
	Statement string `json:"statement"` // of that registry
	Name      string `json:"name"`
	Version   string `json:"version"`
	Manifest  string `json:"manifest"`
	Index     uint64 `json:"index"`
	Blocks    int64  `json:"blocks"` // of the whole DAG
	Shards    int    `json:"shards"`
	SentBytes int64  `json:"sentBytes"` // by this command
	Resumed   bool   `json:"resumed,omitempty"`
	Unchanged bool   `json:"unchanged,omitempty"` // it was registered there before
	Trust     string `json:"trust"`               // whose word the receipt was verified with
	Proof     string `json:"proof"`               // the file with the registry's proof
	// TermsWarnings are where the terms contradict those of the sources, as that
	// registry sees it.
	TermsWarnings []string `json:"termsWarnings,omitempty"`
}

func runPush(ctx context.Context, env *Env, ref string, to pushTarget) error {
	ring, cfg, err := env.keys()
	if err != nil {
		return err
	}
	signer, err := env.signer(ring, cfg)
	if err != nil {
		return err
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		d, err := env.one(ctx, c.API, ref)
		if err != nil {
			return err
		}
		r, err := env.push(ctx, c, d, signer, to)
		if err != nil {
			return err
		}
		return env.print(r, func(w io.Writer) { fmt.Fprintln(w, r.Root) })
	})
}

// push registers a version of this home at another registry.
func (env *Env) push(ctx context.Context, c *daemon.Conn, d *wire.Dataset, signer sign.Signer, to pushTarget) (*pushResult, error) {
	if d.Publisher != keyring.Identity(signer) {
		return nil, fault.WithHint(fault.New(fault.Denied, "%s@%s is published by %s, and the key that signs is %s", d.Name, d.Version, d.Publisher, keyring.Identity(signer)),
			"choose the publisher's key with --key")
	}
	env.roomy()
	p := &pushing{env: env, home: c, d: d, signer: signer, to: to}
	rt, err := p.transport()
	if err != nil {
		return nil, err
	}
	p.api = client.New(to.url, rt)
	if p.trust, err = (auditing.Trust{Home: c.Dir, PolicyFile: to.policy, FirstUse: to.firstUse}).At(ctx, p.api); err != nil {
		return nil, err
	}
	status, err := p.api.Status(ctx)
	if err != nil {
		return nil, err
	}
	p.origin = status.Origin
	if err := knows(ctx, signer, to.url); err != nil {
		return nil, err
	}
	b, err := c.API.Envelope(ctx, d.Statement.Cid)
	if err != nil {
		return nil, err
	}
	e, err := sign.Decode(b)
	if err != nil {
		return nil, err
	}
	if p.local, err = manifests.Decode(e.Payload); err != nil {
		return nil, err
	}
	return p.run(ctx)
}

type pushing struct {
	env    *Env
	home   *daemon.Conn
	d      *wire.Dataset
	local  *manifests.Statement
	signer sign.Signer
	to     pushTarget
	api    *client.Client // of the other registry
	trust  *auditing.Policy
	origin string
}

// transport carries the requests: signed, or with a token.
func (p *pushing) transport() (http.RoundTripper, error) {
	if err := validURL("--registry", p.to.url); err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.ExpectContinueTimeout = connectWait
	t.MaxIdleConnsPerHost = 8
	t.DisableCompression = true
	if p.to.token == "" {
		return client.Signed(t, p.signer, p.env.Now), nil
	}
	text, err := readBearerFile(p.to.token)
	if err != nil {
		return nil, err
	}
	tokens, err := parseTokens(text, p.to.token, []string{p.to.url})
	if err != nil {
		return nil, err
	}
	if tokens[0] == "" {
		return nil, fault.New(fault.Invalid, "%s has no token for %s", p.to.token, p.to.url)
	}
	return client.Bearer(t, tokens[0]), nil
}

func (p *pushing) run(ctx context.Context) (*pushResult, error) {
	out := &pushResult{
		Registry: p.to.url, Origin: p.origin, Root: p.d.Root.String(), Name: p.d.Name, Version: p.d.Version,
		Manifest: p.d.Manifest.String(), Trust: p.trust.From,
	}
	there, err := p.api.Resolve(ctx, fmt.Sprintf("%s/%s@%s", p.d.Publisher, p.d.Name, p.d.Version))
	switch {
	case err == nil && there.Datasets[0].Manifest.Equals(p.d.Manifest.Cid):
		return p.unchanged(ctx, out, &there.Datasets[0])
	case err == nil:
		return nil, fault.WithHint(fault.New(fault.Conflict, "%s has another %s@%s", p.to.url, p.d.Name, p.d.Version), "add the data here as another --version, and push that")
	case !errors.Is(err, fault.NotFound):
		return nil, err
	}
	bases, err := p.bases(ctx)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(p.origin + "\n" + p.d.Manifest.String() + "\n" + string(p.signer.ID())))
	hashing, sending := p.env.bar("hashing"), (*term.Bar)(nil)
	o := client.PushOptions{
		Blocks: p.home.Blocks, Content: p.local.Content(), Seal: p.seal, Bases: bases, Policy: p.trust.Policy,
		StateFile: filepath.Join(p.home.Dir, pushesDir, hex.EncodeToString(sum[:8])+".json"),
		Hashing:   func(done, total int64) { hashing.Update(done, total, 0) },
		Sending: func(done, total int64) {
			if sending == nil {
				hashing.Done()
				hashing = nil
				sending = p.env.bar("sending")
			}
			sending.Update(done, total, 0)
		},
	}
	var pushed *client.Pushed
	for try := 1; ; try++ {
		pushed, err = p.api.Push(ctx, o)
		// Somebody else of this key was faster: sign on top of that version.
		if fault.Of(err) != fault.Conflict || try == submitTries {
			break
		}
	}
	hashing.Done()
	sending.Done()
	if err != nil {
		return nil, p.explained(err)
	}
	if pushed.Verdict != "accepted" {
		return nil, explained(fault.New(fault.Conflict, "the log of %s recorded the statement as %s: %s (entry %d)", p.to.url, pushed.Verdict, pushed.Code, pushed.Index))
	}
	out.Statement, out.Index, out.Blocks, out.Shards, out.SentBytes, out.Resumed = pushed.Statement.String(), pushed.Index, pushed.Blocks, pushed.Shards, pushed.Sent, pushed.Resumed
	out.TermsWarnings = p.env.doorWarnings(pushed.Submitted)
	if out.Proof, err = p.keep(out.Statement, pushed.Bundle); err != nil {
		return nil, err
	}
	p.env.note("registered at %s as entry %d; %s sent; its proof is %s", p.to.url, out.Index, term.Bytes(out.SentBytes), out.Proof)
	return out, nil
}

// unchanged answers for a version that the registry has already.
func (p *pushing) unchanged(ctx context.Context, out *pushResult, there *wire.Dataset) (*pushResult, error) {
	b, err := p.api.Bundle(ctx, there.Statement.Cid)
	if err != nil {
		return nil, err
	}
	r, err := proof.VerifyBundle(b, p.trust.Policy)
	if err != nil {
		return nil, err
	}
	c, ok := r.Predicate().(*manifests.Contribution)
	if !r.Holds() || !ok || !r.Statement.Equals(there.Statement.Cid) || !c.Dataset.Manifest.Equals(p.d.Manifest.Cid) || c.Publisher != p.d.Publisher {
		return nil, fault.New(fault.Unverified, "the registry says that it has %s@%s, and its proof does not hold", p.d.Name, p.d.Version)
	}
	out.Statement, out.Index, out.Unchanged = there.Statement.String(), r.Index, true
	if out.Proof, err = p.keep(out.Statement, b); err != nil {
		return nil, err
	}
	p.env.note("unchanged at %s, entry %d; its proof is %s", p.to.url, out.Index, out.Proof)
	return out, nil
}

// bases are the contents of the versions that this key has at the registry, as
// far as this home has them too.
func (p *pushing) bases(ctx context.Context) (map[cid.Cid][]cid.Cid, error) {
	page, err := p.api.Datasets(ctx, client.Query{Publisher: p.d.Publisher, Latest: true, Limit: wire.MaxBases})
	if err != nil {
		return nil, err
	}
	out := make(map[cid.Cid][]cid.Cid)
	for _, d := range page.Datasets {
		if gated := d.Rules.GatesBytes(); gated != p.d.Rules.GatesBytes() || gated && !d.Terms.Equals(p.d.Terms.Cid) {
			continue // nothing is shared between spaces
		}
		b, err := p.home.Blocks.Block(ctx, d.Manifest.Cid)
		if errors.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m, err := manifests.DecodeManifest(b)
		if err != nil {
			return nil, err
		}
		// A home without the data, whose manifest came some other way, is passed over.
		if _, err := p.home.Blocks.Size(ctx, m.Data.Root.Cid); err == nil {
			out[d.Statement.Cid] = []cid.Cid{d.Manifest.Cid}
		}
	}
	return out, nil
}

// seal makes the statement for the other registry: what the one of this home
// says, but for what belongs to a log.
func (p *pushing) seal(ctx context.Context) ([]byte, error) {
	here, ok := p.local.Predicate.(*manifests.Contribution)
	if !ok {
		return nil, fault.New(fault.Invalid, "%s is no dataset", p.d.Statement)
	}
	c := *here
	var err error
	if c.Common, err = p.env.common(p.origin); err != nil {
		return nil, err
	}
	note, err := p.api.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	if v, err := p.trust.Verify(note); err != nil {
		return nil, fmt.Errorf("the registry's checkpoint: %w", err)
	} else if v.Size > 0 {
		c.Anchor = &manifests.Anchor{Size: v.Size, Root: base64.StdEncoding.EncodeToString(v.Root[:])}
	}
	c.Supersedes, c.Agreement, c.Attribution = cjson.CID{}, cjson.CID{}, cjson.CID{}
	head, err := p.api.Resolve(ctx, string(p.d.Publisher)+"/"+p.d.Name)
	if err == nil {
		c.Supersedes = head.Datasets[0].Statement
	} else if !errors.Is(err, fault.NotFound) {
		return nil, err
	}
	return seal(manifests.NewContribution(&c, p.d.Root.Cid), p.signer)
}

// explained says what else a refusal may mean for a statement of another log.
func (p *pushing) explained(err error) error {
	c, ok := p.local.Predicate.(*manifests.Contribution)
	named := ok && len(c.Edges) > 0
	for _, s := range p.d.Sources {
		named = named || s.Statement.Defined()
	}
	if named && fault.Of(err) == fault.Conflict {
		return fault.WithHint(explained(err), "the dataset names statements of this home's log as its sources; that registry knows only its own")
	}
	if fault.Of(err).Retry() || fault.Of(err) == fault.NoSpace {
		return fault.WithHint(err, "what was acknowledged stays there; \"cairn push %s --registry %s\" goes on", p.d.Statement, p.to.url)
	}
	return explained(err)
}

// keep stores the registry's proof in the home and returns its path.
func (p *pushing) keep(statement string, bundle []byte) (string, error) {
	sum := sha256.Sum256([]byte(p.origin))
	dir := filepath.Join(p.home.Dir, receiptsDir, hex.EncodeToString(sum[:8]))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	name := filepath.Join(dir, statement+".cairn.json")
	return name, durable.WriteFile(name, bundle, 0o600)
}
