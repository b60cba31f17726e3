package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// An issue is how a command lets its statement out: into the log, or with -o
// into a file that others sign and submit.
type issue struct{ file string }

func (o *issue) register(c *cobra.Command) {
	c.Flags().StringVarP(&o.file, "output", "o", "", "write the signed statement to this `file` instead of logging it")
}

// An issued is what a command that makes a statement prints with --json.
type issued struct {
	Statement string           `json:"statement"`
	Kind      manifests.Kind   `json:"kind"`
	Signers   []sign.KeyID     `json:"signers"` // of the envelope
	Says      []string         `json:"says"`    // the statement in plain words
	Index     *uint64          `json:"index,omitempty"`
	Unchanged bool             `json:"unchanged,omitempty"` // it was in the log already
	File      string           `json:"file,omitempty"`      // where the envelope was written instead
	Missing   []sign.KeyID     `json:"missing,omitempty"`   // whose signatures an agreement waits for
	Edges     []manifests.Edge `json:"edges,omitempty"`     // of a model
	Period    string           `json:"period,omitempty"`    // from which it counts
	Receipt   string           `json:"receipt,omitempty"`
	Warnings  []string         `json:"warnings,omitempty"` // of the registry
	Private   string           `json:"private,omitempty"`  // a file that was written and must be kept
	Sealed    string           `json:"sealed,omitempty"`   // the same, encrypted for the operator
}

// sealed signs a statement and says what it says.
func (env *Env) sealed(s *manifests.Statement, signer sign.Signer) (*sign.Envelope, *issued, error) {
	payload, err := manifests.Encode(s)
	if err != nil {
		return nil, nil, fmt.Errorf("the statement: %w", err)
	}
	e, err := sign.Seal(payload, signer)
	if err != nil {
		return nil, nil, err
	}
	out := describeEnvelope(e, s)
	env.say("signed as "+string(signer.ID()), out.Says)
	return e, out, nil
}

// say shows on stderr what is being signed: nobody signs unseen. With --json the
// words are in the result.
func (env *Env) say(what string, lines []string) {
	if env.json {
		return
	}
	env.warn("%s:", what)
	for _, l := range lines {
		fmt.Fprintf(env.Stderr, "  %s\n", fault.Printable(l))
	}
}

// release signs s and lets it out as o says.
func (env *Env) release(ctx context.Context, api *client.Client, s *manifests.Statement, signer sign.Signer, o issue) (*issued, error) {
	e, out, err := env.sealed(s, signer)
	if err != nil {
		return nil, err
	}
	if o.file != "" {
		return out, env.writeEnvelope(o.file, e, out)
	}
	return out, env.logEnvelope(ctx, api, e, out)
}

// writeEnvelope writes an envelope to a file, or to stdout for "-".
func (env *Env) writeEnvelope(name string, e *sign.Envelope, out *issued) error {
	b, err := e.Encode()
	if err != nil {
		return err
	}
	w, finish, err := env.output(name)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	out.File = name
	return finish(err)
}

// logEnvelope submits an envelope. A verdict other than "accepted" is an error,
// but for a statement that was accepted before.
func (env *Env) logEnvelope(ctx context.Context, api *client.Client, e *sign.Envelope, out *issued) error {
	b, err := e.Encode()
	if err != nil {
		return err
	}
	sub, err := api.Submit(ctx, b)
	if err != nil {
		return explained(err)
	}
	if sub.Verdict != "accepted" {
		return explained(fault.New(fault.Conflict, "the log recorded the statement as %s: %s (entry %d)", sub.Verdict, sub.Code, sub.Index))
	}
	out.Warnings = env.doorWarnings(sub)
	// A payment that was stated before in the same words is answered with that.
	if id := sub.Statement.String(); id != out.Statement {
		out.Statement, out.Unchanged = id, true
	}
	out.Index, out.Receipt = &sub.Index, sub.Receipt
	return nil
}

// signedAlone are the kinds that nobody but their party signs.
var signedAlone = map[manifests.Kind]bool{
	manifests.KindAccept: true, manifests.KindWithdraw: true, manifests.KindDispute: true, manifests.KindUsage: true,
	manifests.KindPayee: true, manifests.KindCommit: true, manifests.KindProfile: true, manifests.KindKey: true,
}

