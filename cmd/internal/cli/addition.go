package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/cmd/internal/term"
	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/ingest/records"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/wire"
)

const (
	// manyFiles are more than what the memory limit of an add is made for: the
	// names and hashes of a large tree are live memory, and a collector that has
	// no room beside them does nothing else.
	manyFiles = 2000
	// manyMemory is the limit from there on.
	manyMemory = 112 << 20
)

// tidyPercent is how much garbage the registry's part of an ordinary add may
// leave, of what is live.
const tidyPercent = 20

// tidy has the collector run more often, unless the user has set its limit or
// there are many files: then their names are what is live, and running is work.
func (env *Env) tidy(files int64) {
	if env.limited && files < manyFiles {
		debug.SetGCPercent(tidyPercent)
	}
}

// submitTries is how often an add signs anew because another add of the same
// name came in between.
const submitTries = 3

// An addition is one add on its way: what was asked, and what is known so far.
type addition struct {
	env    *Env
	o      *addOptions
	path   string
	signer sign.Signer
	conn   *daemon.Conn
	sink   sink

	base    *manifests.Manifest // from --manifest, flags applied
	profile dag.Profile
	edges   edges
	data    *ingest.Result
}

func (a *addition) options(bar *term.Bar) ingest.AddOptions {
	o := ingest.AddOptions{
		Profile: a.profile, Chunker: a.o.chunker, Hidden: a.o.hidden, Portable: a.o.portable, PreScan: bar != nil,
		NoSketch: a.o.noSketch, Drop: records.DropOf(a.base), Schemas: a.base.RecordSchema,
	}
	o.Progress = func(p ingest.Progress) {
		if p.Files > manyFiles {
			a.env.memory(manyMemory)
		}
		bar.Update(p.Bytes, p.TotalBytes, p.Files)
	}
	return o
}

func (a *addition) dryRun(ctx context.Context) error {
	bar := a.env.bar("hashing")
	r, err := ingest.Add(ctx, a.path, nil, a.options(bar))
	bar.Done()
	if err != nil {
		return err
	}
	a.data = r
	a.warnings()
	return a.answer(addResult{Version: a.o.version, DryRun: true})
}

func (a *addition) warnings() {
	if a.env.json {
		return // they are in the result
	}
	const most = 20
	for i, w := range a.data.Warnings {
		if i == most {
			a.env.warn("warning: and %d more, see --json", len(a.data.Warnings)-most)
			break
		}
		a.env.warn("warning: %s", w)
	}
}

// run is the way of a dataset: data, terms, manifest, statement, log. The
// registry is opened only once the data is in: its memory comes after that of
// the chunks in flight, not on top.
func (a *addition) run(ctx context.Context) error {
	if err := a.o.resolve(a.base.Contributors, keyring.Identity(a.signer)); err != nil {
		return err
	}
	a.base.Contributors = a.o.people
	if err := a.lineage(ctx); err != nil {
		return err
	}
	if err := a.flows(ctx); err != nil {
		return err
	}
	var err error
	if err := a.o.complete(); err != nil {
		return err
	}
	if a.sink, err = openSink(ctx, a.conn, a.o.space()); err != nil {
		return err
	}
	defer a.sink.Close()
	bar := a.env.bar("adding")
	o := a.options(bar)
	o.CacheDir = filepath.Join(a.conn.Dir, "cache")
	a.data, err = ingest.Add(ctx, a.path, a.sink, o)
	bar.Done()
	if err != nil {
		return err
	}
	a.warnings()
	// The chunks' memory goes back before the registry asks for its own, so that
	// the two are never held at once. The databases' tables are live memory that is
	// mostly not touched: by them the collector would let as much garbage pile up.
	debug.FreeOSMemory()
	a.env.tidy(a.data.FileCount)
	if err := a.o.licensing.store(ctx, a.sink); err != nil {
		return err
	}
	if err := a.sink.Finish(ctx); err != nil {
		return err
	}
	if a.conn.Home != nil && !daemon.HasLog(a.conn.Dir) {
		if err := createRegistry(ctx, a.env, a.conn.Home, "", a.signer, new(constitution)); err != nil {
			return err
		}
	}
	finished, refused, err := a.conn.Outbox().Flush(ctx, func(ctx context.Context, b []byte) error {
		_, err := a.conn.API.Submit(ctx, b)
		return err
	})
	for _, err := range refused {
		a.env.warn("warning: an earlier add that was cut short is refused: %v", err)
	}
	if err != nil {
		return fmt.Errorf("finishing an earlier add: %w", err)
	}
	if finished > 0 {
		a.env.warn("finished %d earlier add that was cut short", finished)
	}
	return a.register(ctx)
}

