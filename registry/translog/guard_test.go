package translog_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/proof"
	"github.com/cairn-registry/cairn/registry/translog"
)

// A signer counts what it signed, and can be told to fail or to sign wrongly.
type signer struct {
	note.Signer
	signed atomic.Int64
	fail   atomic.Pointer[error]
	wrong  atomic.Bool
}

func (s *signer) Sign(msg []byte) ([]byte, error) {
	if err := s.fail.Load(); err != nil {
		return nil, *err
	}
	s.signed.Add(1)
	if s.wrong.Load() {
		msg = append(bytes.Clone(msg), '\n')
	}
	return s.Signer.Sign(msg)
}

// watched replaces the signer of cfg by one that the test can look into.
func watched(cfg *translog.Config) *signer {
	s := &signer{Signer: cfg.Signer}
	cfg.Signer = s
	return s
}

func write(t testing.TB, b []byte, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestOpenRefusesAndSignsNothing is the table of what else can be wrong at the
// start; see TestGuard. The log's key is not used once, and no file changes.
func TestOpenRefusesAndSignsNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int // of the log; 300 has a tile of level 1
		do   func(t *testing.T, cfg *translog.Config, early string)
		want error
		code fault.Code
	}{
		{"nothing there", 5, func(t *testing.T, cfg *translog.Config, _ string) {
			remove(t, cfg.Dir, "")
			remove(t, cfg.TrustDir, "")
		}, fault.NotFound, fault.NotFound},
		{"an empty log folder", 5, func(t *testing.T, cfg *translog.Config, _ string) {
			remove(t, cfg.Dir, "")
			if err := os.Mkdir(cfg.Dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}, translog.ErrNoState, fault.Conflict},
		{"guard gone", 5, func(t *testing.T, cfg *translog.Config, _ string) { remove(t, cfg.TrustDir, "last-signed") }, translog.ErrNoGuard, fault.Conflict},
		{"guard damaged", 5, func(t *testing.T, cfg *translog.Config, _ string) {
			damage(t, filepath.Join(cfg.TrustDir, "last-signed"), 40)
		}, fault.Unverified, fault.Unverified},
		{"guard of another key", 5, func(t *testing.T, cfg *translog.Config, _ string) {
			write(t, read(t, newLog(t).TrustDir, "last-signed"), cfg.TrustDir, "last-signed")
		}, fault.Unverified, fault.Unverified},
		{"guard empty", 5, func(t *testing.T, cfg *translog.Config, _ string) { write(t, nil, cfg.TrustDir, "last-signed") }, fault.Unverified, fault.Unverified},
		{"state no JSON", 5, func(t *testing.T, cfg *translog.Config, _ string) { write(t, []byte("{"), cfg.Dir, ".state/treeState") }, fault.Unverified, fault.Unverified},
		{"state of another root", 5, func(t *testing.T, cfg *translog.Config, _ string) {
			b := read(t, cfg.Dir, ".state/treeState")
			i := bytes.Index(b, []byte(`"root":"`)) + len(`"root":"`) + 3
			b[i] = 'A' + (b[i]+1)%26
			write(t, b, cfg.Dir, ".state/treeState")
		}, translog.ErrForked, fault.Conflict},
		{"state rolled back alone", 5, func(t *testing.T, cfg *translog.Config, early string) {
			write(t, read(t, early, "log/.state/treeState"), cfg.Dir, ".state/treeState")
		}, translog.ErrBehind, fault.Conflict},
		{"a larger size is known", 5, func(_ *testing.T, cfg *translog.Config, _ string) { cfg.KnownSize = 6 }, translog.ErrBehind, fault.Conflict},
		{"all restored, but for the checkpoint", 5, func(t *testing.T, cfg *translog.Config, early string) {
			b := read(t, cfg.Dir, "checkpoint")
			copyTree(t, filepath.Join(early, "log"), cfg.Dir)
			copyTree(t, filepath.Join(early, "trust"), cfg.TrustDir)
			write(t, b, cfg.Dir, "checkpoint")
		}, translog.ErrBehind, fault.Conflict},
		{"a published checkpoint of another history", 5, func(t *testing.T, cfg *translog.Config, early string) {
			other := *cfg
			other.Dir, other.TrustDir = filepath.Join(early, "log"), filepath.Join(early, "trust")
			l := open(t, other)
			for i := range 3 {
				if _, err := l.Append(t.Context(), leaf(2000+i)); err != nil {
					t.Fatal(err)
				}
			}
			closeLog(t, l)
			write(t, read(t, other.Dir, "checkpoint"), cfg.Dir, "checkpoint")
		}, nil, fault.Conflict},
		{"the tile of the right edge damaged", 300, func(t *testing.T, cfg *translog.Config, _ string) {
			damage(t, filepath.Join(cfg.Dir, "tile/0/001.p/44"), 1000)
		}, translog.ErrForked, fault.Conflict},
		{"the tile of level 1 damaged", 300, func(t *testing.T, cfg *translog.Config, _ string) {
			damage(t, filepath.Join(cfg.Dir, "tile/1/000.p/1"), 3)
		}, translog.ErrForked, fault.Conflict},
		{"the tile of level 1 cut", 300, func(t *testing.T, cfg *translog.Config, _ string) {
			write(t, nil, cfg.Dir, "tile/1/000.p/1")
		}, translog.ErrForked, fault.Conflict},
		{"the key of another log", 5, func(t *testing.T, cfg *translog.Config, _ string) { cfg.Signer = newLog(t).Signer }, fault.Conflict, fault.Conflict},
		{"a verifier key that is none", 5, func(_ *testing.T, cfg *translog.Config, _ string) { cfg.VKey = "x+y" }, fault.Invalid, fault.Invalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := newLog(t)
			l := open(t, cfg)
			fill(t, l, 3)
			closeLog(t, l)
			early := t.TempDir()
			copyTree(t, cfg.Dir, filepath.Join(early, "log"))
			copyTree(t, cfg.TrustDir, filepath.Join(early, "trust"))
			l = open(t, cfg)
			fill(t, l, tt.size)
			closeLog(t, l)
			tt.do(t, &cfg, early)

			s := watched(&cfg)
			before := treeHash(t, cfg.Dir) + treeHash(t, cfg.TrustDir)
			l, err := translog.Open(t.Context(), cfg)
			if err == nil {
				closeLog(t, l)
				t.Fatal("it was opened")
			}
			if tt.want != nil && !errors.Is(err, tt.want) || fault.Of(err) != tt.code {
				t.Errorf("%v (%s), want %v (%s)", err, fault.Of(err), tt.want, tt.code)
			}
			if n := s.signed.Load(); n != 0 {
				t.Errorf("%d signatures were made", n)
			}
			if treeHash(t, cfg.Dir)+treeHash(t, cfg.TrustDir) != before {
				t.Error("a file was changed")
			}
		})
	}
}

