package upload_test

import (
	"errors"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest/blocks/spaces"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
)

// gated puts a dataset under terms that gate its bytes.
func gated(t *testing.T, mine *memory, text string) (document cid.Cid, change func(*manifests.Contribution, *manifests.Manifest)) {
	t.Helper()
	doc := &terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: "CC0-1.0"}, Conditions: &terms.Conditions{Accept: "bytes"}}
	if text != "" {
		doc.Base.SPDX = "LicenseRef-own"
		doc.Base.Text = cjson.Link{Cid: cjson.RawCID([]byte(text))}
		doc.Base.TextSHA256 = sumOf([]byte(text))
		memoryBatch{mine}.Append(t.Context(), doc.Base.Text.Cid, []byte(text))
	}
	b, err := terms.Encode(doc)
	if err != nil {
		t.Fatal(err)
	}
	document = cjson.JSONCID(b)
	memoryBatch{mine}.Append(t.Context(), document, b)
	return document, func(c *manifests.Contribution, m *manifests.Manifest) {
		c.Terms, m.Terms, c.Rules, c.Dataset.License = cjson.CID{Cid: document}, cjson.Link{Cid: document}, manifests.RulesOf(doc), doc.Base.SPDX
	}
}

// TestGatedPush: what is pushed under terms that gate it lies in their space, and only
// what everybody may read of it lies in the public one.
func TestGatedPush(t *testing.T) {
	s := newSite(t, nil)
	mine := newMemory()
	document, change := gated(t, mine, "ask first")
	big := text(3<<20, "nobody reads this unasked; ")
	d := newDataset(t, mine, "ana", "talks", "1.0.0", map[string]string{"a.bin": big, "b.txt": "hello"}, change)
	first := s.push("ana", d)
	lies := func(d *dataset) {
		t.Helper()
		public := map[cid.Cid]bool{d.root(): true, document: true, cjson.RawCID([]byte("ask first")): true}
		open, err := spaces.With(t.Context(), document)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range d.closure {
			if _, err := s.store.Strict(document).Block(t.Context(), c); err != nil {
				t.Errorf("%s is not in the space: %v", c, err)
			}
			if _, err := s.store.Block(open, c); err != nil {
				t.Errorf("%s by who accepted: %v", c, err)
			}
			_, err := s.store.Block(t.Context(), c)
			if public[c] && err != nil || !public[c] && !errors.Is(err, fault.NotFound) {
				t.Errorf("%s by a stranger: %v", c, err)
			}
		}
	}
	lies(d)

	// The next version builds on it, in the same space.
	next := newDataset(t, mine, "ana", "talks", "1.1.0", map[string]string{"a.bin": big, "b.txt": "hello", "c.txt": "more"}, func(c *manifests.Contribution, m *manifests.Manifest) {
		change(c, m)
		c.Supersedes = first.Statement
	})
	o := next.options()
	o.Bases = map[cid.Cid][]cid.Cid{first.Statement.Cid: d.statement.Content()}
	second, err := s.client("ana").Push(t.Context(), o)
	if err != nil || second.Sent > 100<<10 {
		t.Fatalf("%+v, %v", second, err)
	}
	lies(next)

	// Nothing is shared across spaces, whoever it belongs to.
	open := newDataset(t, mine, "ana", "open", "1.0.0", map[string]string{"a.bin": big}, nil)
	o = open.options()
	o.Bases = map[cid.Cid][]cid.Cid{first.Statement.Cid: d.statement.Content()}
	if _, err := s.client("ana").Push(t.Context(), o); !errors.Is(err, fault.Invalid) {
		t.Errorf("an open version on a gated base: %v", err)
	}
	published := s.push("ana", open)
	_, other := gated(t, mine, "")
	closed := newDataset(t, mine, "ana", "closed", "1.0.0", map[string]string{"a.bin": big}, other)
	o = closed.options()
	o.Bases = map[cid.Cid][]cid.Cid{published.Statement.Cid: open.statement.Content()}
	if _, err := s.client("ana").Push(t.Context(), o); !errors.Is(err, fault.Invalid) {
		t.Errorf("a gated version on an open base: %v", err)
	}
	o.Bases = map[cid.Cid][]cid.Cid{first.Statement.Cid: d.statement.Content()}
	if _, err := s.client("ana").Push(t.Context(), o); !errors.Is(err, fault.Invalid) {
		t.Errorf("a gated version on a base of other terms: %v", err)
	}
	s.push("ana", closed)
}
