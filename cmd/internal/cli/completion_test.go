package cli

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func newTestRoot() *cobra.Command {
	return newRoot(&Env{Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer), Getenv: func(string) string { return "" }})
}

// TestCompletedWordsAreThoseOfTheHelp: what is completed for a flag is what its
// help text names.
func TestCompletedWordsAreThoseOfTheHelp(t *testing.T) {
	root := newTestRoot()
	for path, flags := range flagWords {
		c, rest, err := root.Find(strings.Fields(path))
		if err != nil || len(rest) > 0 {
			t.Errorf("there is no command %q", path)
			continue
		}
		for name, words := range flags {
			f := c.Flags().Lookup(name)
			if f == nil {
				t.Errorf("%s has no --%s", path, name)
				continue
			}
			for _, w := range words {
				if !strings.Contains(f.Usage, w) {
					t.Errorf("%s --%s: the help %q does not name %q", path, name, f.Usage, w)
				}
			}
			fn, ok := c.GetFlagCompletionFunc(name)
			if !ok {
				t.Errorf("%s --%s is not completed", path, name)
				continue
			}
			if got, _ := fn(c, nil, ""); !slices.Equal(got, words) {
				t.Errorf("%s --%s is completed to %v, want %v", path, name, got, words)
			}
		}
	}
}

// TestEveryRefIsCompleted: whatever takes a REF offers those of the home.
func TestEveryRefIsCompleted(t *testing.T) {
	n := 0
	eachCommand(newTestRoot(), func(c *cobra.Command) {
		if _, args, _ := strings.Cut(c.Use, " "); !strings.HasPrefix(args, "REF") {
			return
		}
		n++
		if c.ValidArgsFunction == nil {
			t.Errorf("%s completes no REF", c.CommandPath())
		}
	})
	if n < 15 {
		t.Errorf("only %d commands take a REF", n)
	}
}