// TestKnownSize: a size that is no larger than the log is no reason to refuse.
func TestKnownSize(t *testing.T) {
	cfg := newLog(t)
	l := open(t, cfg)
	fill(t, l, 2)
	closeLog(t, l)
	for cfg.KnownSize = range uint64(3) {
		closeLog(t, open(t, cfg))
	}
}

// TestStartPublishesWhatIsLeft simulates a crash after each step of the order in
// the package's documentation: what is in the tree comes out, once and as it was.
func TestStartPublishesWhatIsLeft(t *testing.T) {
	for _, tt := range []struct {
		name string
		at   uint64 // size published by Open itself
		do   func(t *testing.T, cfg translog.Config, early string)
	}{
		{"tiles on disk, nothing signed", 3, func(t *testing.T, cfg translog.Config, early string) {
			write(t, read(t, early, "log/checkpoint"), cfg.Dir, "checkpoint")
			copyTree(t, filepath.Join(early, "trust"), cfg.TrustDir)
		}},
		{"guard written, checkpoint not", 5, func(t *testing.T, cfg translog.Config, early string) {
			write(t, read(t, early, "log/checkpoint"), cfg.Dir, "checkpoint")
		}},
		{"guard half written", 5, func(t *testing.T, cfg translog.Config, _ string) {
			write(t, []byte("half"), cfg.TrustDir, ".last-signed-123")
		}},
		{"checkpoint empty", 5, func(t *testing.T, cfg translog.Config, _ string) { write(t, nil, cfg.Dir, "checkpoint") }},
		{"checkpoint of another key", 5, func(t *testing.T, cfg translog.Config, _ string) {
			write(t, read(t, newLog(t).Dir, "checkpoint"), cfg.Dir, "checkpoint")
		}},
		{"checkpoint from the future", 5, func(t *testing.T, cfg translog.Config, _ string) {
			future := time.Now().Add(time.Hour)
			if err := os.Chtimes(filepath.Join(cfg.Dir, "checkpoint"), future, future); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := newLog(t)
			l := open(t, cfg)
			fill(t, l, 3)
			closeLog(t, l)
			early := t.TempDir()
			copyTree(t, cfg.Dir, filepath.Join(early, "log"))
			copyTree(t, cfg.TrustDir, filepath.Join(early, "trust"))
			l = open(t, cfg)
			fill(t, l, 5)
			want := l.Published()
			closeLog(t, l)
			tt.do(t, cfg, early)

			l = open(t, cfg)
			if at := l.Published().Size; at < tt.at {
				t.Errorf("Open publishes %d entries, want %d", at, tt.at)
			}
			if l.Integrated() != 5 {
				t.Errorf("integrated: %d, want 5", l.Integrated())
			}
			p, err := l.Wait(t.Context(), 5)
			if err != nil || p.Size != 5 || p.Root != want.Root {
				t.Errorf("published %d, %v; want the 5 entries of before", p.Size, err)
			}
			fill(t, l, 6)
			closeLog(t, l)
			if !bytes.Equal(read(t, cfg.Dir, "checkpoint"), read(t, cfg.TrustDir, "last-signed")) {
				t.Error("what was published is not what was signed last")
			}
		})
	}
}

