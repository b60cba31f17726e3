package source

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// reserved are names that one widespread system gives to devices, whatever
// extension follows.
var reserved = map[string]bool{
	"con": true, "prn": true, "aux": true, "nul": true,
	"com1": true, "com2": true, "com3": true, "com4": true, "com5": true, "com6": true, "com7": true, "com8": true, "com9": true,
	"lpt1": true, "lpt2": true, "lpt3": true, "lpt4": true, "lpt5": true, "lpt6": true, "lpt7": true, "lpt8": true, "lpt9": true,
}

// folder folds case for names beyond ASCII.
var folder = cases.Fold()

// foldName is a name as systems see it that know neither case nor the
// difference between two encodings of one letter.
func foldName(name string) string {
	ascii := true
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return strings.ToLower(name)
	}
	return norm.NFC.String(folder.String(norm.NFC.String(name)))
}

// collisions warns of the names of a directory that some system cannot hold, or
// not beside each other.
func (w *Walker) collisions(path string, names []string) error {
	seen := make(map[string]string, len(names))
	for _, n := range names {
		what := ""
		switch base, _, _ := strings.Cut(strings.ToLower(n), "."); {
		case strings.ContainsRune(n, '\\'):
			what = "a backslash, which some systems take for a separator"
		case strings.HasSuffix(n, ".") || strings.HasSuffix(n, " "):
			what = "a dot or space at the end, which some systems drop"
		case reserved[base]:
			what = "a name that some systems give to a device"
		}
		if what != "" {
			if err := w.warn(join(path, n), what); err != nil {
				return err
			}
		}
		folded := foldName(n)
		if other, ok := seen[folded]; ok {
			if err := w.warn(join(path, n), "on some systems the same name as "+fault.Quote(other)); err != nil {
				return err
			}
			continue
		}
		seen[folded] = n
	}
	return nil
}
