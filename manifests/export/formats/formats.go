// Package formats lists the formats in which a dataset's description can be
// written. A new one is a package beside croissant and a line here.
package formats

import (
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests/export"
	"github.com/cairn-registry/cairn/manifests/export/croissant"
	"github.com/cairn-registry/cairn/manifests/fault"
)

var all = []export.Format{
	croissant.Format,
}

// All returns the formats, in the order in which lists show them.
func All() []export.Format { return slices.Clone(all) }

// Names returns their names.
func Names() []string {
	names := make([]string, len(all))
	for i, f := range all {
		names[i] = f.Name
	}
	return names
}

// ByName returns the format of a name; fault.NotFound, with the list as its
// hint, when there is none.
func ByName(name string) (export.Format, error) {
	for _, f := range all {
		if f.Name == name {
			return f, nil
		}
	}
	return export.Format{}, fault.WithHint(fault.New(fault.NotFound, "there is no format %s", fault.Quote(name)), "the formats are %s", strings.Join(Names(), ", "))
}
