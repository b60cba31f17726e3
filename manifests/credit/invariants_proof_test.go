package credit_test

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/credittest"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func TestI22InclusionProofs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := ledgerOf(t, drawWorld(t))
		eachRun(t, l, func(run *credit.Run) {
			root, n := run.Root(), run.Len()
			if a := run.Allocation(); a.PayeeStatements != (credit.Tree{N: n, Root: root}) {
				t.Fatalf("the allocation says %v, want %d and %x", a.PayeeStatements, n, root)
			}
			for i := range n {
				b := run.Append(nil, i)
				proof, err := run.Prove(i)
				if err != nil {
					t.Fatal(err)
				}
				if err := credit.VerifyStatement(root, n, i, b, proof); err != nil {
					t.Fatal(err)
				}
				if j, err := run.Find(run.Statement(i).Payee); err != nil || j != i {
					t.Fatalf("statement %d is found as %d, %v", i, j, err)
				}
				bad := slices.Clone(b)
				bad[rapid.IntRange(0, len(b)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
				if err := credit.VerifyStatement(root, n, i, bad, proof); !errors.Is(err, fault.Unverified) {
					t.Fatalf("a changed statement verifies: %v", err)
				}
				if err := credit.VerifyStatement(root, n, i+1, b, proof); !errors.Is(err, fault.Unverified) {
					t.Fatalf("a statement verifies at another place: %v", err)
				}
			}
			if _, err := run.Prove(n); !errors.Is(err, fault.NotFound) {
				t.Fatalf("a proof behind the end: %v", err)
			}
		})
	})
}

// A tree of more than one tile: the proofs of the engine's own reader.
func TestI22InclusionProofsOfALargeTree(t *testing.T) {
	l := newLedger(t)
	var parties []string
	for i := range 5000 {
		parties = append(parties, credittest.PartyID(i))
	}
	addNode(t, l, "n", nil, parties...)
	income(t, l, "e", "n", 100_000)
	run := closing(t, l)
	for i := 0; i < run.Len(); i += 97 {
		proof, err := run.Prove(i)
		must(t, err)
		must(t, credit.VerifyStatement(run.Root(), run.Len(), i, run.Append(nil, i), proof))
	}
}
