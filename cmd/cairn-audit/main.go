// Command cairn-audit checks what a cairn registry says, without trusting it:
// a proof bundle offline, a dataset or a whole log over HTTP. It links no
// database and no peer network. Run "cairn-audit help" for its verbs.
package main

import (
	"os"

	"github.com/cairn-registry/cairn/cmd/internal/auditcli"
)

func main() { os.Exit(auditcli.Main()) }
