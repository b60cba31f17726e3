package manifests

import (
	"strings"

	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// The kinds of external source that a URL names, by its scheme and form.
const (
	ExternalURL  = "url"   // anything on the web
	ExternalDOI  = "doi"   // doi:10.5281/zenodo.12345
	ExternalSWH  = "swhid" // swh:1:dir:<40 hex>, perhaps with qualifiers
	ExternalHub  = "hub"   // hf:datasets/owner/name[@revision], hf:models/…, hf:spaces/…
	ExternalWARC = "warc"  // the URL of a .warc or .warc.gz file, perhaps with #<record id>
)

// ExternalKind returns the kind of external source that a URL names. The URL
// need not be valid.
func ExternalKind(url string) string {
	path, _, _ := strings.Cut(url, "#")
	switch {
	case strings.HasPrefix(url, "doi:"):
		return ExternalDOI
	case strings.HasPrefix(url, "swh:"):
		return ExternalSWH
	case strings.HasPrefix(url, "hf:"):
		return ExternalHub
	case strings.HasSuffix(path, ".warc"), strings.HasSuffix(path, ".warc.gz"):
		return ExternalWARC
	}
	return ExternalURL
}

// checkExternal says what is wrong with the URL of an external source whose
// scheme has a grammar of its own; "" for nothing. The URL's own grammar is
// another check.
func checkExternal(url string) string {
	switch ExternalKind(url) {
	case ExternalDOI:
		prefix, suffix, ok := strings.Cut(strings.TrimPrefix(url, "doi:"), "/")
		registrant, ten := strings.CutPrefix(prefix, "10.")
		if !ok || !ten || suffix == "" || len(registrant) < 4 || strings.Trim(registrant, "0123456789.") != "" {
			return "must be doi:10.<registrant>/<suffix>"
		}
	case ExternalSWH:
		core, _, _ := strings.Cut(url, ";")
		for _, object := range []string{"cnt", "dir", "rev", "rel", "snp"} {
			if checkSWHID(core, object) == "" {
				return ""
			}
		}
		return "must be swh:1:, one of cnt, dir, rev, rel and snp, and 40 lower-case hex digits"
	case ExternalHub:
		const want = "must be hf:datasets/, hf:models/ or hf:spaces/, owner/name, and perhaps @revision"
		path, rev, pinned := strings.Cut(strings.TrimPrefix(url, "hf:"), "@")
		parts := strings.Split(path, "/")
		if len(parts) != 3 || parts[0] != "datasets" && parts[0] != "models" && parts[0] != "spaces" || pinned && rev == "" {
			return want
		}
		for _, p := range parts[1:] {
			if p == "" || len(p) > 96 || !field.Only(p, "._-") {
				return want
			}
		}
	}
	return ""
}
