package hub

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func TestParseCommit(t *testing.T) {
	var spool bytes.Buffer
	in := `{"key":"header","value":{"summary":"Add","parentCommit":"0123456789012345678901234567890123456789"}}
{"key":"file","value":{"content":"IyBoaQ==","path":"b","encoding":"base64"}}
{"key":"lfsFile","value":{"path":"a/x","algo":"sha256","oid":"` + strings.Repeat("0", 64) + `"}}

{"key":"deletedFolder","value":{"path":"old/"}}
{"key":"deletedFile","value":{"path":"c"}}`
	c, err := parseCommit(strings.NewReader(in), 10, &spool)
	if err != nil {
		t.Fatal(err)
	}
	if c.summary != "Add" || len(c.changes) != 2 || c.changes[0].path != "a/x" || c.changes[0].size != -1 || c.changes[1].size != 4 ||
		c.folders[0] != "old" || c.deleted[0] != "c" || spool.String() != "# hi" {
		t.Errorf("read %+v, %q", c, spool.String())
	}
	head := `{"key":"header","value":{"summary":"x"}}` + "\n"
	for name, in := range map[string]string{
		"empty":            "",
		"no header":        `{"key":"file","value":{"content":"","path":"a","encoding":"base64"}}`,
		"two headers":      head + head,
		"unknown key":      head + `{"key":"copyFile","value":{"path":"a"}}`,
		"unknown member":   head + `{"key":"deletedFile","value":{"path":"a","force":true}}`,
		"other member":     head + `{"key":"deletedFile","value":{"path":"a"},"more":1}`,
		"two values":       head + `{"key":"deletedFile","value":{"path":"a"}} {}`,
		"no base64":        head + `{"key":"file","value":{"content":"IyBo aQ==","path":"a","encoding":"base64"}}`,
		"loose base64":     head + `{"key":"file","value":{"content":"IyBoaR==","path":"a","encoding":"base64"}}`,
		"other encoding":   head + `{"key":"file","value":{"content":"","path":"a","encoding":"hex"}}`,
		"absolute path":    head + `{"key":"deletedFile","value":{"path":"/a"}}`,
		"dots":             head + `{"key":"deletedFile","value":{"path":"a/../b"}}`,
		"control":          head + `{"key":"deletedFile","value":{"path":"a\u0007"}}`,
		"no path":          head + `{"key":"deletedFolder","value":{"path":"/"}}`,
		"no hash":          head + `{"key":"lfsFile","value":{"path":"a","algo":"sha256","oid":"00"}}`,
		"other hash":       head + `{"key":"lfsFile","value":{"path":"a","algo":"md5","oid":"` + strings.Repeat("0", 64) + `"}}`,
		"negative size":    head + `{"key":"lfsFile","value":{"path":"a","algo":"sha256","size":-1,"oid":"` + strings.Repeat("0", 64) + `"}}`,
		"bad parent":       `{"key":"header","value":{"summary":"x","parentCommit":"main"}}`,
		"deleted and kept": head + `{"key":"deletedFile","value":{"path":"a"}}` + "\n" + `{"key":"file","value":{"content":"","path":"a","encoding":"base64"}}`,
	} {
		if _, err := parseCommit(strings.NewReader(in), 10, &spool); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := head + `{"key":"file","value":{"content":"` + strings.Repeat("AAAA", maxLine/4) + `","path":"a","encoding":"base64"}}`
	if _, err := parseCommit(strings.NewReader(long), 10, &spool); !errors.Is(err, fault.TooLarge) {
		t.Errorf("a long line: %v", err)
	}
}

// What is read is what was written: bytes in the spool under their hashes, each
// path once, in order, and written out it is read the same.
func FuzzParseCommit(f *testing.F) {
	head := `{"key":"header","value":{"summary":"x","description":"y","parentCommit":"0123456789012345678901234567890123456789"}}` + "\n"
	f.Add([]byte(head + `{"key":"file","value":{"content":"IyBoaQ==","path":"README.md","encoding":"base64"}}`))
	f.Add([]byte(head + `{"key":"file","value":{"content":"text","path":"a/b","encoding":"utf-8"}}` + "\n" + `{"key":"deletedFolder","value":{"path":"old/"}}`))
	f.Add([]byte(head + `{"key":"lfsFile","value":{"path":"t","algo":"sha_256","size":891410,"oid":"` + strings.Repeat("ab", 32) + `"}}` + "\n" + `{"key":"deletedFile","value":{"path":"old.csv"}}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		const max = 8
		var spool bytes.Buffer
		c, err := parseCommit(bytes.NewReader(b), max, &spool)
		if err != nil {
			if fault.Of(err) == fault.Internal {
				t.Fatalf("an input is no failure of our own: %v", err)
			}
			return
		}
		if n := len(c.changes) + len(c.deleted) + len(c.folders); n > max {
			t.Fatalf("%d changes", n)
		}
		var out bytes.Buffer
		e := json.NewEncoder(&out)
		e.SetEscapeHTML(false)
		write := func(key string, v any) {
			if err := e.Encode(map[string]any{"key": key, "value": v}); err != nil {
				t.Fatal(err)
			}
		}
		write("header", map[string]any{"summary": c.summary, "description": c.description, "parentCommit": c.parent})
		seen := make(map[string]bool)
		path := func(p string) {
			if seen[p] || checkPath(p) != nil {
				t.Fatalf("path %q", p)
			}
			seen[p] = true
		}
		for i, ch := range c.changes {
			path(ch.path)
			if i > 0 && manifests.ComparePaths(c.changes[i-1].path, ch.path) >= 0 {
				t.Fatalf("%q behind %q", ch.path, c.changes[i-1].path)
			}
			if !ch.inline {
				v := map[string]any{"path": ch.path, "algo": "sha256", "oid": ch.sha256}
				if ch.size >= 0 {
					v["size"] = ch.size
				}
				write("lfsFile", v)
				continue
			}
			raw := spool.Bytes()[ch.off : ch.off+ch.size]
			if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) != ch.sha256 {
				t.Fatalf("%q has other bytes", ch.path)
			}
			write("file", map[string]any{"path": ch.path, "content": base64.StdEncoding.EncodeToString(raw), "encoding": "base64"})
		}
		for _, p := range c.deleted {
			path(p)
			write("deletedFile", map[string]any{"path": p})
		}
		for _, p := range c.folders {
			path(p)
			write("deletedFolder", map[string]any{"path": p})
		}
		var again bytes.Buffer
		d, err := parseCommit(bytes.NewReader(out.Bytes()), max, &again)
		if err != nil || d.summary != c.summary || d.description != c.description || d.parent != c.parent || len(d.changes) != len(c.changes) {
			t.Fatalf("read again: %v, %+v, %+v", err, c, d)
		}
		for i := range d.changes {
			if x, y := c.changes[i], d.changes[i]; x.path != y.path || x.sha256 != y.sha256 || x.size != y.size {
				t.Fatalf("read again: %+v, %+v", x, y)
			}
		}
	})
}

func FuzzParseCard(f *testing.F) {
	f.Add([]byte("---\nlicense: cc-by-4.0\ntags:\n- a\nx: {y: [1, true, null, 1.5, 2026-11-26]}\n---\n# T\n"))
	f.Add([]byte("---\nlicense: [mit, apache-2.0]\n---"))
	f.Add([]byte("---\na: &a [x]\nb: *a\n---\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		data, err := parseCard(b)
		if err != nil {
			if fault.Of(err) == fault.Internal {
				t.Fatal(err)
			}
			return
		}
		if _, err := json.Marshal(data); err != nil {
			t.Fatalf("a card that JSON cannot say: %v", err)
		}
		expr, err := cardLicense(data)
		if err != nil {
			return
		}
		if again, err := cardLicense(map[string]any{"license": expr}); err != nil || again != expr {
			t.Fatalf("the licence %q is read as %q, %v", expr, again, err)
		}
	})
}

func TestCardLicense(t *testing.T) {
	for in, want := range map[string]string{
		"cc-by-4.0": "CC-BY-4.0", "apache-2.0": "Apache-2.0", "MIT": "MIT", "odc-by": "ODC-By-1.0", "odbl": "ODbL-1.0", "pddl": "PDDL-1.0",
		"c-uda": "C-UDA-1.0", "cdla-permissive-2.0": "CDLA-Permissive-2.0", "cdla-sharing-1.0": "CDLA-Sharing-1.0", "cc0-1.0": "CC0-1.0",
		"openrail": "LicenseRef-hf-openrail", "openrail++": "", "llama3.1": "LicenseRef-hf-llama3.1", "gemma": "LicenseRef-hf-gemma",
		"unknown": "LicenseRef-hf-unknown", "other": "LicenseRef-hf-other", "a b": "", "../x": "",
	} {
		got, err := cardLicense(map[string]any{"license": in})
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s is %s, %v; want %s", in, got, err, want)
		}
	}
	if got, err := cardLicense(map[string]any{"license": []any{"mit", "cc-by-4.0"}}); err != nil || got != "MIT AND CC-BY-4.0" {
		t.Errorf("two licences: %s, %v", got, err)
	}
	if _, err := cardLicense(map[string]any{"license": 3}); !errors.Is(err, fault.Invalid) {
		t.Errorf("no licence: %v", err)
	}
}
