package auditing

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks/remote"
	"github.com/cairn-registry/cairn/ingest/records"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/audit"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A Source is a registry as evidence.
type Source struct {
	*client.Client
	unixfs.Blocks
}

// Remote returns the registry at a URL as evidence. rt carries the requests;
// nil for the network.
func Remote(url string, rt http.RoundTripper) (Source, error) {
	blocks, err := remote.New(url, remote.Options{Transport: rt})
	if err != nil {
		return Source{}, err
	}
	return Source{client.New(url, rt), claimed{blocks}}, nil
}

// Options completes the options of an audit of src with what needs more than
// manifests: reading records, and asking the registry about overlap.
func (s Source) Options(o audit.Options) audit.Options {
	o.Sketch = records.VerifySketch
	o.Overlap = func(ctx context.Context, statement cid.Cid) ([]audit.Undeclared, error) {
		found, err := s.Client.Overlap(ctx, statement, cid.Undef)
		if err != nil {
			return nil, err
		}
		var out []audit.Undeclared
		for _, m := range found.Matches {
			if m.Finding == "" {
				continue
			}
			detail := fmt.Sprintf("by the registry's index it shares %s with %s@%s, entry %d, and declares no relation to it", share(m), m.Name, m.Version, m.Index)
			out = append(out, audit.Undeclared{Statement: m.Statement.Cid, Code: m.Finding, Detail: detail})
		}
		return out, nil
	}
	return o
}

func share(m wire.OverlapMatch) string {
	var parts []string
	for _, p := range []struct {
		of   *wire.OverlapShare
		what string
	}{{m.Records, "records"}, {m.Chunks, "chunks"}} {
		if p.of != nil && p.of.SharePpm > 0 {
			parts = append(parts, fmt.Sprintf("%.1f %% ± %.1f of its %s", float64(p.of.SharePpm)/1e4, float64(p.of.StdErrPpm)/1e4, p.what))
		}
	}
	return strings.Join(parts, " and ")
}

// claimed takes the gateway's word for lengths: an audit that needs to know
// reads the block.
type claimed struct{ *remote.Client }

func (c claimed) Size(ctx context.Context, id cid.Cid) (uint64, error) { return c.Claimed(ctx, id) }

// Verified returns the blocks of a source with lengths that are checked too:
// for who reads data, rather than audits it.
func Verified(s Source) unixfs.Blocks {
	if c, ok := s.Blocks.(claimed); ok {
		return c.Client
	}
	return s.Blocks
}

// Resolve finds what REF names at a registry: publisher/name[@version], a CID,
// or a bare name, which is that of own, the caller's identity, if it has one
// of that name, else of the only publisher who has.
func Resolve(ctx context.Context, api *client.Client, ref string, own sign.KeyID) (*wire.Resolution, error) {
	if strings.Contains(ref, "/") {
		return api.Resolve(ctx, ref)
	}
	if _, err := cjson.ParseCID(ref); err == nil {
		return api.Resolve(ctx, ref)
	}
	if own != "" {
		res, err := api.Resolve(ctx, string(own)+"/"+ref)
		if fault.Of(err) != fault.NotFound {
			return res, err
		}
	}
	name, _, _ := strings.Cut(ref, "@")
	page, err := api.Datasets(ctx, client.Query{Name: name, Latest: true})
	if err != nil {
		return nil, err
	}
	switch len(page.Datasets) {
	case 0:
		return nil, fault.WithHint(fault.New(fault.NotFound, "there is no dataset %s", fault.Quote(ref)), `"cairn ls" lists what there is`)
	case 1:
		return api.Resolve(ctx, string(page.Datasets[0].Publisher)+"/"+ref)
	}
	var all []string
	for _, d := range page.Datasets {
		all = append(all, "  "+string(d.Publisher)+"/"+ref)
	}
	return nil, fault.WithHint(fault.New(fault.Conflict, "%d publishers have a dataset %s:\n%s", len(all), fault.Quote(name), strings.Join(all, "\n")),
		"name one of them")
}

// One returns the dataset of a resolution that must name exactly one statement.
func One(ref string, res *wire.Resolution) (*wire.Dataset, error) {
	if len(res.Datasets) == 1 {
		return &res.Datasets[0], nil
	}
	var all []string
	for _, d := range res.Datasets {
		all = append(all, fmt.Sprintf("  %s  %s/%s@%s", d.Statement, d.Publisher, d.Name, d.Version))
	}
	return nil, fault.WithHint(fault.New(fault.Conflict, "%s is the data of %d statements:\n%s", ref, len(all), strings.Join(all, "\n")),
		"name one of them by its CID")
}

// Seed returns a seed for a sample, which the report states.
func Seed() uint64 { return rand.Uint64() >> 11 } // exact as a JSON number

// ParseMode reads --blocks.
func ParseMode(text string) (audit.Mode, error) {
	switch m := audit.Mode(text); m {
	case audit.All, audit.Sample, audit.None:
		return m, nil
	}
	return "", fault.New(fault.Invalid, "--blocks is %s, not all, sample or none", fault.Quote(text))
}

// Print writes a report: to w as text or, with asJSON, as JSON, and to the file
// as JSON if one is named.
func Print(w io.Writer, r interface{ Text(io.Writer) }, asJSON bool, name string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if name != "" {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			return err
		}
	}
	if asJSON {
		b, err := json.Marshal(r)
		if err == nil {
			_, err = w.Write(append(b, '\n'))
		}
		return err
	}
	r.Text(fault.Plain(w))
	return nil
}
