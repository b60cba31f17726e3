package upload_test

import (
	"strings"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry"
)

// derived makes a dataset under a licence from others.
func derived(t *testing.T, mine *memory, publisher, name, license string, from ...cid.Cid) *dataset {
	t.Helper()
	doc, err := terms.Minimal(license)
	if err != nil {
		t.Fatal(err)
	}
	memoryBatch{mine}.Append(t.Context(), cjson.JSONCID(doc), doc)
	return newDataset(t, mine, publisher, name, "1.0.0", map[string]string{"a.txt": name}, func(c *manifests.Contribution, m *manifests.Manifest) {
		c.Terms, m.Terms, c.Dataset.License = cjson.CID{Cid: cjson.JSONCID(doc)}, cjson.Link{Cid: cjson.JSONCID(doc)}, license
		for _, f := range from {
			m.Lineage = append(m.Lineage, manifests.Lineage{Rel: manifests.DerivedFrom, Target: manifests.Target{Statement: cjson.CID{Cid: f}}})
			c.Sources = append(c.Sources, manifests.Source{Rel: manifests.DerivedFrom, Statement: cjson.CID{Cid: f}})
		}
	})
}

// Who pushes hears what the door found about the terms; what the operator refuses
// is refused before a block is taken in.
func TestTermsOfAPush(t *testing.T) {
	s := newSite(t, nil)
	mine := newMemory()
	sa := s.push("ana", derived(t, mine, "ana", "sa", "CC-BY-SA-4.0"))
	if len(sa.Warnings) > 0 {
		t.Errorf("from nothing: %v", sa.Warnings)
	}
	out := s.push("ben", derived(t, mine, "ben", "loosened", "CC-BY-4.0", sa.Statement.Cid))
	if len(out.Warnings) != 1 || !strings.HasPrefix(out.Warnings[0], "rule 6") {
		t.Errorf("a share-alike source under CC-BY: %v", out.Warnings)
	}

	s.restart(func() { s.cfg.TermsPolicy = registry.TermsRefuse })
	d := derived(t, mine, "eve", "refused", "CC-BY-4.0", sa.Statement.Cid)
	o := d.options()
	o.Policy = s.policy()
	if _, err := s.client("eve").Push(t.Context(), o); fault.Of(err) != fault.Invalid || !strings.Contains(err.Error(), "rule 6") {
		t.Errorf("refused: %v", err)
	}
	if _, err := s.store.Block(t.Context(), d.root()); fault.Of(err) != fault.NotFound {
		t.Errorf("a block of what was refused: %v", err)
	}
	s.push("eve", derived(t, mine, "eve", "kept", "CC-BY-SA-4.0", sa.Statement.Cid))
}
