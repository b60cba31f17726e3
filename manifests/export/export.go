// Package export says what a dataset's description looks like to the formats of
// others: what a writer is given, and what a writer or a reader answers. Each
// format is a package below it; package formats lists them. FORMAT.md maps the
// members of a manifest to each format's, and names what has no place there.
//
// Everything here is pure: a document follows from its [Input] alone, to the
// byte.
package export

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// Limits.
const (
	// MaxBase bounds the base URL of a gateway.
	MaxBase = 1024
	// MaxDropped bounds the list of what had no place: enough to read, too few
	// to make an answer larger than its question. The last one says how many more.
	MaxDropped = 200
)

// Facts are what a manifest does not say itself.
type Facts struct {
	// Manifest is the manifest's own CID.
	Manifest cid.Cid
	// Statement registered this version; undefined for a dataset that is not
	// registered.
	Statement cid.Cid
	// PublishedAt is an instant: when the log took the statement, if that is known,
	// else when its signer says it was made; "" means the manifest's CreatedAt.
	PublishedAt string
	// Base is the URL of a gateway that serves the data, without a slash at its end.
	Base string
}

// An Input is all that a writer may use.
type Input struct {
	Facts
	M     *manifests.Manifest
	Terms *terms.Terms // the document that M names
	// Files gives the files in the manifest's order, those of a file list too.
	Files iter.Seq2[manifests.File, error]
}

// A Document is what a writer made.
type Document struct {
	Bytes []byte
	// Dropped lists what the manifest or the terms say and the format cannot.
	Dropped []Dropped
}

// A Dropped is something that had no place on the other side.
type Dropped struct {
	Path   string `json:"path"`   // in the document it came from
	Reason string `json:"reason"` // why it was left out
}

// A Format is a way of writing descriptions. Write is deterministic, and safe
// for concurrent use. It fails with fault.Invalid for an Input that is not
// complete, and with the error of Input.Files.
type Format struct {
	Name      string // as users type it: letters, digits and hyphens
	MediaType string
	Extension string // of file names, with its dot
	Title     string // for lists
	Write     func(Input) (Document, error)
}

// A Fragment is what a reader found: the beginning of a manifest.
type Fragment struct {
	// Format says what was read, with its version.
	Format string
	// Manifest is not complete and not validated as a whole: whoever adds the
	// data says the rest. Files have only those members that a contributor may write.
	Manifest *manifests.Manifest
	// License is an SPDX expression, or the word or URL that stood there; a
	// manifest has no place for it, the terms do.
	License string
	// Dropped lists what was there and has no place in a manifest.
	Dropped []Dropped
}

// Load reads manifest and terms out of b. The blocks of a file list are read
// later, when [Input.Files] is.
func Load(ctx context.Context, b unixfs.Blocks, f Facts) (Input, error) {
	raw, err := b.Block(ctx, f.Manifest)
	if err != nil {
		return Input{}, fmt.Errorf("the manifest: %w", err)
	}
	m, err := manifests.DecodeManifest(raw)
	if err != nil {
		return Input{}, fmt.Errorf("the manifest: %w", err)
	}
	if raw, err = b.Block(ctx, m.Terms.Cid); err != nil {
		return Input{}, fmt.Errorf("the terms: %w", err)
	}
	t, err := terms.Decode(raw)
	if err != nil {
		return Input{}, fmt.Errorf("the terms: %w", err)
	}
	return Input{Facts: f, M: m, Terms: t, Files: m.ListedFiles(ctx, b)}, nil
}

// Check refuses an Input that a writer cannot work with.
func (in *Input) Check() error {
	switch {
	case in.M == nil || in.Terms == nil || in.Files == nil:
		return fault.New(fault.Invalid, "a manifest, its terms and its files are needed")
	case !in.M.Data.Root.Defined() || cjson.CheckCID(in.Manifest) != nil:
		return fault.New(fault.Invalid, "the CIDs of data and manifest are needed")
	}
	return CheckBase(in.Base)
}

