package hub

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	block "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry"
	"github.com/cairn-registry/cairn/registry/index"
)

// complete fills in the manifest but for version and time. What was counted of
// the old bytes is not said of the new ones.
func (k *committer) complete(m *manifests.Manifest, t *composition, termsCID cid.Cid) {
	m.Schema, m.Name, m.Publisher = manifests.ManifestSchema, k.name, k.identity
	m.Terms = cjson.Link{Cid: termsCID}
	chunking, _ := manifests.ParseChunking(t.chunker.String()) // one that ParseChunker read
	m.Data = manifests.Data{
		Root: cjson.Link{Cid: cjson.V1(t.root.CID)}, Bytes: t.bytes, FileCount: t.count, Profile: t.profile.Name,
		Chunking: chunking, FileList: cjson.Link{Cid: t.fileList},
	}
	m.Files = t.files
	m.Stats, m.Sketch, m.Fingerprint = nil, nil, nil
	e := extension{Custodial: true}
	if k.req.summary != "" || k.req.description != "" {
		e.Commit = &commitMessage{k.req.summary, k.req.description}
	}
	m.Ext, _ = json.Marshal(e)
}

// register signs the contribution and hands it in.
func (k *committer) register(ctx context.Context, m *manifests.Manifest, t *composition, termsDocument []byte) (cid.Cid, error) {
	var err error
	if m.Version, err = k.nextVersion(t.diff); err != nil {
		return cid.Undef, err
	}
	now := k.h.o.Now().UTC().Format(time.RFC3339)
	m.CreatedAt = now
	mb, err := manifests.EncodeManifest(m)
	if err != nil {
		return cid.Undef, fmt.Errorf("the manifest: %w", err)
	}
	td, err := terms.Decode(termsDocument)
	if err != nil {
		return cid.Undef, err
	}
	manifest := cjson.JSONCID(mb)
	var records []block.Block
	for _, doc := range []struct {
		c cid.Cid
		b []byte
	}{{m.Terms.Cid, termsDocument}, {manifest, mb}} {
		b, err := block.NewBlockWithCid(doc.b, doc.c)
		if err != nil {
			return cid.Undef, err
		}
		records = append(records, b)
	}
	if err := k.h.o.Store.PutRecords(ctx, records...); err != nil {
		return cid.Undef, err
	}
	c, err := k.contribution(m, manifest, td, now)
	if err != nil {
		return cid.Undef, err
	}
	payload, err := manifests.Encode(manifests.NewContribution(c, m.Data.Root.Cid))
	if err != nil {
		return cid.Undef, fmt.Errorf("the statement: %w", err)
	}
	e, err := sign.Seal(payload, k.signer)
	if err != nil {
		return cid.Undef, err
	}
	envelope, err := e.Encode()
	if err != nil {
		return cid.Undef, err
	}
	s, err := k.h.reg.Submit(ctx, envelope)
	if err == nil && s.Verdict != registry.Accepted {
		err = fault.New(fault.Conflict, "the log recorded the version as %s: %s", s.Verdict, s.Code)
	}
	if fault.Of(err) == fault.Conflict {
		was := k.head
		if verr := k.h.reg.View(func(s *index.Snapshot) error { return k.h.head(s, k.upload) }); verr == nil &&
			k.head != nil && (was == nil || was.sha != k.head.sha) {
			return cid.Undef, stale(k.head)
		}
	}
	if err != nil {
		return cid.Undef, err
	}
	return s.Statement, nil
}

func (k *committer) contribution(m *manifests.Manifest, manifest cid.Cid, td *terms.Terms, now string) (*manifests.Contribution, error) {
	nonce, err := manifests.NewNonce(rand.Reader)
	if err != nil {
		return nil, err
	}
	status := k.h.reg.Status()
	c := &manifests.Contribution{
		Common:    manifests.Common{Registry: status.Origin, Nonce: nonce, IssuedAt: now},
		Publisher: m.Publisher,
		Dataset: manifests.Dataset{
			Name: m.Name, Version: m.Version, Title: m.Title, Manifest: cjson.CID{Cid: manifest},
			Bytes: m.Data.Bytes, FileCount: m.Data.FileCount, License: td.Base.SPDX, Keywords: m.Keywords, MediaTypes: m.MediaTypes(),
		},
		Terms:        cjson.CID{Cid: m.Terms.Cid},
		Contributors: []manifests.Share{{ID: m.Publisher, Weight: "1"}}, Total: "1",
		Sources: m.Sources(),
		Rules:   manifests.RulesOf(td),
	}
	if status.Size > 0 {
		c.Anchor = &manifests.Anchor{Size: status.Size, Root: base64.StdEncoding.EncodeToString(status.Root[:])}
	}
	d := k.head
	if d == nil {
		return c, nil
	}
	// Shares and edges stay: a commit changes files.
	c.Supersedes, c.Total, c.Contributors = d.Statement, d.Total, nil
	for _, s := range d.Contributors {
		c.Contributors = append(c.Contributors, manifests.Share{ID: s.ID, Weight: s.Weight})
	}
	for _, e := range d.Edges {
		c.Edges = append(c.Edges, manifests.Edge{Statement: e.Statement, Weight: e.Weight, Share: e.Share})
	}
	if len(c.Edges) > 0 {
		c.SelfWeight, c.EdgeTotal, c.Attribution = d.SelfWeight, d.EdgeTotal, d.Attribution
	}
	c.Agreement, err = k.agreement()
	return c, err
}

// agreement names the newest complete agreement that the version before shares
// its revenue by, if there is one.
func (k *committer) agreement() (out cjson.CID, err error) {
	err = k.h.reg.View(func(s *index.Snapshot) error {
		list, err := s.Agreements(k.head.Work)
		if err != nil {
			return err
		}
		var newest uint64
		for _, a := range list {
			if !a.Complete || a.Completed < newest {
				continue
			}
			newest = a.Completed
			out = cjson.CID{}
			if newest > k.head.Index || a.Statement == k.head.Agreement {
				out = a.Statement
			}
		}
		return nil
	})
	return out, err
}

// nextVersion is the next free version after the newest.
func (k *committer) nextVersion(d manifests.Difference) (string, error) {
	if k.head == nil {
		return manifests.FirstVersion, nil
	}
	v := manifests.NextVersion(k.head.Version, d)
	err := k.h.reg.View(func(s *index.Snapshot) error {
		for range maxTaken {
			if _, err := s.VersionNamed(k.publisher, k.name, v); errors.Is(err, fault.NotFound) {
				return nil
			} else if err != nil {
				return err
			}
			v = manifests.NextVersion(v, d)
		}
		return fault.New(fault.Conflict, "the next %d versions are taken", maxTaken)
	})
	return v, err
}
