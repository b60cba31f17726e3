package manifests_test

import (
	"testing"

	"github.com/cairn-registry/cairn/manifests"
)

// Replay decodes each statement once; beside it stands the verification of its
// signatures, some 60 µs each.
func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"contribution-minimal.statement.json", "contribution-full.statement.json"} {
		doc := goldens(b, name)[name]
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := manifests.Decode(doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A directory of a million entries has a million lines, written once and read
// by each check.
func BenchmarkFileLine(b *testing.B) {
	f := minimalManifest().Files[0]
	line, err := manifests.EncodeFileLine(f)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := manifests.EncodeFileLine(f); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := manifests.DecodeFileLine(line); err != nil {
				b.Fatal(err)
			}
		}
	})
}
