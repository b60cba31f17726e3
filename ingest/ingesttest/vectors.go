// Package ingesttest holds the published vectors of IPIP-499: inputs and the
// CIDs that every implementation of a CID profile gives them.
package ingesttest

import (
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/chacha20"

	"github.com/cairn-registry/cairn/ingest/dag"
)

// keystream is the ChaCha20 keystream whose key is the SHA-256 of seed: the
// input of the published vectors of IPIP-499.
type keystream struct{ c *chacha20.Cipher }

func newKeystream(t testing.TB, seed string) keystream {
	t.Helper()
	key := sha256.Sum256([]byte(seed))
	c, err := chacha20.NewUnauthenticatedCipher(key[:], make([]byte, 12))
	if err != nil {
		t.Fatal(err)
	}
	return keystream{c}
}

func (k keystream) Read(p []byte) (int, error) {
	clear(p)
	k.c.XORKeyStream(p, p)
	return len(p), nil
}

func streamFile(t testing.TB, n int64, seed string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyN(f, newKeystream(t, seed), n); err != nil {
		t.Fatal(err)
	}
	return name
}

func textFile(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// hamtDir is a directory of the vectors at the sharding threshold: count files
// that hold "x", with names of n letters, the last of m.
func hamtDir(t testing.TB, seed string, count, n, m int) string {
	t.Helper()
	const alphabet = "abcdefghijklmnopqrstuvwxyz01234567890-_"
	buf := make([]byte, 1<<20)
	if _, err := io.ReadFull(newKeystream(t, seed), buf); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i := range count {
		size := n
		if i == count-1 {
			size = m
		}
		name := make([]byte, size)
		for j := range name {
			name[j] = alphabet[int(buf[j])%len(alphabet)]
		}
		buf = buf[size:]
		if err := os.WriteFile(filepath.Join(dir, string(name)), []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A Vector is an input and its CID.
type Vector struct {
	Name    string
	Profile string
	// Make makes the input in a folder of the test's and returns its path.
	Make func(testing.TB) string
	CID  string
	Big  bool // a gigabyte: for the gate
}

// Vectors returns every published vector of both profiles.
func Vectors() []Vector {
	v1, v0 := dag.ProfileV1_2025.Name, dag.ProfileV0_2015.Name
	const mib = 1 << 20
	symlink := func(t testing.TB) string {
		dir := tree(t, map[string]string{"foo": "content\n"})
		if err := os.Symlink("foo", filepath.Join(dir, "bar")); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	stream := func(n int64, seed string) func(testing.TB) string {
		return func(t testing.TB) string { return streamFile(t, n, seed) }
	}
	text := func(s string) func(testing.TB) string { return func(t testing.TB) string { return textFile(t, s) } }
	dir := func(files map[string]string) func(testing.TB) string {
		return func(t testing.TB) string { return tree(t, files) }
	}
	return []Vector{
		{"hello world", v1, text("hello world"), "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e", false},
		{"one chunk", v1, stream(mib, "chunk-v1-seed"), "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta", false},
		{"one chunk and a byte", v1, stream(mib+1, "chunk-v1-seed"), "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64", false},
		{"1024 links", v1, stream(1024*mib, "v1-2025-seed"), "bafybeihmf37wcuvtx4hpu7he5zl5qaf2ineo2lqlfrapokkm5zzw7zyhvm", true},
		{"1025 chunks, two levels", v1, stream(1025*mib, "v1-2025-seed"), "bafybeihmzokxxjqwxjcryerhp5ezpcog2wcawfryb2xm64xiakgm4a5jue", true},
		{"directory at the threshold", v1, func(t testing.TB) string { return hamtDir(t, "hamt-unixfs-v1-2025", 4766, 11, 21) }, "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4", false},
		{"directory a byte above it", v1, func(t testing.TB) string { return hamtDir(t, "hamt-unixfs-v1-2025", 4766, 11, 22) }, "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu", false},
		{"empty file", v1, text(""), "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku", false},
		{"empty directory", v1, dir(nil), "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354", false},
		{"line", v1, text("hello world\n"), "bafkreifjjcie6lypi6ny7amxnfftagclbuxndqonfipmb64f2km2devei4", false},
		{"ascii", v1, text("hello application/vnd.ipld.car\n"), "bafkreifkam6ns4aoolg3wedr4uzrs3kvq66p4pecirz6y2vlrngla62mxm", false},
		{"subdir", v1, dir(map[string]string{"subdir/ascii.txt": "hello application/vnd.ipld.car\n", "subdir/hello.txt": "hello world\n"}), "bafybeietjm63oynimmv5yyqay33nui4y4wx6u3peezwetxgiwvfmelutzu", false},
		{"foo beside foo.txt", v1, dir(map[string]string{"foo/bar.txt": "Hello, world!\n", "foo.txt": "Hello, IPFS!\n"}), "bafybeiegxwlgmoh2cny7qlolykdf7aq7g6dlommarldrbm7c4hbckhfcke", false},
		{"names beyond ASCII", v1, func(t testing.TB) string {
			// The published CID is that of the directory ą itself.
			return filepath.Join(tree(t, map[string]string{"ą/ę/file-źł.txt": "I am a txt file on path with utf8\n"}), "ą")
		}, "bafybeidx5mxi45eqpzxsxdbz4v7gnza6f6arwhnrj5aqak2yqxhlspphta", false},
		{"percent sign", v1, dir(map[string]string{"Portugal%2C+España=Peninsula Ibérica.txt": "hello from a percent encoded filename\n"}), "bafybeig675grnxcmshiuzdaz2xalm6ef4thxxds6o6ypakpghm5kghpc34", false},
		{"hello world", v0, text("hello world"), "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD", false},
		{"one chunk", v0, stream(256<<10, "chunk-v0-seed"), "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE", false},
		{"one chunk and a byte", v0, stream(256<<10+1, "chunk-v0-seed"), "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ", false},
		{"174 links", v0, stream(174*256<<10, "v0-seed"), "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2", false},
		{"174 links and a byte", v0, stream(174*256<<10+1, "v0-seed"), "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW", false},
		{"175 chunks, two levels", v0, stream(44800<<10, "v0-seed"), "QmepeWtdmS1hHXx1oZXsPUv6bMrfRRKfZcoPPU4eEfjnbf", false},
		{"directory at the threshold", v0, func(t testing.TB) string { return hamtDir(t, "hamt-unixfs-v0-2015", 4096, 30, 30) }, "QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN", false},
		{"symlink", v0, symlink, "QmWvY6FaqFMS89YAQ9NAPjVP4WZKA1qbHbicc9HeSKQTgt", false},
		{"empty directory", v0, dir(nil), "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn", false},
		{"empty file", v0, text(""), "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH", false},
	}
}