// show prints the outcome: the statement's CID alone, or the file's name where
// the envelope went to a file. An envelope on stdout stands alone.
func (env *Env) show(out *issued) error {
	switch {
	case out.File == "-":
		return nil
	case out.File != "" && !env.json:
		if signedAlone[out.Kind] {
			env.warn("not logged yet: \"cairn statement submit %s\" logs it, in the home of the registry that it is for", out.File)
		} else {
			env.warn("not logged yet: others add their names with \"cairn statement sign %s\", then \"cairn statement submit %s\"", out.File, out.File)
		}
		_, err := fmt.Fprintln(env.Stdout, out.File)
		return err
	}
	return env.print(out, func(w io.Writer) { fmt.Fprintln(w, out.Statement) })
}

// issues runs a command that makes one statement: build makes it against the
// home's registry, as the signer, or returns an [already].
func (env *Env) issues(ctx context.Context, o issue, build func(ctx context.Context, c *daemon.Conn, signer sign.Signer) (*manifests.Statement, error)) error {
	signer, err := env.mine()
	if err != nil {
		return err
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		s, err := build(ctx, c, signer)
		var a *already
		if errors.As(err, &a) {
			return env.unchanged(a, o)
		}
		if err != nil {
			return err
		}
		out, err := env.release(ctx, c.API, s, signer, o)
		if err != nil {
			return err
		}
		return env.show(out)
	})
}

// mine loads the key that signs.
func (env *Env) mine() (sign.Signer, error) {
	ring, cfg, err := env.keys()
	if err != nil {
		return nil, err
	}
	return env.signer(ring, cfg)
}

// mineOrNew is mine, and makes the key in a home that has none at all.
func (env *Env) mineOrNew() (sign.Signer, error) {
	ring, cfg, err := env.keys()
	if err != nil {
		return nil, err
	}
	if err := ensureKey(env, ring, cfg); err != nil {
		return nil, err
	}
	return env.signer(ring, cfg)
}

// fresh fills in what every statement has.
func (env *Env) fresh(ctx context.Context, api *client.Client, p manifests.Predicate) error {
	status, err := api.Status(ctx)
	if err != nil {
		return err
	}
	*p.Base(), err = env.common(status.Origin)
	return err
}

// readEnvelope reads an envelope file, - for stdin, as any DSSE tool may have
// written it, and verifies its signatures.
func (env *Env) readEnvelope(name string) (*sign.Envelope, *manifests.Statement, error) {
	var b []byte
	var err error
	if name == "-" {
		b, err = io.ReadAll(io.LimitReader(env.Stdin, 2*sign.MaxEnvelope))
	} else {
		b, err = auditing.ReadBounded(name, 2*sign.MaxEnvelope)
	}
	if err != nil {
		return nil, nil, err
	}
	payload, err := sign.Peek(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	s, err := manifests.Decode(payload)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: the statement: %w", name, err)
	}
	if err := s.CheckSubject(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	_, allowed := s.Signers()
	e, err := sign.Normalize(b, allowed)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	if _, _, err := e.Open(); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return e, s, nil
}

// describeEnvelope is what a command prints of an envelope.
func describeEnvelope(e *sign.Envelope, s *manifests.Statement) *issued {
	out := &issued{Statement: manifests.StatementCID(e.Payload).String(), Kind: s.Kind, Says: words(s)}
	for _, sig := range e.Signatures {
		out.Signers = append(out.Signers, sig.KeyID)
	}
	if m, ok := s.Predicate.(*manifests.Model); ok {
		out.Edges = m.Edges
	}
	return out
}

// signedAlready reports whether the log has the key's signature on a statement.
func signedAlready(st *wire.Statement, id sign.KeyID) bool {
	return slices.ContainsFunc(st.Signers, func(s wire.Signer) bool { return s.ID == id })
}

// isFile tells a file's name from a CID: a file that is there wins, and - is stdin.
func isFile(text string) bool {
	if text == "-" {
		return true
	}
	info, err := os.Stat(text)
	return err == nil && !info.IsDir()
}

// envelopeAt reads the envelope of a logged statement.
func envelopeAt(ctx context.Context, api *client.Client, id cid.Cid) (*sign.Envelope, *manifests.Statement, error) {
	b, err := api.Envelope(ctx, id)
	if errors.Is(err, fault.NotFound) {
		return nil, nil, fault.WithHint(err, "a statement is named by its CID, as \"cairn show\" prints it")
	}
	if err != nil {
		return nil, nil, err
	}
	e, err := sign.Decode(b)
	if err != nil {
		return nil, nil, err
	}
	s, err := manifests.Decode(e.Payload)
	return e, s, err
}
