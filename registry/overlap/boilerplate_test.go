package overlap

import (
	"testing"

	"github.com/cairn-registry/cairn/manifests"
)

// What is called like a licence and is not long is one; data is data, whatever
// its name begins with.
func TestIsBoilerplate(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"LICENSE": true, "LICENSE.txt": true, "a/b/Licence.md": true, "COPYING": true, "NOTICE.TXT": true, ".gitattributes": true,
		"license.csv": false, "LICENSE.parquet": false, "license-plates.txt": false, "LICENSE/data.txt": false, "README.md": false, "data.txt": false,
	} {
		if got := isBoilerplate(manifests.File{Path: path, Size: 11000}); got != want {
			t.Errorf("isBoilerplate(%q) = %t", path, got)
		}
	}
	if isBoilerplate(manifests.File{Path: "LICENSE", Size: maxBoilerplate + 1}) {
		t.Error("a large file is taken for a licence")
	}
}
