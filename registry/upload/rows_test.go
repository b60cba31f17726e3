package upload_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/fold/foldtest"
)

// swapped sends another body than the one that was signed.
type swapped struct{ edit func([]byte) []byte }

func (s swapped) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && s.edit != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		b = s.edit(b)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	}
	return http.DefaultTransport.RoundTrip(r)
}

// refusal is the answer to a request whose credentials do not hold.
func (s *site) refusal(method, path string, body []byte) answer {
	s.t.Helper()
	return s.do("", method, path, body, func(r *http.Request) { r.Header.Set("Authorization", "Bearer unknown") })
}

// as sends a request signed by somebody, with its body edited under way.
func (s *site) as(who, method, path string, body []byte, edit func([]byte) []byte) answer {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := client.Signed(swapped{edit}, foldtest.Key(who), time.Now).RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, b}
}

// TestRefusedAlike: on every route, a key that was revoked in the log and a body
// that was changed after it was signed get the answer of a token that nobody
// knows, and leave nothing behind.
func TestRefusedAlike(t *testing.T) {
	s := newSite(t, nil)
	d := newDataset(t, newMemory(), "ana", "iris", "1.0.0", map[string]string{"a": "1"}, nil)
	car := d.car(t, d.closure...)
	declare := func(d *dataset, car []byte) []byte {
		t.Helper()
		b, err := json.Marshal(d.declare(t, car))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	id := s.do("ana", "POST", "/v1/uploads", declare(d, car), nil).upload(t).ID
	other := newDataset(t, newMemory(), "ana", "lily", "1.0.0", map[string]string{"b": "2"}, nil)
	otherCAR := other.car(t, other.closure...)
	profile := seal(t, manifests.New(&manifests.Profile{Common: common(t), Identity: foldtest.ID("ana"), Handle: "ana"}), "ana")
	routes := []struct {
		method, path string
		body         []byte
	}{
		{"POST", "/v1/uploads", declare(other, otherCAR)},
		{"PUT", "/v1/uploads/" + id + "/shards/" + sumOf(car), car},
		{"POST", "/v1/entries", profile},
		{"GET", "/v1/uploads/" + id, nil},
		{"POST", "/v1/uploads/" + id + "/commit", nil},
		{"DELETE", "/v1/uploads/" + id, nil},
	}
	files, size := s.files(), s.reg.Status().Size
	for _, r := range routes {
		if r.body == nil {
			continue
		}
		want := s.refusal(r.method, r.path, r.body)
		for name, edit := range map[string]func([]byte) []byte{
			"a bit":         func(b []byte) []byte { b = bytes.Clone(b); b[len(b)/2] ^= 1; return b },
			"the last byte": func(b []byte) []byte { b = bytes.Clone(b); b[len(b)-1] ^= 1; return b },
			"one less":      func(b []byte) []byte { return b[:len(b)-1] },
			"one more":      func(b []byte) []byte { return append(bytes.Clone(b), ' ') },
			"another's":     func(b []byte) []byte { return otherCAR },
		} {
			got := s.as("ana", r.method, r.path, r.body, edit)
			if r.method == "PUT" {
				// A shard is looked at as it comes in, and most changes end it before its
				// digest is known: what is wrong with it is said then.
				if got.status < 400 || got.status >= 500 {
					t.Errorf("a shard, %s changed: %d %s", name, got.status, got.body)
				}
				continue
			}
			if got.status != 401 || !bytes.Equal(got.body, want.body) {
				t.Errorf("%s %s, %s changed: %d %s, want %d %s", r.method, r.path, name, got.status, got.body, want.status, want.body)
			}
		}
	}
	if got := s.files(); !slices.Equal(got, files) || s.reg.Status().Size != size {
		t.Errorf("changed bodies left %q, before there was %q", got, files)
	}

	ana := foldtest.ID("ana")
	revoke := seal(t, manifests.New(&manifests.Key{Common: common(t), Identity: ana, Key: ana, Op: manifests.KeyRevoke}), "ana")
	if a := s.do("ana", "POST", "/v1/entries", revoke, nil); a.status != 200 {
		t.Fatalf("the revocation: %d %s", a.status, a.body)
	}
	size = s.reg.Status().Size
	for _, r := range routes {
		want := s.refusal(r.method, r.path, r.body)
		if got := s.as("ana", r.method, r.path, r.body, nil); got.status != 401 || !bytes.Equal(got.body, want.body) {
			t.Errorf("%s %s by a revoked key: %d %s, want %d %s", r.method, r.path, got.status, got.body, want.status, want.body)
		}
	}
	if got := s.files(); !slices.Equal(got, files) || s.reg.Status().Size != size {
		t.Errorf("the revoked key left %q, before there was %q", got, files)
	}
	// Somebody else's is not touched, and the log itself would have refused too.
	if a := s.do("ben", "POST", "/v1/uploads", []byte("{}"), nil); a.status == 401 {
		t.Errorf("another key: %d %s", a.status, a.body)
	}
	if _, err := s.reg.Submit(t.Context(), profile); err == nil {
		t.Errorf("the registry takes a statement of a revoked key")
	}
}
