package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/payfile"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/ledger"
)

// maxDestinations bounds a file of destinations: a million lines of a did:key, an
// account and a name.
const maxDestinations = 256 << 20

// destinations are where payees are paid. They are private.
type destinations struct {
	plain  map[string]payfile.Destination
	opened map[string]*keyring.Opening
}

// readDestinations reads openings, tables and objects.
func readDestinations(names []string) (*destinations, error) {
	d := &destinations{plain: make(map[string]payfile.Destination), opened: make(map[string]*keyring.Opening)}
	for _, name := range names {
		b, err := auditing.ReadBounded(name, maxDestinations)
		if err != nil {
			return nil, fmt.Errorf("--destinations: %w", err)
		}
		if err := d.read(b); err != nil {
			return nil, fmt.Errorf("--destinations %s: %w", name, err)
		}
	}
	return d, nil
}

func (d *destinations) read(b []byte) error {
	if b = bytes.TrimSpace(b); len(b) == 0 || b[0] != '{' {
		return d.table(b)
	}
	var probe struct {
		Schema string `json:"$schema"`
	}
	if json.Unmarshal(b, &probe) == nil && probe.Schema != "" {
		o, err := keyring.ParseOpening(b)
		if err != nil {
			return err
		}
		if err := o.Verify(); err != nil {
			return err
		}
		d.opened[string(o.Identity)] = o
		return nil
	}
	var all map[string]payfile.Destination
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&all); err != nil {
		return fault.New(fault.Invalid, "want an object of {account, name, bic} by payee")
	}
	for payee, to := range all {
		d.plain[payee] = to
	}
	return nil
}

func (d *destinations) table(b []byte) error {
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		return fault.New(fault.Invalid, "not a CSV file with equally many columns in each line")
	}
	if len(rows) == 0 || len(rows[0]) < 2 || rows[0][0] != "payee" || rows[0][1] != "account" {
		return fault.New(fault.Invalid, "the first line must be payee,account and may go on with name,bic")
	}
	for i, row := range rows[1:] {
		to := payfile.Destination{Account: row[1]}
		for k, column := range rows[0] {
			switch column {
			case "name":
				to.Name = row[k]
			case "bic":
				to.BIC = row[k]
			}
		}
		if _, again := d.plain[row[0]]; again {
			return fault.New(fault.Invalid, "line %d: %s stands twice", i+2, fault.Quote(row[0]))
		}
		d.plain[row[0]] = to
	}
	return nil
}

// of returns where a payee is paid; fault.NotFound when nothing says it. Where
// the log has the payee's commitment for the rail, only what opens it will do,
// unless unopened.
func (d *destinations) of(ctx context.Context, api *client.Client, payee, rail string, unopened bool) (payfile.Destination, error) {
	to, plain := d.plain[payee]
	o := d.opened[payee]
	if o != nil {
		if err := json.Unmarshal(o.Details, &to); err != nil {
			return to, fault.New(fault.Invalid, "the details of %s are no account", payee)
		}
	} else if !plain {
		return to, fault.New(fault.NotFound, "%s has no destination", payee)
	}
	if unopened {
		return to, nil
	}
	said, err := api.Payees(ctx, sign.KeyID(payee))
	if fault.Of(err) == fault.NotFound || err == nil && len(said.Payees) == 0 {
		return to, nil
	}
	if err != nil {
		return to, err
	}
	for _, p := range said.Payees {
		if o != nil && p.Commitment == o.Commitment {
			if p.Rail != rail {
				return to, fault.WithHint(fault.New(fault.Conflict, "%s asked to be paid by %s, not %s", payee, p.Rail, rail), "--unopened pays nevertheless")
			}
			return to, nil
		}
	}
	return to, fault.WithHint(fault.New(fault.Unverified, "the destination of %s does not open the commitment that the log has of them", payee),
		"ask them for the opening file of \"cairn payee set\"; --unopened pays nevertheless")
}

// storeFile stores a file of at most one block.
func (env *Env) storeFile(ctx context.Context, c *daemon.Conn, b []byte) (id cid.Cid, err error) {
	if len(b) > maxOneBlock {
		return id, fault.New(fault.TooLarge, "the file has %d bytes, and one block at most %d", len(b), maxOneBlock)
	}
	s, err := openSink(ctx, c)
	if err != nil {
		return id, err
	}
	defer s.Close()
	id = cjson.RawCID(b)
	if err := s.PutRecord(ctx, id, b); err != nil {
		return id, err
	}
	return id, s.Finish(ctx)
}

// maxOneBlock is the chunk of unixfs-v1-2025: a file of that size is one block,
// and holds some 14,000 lines of a payout.
const maxOneBlock = 1 << 20

// payoutLines reads the public lines of a payout.
func (env *Env) payoutLines(ctx context.Context, c *daemon.Conn, p *manifests.Payout) ([]credit.PayoutLine, error) {
	b, err := ledger.ReadLines(ctx, c.Blocks, p.Lines.Cid)
	if err != nil {
		return nil, err
	}
	return ledger.PayoutLines(b, p.N, p.TotalMinor)
}
