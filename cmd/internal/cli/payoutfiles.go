package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/credit/payfile"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

const (
	// maxOpenings bounds the opening files that are read from a folder, as many as
	// a bank's batch has lines.
	maxOpenings = payfile.MaxTransfers
	// maxDebtor bounds the file with the account that pays.
	maxDebtor = 4 << 10
)

var payoutRails = []string{"csv", "pain.001", "oz-merkle", "uniswap-merkle", "splits", "drips"}

// railKind says what kind of destination a rail pays to: a commitment to one
// rail holds for all of its kind.
func railKind(rail string) string {
	switch rail {
	case "csv", "pain.001":
		return "a bank account"
	case "oz-merkle", "uniswap-merkle", "splits":
		return "a wallet"
	case "drips":
		return "a Drips account"
	}
	return rail
}

// Destinations are where payees are paid: what they committed to, and what a
// file of the operator's says.
type destinations struct {
	kind string
	said map[string]payfile.Destination // by payee, of the file
	// openings are those of the folder, by commitment.
	openings map[string]*keyring.Opening
	trusted  []string // payees for whom the file is all there is
	period   string   // the open one
}

// readDestinations reads the file and the folder; either may be "".
func (env *Env) readDestinations(ctx context.Context, api *client.Client, rail, file, folder string) (*destinations, error) {
	d := &destinations{kind: railKind(rail), said: make(map[string]payfile.Destination), openings: make(map[string]*keyring.Opening)}
	calendar, err := api.Calendar(ctx)
	if err != nil {
		return nil, err
	}
	d.period = calendar.Open
	if file == "" && folder == "" {
		return nil, fault.WithHint(fault.New(fault.Invalid, "nothing says where payees are paid"), "--destinations FILE, or --payees DIR with their opening files")
	}
	if file != "" {
		b, err := auditing.ReadBounded(file, maxCSV)
		if err != nil {
			return nil, fmt.Errorf("--destinations: %w", err)
		}
		if err := d.read(ctx, env, api, b); err != nil {
			return nil, err
		}
	}
	if folder != "" {
		if err := d.open(folder); err != nil {
			return nil, fmt.Errorf("--payees: %w", err)
		}
	}
	return d, nil
}

// read reads the destinations file.
func (d *destinations) read(ctx context.Context, env *Env, api *client.Client, b []byte) error {
	add := func(payee string, to payfile.Destination) error {
		id, err := env.payeeNamed(ctx, api, payee)
		if err != nil {
			return err
		}
		if to.Account == "" {
			return fault.New(fault.Invalid, "%s has no destination", fault.Quote(payee))
		}
		if _, twice := d.said[id]; twice {
			return fault.New(fault.Invalid, "%s is named twice", fault.Quote(payee))
		}
		d.said[id] = to
		return nil
	}
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		all := make(map[string]payfile.Destination)
		dec := json.NewDecoder(bytes.NewReader(b))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&all); err != nil {
			return fault.New(fault.Invalid, "--destinations: %w", err)
		}
		var errs []error
		for payee, to := range all {
			if err := add(payee, to); err != nil && len(errs) < maxProblems {
				errs = append(errs, fmt.Errorf("--destinations: %w", err))
			}
		}
		return errors.Join(errs...)
	}
	return table("--destinations", b, []string{"payee", "destination"}, []string{"name", "bic"}, func(_ int, cell func(string) string) error {
		return add(cell("payee"), payfile.Destination{Account: cell("destination"), Name: cell("name"), BIC: cell("bic")})
	})
}

// payeeNamed finds the payee that a text names: the text of any did as it
// stands, since a payee may be a wallet; else as [Env.party] does.
func (env *Env) payeeNamed(ctx context.Context, api *client.Client, text string) (string, error) {
	if strings.HasPrefix(text, "did:pkh:") {
		return text, nil
	}
	id, err := env.party(ctx, api, text)
	return string(id), err
}

// open reads the opening files of a folder. One that does not open its own
// commitment is fault.Unverified.
func (d *destinations) open(folder string) error {
	names, err := filepath.Glob(filepath.Join(strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(folder), "*.payee.json"))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fault.New(fault.NotFound, "%s has no opening files (*.payee.json)", folder)
	}
	if len(names) > maxOpenings {
		return fault.New(fault.TooLarge, "%s has more than %d opening files", folder, maxOpenings)
	}
	for _, name := range names {
		o, err := keyring.ReadOpening(name)
		if err == nil {
			err = o.Verify()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		d.openings[o.Commitment] = o
	}
	return nil
}

// of says where a payee is paid, or why they are left out. A destination that is
// not the one that the payee committed to is an error.
func (d *destinations) of(ctx context.Context, api *client.Client, payee string) (to payfile.Destination, why string, err error) {
	said, named := d.said[payee]
	committed, err := d.commitment(ctx, api, payee)
	if err != nil {
		return to, "", err
	}
	if committed == nil {
		if !named {
			return to, "no destination is known", nil
		}
		d.trusted = append(d.trusted, payee)
		return said, "", nil
	}
	if railKind(committed.Rail) != d.kind {
		return to, "they are paid by " + committed.Rail, nil
	}
	o := d.openings[committed.Commitment]
	if o == nil && !named {
		return to, "their opening file is not at hand", nil
	}
	if o == nil {
		return to, "", fault.WithHint(fault.New(fault.Invalid, "%s has committed to a destination (entry %d), and nothing shows that the file's is that one", payee, committed.Index),
			"ask for the opening file, and put it into the folder of --payees")
	}
	if string(o.Identity) != payee || o.Rail != committed.Rail {
		return to, "", fault.New(fault.Unverified, "the opening file of %s is for another party or rail", payee)
	}
	if to, err = opened(o.Details); err != nil {
		return to, "", fmt.Errorf("the opening file of %s: %w", payee, err)
	}
	if named && said.Account != to.Account {
		return to, "", fault.WithHint(fault.New(fault.Unverified, "the destinations file pays %s elsewhere than they have committed to", payee), "leave the payee out of the file: the opening is enough")
	}
	return to, "", nil
}

