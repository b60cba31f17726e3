package hub_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/registry/hub"
)

// Nobody commits what somebody else sent, and nobody sends without a signed URL.
func TestObjects(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var mu sync.Mutex
	h := newHome(t, func(o *hub.Options) {
		o.Limits = hub.Limits{StagedBytes: 1000, StagedFiles: 3, Keep: time.Hour}
		o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	ada, ben := owner("ada")+"/toy", owner("ben")+"/toy"
	text := strings.Repeat("x", 400)
	h.sent(ada, text)
	if o := h.batch(ada, adaToken, "sha256", text)[0]; o.Actions != nil || o.Error != nil {
		t.Errorf("asked for again: %+v", o)
	}
	if o := h.batch(ben, benToken, "sha256", text)[0]; o.Actions == nil {
		t.Errorf("what another token sent is known: %+v", o)
	}
	a := h.do("POST", "/api/datasets/"+ben+"/commit/main", ndjson(header("x"), inline("README.md", card), large("t", text)), bearer(benToken)...)
	if a.status != 400 {
		t.Errorf("committed what somebody else sent: %v", a)
	}
	// What lies in the registry is not ben's either.
	h.committed(ada, header("x"), inline("README.md", card), large("t", text))
	if a := h.do("POST", "/api/datasets/"+ben+"/commit/main", ndjson(header("x"), inline("README.md", card), large("t", text)), bearer(benToken)...); a.status != 400 {
		t.Errorf("committed what somebody else registered: %v", a)
	}
	// It need not be sent again into the same dataset.
	if o := h.batch(ada, adaToken, "sha256", text)[0]; o.Actions != nil {
		t.Errorf("asked for what the dataset has: %+v", o)
	}

	other := strings.Repeat("y", 400)
	href := h.batch(ada, adaToken, "sha256", other)[0].Actions["upload"].Href
	u, err := url.Parse(href)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []func(q url.Values){
		func(q url.Values) { q.Set("size", "5000000") },
		func(q url.Values) { q.Set("token", "ben") },
		func(q url.Values) { q.Set("expires", "99999999999") },
		func(q url.Values) { q.Del("signature") },
	} {
		q, forged := u.Query(), *u
		change(q)
		forged.RawQuery = q.Encode()
		if a := h.do("PUT", forged.String(), other); a.status != 403 {
			t.Errorf("a forged URL: %v", a)
		}
	}
	if a := h.do("PUT", strings.Replace(href, sha256Of(other), sha256Of("z"), 1), "z"); a.status != 403 {
		t.Errorf("a URL for another file: %v", a)
	}
	if a := h.do("PUT", href, strings.Repeat("z", 400)); a.status != 422 {
		t.Errorf("other bytes: %v", a)
	}
	if a := h.do("PUT", href, "short"); a.status != 400 {
		t.Errorf("fewer bytes: %v", a)
	}
	if a := h.do("PUT", href, onlyReader{strings.NewReader(strings.Repeat("y", 500))}); a.status != 400 {
		t.Errorf("more bytes: %v", a)
	}
	// The URL outlives a restart, and ends.
	h.restart()
	if a := h.do("PUT", href, other); a.status != 200 {
		t.Errorf("after a restart: %v", a)
	}
	late := h.batch(ada, adaToken, "sha256", "late")[0].Actions["upload"].Href
	mu.Lock()
	now = now.Add(25 * time.Hour)
	mu.Unlock()
	if a := h.do("PUT", late, "late"); a.status != 403 {
		t.Errorf("an old URL: %v", a)
	}
	// What nobody committed goes.
	if o := h.batch(ada, adaToken, "sha256", other)[0]; o.Actions == nil {
		t.Errorf("an old file is kept: %+v", o)
	}
	// The quota is exact, also against requests at the same time.
	var hrefs []string
	var bodies []string
	for i := range 8 {
		bodies = append(bodies, strings.Repeat(fmt.Sprint(i), 400))
		hrefs = append(hrefs, h.batch(ada, adaToken, "sha256", bodies[i])[0].Actions["upload"].Href)
	}
	if o := h.batch(ada, adaToken, "sha256", bodies...); o[2].Error == nil || o[2].Error.Code != 413 {
		t.Errorf("more than the quota: %+v", o[2])
	}
	var wg sync.WaitGroup
	var taken, refused int
	for i := range hrefs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			req, _ := http.NewRequest("PUT", hrefs[i], strings.NewReader(bodies[i]))
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			switch res.StatusCode {
			case 200:
				taken++
			case 413:
				refused++
			default:
				t.Errorf("status %d", res.StatusCode)
			}
		}()
	}
	wg.Wait()
	if taken != 2 || refused != 6 {
		t.Errorf("%d taken, %d refused", taken, refused)
	}
	// A restart counts what lies there.
	h.restart()
	if o := h.batch(ada, adaToken, "sha256", strings.Repeat("n", 400))[0]; o.Error == nil {
		t.Errorf("the quota is forgotten: %+v", o)
	}
}

type onlyReader struct{ io.Reader }

// A body that is cut off leaves nothing behind, and a part that a crash left is
// removed by the next start.
func TestCutOff(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	id := owner("ada") + "/toy"
	text := strings.Repeat("x", 1<<20)
	href := h.batch(id, adaToken, "sha256", text)[0].Actions["upload"].Href
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "PUT", href, r)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(text))
	go func() {
		w.Write([]byte(text[:1000]))
		w.CloseWithError(io.ErrUnexpectedEOF)
	}()
	if _, err := http.DefaultTransport.RoundTrip(req); err == nil {
		t.Fatal("the cut was not seen")
	}
	dir := filepath.Join(h.opts.Dir, "staged", "0123")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "left.part"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.restart()
	// The client sees the cut before the server does.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		var left []string
		filepath.WalkDir(h.opts.Dir, func(p string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && filepath.Base(p) != "secret" {
				left = append(left, p)
			}
			return nil
		})
		if len(left) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: %q", left)
		}
	}
	h.sent(id, text)
	h.committed(id, header("x"), inline("README.md", card), large("t", text))
}
