package hub

import (
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
)

// Listings pass over what they need not read long before a file list is long.
func init() { scanLines = 32 }

// The path in a line is that of the file, whatever else is said of it.
func TestLinePath(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[a-z"\\,:{}ü ]{1,12}`)
		parts := rapid.SliceOfN(name, 1, 4).Draw(t, "parts")
		f := manifests.File{
			Path: strings.Join(parts, "/"), CID: cjson.Link{Cid: cid.NewCidV1(cid.Raw, cjson.RawCID(nil).Hash())},
			SHA256: strings.Repeat("0", 64), Size: rapid.Int64Range(0, 1<<40).Draw(t, "size"),
			Split: rapid.SampledFrom([]string{"", "train", "path"}).Draw(t, "split"), Config: rapid.SampledFrom([]string{"", "path"}).Draw(t, "config"),
			MediaType: rapid.SampledFrom([]string{"", "text/csv"}).Draw(t, "type"),
		}
		line, err := manifests.EncodeFileLine(f)
		if err != nil {
			t.Skip("no such file")
		}
		if got, err := linePath(line); err != nil || got != f.Path {
			t.Fatalf("%q, %v in %s", got, err, line)
		}
	})
	for _, bad := range []string{"", "{}", `{"path":"a`, `{"path":"a\"`, `{"path":"a\`} {
		if got, err := linePath([]byte(bad)); err == nil {
			t.Errorf("%s has the path %q", bad, got)
		}
	}
}
