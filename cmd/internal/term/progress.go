// Package term is what cairn shows on a terminal besides results: progress of
// long work. It writes to stderr only, and only when stderr is a terminal, so
// that a script never sees it.
package term

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	xterm "golang.org/x/term"
)

// IsTerminal reports whether w is a terminal.
func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && xterm.IsTerminal(int(f.Fd()))
}

// ReadPassphrase asks for a passphrase on the terminal behind f without
// echoing it.
func ReadPassphrase(f *os.File, prompt io.Writer, question string) ([]byte, error) {
	fmt.Fprint(prompt, question)
	b, err := xterm.ReadPassword(int(f.Fd()))
	fmt.Fprintln(prompt)
	return b, err
}

// Bar shows the progress of one piece of work: bytes and files, or a number of
// something else, the rate, and the time that is left. A nil *Bar shows nothing; every method accepts it. Update may
// be called from any goroutine.
type Bar struct {
	progress *mpb.Progress
	bar      *mpb.Bar
	unit     string // what is counted; "" for bytes
	files    atomic.Int64
	total    atomic.Int64
	note     atomic.Value // string
	done     sync.Once
}

// NewBar starts a bar on w. It returns nil, a bar that shows nothing, when w
// is not a terminal.
func NewBar(w io.Writer, label string) *Bar {
	if !IsTerminal(w) {
		return nil
	}
	return newBar(w, label, "", mpb.WithAutoRefresh())
}

// NewCounter starts a bar that counts something other than bytes, such as entries.
func NewCounter(w io.Writer, label, unit string) *Bar {
	if !IsTerminal(w) {
		return nil
	}
	return newBar(w, label, unit, mpb.WithAutoRefresh())
}

func newBar(w io.Writer, label, unit string, opts ...mpb.ContainerOption) *Bar {
	speed := decor.AverageSpeed(decor.SizeB1024(0), "% .1f", decor.WC{W: 12})
	if unit != "" {
		speed = decor.AverageSpeed(0, "%.0f/s", decor.WC{W: 12})
	}
	b := &Bar{unit: unit, progress: mpb.New(append(opts, mpb.WithOutput(w), mpb.WithWidth(80), mpb.WithRefreshRate(200*time.Millisecond))...)}
	b.bar = b.progress.New(0, mpb.BarStyle().Lbound("[").Filler("#").Tip("#").Padding(".").Rbound("]"),
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(
			decor.Name(label, decor.WCSyncSpaceR),
			decor.Any(func(s decor.Statistics) string { return b.counts(s.Current) }),
		),
		mpb.AppendDecorators(
			speed,
			decor.Any(func(s decor.Statistics) string {
				if b.total.Load() <= 0 || s.Current == 0 {
					return ""
				}
				return " left "
			}),
			decor.OnCondition(decor.AverageETA(decor.ET_STYLE_GO), true),
			decor.Any(func(decor.Statistics) string {
				if note, _ := b.note.Load().(string); note != "" {
					return "  " + note
				}
				return ""
			}),
		),
	)
	return b
}

func (b *Bar) counts(current int64) string {
	number := Bytes
	if b.unit != "" {
		number = func(n int64) string { return Count(max(n, 0)) }
	}
	s := number(current)
	if total := b.total.Load(); total > 0 {
		s += " of " + number(total)
	}
	if b.unit != "" {
		s += " " + b.unit
	}
	if n := b.files.Load(); n > 0 {
		s += ", " + Files(n)
	}
	return s + " "
}

// Update says how far the work is: bytes, or what the bar counts, that are done and
// in all (0 when unknown), and files done.
func (b *Bar) Update(done, total, files int64) {
	if b == nil {
		return
	}
	b.files.Store(files)
	if total > 0 && total != b.total.Load() {
		b.total.Store(total)
		b.bar.SetTotal(total+1, false) // one more, so that only Done completes the bar
	}
	b.bar.SetCurrent(done)
}

// Note shows a few words behind the bar.
func (b *Bar) Note(text string) {
	if b != nil {
		b.note.Store(text)
	}
}

// Done takes the bar off the terminal, and waits until it is gone. It may be called
// again, and Update after it shows nothing.
func (b *Bar) Done() {
	if b == nil {
		return
	}
	b.done.Do(func() {
		b.bar.Abort(true)
		b.progress.Wait()
	})
}

// Bytes returns n as a person reads it, in binary units.
func Bytes(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// Count returns n with separators between thousands.
func Count(n int64) string { return humanize.Comma(n) }

// Files returns "1 file", "2,000 files".
func Files(n int64) string {
	if n == 1 {
		return "1 file"
	}
	return Count(n) + " files"
}
