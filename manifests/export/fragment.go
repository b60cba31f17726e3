package export

import (
	"fmt"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// YAML writes the fragment's manifest as a file for "cairn add --manifest": what
// is there, in the order of a manifest. A comment at its head says where it came
// from and what is left to say. The fragment must have passed [Fragment.Sieve].
func (f *Fragment) YAML() ([]byte, error) {
	doc, err := marshal(complete(f.Manifest))
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	without := []string{
		"createdAt", "publisher", "terms", "data.root", "data.bytes", "data.fileCount", "data.profile", "data.chunking",
		"files[].cid", "files[].size", "files[].sha256",
	}
	for name, absent := range map[string]bool{
		"name": f.Manifest.Name == "", "version": f.Manifest.Version == "", "contributors": len(f.Manifest.Contributors) == 0,
		"data": f.Manifest.Data.SWHID == "",
	} {
		if absent {
			without = append(without, name)
		}
	}
	var c strings.Builder
	fmt.Fprintf(&c, "From %s.\n", fault.Printable(f.Format))
	if f.License != "" {
		fmt.Fprintf(&c, "The licence there: %s (give it with --license or --terms).\n", fault.Printable(f.License))
	}
	if n := len(f.Dropped); n > 0 {
		fmt.Fprintf(&c, "Not taken over: %d things.\n", n)
	}
	return manifests.YAML(doc, c.String(), without...)
}