// TestCreateAgain completes a creation that was cut short at any point, and
// never makes a log where one was.
func TestCreateAgain(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
		do   func(t *testing.T, cfg translog.Config)
		want error
	}{
		{"guard only", 0, func(t *testing.T, cfg translog.Config) { remove(t, cfg.Dir, "") }, nil},
		{"no checkpoint", 0, func(t *testing.T, cfg translog.Config) { remove(t, cfg.Dir, "checkpoint") }, nil},
		{"no guard", 0, func(t *testing.T, cfg translog.Config) { remove(t, cfg.TrustDir, "last-signed") }, nil},
		{"log of entries gone", 1, func(t *testing.T, cfg translog.Config) { remove(t, cfg.Dir, "") }, fault.Conflict},
		{"guard of entries gone", 1, func(t *testing.T, cfg translog.Config) { remove(t, cfg.TrustDir, "last-signed") }, fault.Conflict},
		{"state of entries gone", 1, func(t *testing.T, cfg translog.Config) {
			remove(t, cfg.TrustDir, "last-signed")
			remove(t, cfg.Dir, ".state")
		}, fault.Conflict},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := newLog(t)
			if tt.size > 0 {
				l := open(t, cfg)
				fill(t, l, tt.size)
				closeLog(t, l)
			}
			tt.do(t, cfg)
			s := watched(&cfg)
			if err := translog.Create(t.Context(), cfg); !errors.Is(err, tt.want) {
				t.Fatalf("%v, want %v", err, tt.want)
			}
			if tt.want != nil {
				if s.signed.Load() != 0 {
					t.Error("something was signed")
				}
				return
			}
			l := open(t, cfg)
			fill(t, l, 2)
			closeLog(t, l)
		})
	}
}

// TestFailedSignatureStopsTheLog breaks the step between tree and checkpoint:
// nothing is acknowledged or published, nothing is tried again, and the next
// start publishes the entry.
func TestFailedSignatureStopsTheLog(t *testing.T) {
	away := errors.New("the key is away")
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, cfg translog.Config, s *signer)
		undo func(t *testing.T, cfg translog.Config, s *signer)
	}{
		{"the key fails", func(_ *testing.T, _ translog.Config, s *signer) { s.fail.Store(&away) },
			func(_ *testing.T, _ translog.Config, s *signer) { s.fail.Store(nil) }},
		{"the key signs something else", func(_ *testing.T, _ translog.Config, s *signer) { s.wrong.Store(true) },
			func(_ *testing.T, _ translog.Config, s *signer) { s.wrong.Store(false) }},
		{"the guard cannot be written", func(t *testing.T, cfg translog.Config, _ *signer) {
			if err := os.Rename(cfg.TrustDir, cfg.TrustDir+".away"); err != nil {
				t.Fatal(err)
			}
		}, func(t *testing.T, cfg translog.Config, _ *signer) {
			if err := os.Rename(cfg.TrustDir+".away", cfg.TrustDir); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := newLog(t)
			s := watched(&cfg)
			l := open(t, cfg)
			fill(t, l, 2)
			before := read(t, cfg.Dir, "checkpoint")
			tt.do(t, cfg, s)
			_, err := l.Append(t.Context(), []byte("unlucky"))
			if fault.Of(err) != fault.Internal || fault.Hint(err) == "" {
				t.Fatalf("an append that cannot be signed: %v", err)
			}
			<-l.Failed()
			if l.Err() == nil {
				t.Error("Err is nil in a log that failed")
			}
			tt.undo(t, cfg, s)
			signed := s.signed.Load()
			if _, err := l.Append(t.Context(), []byte("later")); fault.Of(err) != fault.Internal {
				t.Errorf("an append to a log that stopped: %v", err)
			}
			if _, err := l.Wait(t.Context(), 3); fault.Of(err) != fault.Internal {
				t.Errorf("waiting for a log that stopped: %v", err)
			}
			if err := l.Close(context.Background()); fault.Of(err) != fault.Internal {
				t.Errorf("closing a log that stopped: %v", err)
			}
			if s.signed.Load() != signed || l.Published().Size != 2 || !bytes.Equal(read(t, cfg.Dir, "checkpoint"), before) {
				t.Error("a log that stopped went on")
			}

			l = open(t, cfg)
			defer closeLog(t, l)
			if _, err := l.Wait(t.Context(), 3); err != nil {
				t.Fatal(err)
			}
			if got := leaves(t, l.Reader); len(got) != 3 || string(got[2]) != "unlucky" {
				t.Errorf("after the start the log is %q", got)
			}
		})
	}
}

