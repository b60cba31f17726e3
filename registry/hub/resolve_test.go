package hub_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.add(version{key: "ada", name: "w", version: "1.0.0", files: weather})
	for _, way := range []string{"resolve", "raw"} {
		base := "/datasets/" + owner("ada") + "/w/" + way + "/main/"
		for p, text := range weather {
			for _, method := range []string{"GET", "HEAD"} {
				a := h.do(method, base+escape(p), nil, "Accept-Encoding", "gzip")
				etag := `"` + sha256Of(text) + `"`
				if a.status != 200 || a.header.Get("ETag") != etag || a.header.Get("X-Linked-Etag") != etag ||
					a.header.Get("Content-Length") != fmt.Sprint(len(text)) || a.header.Get("X-Linked-Size") != fmt.Sprint(len(text)) ||
					len(a.header.Get("X-Repo-Commit")) != 40 || a.header.Get("Accept-Ranges") != "bytes" ||
					a.header.Get("Content-Encoding") != "" || a.header.Get("X-Xet-Hash") != "" || a.header.Get("Link") != "" {
					t.Errorf("%s %s: %d %v", method, p, a.status, a.header)
				}
				if method == "GET" && string(a.body) != text || method == "HEAD" && len(a.body) > 0 {
					t.Errorf("%s %s: %d bytes", method, p, len(a.body))
				}
				if a.header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(a.header.Get("Content-Security-Policy"), "sandbox") ||
					!strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") || strings.Contains(a.header.Get("Content-Type"), "html") {
					t.Errorf("%s could run in a browser: %v", p, a.header)
				}
			}
		}
	}
	base := "/datasets/" + owner("ada") + "/w/resolve/main/"
	text := weather["data/train-01.csv"]
	n := len(text)
	for _, x := range []struct {
		r      string
		status int
		want   string
		cr     string
	}{
		{"bytes=0-0", 206, text[:1], fmt.Sprintf("bytes 0-0/%d", n)},
		{"bytes=1048570-1048590", 206, text[1048570:1048591], fmt.Sprintf("bytes 1048570-1048590/%d", n)}, // over the end of a block
		{"bytes=10-", 206, text[10:], fmt.Sprintf("bytes 10-%d/%d", n-1, n)},
		{"bytes=-8", 206, text[n-8:], fmt.Sprintf("bytes %d-%d/%d", n-8, n-1, n)},
		{"bytes=-99999999", 206, text, fmt.Sprintf("bytes 0-%d/%d", n-1, n)},
		{fmt.Sprintf("bytes=%d-99999999999999999999999", n-1), 206, text[n-1:], fmt.Sprintf("bytes %d-%d/%d", n-1, n-1, n)},
		{fmt.Sprintf("bytes=%d-", n), 416, "", fmt.Sprintf("bytes */%d", n)},
		{"bytes=-0", 416, "", fmt.Sprintf("bytes */%d", n)},
		{"bytes=5-2", 200, text, ""},
		{"bytes=0-1,4-5", 200, text, ""},
		{"lines=0-1", 200, text, ""},
		{"bytes=x", 200, text, ""},
	} {
		a := h.get(base+"data/train-01.csv", "Range", x.r)
		if a.status != x.status || a.header.Get("Content-Range") != x.cr || x.status != 416 && string(a.body) != x.want {
			t.Errorf("%s: %d, %s, %d bytes", x.r, a.status, a.header.Get("Content-Range"), len(a.body))
		}
	}
	// The first question of the JavaScript client, for each kind of file.
	for p, size := range map[string]string{"empty.bin": "bytes */0", "page.html": "bytes 0-0/25"} {
		a := h.get(base+p, "Range", "bytes=0-0", "Accept", "application/vnd.xet-fileinfo+json, */*")
		if a.status >= 300 || a.header.Get("Content-Range") != size || strings.Contains(a.header.Get("Content-Type"), "xet") {
			t.Errorf("%s: %d %v", p, a.status, a.header)
		}
	}
	etag := `"` + sha256Of(weather["page.html"]) + `"`
	if a := h.get(base+"page.html", "If-None-Match", `"x", W/`+etag); a.status != 304 || len(a.body) > 0 {
		t.Errorf("if-none-match: %v", a)
	}
	if a := h.get(base+"page.html", "If-Range", `"other"`, "Range", "bytes=0-1"); a.status != 200 {
		t.Errorf("if-range of another file: %v", a)
	}
	if a := h.get(base+"page.html", "If-Range", etag, "Range", "bytes=0-1"); a.status != 206 {
		t.Errorf("if-range of this file: %v", a)
	}
	// What a loader looks for and must not find.
	for _, p := range []string{"w.py", ".huggingface.yaml", "dataset_infos.json", "data", "data/", "..%2f..%2fsecret", "README.md/x"} {
		a := h.do("HEAD", base+p, nil)
		if a.status != 404 || a.header.Get("X-Error-Code") != "EntryNotFound" || len(a.header.Get("X-Repo-Commit")) != 40 {
			t.Errorf("%s: %d %v", p, a.status, a.header)
		}
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	text := weather["data/train-01.csv"]
	h.add(version{key: "ada", name: "w", version: "1.0.0", files: map[string]string{"f": text}})
	path := "/datasets/" + owner("ada") + "/w/resolve/main/f"
	rapid.Check(t, func(rt *rapid.T) {
		off := rapid.IntRange(0, len(text)-1).Draw(rt, "off")
		n := rapid.IntRange(1, 3000).Draw(rt, "n")
		a := h.get(path, "Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
		if want := text[off:min(len(text), off+n)]; a.status != 206 || string(a.body) != want {
			rt.Fatalf("%d bytes at %d: %d, %d bytes", n, off, a.status, len(a.body))
		}
	})
}