// commitment returns the payee/v1 by which a party is paid in the open period,
// nil for none.
func (d *destinations) commitment(ctx context.Context, api *client.Client, payee string) (*wire.Payee, error) {
	id, err := sign.ParseKeyID(payee)
	if err != nil {
		return nil, nil // a wallet signs no payee/v1
	}
	said, err := api.Payees(ctx, id)
	if fault.Of(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, p := range said.Payees {
		if p.From <= d.period {
			return &p, nil
		}
	}
	return nil, nil
}

// opened reads a destination out of the details of an opening: account, iban or
// address, with name and bic.
func opened(details []byte) (payfile.Destination, error) {
	var x struct{ Account, IBAN, Address, Name, BIC string }
	if err := json.Unmarshal(details, &x); err != nil {
		return payfile.Destination{}, fault.New(fault.Invalid, "its details are not texts")
	}
	to := payfile.Destination{Account: x.Account, Name: x.Name, BIC: x.BIC}
	for _, other := range []string{x.IBAN, x.Address} {
		if other == "" {
			continue
		}
		if to.Account != "" {
			return to, fault.New(fault.Invalid, "its details name two accounts")
		}
		to.Account = other
	}
	if to.Account == "" {
		return to, fault.New(fault.Invalid, "its details have no account, iban or address")
	}
	return to, nil
}

// unverified lists the payees for whom the file is all that says where they are
// paid, sorted.
func (d *destinations) unverified() []string {
	slices.Sort(d.trusted)
	return d.trusted
}

// debtor reads the account that pays.
func (o *payoutOptions) debtor() (to payfile.Destination, err error) {
	if o.debtorFile == "" {
		if o.rail == "pain.001" {
			err = fault.WithHint(fault.New(fault.Invalid, "pain.001 needs --debtor: the account that pays"), `a JSON file: {"account": "DE89…", "name": "…", "bic": "…"}`)
		}
		return to, err
	}
	b, err := auditing.ReadBounded(o.debtorFile, maxDebtor)
	if err != nil {
		return to, fmt.Errorf("--debtor: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&to); err != nil {
		return to, fault.New(fault.Invalid, "--debtor: %w", err)
	}
	return to, nil
}

// writeRail writes a private file. A file of other bytes that is there already
// may be what another payout paid with, and is not overwritten.
func writeRail(name string, b []byte) (made bool, err error) {
	f, err := os.Open(name)
	if err == nil {
		old, err := io.ReadAll(io.LimitReader(f, int64(len(b))+1))
		f.Close()
		if err != nil {
			return false, err
		}
		if bytes.Equal(old, b) {
			return false, os.Chmod(name, 0o600)
		}
		return false, fault.WithHint(fault.New(fault.Conflict, "%s is there already, and is another file", name), "choose another name: it may be what another payout pays with")
	}
	if !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	return true, durable.WriteFile(name, b, 0o600)
}

// withdrawRail removes a file that was just made, if the log has refused its
// payout for certain: nobody should pay with it.
func withdrawRail(err error, name string, made bool) error {
	switch fault.Of(err) {
	case fault.Invalid, fault.Conflict, fault.Denied, fault.NotFound, fault.Unauthenticated:
		if made {
			return os.Remove(name)
		}
	}
	return nil
}

// storeLines stores the public lines as a UnixFS file, and returns its CID.
func (p *payer) storeLines(ctx context.Context, lines []payfile.Line) (cid.Cid, error) {
	public, err := payfile.NewPublicCSV(lines)
	if err != nil {
		return cid.Undef, err
	}
	var b bytes.Buffer
	if _, err := public.WriteTo(&b); err != nil {
		return cid.Undef, err
	}
	return storeFile(ctx, p.c, b.Bytes())
}

// storeFile stores a file under unixfs-v1-2025 in the home: one raw block up to
// the size of a chunk, else leaves and nodes.
func storeFile(ctx context.Context, c *daemon.Conn, b []byte) (cid.Cid, error) {
	s, err := openSink(ctx, c, cid.Undef)
	if err != nil {
		return cid.Undef, err
	}
	defer s.Close()
	id, err := putFile(ctx, s, b)
	if err != nil {
		return cid.Undef, err
	}
	return id, s.Finish(ctx)
}

func putFile(ctx context.Context, s sink, b []byte) (cid.Cid, error) {
	profile := dag.ProfileV1_2025
	if len(b) <= profile.ChunkSize {
		id := profile.LeafCID(sha256.Sum256(b))
		return id, s.PutRecord(ctx, id, b)
	}
	batch, err := s.Batch(ctx)
	if err != nil {
		return cid.Undef, err
	}
	defer batch.Close()
	file := dag.NewFile(profile, batch)
	for len(b) > 0 {
		leaf := b[:min(len(b), profile.ChunkSize)]
		b = b[len(leaf):]
		d := sha256.Sum256(leaf)
		if _, err := batch.Append(ctx, profile.LeafCID(d), leaf); err != nil {
			return cid.Undef, err
		}
		if err := file.AddLeaf(ctx, d, len(leaf), len(leaf)); err != nil {
			return cid.Undef, err
		}
	}
	link, _, err := file.Finish(ctx)
	if err != nil {
		return cid.Undef, err
	}
	return link.CID, batch.Commit(ctx)
}