// TestSignedBeforeServed reads the checkpoint, then the guard, again and again
// while the log grows: at no moment is the guard the older of the two.
func TestSignedBeforeServed(t *testing.T) {
	cfg := newLog(t)
	v, err := note.NewVerifier(cfg.VKey)
	if err != nil {
		t.Fatal(err)
	}
	sizeOf := func(b []byte) uint64 {
		n, err := note.Open(b, note.VerifierList(v))
		if err != nil {
			t.Errorf("%v: %q", err, b)
			return 0
		}
		size, err := strconv.ParseUint(strings.Split(n.Text, "\n")[1], 10, 64)
		if err != nil {
			t.Error(err)
		}
		return size
	}
	l := open(t, cfg)
	done := make(chan struct{})
	var readers sync.WaitGroup
	readers.Go(func() {
		for last := uint64(0); ; {
			published := l.Published()
			served := sizeOf(read(t, cfg.Dir, "checkpoint"))
			signed := sizeOf(read(t, cfg.TrustDir, "last-signed"))
			if signed < served || served < published.Size || published.Size < last {
				t.Errorf("signed %d, served %d, published %d, before %d", signed, served, published.Size, last)
			}
			last = published.Size
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for i := range 6 {
		if _, err := l.Append(t.Context(), leaf(i)); err != nil {
			t.Error(err)
		}
	}
	close(done)
	readers.Wait()
	closeLog(t, l)
}

// TestConcurrentAppend: 100 leaves at once get 100 indices, without a gap, and
// each is found at its own.
func TestConcurrentAppend(t *testing.T) {
	cfg := newLog(t)
	policy, err := proof.ParsePolicy([]byte(cfg.VKey))
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, cfg)
	at := make([]uint64, 100)
	var wg sync.WaitGroup
	for i := range at {
		wg.Go(func() {
			var err error
			if at[i], err = l.Append(t.Context(), leaf(i)); err != nil {
				t.Errorf("leaf %d: %v", i, err)
				return
			}
			// Append returned, so anyone can be shown.
			r, err := l.Receipt(at[i])
			if err == nil {
				_, err = r.Verify(leaf(i), policy)
			}
			if err != nil {
				t.Errorf("leaf %d at %d: %v", i, at[i], err)
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	got := leaves(t, l.Reader)
	if len(got) != len(at) {
		t.Fatalf("%d entries, want %d", len(got), len(at))
	}
	for i, n := range at {
		if n >= uint64(len(got)) || !bytes.Equal(got[n], leaf(i)) {
			t.Errorf("leaf %d is not at its index %d", i, n)
		}
	}
}

// TestCloseDuringAppends closes the log under its writers: what was acknowledged
// is in the log, what was refused is not.
func TestCloseDuringAppends(t *testing.T) {
	cfg := newLog(t)
	l := open(t, cfg)
	fill(t, l, 1)
	acked, refused := make(map[string]uint64), make(map[string]bool)
	var mu sync.Mutex
	var wg sync.WaitGroup
	started := make(chan struct{}, 1)
	for i := range 16 {
		wg.Go(func() {
			for j := 0; ; j++ {
				b := leaf(1000*(i+1) + j)
				select {
				case started <- struct{}{}:
				default:
				}
				n, err := l.Append(t.Context(), b)
				mu.Lock()
				switch {
				case err == nil:
					acked[string(b)] = n
				case errors.Is(err, fault.Interrupted):
					refused[string(b)] = true
				default:
					t.Error(err)
				}
				mu.Unlock()
				if err != nil {
					return
				}
			}
		})
	}
	<-started
	for range 2 { // twice: closing a closed log has no effect
		if err := l.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	l = open(t, cfg)
	defer closeLog(t, l)
	got := leaves(t, l.Reader)
	for b, n := range acked {
		if n >= uint64(len(got)) || string(got[n]) != b {
			t.Errorf("%q was acknowledged at %d", b, n)
		}
	}
	for _, b := range got {
		if refused[string(b)] {
			t.Errorf("%q was refused and is in the log", b)
		}
	}
}

// TestAppendAndContexts: a deadline is pending, a cancellation interrupted; a
// context that has ended before logs nothing, and an entry that nobody waited
// for is logged all the same.
func TestAppendAndContexts(t *testing.T) {
	cfg := newLog(t)
	l := open(t, cfg)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ended, leaf(0)); !errors.Is(err, fault.Interrupted) {
		t.Errorf("a cancelled context: %v", err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	if _, err := l.Append(late, leaf(1)); !errors.Is(err, fault.Pending) || !fault.Of(err).Retry() {
		t.Errorf("a deadline in the past: %v", err)
	}
	// The interval since the last checkpoint has not passed when this ends.
	fill(t, l, 1)
	p := l.Published()
	soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := l.Append(soon, []byte("left alone")); err != nil && !errors.Is(err, fault.Pending) {
		t.Errorf("a deadline on the way: %v", err)
	}
	<-l.Changed(p)
	closeLog(t, l)
	if got := leaves(t, l.Reader); len(got) != 2 || string(got[1]) != "left alone" {
		t.Errorf("the log is %q", got)
	}
	if _, err := l.Wait(late, 3); !errors.Is(err, fault.Pending) {
		t.Errorf("waiting beyond a deadline: %v", err)
	}
}

// TestOpenReadOnly looks at a log without signing or mending anything.
func TestOpenReadOnly(t *testing.T) {
	cfg := newLog(t)
	l := open(t, cfg)
	fill(t, l, 3)
	want := l.Published()
	closeLog(t, l)
	looking := translog.Config{Dir: cfg.Dir, VKey: cfg.VKey}
	before := treeHash(t, cfg.Dir)
	r, err := translog.OpenReadOnly(looking)
	if err != nil {
		t.Fatal(err)
	}
	if p := r.Published(); p.Size != 3 || p.Root != want.Root || r.VKey() != cfg.VKey || !strings.HasPrefix(cfg.VKey, r.Origin()+"+") {
		t.Errorf("it reads %+v", p)
	}
	if treeHash(t, cfg.Dir) != before {
		t.Error("looking changed something")
	}
	other := looking
	other.VKey = newLog(t).VKey
	if _, err := translog.OpenReadOnly(other); !errors.Is(err, fault.Unverified) {
		t.Errorf("under another key: %v", err)
	}
	damage(t, filepath.Join(cfg.Dir, "checkpoint"), 40)
	if _, err := translog.OpenReadOnly(looking); !errors.Is(err, fault.Unverified) {
		t.Errorf("a damaged checkpoint: %v", err)
	}
	remove(t, cfg.Dir, "checkpoint")
	if _, err := translog.OpenReadOnly(looking); !errors.Is(err, fault.NotFound) {
		t.Errorf("no checkpoint: %v", err)
	}
}

// TestKeysOfEverySpelling: base64 may hold the "+" that separates the fields.
func TestKeysOfEverySpelling(t *testing.T) {
	for range 200 {
		skey, vkey, err := translog.NewLogKey("")
		if err != nil {
			t.Fatal(err)
		}
		s, again, err := translog.LoadKey(skey)
		if err != nil || again != vkey {
			t.Fatalf("%s: %v", vkey, err)
		}
		if name := s.Name(); len(name) != len("cairn.invalid/")+16 || !strings.HasPrefix(name, "cairn.invalid/") {
			t.Fatalf("the origin is %s", name)
		}
	}
}
