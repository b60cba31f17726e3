package manifests_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func testGrammar(t *testing.T, valid func(string) error, good, bad []string) {
	t.Helper()
	for _, s := range good {
		if err := valid(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range bad {
		if err := valid(s); fault.Of(err) != fault.Invalid {
			t.Errorf("%q: %v, want invalid", s, err)
		}
	}
}

func TestNames(t *testing.T) {
	testGrammar(t, manifests.ValidName,
		[]string{"a", "0", "iris", "seattle-weather", "a.b_c-d", "a_", strings.Repeat("x", 64), "git", "v2", "a.gitx"},
		[]string{"", "-a", ".a", "_a", "A", "a b", "ä", "a--b", "a..b", "a-", "a.", "x.git", "cairn", "api", "datasets", "ipfs", "v1", "a/b", "a@b", "a\n", strings.Repeat("x", 65)})
	testGrammar(t, manifests.ValidHandle,
		[]string{"ab", "0x", "ada-l", strings.Repeat("x", 39)},
		[]string{"", "a", "-a", "a-", "a--b", "a.b", "a_b", "Ab", "api", "v1", strings.Repeat("x", 40)})
	testGrammar(t, manifests.ValidKeyword,
		[]string{"a", "asr", "c++", "text-classification", "3d", "a.b_c"},
		[]string{"", "A", "+a", "a b", "ä", "a/b", "a:b", strings.Repeat("x", 65)})
	testGrammar(t, manifests.ValidOrigin,
		[]string{"cairn.example/log", "cairn.invalid/0123456789abcdef", "x", "A:1/~b_c"},
		[]string{"", "a b", "a+b", "/a", "ä", "a\n", strings.Repeat("x", 256)})
}

func TestVersions(t *testing.T) {
	// The examples of https://semver.org, as far as the limits allow.
	testGrammar(t, manifests.ValidVersion,
		[]string{"0.0.4", "1.2.3", "10.20.30", "1.1.2-prerelease+meta", "1.1.2+meta", "1.0.0-alpha", "1.0.0-alpha.beta.1", "1.0.0-alpha0.valid", "1.0.0-alpha.0valid",
			"1.0.0-rc.1+build.123", "1.2.3-SNAPSHOT-123", "2.0.0+build.1848", "1.0.0-alpha+beta", "1.2.3----RC-SNAPSHOT.12.9.1--.12+788", "1.0.0-0A.is.legal", "999999999.0.0", "1.0.0+001"},
		[]string{"", "1", "1.2", "1.2.3-0123", "1.2.3-0123.0123", "1.1.2+.123", "+invalid", "-invalid", "alpha", "1.2.3.DEV", "1.2-SNAPSHOT", "01.1.1", "1.01.1", "1.1.01",
			"1.2.3.4", "1.2.31.2.3----RC-SNAPSHOT.12.09.1--..12+788", "1.0.0-", "1.0.0+", "1.0.0-alpha_beta", "1.0.0-alpha..1", "1.0.0+a+b", "v1.0.0", " 1.0.0", "1.0.0\n", "1.0.0-ä", "1000000000.0.0",
			"1.0.0-" + strings.Repeat("a", 59)})
}

func TestNextVersion(t *testing.T) {
	for _, c := range []struct {
		prev string
		d    manifests.Difference
		want string
	}{
		{"", manifests.Difference{}, "1.0.0"},
		{"1.2.3", manifests.Difference{}, "1.2.4"},
		{"1.2.3", manifests.Difference{Added: 1}, "1.3.0"},
		{"1.2.3", manifests.Difference{Added: 1, Changed: 1}, "2.0.0"},
		{"1.2.3", manifests.Difference{Removed: 1}, "2.0.0"},
		{"0.9.9", manifests.Difference{Changed: 3}, "1.0.0"},
		{"1.2.3-rc.1+build", manifests.Difference{}, "1.2.4"},
		{"nonsense", manifests.Difference{}, "1.0.0"},
	} {
		if got := manifests.NextVersion(c.prev, c.d); got != c.want {
			t.Errorf("NextVersion(%q, %+v) = %s, want %s", c.prev, c.d, got, c.want)
		}
	}
}

func TestSlug(t *testing.T) {
	for base, want := range map[string]string{
		"iris": "iris", "Iris Data": "iris-data", "Seattle_Weather.CSV": "seattle_weather.csv", "données": "donn-es", "日本語": "dataset", "": "dataset",
		".hidden": "hidden", "a--b..c": "a-b.c", "repo.git": "repo", "repo.git.git": "repo", "x.git-": "x", "api": "api-data", "--": "dataset", "a.-b": "a-b", "a - b": "a-b",
	} {
		if got := manifests.Slug(base); got != want {
			t.Errorf("Slug(%q) = %q, want %q", base, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-zA-Z0-9._ -]{0,80}(\.git)*`)).Draw(t, "base")
		s := manifests.Slug(base)
		if err := manifests.ValidName(s); err != nil {
			t.Fatalf("Slug(%q) = %q: %v", base, s, err)
		}
		if again := manifests.Slug(s); again != s {
			t.Fatalf("Slug(%q) = %q, and of that %q", base, s, again)
		}
		if manifests.ValidName(base) == nil && s != base {
			t.Fatalf("Slug(%q) = %q, though it is a name", base, s)
		}
	})
}

func TestRels(t *testing.T) {
	if n := len(manifests.Rels()); n != 20 {
		t.Errorf("%d relations", n)
	}
	for _, r := range manifests.Rels() {
		if err := r.Valid(); err != nil {
			t.Error(err)
		}
	}
	for r, hint := range map[manifests.Rel]string{"derivedfrom": "write derivedFrom", "trained-on": "write trainedOn", "cousinOf": "the relations are versionOf, "} {
		if err := r.Valid(); fault.Of(err) != fault.Invalid || !strings.HasPrefix(fault.Hint(err), hint) {
			t.Errorf("%s: %v, hint %q", r, err, fault.Hint(err))
		}
	}
}
