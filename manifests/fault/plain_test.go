package fault_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cairn-registry/cairn/manifests/fault"
)

func TestPlain(t *testing.T) {
	for in, want := range map[string]string{
		"":                           "",
		"a line\n\tand äöü 漢 …\n":    "a line\n\tand äöü 漢 …\n",
		"\x1b]0;title\x07\x1b[2J":    `\x1b]0;title\a\x1b[2J`,
		"a\rb\u009b31m\u202ec\x7f":   `a\rb\u009b31m\u202ec\x7f`,
		"\xff\xc3":                   `\xff\xc3`,
		"\\ and \" are themselves\n": "\\ and \" are themselves\n",
	} {
		var b bytes.Buffer
		if n, err := fmt.Fprint(fault.Plain(&b), in); err != nil || n != len(in) || b.String() != want {
			t.Errorf("%q is written as %q, %d, %v", in, b.String(), n, err)
		}
	}
}
