package hub_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/auth"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
	"github.com/cairn-registry/cairn/registry/hub"
)

// A ledger is a quota of bytes over all commits.
type ledger struct {
	mu           sync.Mutex
	left, stored int64
	asked        int
}

func (l *ledger) reserve(c auth.Caller, key sign.KeyID, n int64) (func(int64), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if c.Token != "ada's laptop" || key != foldtest.ID("ada") {
		return nil, fault.New(fault.Internal, "asked for %+v, %s", c, key)
	}
	if n > l.left {
		return nil, fault.New(fault.TooLarge, "%d bytes of %d", n, l.left)
	}
	l.left -= n
	return func(stored int64) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.left += n - stored
		l.stored += stored
	}, nil
}

// A commit takes from the quota before any of it is in the store, what is refused
// takes nothing, and what a version replaces is not counted.
func TestCommitQuota(t *testing.T) {
	t.Parallel()
	l := &ledger{left: 5000}
	h := newHome(t, func(o *hub.Options) { o.Reserve = l.reserve })
	id := owner("ada") + "/toy"
	h.committed(id, header("1"), inline("README.md", card), inline("a", strings.Repeat("a", 1000)))
	first := int64(len(card)) + 1000
	if l.stored != first || l.left != 5000-first {
		t.Errorf("%d stored, %d left, want %d and %d", l.stored, l.left, first, 5000-first)
	}
	size := h.reg.Status().Size
	text := strings.Repeat("too much", 400)
	h.sent(id, text)
	if a := h.commit(id, header("2"), large("b", text)); a.status != 413 {
		t.Errorf("above the quota: %v", a)
	}
	if _, err := h.store.Size(t.Context(), cjson.RawCID([]byte(text))); !errors.Is(err, fault.NotFound) || h.reg.Status().Size != size || l.left != 5000-first {
		t.Errorf("what was refused left %v, %d entries, and took %d bytes", err, h.reg.Status().Size-size, 5000-first-l.left)
	}
	h.committed(id, header("3"), inline("a", strings.Repeat("b", 500)))
	if want := first + int64(len(card)) + 500; l.stored != want {
		t.Errorf("%d stored, want %d", l.stored, want)
	}
	// Sent again without a change it makes nothing, and takes nothing.
	left := l.left
	h.committed(id, header("3"), inline("a", strings.Repeat("b", 500)))
	if l.left != left {
		t.Errorf("a commit of nothing took %d", left-l.left)
	}
}

// Nothing is taken onto a disk that is nearly full; reading goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	full := false
	h := newHome(t, func(o *hub.Options) {
		o.Room = func(int64) error {
			mu.Lock()
			defer mu.Unlock()
			if full {
				return fault.New(fault.NoSpace, "full")
			}
			return nil
		}
	})
	id := owner("ada") + "/toy"
	h.committed(id, header("x"), inline("README.md", card))
	href := h.batch(id, adaToken, "sha256", "large")[0].Actions["upload"].Href
	mu.Lock()
	full = true
	mu.Unlock()
	if a := h.do("PUT", href, "large"); a.status != http.StatusInsufficientStorage {
		t.Errorf("a file: %v", a)
	}
	if a := h.commit(id, header("x"), inline("a", "a")); a.status != http.StatusInsufficientStorage {
		t.Errorf("a commit: %v", a)
	}
	if a := h.get("/datasets/" + id + "/resolve/main/README.md"); a.status != 200 {
		t.Errorf("reading: %v", a)
	}
	mu.Lock()
	full = false
	mu.Unlock()
	if a := h.do("PUT", href, "large"); a.status != 200 {
		t.Errorf("once there is room: %v", a)
	}
}