// register makes the manifest and the statement, and logs it. When another add
// of the same name was faster, it signs again on top of that one.
func (a *addition) register(ctx context.Context) error {
	m, err := a.manifest()
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		head, err := a.head(ctx)
		if err != nil {
			return err
		}
		if head != nil && a.o.implied {
			old, err := a.manifestOf(ctx, head)
			if err != nil {
				return err
			}
			a.o.takeOver(old.Contributors, head.Contributors, head.Total)
			m.Contributors = a.o.people
		}
		if head != nil && !a.o.again && (a.o.version == "" || a.o.version == head.Version) {
			same, err := a.unchanged(ctx, head, m)
			if err != nil {
				return err
			}
			if same {
				return a.answerUnchanged(ctx, head)
			}
		}
		if head != nil && a.o.implied {
			if err := a.o.follow(ctx, a.conn.API, head.Statement.Cid); err != nil {
				return err
			}
			m.Contributors = a.o.people
			a.env.credited(&a.o.crediting, head.Name+"@"+head.Version, keyring.Identity(a.signer))
		}
		if m.Version, err = a.version(ctx, head, m); err != nil {
			return err
		}
		result, err := a.submit(ctx, head, m)
		if fault.Of(err) == fault.Conflict && try < submitTries {
			if now, herr := a.head(ctx); herr == nil && newer(now, head) {
				continue
			}
		}
		if err != nil {
			return err
		}
		return a.finish(ctx, result)
	}
}

// finish pushes what was registered here, if that was asked for, and answers.
func (a *addition) finish(ctx context.Context, r addResult) error {
	if a.o.push.url == "" {
		return a.answer(r)
	}
	res, err := a.conn.API.Resolve(ctx, r.Statement)
	if err != nil {
		return err
	}
	a.env.note("registered here as entry %d; pushing to %s", *r.Index, a.o.push.url)
	if r.Remote, err = a.env.push(ctx, a.conn, &res.Datasets[0], a.signer, a.o.push); err != nil {
		if fault.Hint(err) == "" {
			err = fault.WithHint(err, "\"cairn push %s --registry %s\" tries again", r.Statement, a.o.push.url)
		}
		return fmt.Errorf("%s@%s is registered here as entry %d, and was not pushed: %w", a.o.name, r.Version, *r.Index, err)
	}
	return a.answer(r)
}

func newer(now, then *wire.Dataset) bool {
	return now != nil && (then == nil || now.Index > then.Index)
}

// head returns the newest version of the name, nil when there is none.
func (a *addition) head(ctx context.Context) (*wire.Dataset, error) {
	res, err := a.conn.API.Resolve(ctx, string(keyring.Identity(a.signer))+"/"+a.o.name)
	if errors.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &res.Datasets[0], nil
}

// submit signs and logs one statement.
func (a *addition) submit(ctx context.Context, head *wire.Dataset, m *manifests.Manifest) (addResult, error) {
	m.CreatedAt = a.env.Now().UTC().Format(time.RFC3339)
	mb, err := manifests.EncodeManifest(m)
	if err != nil {
		return addResult{}, fmt.Errorf("the manifest: %w", err)
	}
	mcid := cjson.JSONCID(mb)
	if err := a.sink.PutRecord(ctx, mcid, mb); err != nil {
		return addResult{}, err
	}
	if err := a.sink.Finish(ctx); err != nil {
		return addResult{}, err
	}
	status, err := a.conn.API.Status(ctx)
	if err != nil {
		return addResult{}, err
	}
	s, err := a.statement(status, m, mcid, head)
	if err != nil {
		return addResult{}, err
	}
	payload, err := manifests.Encode(s)
	if err != nil {
		return addResult{}, fmt.Errorf("the statement: %w", err)
	}
	envelope, err := seal(s, a.signer)
	if err != nil {
		return addResult{}, err
	}
	id := manifests.StatementCID(payload)
	outbox := a.conn.Outbox()
	if err := outbox.Put(id, envelope); err != nil {
		return addResult{}, err
	}
	sub, err := a.conn.API.Submit(ctx, envelope)
	if err != nil {
		if daemon.Refused(err) {
			err = errors.Join(err, outbox.Remove(id))
		} else {
			err = fault.WithHint(err, "the signed statement is kept; the next \"cairn add\" submits it again")
		}
		return addResult{}, explained(fmt.Errorf("logging the statement about %s@%s: %w", m.Name, m.Version, err))
	}
	if err := outbox.Remove(id); err != nil {
		return addResult{}, err
	}
	if sub.Verdict != "accepted" {
		return addResult{}, explained(fault.New(fault.Conflict, "the log recorded the statement as %s: %s (entry %d)", sub.Verdict, sub.Code, sub.Index))
	}
	return addResult{Edges: a.edges.list, Statement: id.String(), Version: m.Version, Index: &sub.Index, Manifest: mcid.String(), Receipt: sub.Receipt, TermsWarnings: a.env.doorWarnings(sub)}, nil
}

