package manifests_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// TestFormatDocument holds FORMAT.md against the tables of the code.
func TestFormatDocument(t *testing.T) {
	b, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for _, c := range fault.Codes() {
		row := fmt.Sprintf("| `%s` | %d | %d |", c, c.ExitStatus(), c.HTTPStatus())
		if !strings.Contains(doc, row) {
			t.Errorf("there is no row %s", row)
		}
	}
	for _, want := range []string{
		fmt.Sprintf("| `sign.MaxEnvelope` | %d MiB |", sign.MaxEnvelope>>20),
		fmt.Sprintf("| `sign.MaxPayload` | %d KiB |", sign.MaxPayload>>10),
		fmt.Sprintf("| `sign.MaxSignatures` | %d |", sign.MaxSignatures),
		fmt.Sprintf("| `proof.MaxLeaf` | %d KiB |", proof.MaxLeaf>>10),
		fmt.Sprintf("| `proof.MaxBundle` | %d MiB,", proof.MaxBundle>>20),
		fmt.Sprintf("| `proof.MaxCheckpoint` | %d KiB,", proof.MaxCheckpoint>>10),
		fmt.Sprintf("| `unixfs.MaxBlock` | %d MiB |", unixfs.MaxBlock>>20),
		"PAE = \"DSSEv1 " + fmt.Sprint(len(sign.PayloadType)) + " " + sign.PayloadType,
	} {
		if !strings.Contains(doc, want) {
			t.Errorf("FORMAT.md does not say %q", want)
		}
	}
	for _, check := range []string{
		proof.CheckBundle, proof.CheckEnvelope, proof.CheckSignatures, proof.CheckStatement, proof.CheckSubject, proof.CheckSigners,
		proof.CheckLeaf, proof.CheckCheckpoint, proof.CheckQuorum, proof.CheckOrigin, proof.CheckInclusion, proof.CheckKeys, proof.CheckVerdict,
	} {
		if !strings.Contains(doc, "`"+check+"`") {
			t.Errorf("FORMAT.md does not name the check %s", check)
		}
	}
}
