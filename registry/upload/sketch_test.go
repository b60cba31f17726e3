package upload_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/records"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sketch"
	"github.com/cairn-registry/cairn/registry/registrytest"
	"github.com/cairn-registry/cairn/registry/upload"
)

// claim makes the manifest of a dataset name the sketch and the fingerprint of
// other files.
func claim(t *testing.T, blocks *memory, files map[string]string) func(*manifests.Contribution, *manifests.Manifest) {
	t.Helper()
	other := newDatasetResult(t, blocks, files)
	return func(_ *manifests.Contribution, m *manifests.Manifest) {
		m.Sketch, m.Fingerprint = other.Sketch, other.Fingerprint
	}
}

func newDatasetResult(t *testing.T, blocks *memory, files map[string]string) *ingest.Result {
	t.Helper()
	r, err := ingest.Add(t.Context(), registrytest.Folder(t, files), blocks, ingest.AddOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func lines(n int, what string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"text\":\"%s, and its number is %d\"}\n", what, i)
	}
	return b.String()
}

// A manifest that names the sketch or the fingerprint of other data is refused,
// and nothing of the upload is taken in.
func TestSketchMismatch(t *testing.T) {
	s := newSite(t, nil)
	mine := newMemory()
	files := map[string]string{"a.jsonl": lines(300, "the data that is sent")}
	for what, other := range map[string]map[string]string{
		"another's":  {"a.jsonl": lines(300, "the data of somebody else")},
		"half of it": {"a.jsonl": lines(150, "the data that is sent")},
	} {
		for _, keep := range []string{"sketch", "fingerprint"} {
			lie := claim(t, mine, other)
			own := newDatasetResult(t, mine, files)
			d := newDataset(t, mine, "ana", "iris", "1.0.0", files, func(c *manifests.Contribution, m *manifests.Manifest) {
				lie(c, m)
				if keep == "sketch" {
					m.Sketch = own.Sketch
				} else {
					m.Fingerprint = own.Fingerprint
				}
			})
			car := d.car(t, d.closure...)
			u := s.open("ana", d.declare(t, car)).upload(t)
			if a := s.put("ana", u.ID, car, nil); a.status != http.StatusNoContent {
				t.Fatalf("%d %s", a.status, a.body)
			}
			a := s.commit("ana", u.ID)
			if a.status != http.StatusUnprocessableEntity || !strings.Contains(string(a.body), records.Mismatch) {
				t.Errorf("%s, with the true %s: %d %s, want 422 and %s", what, keep, a.status, a.body, records.Mismatch)
			}
			if _, err := s.store.Block(t.Context(), d.root()); !errors.Is(err, fault.NotFound) {
				t.Errorf("%s: the manifest is in the store: %v", what, err)
			}
			if a := s.do("ana", "DELETE", "/v1/uploads/"+u.ID, nil, nil); a.status != http.StatusNoContent {
				t.Errorf("%d %s", a.status, a.body)
			}
		}
	}
	if n := s.reg.Status().Size; n != 1 {
		t.Errorf("the log has %d entries, want 1", n)
	}
	s.push("ana", newDataset(t, mine, "ana", "iris", "1.0.0", files, claim(t, mine, files)))
}

// Making a sketch again takes bounded memory and time, whatever was sent. The
// bombs' sketches are claims that cannot be checked without unpacking them.
func TestSketchBombs(t *testing.T) {
	s := newSite(t, func(o *upload.Options) { o.Patience = 0.02 }) // 0.6 s for a sketch
	mine := newMemory()
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	for range 24 {
		w.Write(bytes.Repeat([]byte("0"), 1<<20)) // one line of 24 MiB
	}
	w.Close()
	var rows bytes.Buffer
	w = gzip.NewWriter(&rows)
	w.Write([]byte(strings.Repeat("{\"text\":\"the same record again and again and again\"}\n", 1<<18)))
	w.Close()
	many := make(map[string]string)
	for i := range 200 {
		many[fmt.Sprintf("%d.jsonl.gz", i)] = rows.String()
	}
	wrong := sketch.Sketch{K: 0, Hashes: []uint64{1}}
	b := wrong.Encode()
	c := cjson.RawCID(b)
	memoryBatch{mine}.Append(t.Context(), c, b)
	for name, bomb := range map[string]struct {
		files map[string]string
		want  []int
	}{
		"a line without an end": {map[string]string{"a.jsonl.gz": gz.String()}, []int{422}},
		"one file many times":   {many, []int{413}},
		"half a Parquet file":   {map[string]string{"a.parquet": "PAR1" + text(4096, "\xff\x15\x7f") + "\xff\xff\xff\x7fPAR1"}, []int{422}},
	} {
		d := newDataset(t, mine, "ana", "bomb", "1.0.0", bomb.files, func(_ *manifests.Contribution, m *manifests.Manifest) {
			m.Sketch = wrong.InManifest(c)
		})
		car := d.car(t, d.closure...)
		u := s.open("ana", d.declare(t, car)).upload(t)
		s.put("ana", u.ID, car, nil)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		peak, stop := watchHeap()
		a := s.commit("ana", u.ID)
		stop()
		runtime.ReadMemStats(&after)
		ok := false
		for _, w := range bomb.want {
			ok = ok || a.status == w
		}
		if !ok {
			t.Errorf("%s: %d %s, want one of %v", name, a.status, a.body, bomb.want)
		}
		if grown := int64(*peak) - int64(before.HeapInuse); grown > 64<<20 {
			t.Errorf("%s: the heap grew by %d bytes", name, grown)
		}
		if a := s.do("ana", "DELETE", "/v1/uploads/"+u.ID, nil, nil); a.status != http.StatusNoContent {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

// The quota of what is stored counts files, also those that a base has and that
// are not sent again, and holds however many uploads are open at once.
func TestStoredQuotaRace(t *testing.T) {
	s := newSite(t, func(o *upload.Options) { o.Quota = upload.Quota{StoredBytes: 250_000} })
	mine := newMemory()
	files := map[string]string{"a.bin": text(100_000, "some data; ")}
	first := newDataset(t, mine, "ana", "base", "1.0.0", files, nil)
	statement := s.push("ana", first).Statement
	has := make(map[cid.Cid]bool)
	for _, c := range first.closure {
		has[c] = true
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	opened, refused := 0, 0
	for i := range 4 {
		d := newDataset(t, mine, "ana", fmt.Sprintf("copy%d", i), "1.0.0", files, nil)
		var fresh []cid.Cid
		for _, c := range d.closure {
			if !has[c] {
				fresh = append(fresh, c)
			}
		}
		car := d.car(t, fresh...)
		o := d.declare(t, car)
		o.Bases = []cjson.CID{statement}
		wg.Go(func() {
			a := s.open("ana", o)
			mu.Lock()
			defer mu.Unlock()
			switch a.status {
			case http.StatusCreated:
				opened++
			case http.StatusRequestEntityTooLarge:
				refused++
			default:
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	if opened != 1 || refused != 3 {
		t.Errorf("%d copies of 100,000 bytes are open and %d refused, want 1 and 3: 150,000 bytes are left", opened, refused)
	}
}
