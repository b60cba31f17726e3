package daemon

import (
	"context"
	"os"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// What got an answer leaves the outbox, whatever the answer is; what may still be
// answered stays, and stops what comes after it.
func TestFlush(t *testing.T) {
	for _, c := range []struct {
		code                   fault.Code
		left, finished, denied int
		fails                  bool
	}{
		{"", 0, 1, 0, false},
		{fault.Invalid, 0, 0, 1, false},
		{fault.Conflict, 0, 0, 1, false},
		{fault.Denied, 0, 0, 1, false}, // else no add of this home would ever go through again
		{fault.Gone, 0, 0, 1, false},
		{fault.Busy, 1, 0, 0, true},
		{fault.Pending, 1, 0, 0, true},
		{fault.Internal, 1, 0, 0, true},
	} {
		o := Outbox{t.TempDir()}
		if err := o.Put(manifests.StatementCID([]byte("{}")), []byte("envelope")); err != nil {
			t.Fatal(err)
		}
		finished, refused, err := o.Flush(t.Context(), func(context.Context, []byte) error {
			if c.code == "" {
				return nil
			}
			return fault.New(c.code, "no")
		})
		files, _ := os.ReadDir(o.dir)
		if len(files) != c.left || finished != c.finished || len(refused) != c.denied || (err != nil) != c.fails {
			t.Errorf("%q: %d left, %d finished, %d refused, %v", c.code, len(files), finished, len(refused), err)
		}
	}
}