// However many commits somebody begins and does not end, few are read, and
// another's goes on.
func TestUnendingCommits(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	var mu sync.Mutex
	read := 0
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			pr, pw := io.Pipe()
			req, _ := http.NewRequest("POST", h.url+"/api/datasets/"+owner("ada")+"/toy/commit/main", pr)
			req.Header.Set("Authorization", "Bearer "+adaToken)
			go func() {
				// More than what connections buffer on their own.
				line := []byte(fmt.Sprintf("%s\n", ndjson(header("x"))))
				pw.Write(line)
				for range 16 {
					if _, err := pw.Write([]byte(strings.Repeat(" ", 1<<20-1) + "\n")); err != nil {
						return
					}
					select {
					case <-stop:
						pw.CloseWithError(errors.New("gone"))
						return
					default:
					}
				}
				mu.Lock()
				read++
				mu.Unlock()
				<-stop
				pw.CloseWithError(errors.New("gone"))
			}()
			res, err := http.DefaultClient.Do(req)
			if err == nil {
				res.Body.Close()
			}
		})
	}
	a := h.do("POST", "/api/datasets/"+owner("ben")+"/toy/commit/main", ndjson(header("x"), inline("README.md", card)), bearer(benToken)...)
	if a.status != 200 {
		t.Errorf("another's commit: %v", a)
	}
	held := func() int {
		mu.Lock()
		defer mu.Unlock()
		return read
	}
	for held() < 2 && t.Context().Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(300 * time.Millisecond) // for more, if more are read
	if n := held(); n > 2 {
		t.Errorf("%d commits of one token are read at once, at most 2", n)
	}
	close(stop)
	wg.Wait()
}

// A .gitignore is matched only as far as it is cheap.
func TestIgnoreIsBounded(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	ask := func(ignore string, files, length int) answer {
		var list []map[string]any
		for i := range files {
			name := fmt.Sprintf("%d", i)
			for len(name) < length {
				name += "/" + strings.Repeat("a", min(200, length-len(name)))
			}
			list = append(list, map[string]any{"path": name, "size": 1})
		}
		return h.do("POST", "/api/datasets/"+owner("ada")+"/toy/preupload/main", map[string]any{"files": list, "gitIgnore": ignore}, bearer(adaToken)...)
	}
	if a := ask(strings.Repeat("*a*a*b\n", 900), 100, 100); a.status != 200 {
		t.Errorf("a long one: %v", a)
	}
	for name, a := range map[string]answer{
		"many patterns":           ask(strings.Repeat("a\n", 30_000), 1, 1),
		"patterns for long paths": ask(strings.Repeat("*a*a*b\n", 900), 1000, 3000),
	} {
		if a.status != 413 {
			t.Errorf("%s: %v", name, a)
		}
	}
}

// What is no name of a file in a dataset is refused on every road, before
// anything is kept.
func TestBadPaths(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	id := owner("ada") + "/toy"
	size := h.reg.Status().Size
	deep := strings.Repeat("a/", 64) + "a"
	for name, path := range map[string]string{
		"up":             "../x",
		"up inside":      "a/../../x",
		"here":           "./x",
		"absolute":       "/etc/passwd",
		"empty":          "",
		"empty in it":    "a//b",
		"a slash at end": "a/",
		"zero":           "a\x00b",
		"escape":         "a\x1b]0;x",
		"line feed":      "a\nb",
		"bidi":           "a\u202eb",
		"not UTF-8":      "a\xffb",
		"64 deep":        deep,
		"a long name":    strings.Repeat("a", 256),
		"a long path":    strings.Repeat(strings.Repeat("a", 200)+"/", 30) + "a",
	} {
		for road, a := range map[string]answer{
			"file":      h.commit(id, header("x"), inline("README.md", card), inline(path, "x")),
			"LFS":       h.commit(id, header("x"), inline("README.md", card), large(path, "x")),
			"delete":    h.commit(id, header("x"), inline("README.md", card), remove(path)),
			"preupload": h.do("POST", "/api/datasets/"+id+"/preupload/main", map[string]any{"files": []map[string]any{{"path": path, "size": 1}}}, bearer(adaToken)...),
		} {
			if name == "not UTF-8" && (road == "delete" || road == "preupload") {
				continue // it names nothing, and adds nothing
			}
			want := a.status == 400 || a.status == 413
			if !want {
				t.Errorf("%s, %s: %v", name, road, a)
			}
		}
	}
	if n := h.reg.Status().Size; n != size {
		t.Errorf("%d entries were made", n-size)
	}
}