// statement makes the statement about the data.
func (a *addition) statement(status *wire.Status, m *manifests.Manifest, manifest cid.Cid, head *wire.Dataset) (*manifests.Statement, error) {
	common, err := a.env.common(status.Origin)
	if err != nil {
		return nil, err
	}
	c := &manifests.Contribution{
		Common:    common,
		Publisher: m.Publisher,
		Dataset: manifests.Dataset{
			Name: m.Name, Version: m.Version, Title: m.Title, Manifest: cjson.CID{Cid: manifest},
			Bytes: m.Data.Bytes, FileCount: m.Data.FileCount, License: a.o.expr, Keywords: m.Keywords, MediaTypes: m.MediaTypes(),
		},
		Terms:        cjson.CID{Cid: a.o.cid},
		Contributors: a.o.shares,
		Total:        a.o.total,
		Sources:      m.Sources(),
		Edges:        a.edges.list,
		SelfWeight:   a.edges.self,
		EdgeTotal:    a.edges.total,
		Rules:        manifests.RulesOf(a.o.terms),
	}
	if root, err := base64.StdEncoding.DecodeString(status.Root); err == nil && status.Size > 0 {
		c.Anchor = &manifests.Anchor{Size: status.Size, Root: base64.StdEncoding.EncodeToString(root)}
	}
	if head != nil {
		c.Supersedes, c.Agreement = head.Statement, a.o.agreement
	}
	return manifests.NewContribution(c, m.Data.Root.Cid), nil
}

// answerUnchanged answers with what is registered already.
func (a *addition) answerUnchanged(ctx context.Context, head *wire.Dataset) error {
	receipt, err := a.conn.API.Receipt(ctx, head.Statement.Cid)
	if err != nil {
		return err
	}
	return a.finish(ctx, addResult{
		Statement: head.Statement.String(), Version: head.Version, Index: &head.Index, Manifest: head.Manifest.String(),
		Unchanged: true, Receipt: string(receipt),
	})
}

// answer completes the result with what is known of the data, and prints it.
// On a terminal a sentence goes with it; a pipe gets the root alone.
func (a *addition) answer(r addResult) error {
	d := a.data
	r.Root, r.Name = cjson.V1(d.Root).String(), a.o.name
	r.Bytes, r.Files, r.Blocks, r.NewBytes, r.Reused, r.Warnings = d.Bytes, d.FileCount, d.Blocks, d.NewBytes, d.Reused, d.Warnings
	if a.sink != nil {
		r.NewBytes = a.sink.NewBytes(d.NewBytes)
	}
	if term.IsTerminal(a.env.Stderr) && !a.env.json {
		state := "dry run: nothing stored"
		switch {
		case r.Unchanged:
			state = fmt.Sprintf("unchanged, entry %d", *r.Index)
		case r.Index != nil:
			state = fmt.Sprintf("%s new, entry %d", term.Bytes(r.NewBytes), *r.Index)
		}
		name := r.Name
		if r.Version != "" {
			name += "@" + r.Version
		}
		a.env.warn("%s: %s in %s; %s", name, term.Bytes(r.Bytes), term.Files(r.Files), state)
	}
	// As stock tools print it: CIDv0 under the profile of 2015.
	return a.env.print(r, func(w io.Writer) { fmt.Fprintln(w, d.Root) })
}
