// Command cairn registers datasets, fetches them back verified, and runs a
// registry. Run "cairn help" for its verbs.
package main

import (
	"os"

	"github.com/cairn-registry/cairn/cmd/internal/cli"
)

func main() { os.Exit(cli.Main()) }