// CheckBase refuses what is not the base URL of a gateway.
func CheckBase(base string) error {
	rest, ok := strings.CutPrefix(base, "https://")
	if !ok {
		rest, ok = strings.CutPrefix(base, "http://")
	}
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:/[]%"
	if !ok || rest == "" || rest[0] == '/' || strings.HasSuffix(base, "/") || len(base) > MaxBase || strings.Trim(rest, allowed) != "" {
		return fault.WithHint(fault.New(fault.Invalid, "%s is not the base URL of a gateway", fault.Quote(base)),
			"write http:// or https://, a host, and no slash at the end")
	}
	return nil
}

// URL returns where the file at a path of the data is served: below Base, with
// each name percent-encoded by RFC 3986.
func (f Facts) URL(root cid.Cid, path string) string {
	return f.Base + "/ipfs/" + cjson.V1(root).String() + "/" + EscapePath(path)
}

// Block returns where the block c is served as it is.
func (f Facts) Block(c cid.Cid) string {
	return f.Base + "/ipfs/" + cjson.V1(c).String() + "?format=raw"
}

// EscapePath percent-encodes the names of a path: all bytes but RFC 3986's
// unreserved ones and the slashes between names.
func EscapePath(path string) string {
	var b strings.Builder
	for i := range len(path) {
		switch c := path[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~/", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// A Drops collects what had no place. The zero value is ready.
type Drops struct {
	list []Dropped
	more int
}

// Add records one thing. Foreign text in path must be bounded by the caller.
func (d *Drops) Add(path, format string, args ...any) {
	if len(d.list) == MaxDropped-1 {
		d.more++
		return
	}
	d.list = append(d.list, Dropped{Path: path, Reason: fmt.Sprintf(format, args...)})
}

// List returns what was recorded, nil for nothing.
func (d *Drops) List() []Dropped {
	if d.more == 0 {
		return d.list
	}
	return append(d.list[:len(d.list):len(d.list)], Dropped{Path: "…", Reason: fmt.Sprintf("and %d more", d.more)})
}

// LicenseOf returns the SPDX identifier in the URL of a licence that is known by
// its URL, else text as it is.
func LicenseOf(text string) string {
	s := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(text), "https://"), "http://")
	if id, ok := strings.CutPrefix(s, "spdx.org/licenses/"); ok {
		for _, ext := range [...]string{".html", ".json", ".txt"} {
			id = strings.TrimSuffix(id, ext)
		}
		return id
	}
	s = strings.TrimPrefix(s, "www.")
	if name, ok := strings.CutPrefix(s, "choosealicense.com/licenses/"); ok { // as the Hub's documents say
		return strings.TrimSuffix(name, "/")
	}
	if rest, ok := strings.CutPrefix(s, "creativecommons.org/"); ok {
		parts := strings.Split(strings.Trim(rest, "/"), "/")
		if len(parts) >= 3 && parts[0] == "licenses" {
			return "CC-" + strings.ToUpper(parts[1]) + "-" + parts[2]
		}
		if len(parts) >= 3 && parts[0] == "publicdomain" && parts[1] == "zero" {
			return "CC0-" + parts[2]
		}
	}
	return text
}

// Keywords returns the keywords of others in the form that a manifest's have:
// "Machine Learning" becomes "machine-learning". It records what it changed.
func (d *Drops) Keywords(path string, list []string) (out []string) {
	seen := make(map[string]bool)
	for i, k := range list {
		if manifests.ValidKeyword(k) != nil {
			slug := manifests.Slug(k)
			if d.Add(fmt.Sprintf("%s[%d]", path, i), "%s is written as %s", fault.Quote(k), slug); slug == "dataset" {
				continue
			}
			k = slug
		}
		if !seen[k] {
			seen[k] = true
			out = append(out, k)
		}
	}
	return out
}
