package upload

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// The book remembers no more owners than it may, and forgets none that has
// something of today.
func TestBookIsBounded(t *testing.T) {
	b := &book{q: Quota{}.withDefaults(), max: Limits{}.withDefaults(), accounts: make(map[string]*account), most: 50}
	now := time.Unix(1_800_000_000, 0)
	taken := 0
	for i := range 200 {
		switch err := b.statement(fmt.Sprint(i), now); {
		case err == nil:
			taken++
		case !errors.Is(err, fault.Busy):
			t.Fatal(err)
		}
	}
	if taken != 50 || len(b.accounts) != 50 {
		t.Errorf("%d owners were taken and %d are remembered, want 50", taken, len(b.accounts))
	}
	if err := b.statement("7", now); err != nil {
		t.Errorf("one that is known: %v", err)
	}
	if err := b.reserve("new", holding{sessions: 1}, now, func() (int64, error) { return 0, nil }); !errors.Is(err, fault.Busy) {
		t.Errorf("an upload of one that is not: %v", err)
	}
	if err := b.statement("new", now.Add(day+time.Second)); err != nil || len(b.accounts) != 1 || b.stated != 1 {
		t.Errorf("a day later: %v, %d remembered with %d statements", err, len(b.accounts), b.stated)
	}
}
