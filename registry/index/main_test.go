package index_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain lowers the number of random histories: each opens databases. A flag
// on the command line has the last word.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "20"); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(m.Run())
}
