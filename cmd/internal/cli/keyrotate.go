package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

type rotateOptions struct {
	issue
	to, next, registry string
}

// A rotated is what "key rotate" and "key take" print with --json.
type rotated struct {
	Identity sign.KeyID `json:"identity"`
	Key      sign.KeyID `json:"key"`                // that signs from now on
	Name     string     `json:"name"`               // under which the ring has it
	Replaces sign.KeyID `json:"replaces,omitempty"` // the key before
	Old      string     `json:"old,omitempty"`      // under which the ring has that
	Next     string     `json:"next,omitempty"`     // digest of the key that is announced
	NextName string     `json:"nextName,omitempty"` // under which the ring has that
	// Statements are the rotations that this command logged.
	Statements []string `json:"statements,omitempty"`
	Index      *uint64  `json:"index,omitempty"`    // of the last of them
	Registry   string   `json:"registry,omitempty"` // the URL, when it is not this home's
	// Operators says that the key's place among the operators was changed with it.
	Operators bool   `json:"operators,omitempty"`
	Unchanged bool   `json:"unchanged,omitempty"` // the log has this key already
	File      string `json:"file,omitempty"`      // where the envelope was written instead
}

func newKeyRotate(env *Env) *cobra.Command {
	var o rotateOptions
	c := &cobra.Command{
		Use:   "rotate [NAME]",
		Short: "Let a new key take a key's place",
		Long: `rotate logs that another key signs for your identity from the next entry on, and
the one before no more. Your identity, which is the did:key of your first key,
stays: names, handle, credit, payouts and rights are yours as before. The new key
takes the old one's name in this home, so that it signs from then on; the old one
is kept as NAME.1, NAME.2 and so on.

Without --to a new key is made; --to takes another key of this home, which must
have signed nothing yet. --next announces the key after that: only that one can
then follow, whoever has stolen the others. "--next new" makes it; keep its file
elsewhere, and bring it back for the next rotation.

A log knows of a rotation by a statement of its own. --registry logs at the
registry at URL what it lacks: all rotations since the key that it knows, or, when
it lacks none, a new one.

A registry's operators are keys. When the key is the only one that is needed of
this home's operators, its place in the registry statement goes to the new key.

A command that was cut short is finished by the same command. With the did:key of
somebody else, --to hands the identity over: -o writes the envelope that they sign
with "cairn key take".`,
		Example: `  cairn key rotate
  cairn key rotate work --next new
  cairn key rotate --registry https://registry.example
  cairn key rotate ada --to did:key:z6Mk… -o ada.rotation.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return runKeyRotate(c.Context(), env, args, o)
		},
	}
	c.Flags().StringVar(&o.to, "to", "", "`name` of the key that follows, or the did:key of somebody else's (default: a new one, or the one that was announced)")
	c.Flags().StringVar(&o.next, "next", "", "announce the key after that: \"new\", the `name` of one, or a did:key")
	c.Flags().StringVar(&o.registry, "registry", "", "log it at the registry at this `URL`, by a signed request")
	c.Flags().StringVarP(&o.file, "output", "o", "", "with a did:key: the `file` for the envelope")
	return c
}

func runKeyRotate(ctx context.Context, env *Env, args []string, o rotateOptions) error {
	ring, cfg, err := env.keys()
	if err != nil {
		return err
	}
	name := env.keyName(cfg)
	if len(args) == 1 {
		name = args[0]
	}
	signer, err := ring.Load(name, env.passphrase(name, false))
	if err != nil {
		return err
	}
	r := &rotating{env: env, ring: ring, name: name, signer: signer, o: o}
	switch {
	case strings.HasPrefix(o.to, "did:"):
		return r.handOver(ctx)
	case o.file != "":
		return fault.New(fault.Invalid, "-o is for --to with the did:key of somebody else")
	case o.registry != "":
		api, err := env.signed(o.registry, signer)
		if err != nil {
			return err
		}
		return r.run(ctx, api, nil)
	}
	return env.withHome(ctx, func(ctx context.Context, c *daemon.Conn) error {
		return r.run(ctx, c.API, c)
	})
}

// rotating is a rotation of the key that the ring has under a name.
type rotating struct {
	env    *Env
	ring   *keyring.Ring
	name   string
	signer sign.Signer // the key before
	o      rotateOptions

	api  *client.Client
	home *daemon.Conn // nil at another registry
	out  rotated
}

// run brings the log to the newest key, and beyond it to a new one when it has it.
// What a crash leaves behind is finished by the next run:
//
//   - before the ring has written the rotation down: a key that nobody uses;
//   - before the log accepts it: a rotation that was begun, which is stated again;
//   - before the ring has put the new key in place: the same, and the log says that
//     it has the key. The key before still signs as an operator, and gives its place
//     to the new one.
func (r *rotating) run(ctx context.Context, api *client.Client, home *daemon.Conn) error {
	r.api, r.home = api, home
	identity := keyring.Identity(r.signer)
	r.out = rotated{Identity: identity, Name: r.name, Registry: r.o.registry}
	rot, begun, err := r.ring.Rotation(r.name)
	if err != nil {
		return err
	}
	if begun && rot.Registry != r.o.registry {
		where := "without --registry"
		if rot.Registry != "" {
			where = "with --registry " + rot.Registry
		}
		return fault.WithHint(fault.New(fault.Conflict, "a rotation of the key %q was begun and not finished", r.name), "finish it first: cairn key rotate %s, %s", r.name, where)
	}
	if begun {
		identity = rot.Identity
		r.out.Identity = identity
		if err := r.agrees(rot); err != nil {
			return err
		}
	}
	if home != nil {
		// The statement of the rotation may wait there, and what the key before signed:
		// after the rotation the log does not take that any more.
		_, refused, err := home.Outbox().Flush(ctx, func(ctx context.Context, b []byte) error {
			_, err := api.Submit(ctx, b)
			return err
		})
		for _, err := range refused {
			r.env.warn("warning: a statement that waited in the outbox is refused: %v", err)
		}
		if err != nil {
			return fmt.Errorf("finishing what waits in the outbox: %w", err)
		}
	}
	known, err := reader(api, r.o.registry).Identity(ctx, identity)
	if err != nil {
		return err
	}
	if !begun {
		if known.Key != r.signer.ID() {
			return r.catchUp(ctx, known)
		}
		if rot, err = r.begin(ctx, known); err != nil {
			return err
		}
	}
	switch known.Key {
	case rot.To:
		r.out.Unchanged = true
	case rot.From:
		if err := r.state(ctx, rot); err != nil {
			return err
		}
	default:
		err := fault.New(fault.Conflict, "the key of %s is neither %s nor %s: another rotation was logged", identity, rot.From, rot.To)
		return errors.Join(err, r.ring.Abandon(r.name))
	}
	if r.home != nil {
		if err := r.operators(ctx, rot); err != nil {
			return err
		}
	}
	r.out.Key, r.out.Replaces, r.out.Next = rot.To, rot.From, rot.Next
	if r.out.Old, err = r.ring.Finish(r.name); err != nil {
		return err
	}
	return r.print()
}

// begin makes the new keys and writes the rotation down.
func (r *rotating) begin(ctx context.Context, known *wire.Identity) (keyring.Rotation, error) {
	rot := keyring.Rotation{Identity: known.Identity, From: r.signer.ID(), Registry: r.o.registry}
	next, err := r.announced(ctx)
	if err != nil {
		return rot, err
	}
	to, err := r.successor(known)
	if err != nil {
		return rot, err
	}
	rot.To, rot.ToName, rot.Locked = to.ID, to.Name, to.Encrypted
	if r.o.next == "new" {
		if next, err = r.make("next"); err != nil {
			return rot, fmt.Errorf("--next: %w", err)
		}
	}
	if next.ID != "" {
		if next.ID == to.ID || next.ID == r.signer.ID() {
			return rot, fault.New(fault.Invalid, "--next must be another key than the one that follows and the one before")
		}
		rot.Next, r.out.NextName = manifests.KeyDigest(next.ID), next.Name
	}
	return rot, r.ring.Begin(r.name, rot)
}

// successor returns the key that follows.
func (r *rotating) successor(known *wire.Identity) (keyring.Entry, error) {
	name, announced := r.o.to, known.Announced
	if announced == "" {
		// A log that does not know of it would take another key, which the others then refuse.
		var err error
		if announced, err = r.ring.Announced(r.name); err != nil {
			return keyring.Entry{}, err
		}
	}
	if name == "" && announced != "" {
		all, err := r.ring.List()
		if err != nil {
			return keyring.Entry{}, err
		}
		i := slices.IndexFunc(all, func(e keyring.Entry) bool { return manifests.KeyDigest(e.ID) == announced })
		if i < 0 {
			return keyring.Entry{}, fault.WithHint(fault.New(fault.NotFound, "%s announced the key that follows, and it is not in this home", known.Identity),
				"put its files into keys/ of the home; its did:key has the SHA-256 %s", announced)
		}
		return all[i], nil
	}
	if name == "" {
		return r.make("new")
	}
	e, err := r.ring.Show(name)
	switch {
	case err != nil:
		return e, fmt.Errorf("--to: %w", err)
	case name == r.name:
		return e, fault.New(fault.Invalid, "--to %s is the key itself", name)
	case e.Identity != "":
		return e, fault.New(fault.Invalid, "--to %s is a key of another identity, %s", name, e.Identity)
	case announced != "" && manifests.KeyDigest(e.ID) != announced:
		return e, fault.New(fault.Conflict, "--to %s is not the key that %s announced", name, known.Identity)
	}
	return e, nil
}

// make makes a key of the kind of the one before, encrypted when that is.
func (r *rotating) make(word string) (keyring.Entry, error) {
	before, err := r.ring.Show(r.name)
	if err != nil {
		return before, err
	}
	name, err := r.ring.Free(r.name, word)
	if err != nil {
		return before, err
	}
	var ask func() ([]byte, error)
	if before.Encrypted {
		ask = r.env.passphrase(name, true)
	}
	return r.ring.Create(name, before.Algorithm, ask)
}

// state logs a rotation that was begun.
func (r *rotating) state(ctx context.Context, rot keyring.Rotation) error {
	to, err := r.ring.Load(rot.ToName, r.env.passphrase(rot.ToName, false))
	if err != nil {
		return err
	}
	if to.ID() != rot.To {
		return fault.New(fault.Conflict, "the key %q is %s, and the rotation that was begun is to %s", rot.ToName, to.ID(), rot.To)
	}
	err = r.log(ctx, rot.Identity, r.signer, to, rot.Next)
	if err == nil || !daemon.Refused(err) {
		return err
	}
	// A statement of an earlier run may have come to the log only now: forgotten here,
	// the rotation would leave this home without the key that signs.
	switch known, failed := reader(r.api, r.o.registry).Identity(ctx, rot.Identity); {
	case failed != nil:
		return errors.Join(err, failed)
	case known.Key == rot.To:
		r.out.Unchanged = true
		return nil
	}
	return errors.Join(err, r.ring.Abandon(r.name))
}

// log logs one rotation. At home its envelope waits in the outbox until the log has
// answered.
func (r *rotating) log(ctx context.Context, identity sign.KeyID, from, to sign.Signer, next string) error {
	k := &manifests.Key{Identity: identity, Key: to.ID(), Op: manifests.KeyRotate, Next: next}
	if err := r.env.fresh(ctx, r.api, k); err != nil {
		return err
	}
	e, out, err := r.env.sealed(manifests.New(k), from)
	if err != nil {
		return err
	}
	if err := e.Add(to); err != nil {
		return err
	}
	if r.home != nil {
		b, err := e.Encode()
		if err != nil {
			return err
		}
		id := manifests.StatementCID(e.Payload)
		if err := r.home.Outbox().Put(id, b); err != nil {
			return err
		}
		if err = r.env.logEnvelope(ctx, r.api, e, out); err == nil || daemon.Refused(err) {
			err = errors.Join(err, r.home.Outbox().Remove(id))
		}
		if err != nil {
			return err
		}
	} else if err := r.env.logEnvelope(ctx, r.api, e, out); err != nil {
		return err
	}
	r.out.Statements, r.out.Index = append(r.out.Statements, out.Statement), out.Index
	return nil
}

// operators gives the key's place among the operators, arbiters and gateways of the
// home's registry to the new key. That takes the operators' threshold: where this
// key alone is not enough, it is said, and the old key keeps its place.
func (r *rotating) operators(ctx context.Context, rot keyring.Rotation) error {
	reg, err := r.api.Registry(ctx)
	if err != nil {
		return err
	}
	old := rot.From
	lists := [][]sign.KeyID{reg.Operators, reg.Arbiters, reg.GatewayKeys}
	if !slices.ContainsFunc(lists, func(l []sign.KeyID) bool { return slices.Contains(l, old) }) {
		return nil
	}
	if !slices.Contains(reg.Operators, old) || reg.OperatorThreshold > 1 {
		r.env.warn("warning: %s stands in the registry statement as a key, and keeps its place there until %d of the operators log another; it signs for it with --key, under its new name", old, reg.OperatorThreshold)
		if slices.Contains(reg.GatewayKeys, old) {
			r.env.warn("warning: a gateway whose gateway.key is %q signs no more fetch records until the statement lists the new key: cairn registry update --add-gateway-key %s", r.name, r.name)
		}
		return nil
	}
	_, s, err := envelopeAt(ctx, r.api, reg.Statement.Cid)
	if err != nil {
		return fmt.Errorf("the registry statement: %w", err)
	}
	p, ok := s.Predicate.(*manifests.Registry)
	if !ok {
		return fault.New(fault.Internal, "the registry statement is of kind %s", s.Kind)
	}
	for _, l := range [][]sign.KeyID{p.Operators, p.Arbiters, p.GatewayKeys} {
		if i := slices.Index(l, old); i >= 0 && !slices.Contains(l, rot.To) {
			l[i] = rot.To
		}
	}
	p.Anchor = nil
	// A place in the list is the key's own, which still signs for it.
	signer, err := r.byID(old)
	if err != nil {
		return err
	}
	if _, err := r.env.state(ctx, r.home, p, signer); err != nil {
		return fmt.Errorf("giving the key's place among the operators to the new one: %w", err)
	}
	r.out.Operators = true
	return nil
}

// catchUp logs the rotations that a registry lacks, one after the other, up to the
// key that the ring has. Each announces the one after it, the last what the ring knows
// to be announced.
func (r *rotating) catchUp(ctx context.Context, known *wire.Identity) error {
	chain, err := r.ring.Chain(r.name)
	if err != nil {
		return err
	}
	if r.o.to != "" || r.o.next != "" {
		return fault.WithHint(fault.New(fault.Conflict, "the registry does not know yet that %s signs for %s", r.signer.ID(), known.Identity),
			"first without --to and --next: cairn key rotate %s", r.name)
	}
	at := slices.Index(chain, known.Key)
	if at < 0 {
		return fault.WithHint(fault.New(fault.Conflict, "the registry says that %s signs for %s, which is no key of %q", orNobody(known.Key), known.Identity, r.name),
			"whoever has the newest key of an identity rotates it")
	}
	from, err := r.byID(chain[at])
	if err != nil {
		return err
	}
	last, err := r.ring.Announced(r.name)
	if err != nil {
		return err
	}
	for i := at + 1; i < len(chain); i++ {
		to, err := r.byID(chain[i])
		if err != nil {
			return err
		}
		// The key that signs the request must be the one that the registry knows.
		if r.home == nil {
			if r.api, err = r.env.signed(r.o.registry, from); err != nil {
				return err
			}
		}
		next := last
		if i+1 < len(chain) {
			next = manifests.KeyDigest(chain[i+1])
		}
		if err := r.log(ctx, known.Identity, from, to, next); err != nil {
			return err
		}
		from = to
	}
	r.out.Key = from.ID()
	if r.home != nil {
		for _, old := range chain[:len(chain)-1] {
			if err := r.operators(ctx, keyring.Rotation{From: old, To: from.ID()}); err != nil {
				return err
			}
		}
	}
	return r.print()
}

func orNobody(id sign.KeyID) string {
	if id == "" {
		return "nobody"
	}
	return string(id)
}

func (r *rotating) byID(id sign.KeyID) (sign.Signer, error) {
	name, err := r.ring.Named(id)
	if err != nil {
		return nil, err
	}
	return r.ring.Load(name, r.env.passphrase(name, false))
}

func (r *rotating) print() error {
	if r.out.Old != "" && !r.env.json {
		r.env.warn("the key before is kept as %q", r.out.Old)
		if r.out.NextName != "" {
			r.env.warn("only the key %q can follow: keep its files, %s.* in keys/, elsewhere", r.out.NextName, r.out.NextName)
		}
	}
	return r.env.print(r.out, func(w io.Writer) { fmt.Fprintln(w, r.out.Key) })
}

// handOver writes the envelope of a rotation to somebody else's key.
func (r *rotating) handOver(ctx context.Context) error {
	to, err := sign.ParseKeyID(r.o.to)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	if r.o.file == "" || r.o.next != "" {
		return fault.WithHint(fault.New(fault.Invalid, "a rotation to somebody else's key goes into a file, without --next"), "add -o FILE; they sign it with \"cairn key take FILE\"")
	}
	return r.env.ask(ctx, r.o.registry, func(ctx context.Context, api *client.Client) error {
		k := &manifests.Key{Identity: keyring.Identity(r.signer), Key: to, Op: manifests.KeyRotate}
		if err := r.env.fresh(ctx, api, k); err != nil {
			return err
		}
		e, out, err := r.env.sealed(manifests.New(k), r.signer)
		if err != nil {
			return err
		}
		if err := r.env.writeEnvelope(r.o.file, e, out); err != nil || r.o.file == "-" {
			return err
		}
		r.env.warn("not logged yet: whoever has %s runs \"cairn key take %s\"; until then nothing has changed", to, r.o.file)
		done := rotated{Identity: k.Identity, Key: to, Name: r.name, Replaces: r.signer.ID(), File: r.o.file}
		return r.env.print(done, func(w io.Writer) { fmt.Fprintln(w, r.o.file) })
	})
}

// reader is who asks what everybody may ask: a signature by a key that was replaced is
// answered 401, whatever is asked.
func reader(api *client.Client, url string) *client.Client {
	if url == "" {
		return api
	}
	return client.New(url, nil)
}

// knows reports whether another registry knows that the key signs for its identity:
// it was rotated in the log there, too. fault.Conflict when not.
func knows(ctx context.Context, signer sign.Signer, url string) error {
	identity := keyring.Identity(signer)
	if identity == signer.ID() {
		return nil // what is wrong with it, the registry says
	}
	known, err := client.New(url, nil).Identity(ctx, identity)
	if err != nil || known.Key == signer.ID() {
		return err
	}
	return fault.WithHint(fault.New(fault.Conflict, "%s does not know yet that %s signs for %s", url, signer.ID(), identity),
		"cairn key rotate --registry %s", url)
}
