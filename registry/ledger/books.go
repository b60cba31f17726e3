package ledger

import (
	"context"
	"sync"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// maxRuns bounds the runs that are kept of each currency, the newest: a run
// holds a balance of 16 bytes for each party. Older ones are made again.
const maxRuns = 24

// Books keep a Ledger up to date, and the newest runs made of it. They are safe
// for concurrent use.
type Books struct {
	mu sync.RWMutex // a writer fills the Ledger, readers read it
	b  *Builder

	runs sync.Mutex // guards kept, and the runners in it
	kept map[string]*kept
}

// kept are the newest runs of a currency, and the runner behind the last.
type kept struct {
	runner *credit.Runner
	runs   []*credit.Run
}

// NewBooks returns empty Books.
func NewBooks(lines Lines) *Books { return &Books{b: NewBuilder(lines), kept: make(map[string]*kept)} }

// View lets update bring the Builder up to date, and then fn read. Other views
// may read at the same time; updates wait for them. A failed update leaves the
// Books as far as it came, and the next goes on from there.
func (k *Books) View(update func(*Builder) error, fn func(*View) error) error {
	k.mu.Lock()
	err := update(k.b)
	k.mu.Unlock()
	if err != nil {
		return err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.b.ledger == nil {
		return fault.New(fault.NotFound, "the log has no accepted registry/v1 yet")
	}
	return fn(&View{Ledger: k.b.ledger, books: k})
}

// A View reads the Books. It must not be used after the function it was handed to.
type View struct {
	*credit.Ledger
	books *Books
}

// Run returns the run of a closed period, as [credit.Ledger.Run] does, from the
// kept ones where it can.
func (v *View) Run(ctx context.Context, p credit.Period, currency string) (*credit.Run, error) {
	k := v.books
	k.runs.Lock()
	defer k.runs.Unlock()
	if p < v.First() || p >= v.Open() {
		return nil, fault.New(fault.NotFound, "the period %s is not closed", p)
	}
	c := k.kept[currency]
	if c == nil {
		r, err := v.Runner(currency)
		if err != nil {
			return nil, err
		}
		c = &kept{runner: r}
		k.kept[currency] = c
	}
	for {
		if n := len(c.runs); n > 0 {
			if last := c.runs[n-1].Period(); p <= last {
				if i := n - 1 - int(last-p); i >= 0 {
					return c.runs[i], nil
				}
				return v.Ledger.Run(p, currency) // older than what is kept
			}
		}
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		run, err := c.runner.Next()
		if err != nil {
			return nil, err
		}
		if c.runs = append(c.runs, run); len(c.runs) > maxRuns {
			c.runs = append(c.runs[:0:0], c.runs[1:]...)
		}
	}
}
