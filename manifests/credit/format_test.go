package credit_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/cairn-registry/cairn/manifests/credit/credittest"
)

var update = flag.Bool("update", false, "rewrite the results in FORMAT.md and testdata")

// TestFormatExample holds the example of FORMAT.md to what the engine gives.
func TestFormatExample(t *testing.T) {
	doc, err := os.ReadFile("FORMAT.md")
	must(t, err)
	part := func(name string) *regexp.Regexp {
		return regexp.MustCompile("(?s)```" + name + "\n(.*?)```")
	}
	found := part("world").FindSubmatch(doc)
	if found == nil {
		t.Fatal("no example")
	}
	w, err := credittest.Read(found[1])
	must(t, err)
	l, err := w.Ledger()
	must(t, err)
	var lines, roots bytes.Buffer
	for p := l.First(); p < l.Open(); p++ {
		run, err := l.Run(p, "USD")
		must(t, err)
		for i := range run.Len() {
			lines.Write(append(run.Append(nil, i), '\n'))
		}
		fmt.Fprintf(&roots, "%s %x\n", p, run.Root())
	}
	digest, err := w.Digest()
	must(t, err)
	for name, want := range map[string]string{
		"statements": lines.String(), "roots": roots.String(), "digest": credittest.Hex(digest) + "\n",
	} {
		got := part(name).FindSubmatch(doc)
		if got == nil {
			t.Fatalf("no %s", name)
		}
		if *update {
			doc = part(name).ReplaceAllLiteral(doc, []byte("```"+name+"\n"+want+"```"))
		} else if string(got[1]) != want {
			t.Errorf("%s: FORMAT.md has\n%s\nwant\n%s", name, got[1], want)
		}
	}
	if *update {
		must(t, os.WriteFile("FORMAT.md", doc, 0o644))
	}
}

// TestGoldenWorld: a world in a file gives the digest beside it, for ever, and
// its seed still gives the world.
func TestGoldenWorld(t *testing.T) {
	const name = "testdata/world-7"
	w := credittest.Random(7, credittest.Options{})
	if *update {
		d, err := w.Digest()
		must(t, err)
		must(t, os.WriteFile(name+".json", w.Write(), 0o644))
		must(t, os.WriteFile(name+".digest", []byte(credittest.Hex(d)+"\n"), 0o644))
	}
	b, err := os.ReadFile(name + ".json")
	must(t, err)
	want, err := os.ReadFile(name + ".digest")
	must(t, err)
	if !bytes.Equal(w.Write(), b) {
		t.Error("the seed gives another world than the file")
	}
	read, err := credittest.Read(b)
	must(t, err)
	if d, err := read.Digest(); err != nil || credittest.Hex(d)+"\n" != string(want) {
		t.Errorf("digest %x, %v, want %s", d, err, want)
	}
	if !bytes.Equal(read.Write(), b) {
		t.Error("the world does not survive reading and writing")
	}
}
