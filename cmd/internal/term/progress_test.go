package term

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"
)

// screen is a writer that mpb takes for an output it may draw on.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func TestBarSaysWhatAPersonWantsToKnow(t *testing.T) {
	var out screen
	refresh := make(chan any)
	b := newBar(&out, "adding", "", mpb.WithManualRefresh(refresh))
	b.Update(3<<20, 12<<20, 1234)
	refresh <- time.Now()
	b.Done()
	out.mu.Lock()
	defer out.mu.Unlock()
	for _, want := range []string{"adding", "3.0 MiB of 12 MiB", "1,234 files", "/s", "left"} {
		if !strings.Contains(out.b.String(), want) {
			t.Errorf("the bar does not show %q:\n%q", want, out.b.String())
		}
	}
}

func TestBarCountsOtherThings(t *testing.T) {
	var out screen
	refresh := make(chan any)
	b := newBar(&out, "replaying", "entries", mpb.WithManualRefresh(refresh))
	b.Update(1500, 20000, 0)
	refresh <- time.Now()
	b.Done()
	out.mu.Lock()
	defer out.mu.Unlock()
	for _, want := range []string{"replaying", "1,500 of 20,000 entries", "/s", "left"} {
		if !strings.Contains(out.b.String(), want) {
			t.Errorf("the bar does not show %q:\n%q", want, out.b.String())
		}
	}
	if strings.Contains(out.b.String(), "iB") {
		t.Errorf("entries are shown as bytes:\n%q", out.b.String())
	}
}

func TestNoBarWithoutATerminal(t *testing.T) {
	var out bytes.Buffer
	if c := NewCounter(&out, "replaying", "entries"); c != nil {
		t.Errorf("there is a counter on something that is no terminal")
	}
	b := NewBar(&out, "adding")
	b.Update(1, 2, 3)
	b.Done()
	if b != nil || out.Len() != 0 {
		t.Errorf("wrote %q to something that is no terminal", out.String())
	}
}
