package auth

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// What is remembered of signatures is bounded, nothing is forgotten while it could
// be sent again, and no key, nor all that are not listed, fills the memory.
func TestNoncesAreBounded(t *testing.T) {
	var n nonces
	now := time.Unix(1_800_000_000, 0)
	until := now.Add(Window)
	taken := 0
	for i := range maxKeyNonces + 10 {
		switch err := n.take("one", fmt.Sprint(i), now, until, maxNonces); {
		case err == nil:
			taken++
		case !errors.Is(err, fault.Busy):
			t.Fatal(err)
		}
	}
	if taken != maxKeyNonces {
		t.Errorf("one key took %d, at most %d", taken, maxKeyNonces)
	}
	for i := taken; i < maxNonces/2; i++ {
		if err := n.take(fmt.Sprint("key", i%100), fmt.Sprint(i), now, until, maxNonces/2); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.take("stranger", "x", now, until, maxNonces/2); !errors.Is(err, fault.Busy) {
		t.Errorf("a stranger more than half: %v", err)
	}
	if err := n.take("listed", "x", now, until, maxNonces); err != nil {
		t.Errorf("a listed key, when strangers have all of theirs: %v", err)
	}
	if err := n.take("listed", "x", until.Add(-time.Second), until, maxNonces); !errors.Is(err, fault.Unauthenticated) {
		t.Errorf("again, a second before its end: %v", err)
	}
	if err := n.take("stranger", "x", until.Add(time.Second), until.Add(Window), maxNonces/2); err != nil || len(n.seen) != 1 || len(n.perKey) != 1 {
		t.Errorf("once all are over: %v, %d are remembered of %d keys", err, len(n.seen), len(n.perKey))
	}
}
