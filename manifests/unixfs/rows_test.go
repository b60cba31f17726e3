package unixfs_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"
	"github.com/spaolacci/murmur3"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// The blocks of these tests are written field by field, so that each has the one
// fault that its row is about and no library stands in the way.

// A ref is a link to a block, and what is true of it.
type ref struct {
	id    []byte // binary CID
	name  string
	tsize uint64
	bytes uint64 // of the file
}

func (r ref) as(name string) ref { r.name = name; return r }

func (r ref) cid() cid.Cid {
	_, c, err := cid.CidFromBytes(r.id)
	if err != nil {
		panic(err) // refs of these tests to blocks that are there have one
	}
	return c
}

func field(b []byte, num protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func number(b []byte, num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func linkOf(r ref) []byte {
	return number(field(field(nil, 1, r.id), 2, []byte(r.name)), 3, r.tsize)
}

// pb is a dag-pb node in its canonical form.
func pb(data []byte, links ...ref) []byte {
	var b []byte
	for _, l := range links {
		b = field(b, 2, linkOf(l))
	}
	return field(b, 1, data)
}

// fileData is the UnixFS message of a file without bytes of its own.
func fileData(size uint64, sizes ...uint64) []byte {
	b := number(number(nil, 1, 2), 3, size)
	for _, s := range sizes {
		b = number(b, 4, s)
	}
	return b
}

var dirData = number(nil, 1, 1)

// hamtData is the UnixFS message of a shard whose slots are taken.
func hamtData(fanout, hash uint64, slots ...int) []byte {
	bits := make([]byte, 128)
	for _, s := range slots {
		bits[len(bits)-1-s/8] |= 1 << (s % 8)
	}
	for len(bits) > 0 && bits[0] == 0 {
		bits = bits[1:]
	}
	b := number(nil, 1, 5)
	if len(bits) > 0 {
		b = field(b, 2, bits)
	}
	return number(number(b, 5, hash), 6, fanout)
}

const murmur = 0x22

func (m *memory) leaf(t testing.TB, text string) ref {
	t.Helper()
	c := cjson.RawCID([]byte(text))
	if err := m.bs.Put(t.Context(), rawBlock{[]byte(text), c}); err != nil {
		t.Fatal(err)
	}
	return ref{id: c.Bytes(), tsize: uint64(len(text)), bytes: uint64(len(text))}
}

// fileOf puts a file of parts, all of whose claims are true.
func (m *memory) fileOf(t testing.TB, parts ...ref) ref {
	t.Helper()
	out := ref{}
	var sizes []uint64
	for _, p := range parts {
		out.bytes += p.bytes
		out.tsize += p.tsize
		sizes = append(sizes, p.bytes)
	}
	return m.node(t, out, pb(fileData(out.bytes, sizes...), parts...))
}

func (m *memory) dirOf(t testing.TB, entries ...ref) ref {
	t.Helper()
	return m.node(t, sum(entries), pb(dirData, entries...))
}

func sum(entries []ref) (out ref) {
	for _, e := range entries {
		out.tsize += e.tsize
	}
	return out
}

// node puts a block; below is what lies below it.
func (m *memory) node(t testing.TB, below ref, block []byte) ref {
	t.Helper()
	below.id, below.name = m.put(t, block).Bytes(), ""
	below.tsize += uint64(len(block))
	return below
}

func (m *memory) walk(t testing.TB, r ref, l unixfs.Limits) error {
	t.Helper()
	_, err := unixfs.Walk(t.Context(), m, r.cid(), l, func(unixfs.Entry) error { return nil })
	return err
}

// expect checks the code of an error: "" is for none.
func expect(t *testing.T, what string, err error, want fault.Code) {
	t.Helper()
	if want == "" && err != nil || want != "" && !errors.Is(err, want) {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func repeat(n int, r ref) []ref { return slices.Repeat([]ref{r}, n) }

// badBlocks are dag-pb blocks with one fault each. Each is refused by itself,
// before a link is followed.
func badBlocks() map[string][]byte {
	text := []byte("x")
	x := ref{id: cjson.RawCID(text).Bytes(), tsize: 1, bytes: 1}
	named := x.as("x")
	one := fileData(1, 1)
	oneDir := func(id []byte) []byte { return pb(dirData, ref{id: id, name: "x", tsize: 1}) }
	other := func(code uint64, length int) []byte {
		h, err := mh.Sum(text, code, length)
		if err != nil {
			panic(err) // the registered hashes are there
		}
		return cid.NewCidV1(cid.Raw, h).Bytes()
	}
	murmurID := append([]byte{1, 0x55, murmur, 8}, make([]byte, 8)...)
	codec := func(codec uint64) []byte { return cid.NewCidV1(codec, cjson.RawCID(text).Hash()).Bytes() }
	slot0, slot1 := x.as("00a"), x.as("01a")
	var many []ref
	for i := range 8193 {
		many = append(many, x.as(fmt.Sprintf("%05d", i)))
	}
	return map[string][]byte{
		"a link with an empty Hash":                        pb(dirData, ref{name: "x", tsize: 1}),
		"a link without a Hash":                            field(field(nil, 2, number(field(nil, 2, []byte("x")), 3, 1)), 1, dirData),
		"a link behind the data":                           field(field(nil, 1, one), 2, linkOf(x)),
		"data twice":                                       field(pb(one, x), 1, one),
		"a link whose size stands before its name":         field(field(nil, 2, field(number(field(nil, 1, x.id), 3, 1), 2, []byte("x"))), 1, dirData),
		"a link whose name stands before its Hash":         field(field(nil, 2, number(field(field(nil, 2, []byte("x")), 1, x.id), 3, 1)), 1, dirData),
		"a link without a name":                            field(field(nil, 2, number(field(nil, 1, x.id), 3, 1)), 1, one),
		"a link without a size":                            field(field(nil, 2, field(field(nil, 1, x.id), 2, nil)), 1, one),
		"a link's size in an overlong varint":              field(field(nil, 2, append(linkOf(x)[:len(linkOf(x))-1], 0x81, 0)), 1, one),
		"the data's length in an overlong varint":          append([]byte{0x0a, 0x80 | byte(len(dirData)), 0}, dirData...),
		"a tag in an overlong varint":                      append([]byte{0x8a, 0}, pb(dirData)[1:]...),
		"bytes behind the message":                         append(pb(dirData), 0),
		"links out of order":                               pb(dirData, x.as("b"), x.as("a")),
		"a name twice":                                     pb(dirData, named, named),
		"8,193 links":                                      pb(dirData, many...),
		"block sizes whose sum is 2^64":                    pb(fileData(0, 1<<63, 1<<63), x, x),
		"block sizes whose sum is 2^64 + 1":                pb(fileData(1, 1<<64-1, 2), x, x),
		"a file size that is not the sum":                  pb(fileData(2, 1), x),
		"more sizes than links":                            pb(fileData(1, 1, 0), x),
		"a link to sha1":                                   oneDir(other(mh.SHA1, -1)),
		"a link to identity":                               oneDir(other(mh.IDENTITY, -1)),
		"a link to murmur3":                                oneDir(murmurID),
		"a link to sha2-512":                               oneDir(other(mh.SHA2_512, -1)),
		"a link to sha2-256 cut to 20 bytes":               oneDir(other(mh.SHA2_256, 20)),
		"a link to dag-cbor":                               oneDir(codec(cid.DagCBOR)),
		"a link to dag-json":                               oneDir(codec(cid.DagJSON)),
		"HAMT fanout 0":                                    pb(hamtData(0, murmur)),
		"HAMT fanout 1":                                    pb(hamtData(1, murmur)),
		"HAMT fanout 4":                                    pb(hamtData(4, murmur)),
		"HAMT fanout 7":                                    pb(hamtData(7, murmur)),
		"HAMT fanout 24, a multiple of 8":                  pb(hamtData(24, murmur)),
		"HAMT fanout 2^20":                                 pb(hamtData(1<<20, murmur)),
		"HAMT fanout 2^63 + 8":                             pb(hamtData(1<<63+8, murmur)),
		"HAMT fanout 2^63":                                 pb(hamtData(1<<63, murmur)),
		"HAMT by sha2-256":                                 pb(hamtData(256, mh.SHA2_256)),
		"HAMT without a hash":                              pb(number(number(nil, 1, 5), 6, 256)),
		"HAMT bitfield of 3 children, no links":            pb(hamtData(256, murmur, 0, 1, 2)),
		"HAMT bitfield of 1 child, 2 links":                pb(hamtData(256, murmur, 0), slot0, slot1),
		"HAMT bitfield of 1 child, 2 links, the last slot": pb(hamtData(256, murmur, 0), slot0, x.as("FFa")),
		"HAMT bitfield longer than its fanout":             pb(hamtData(8, murmur, 8), x.as("8a")),
		"HAMT link whose prefix is another slot":           pb(hamtData(256, murmur, 0), slot1),
		"HAMT link with a prefix in lower case":            pb(hamtData(256, murmur, 10), x.as("0aa")),
		"HAMT link shorter than a prefix":                  pb(hamtData(256, murmur, 0), x.as("0")),
		"HAMT links in another order than the bitfield's":  pb(hamtData(256, murmur, 0, 1), slot1, slot0),
	}
}

// TestBadBlocks: each is refused where it is decoded, by every way to do so.
func TestBadBlocks(t *testing.T) {
	m := newMemory()
	m.leaf(t, "x")
	for name, block := range badBlocks() {
		if len(block) > unixfs.MaxBlock {
			t.Errorf("%s: the block has %d bytes, which is another fault", name, len(block))
		}
		c := m.put(t, block)
		_, err := unixfs.DecodeNode(c, block)
		expect(t, name+", decoded", err, fault.Invalid)
		_, err = unixfs.Links(c, block)
		expect(t, name+", its links", err, fault.Invalid)
		expect(t, name+", walked", m.walk(t, ref{id: c.Bytes()}, unixfs.Limits{}), fault.Invalid)
	}
}

// TestBadDocuments: a DAG-JSON block is its own canonical form, and the refusal
// names it.
func TestBadDocuments(t *testing.T) {
	for _, text := range []string{`{"b":1,"a":2}`, `{"a": 1}`, `{"a":1,"a":2}`, "{}\n", `{"/":"bafkqaaa"}`, `[{"/":"x"}]`, "x", "", strings.Repeat("[", 1000) + strings.Repeat("]", 1000)} {
		c := cjson.JSONCID([]byte(text))
		_, err := unixfs.Links(c, []byte(text))
		expect(t, text, err, fault.Invalid)
		if err != nil && !strings.Contains(err.Error(), c.String()) {
			t.Errorf("%s: %v does not name %s", text, err, c)
		}
	}
}

// TestGoodNeighbours: what lies next to the faults is taken, so that the rows
// above are refused for what they say.
func TestGoodNeighbours(t *testing.T) {
	m := newMemory()
	x := m.leaf(t, "x")
	var many []ref
	for i := range 8192 {
		many = append(many, x.as(fmt.Sprintf("%05d", i)))
	}
	for name, r := range map[string]ref{
		"a file":               m.fileOf(t, x, x),
		"a directory":          m.dirOf(t, x.as("a"), x.as("b")),
		"8,192 links":          m.dirOf(t, many...),
		"a HAMT of one":        m.hamt(t, 256, 0, "a", x),
		"a HAMT of fanout 8":   m.hamt(t, 8, 0, "a", x),
		"HAMT, fanout 1,024":   m.hamt(t, 1024, 0, "a", x),
		"an empty HAMT":        m.node(t, ref{}, pb(hamtData(256, murmur))),
		"a HAMT in two levels": m.hamt(t, 256, 1, "a", x),
	} {
		expect(t, name, m.walk(t, r, unixfs.Limits{}), "")
	}
}

// bitsOf is how many bits of a hash one level of a HAMT takes.
func bitsOf(fanout int) int {
	n := 0
	for 1<<n < fanout {
		n++
	}
	return n
}

func prefix(fanout, slot int) string { return fmt.Sprintf("%0*X", (bitsOf(fanout)+3)/4, slot) }

// slotAt is the slot that a name takes at a level; 0 below the end of its hash.
func slotAt(name string, fanout, level int) int {
	shift := 64 - bitsOf(fanout)*(level+1)
	if shift < 0 {
		return 0
	}
	return int(murmur3.Sum64([]byte(name))>>shift) & (fanout - 1)
}

// hamt puts a HAMT of one name, below levels of shards that hold nothing else.
func (m *memory) hamt(t testing.TB, fanout, levels int, name string, r ref) ref {
	t.Helper()
	for level := levels; level >= 0; level-- {
		slot := slotAt(name, fanout, level)
		r.name = prefix(fanout, slot)
		if level == levels {
			r.name += name
		}
		r = m.node(t, ref{tsize: r.tsize}, pb(hamtData(uint64(fanout), murmur, slot), r))
	}
	return r
}

// TestHAMTLevels: a HAMT ends where the hash of its names does, whatever its
// width.
func TestHAMTLevels(t *testing.T) {
	for _, fanout := range []int{8, 16, 32, 64, 128, 256, 512, 1024} {
		m := newMemory()
		x := m.leaf(t, "x")
		last := 64/bitsOf(fanout) - 1 // the lowest level that has all its bits
		for levels, want := range map[int]fault.Code{last: "", last + 1: fault.Invalid, last + 2: fault.Invalid, 40: fault.Invalid} {
			r := m.hamt(t, fanout, levels, "a", x)
			what := fmt.Sprintf("fanout %d, %d levels", fanout, levels+1)
			expect(t, what, m.walk(t, r, unixfs.Limits{}), want)
			_, err := unixfs.ReadDir(t.Context(), m, r.cid())
			expect(t, what+", listed", err, want)
			_, err = unixfs.Find(t.Context(), m, r.cid(), "a")
			expect(t, what+", looked up", err, want)
		}
	}
}

// TestHAMTPlaces: names stand where they hash to, and shards hold something.
func TestHAMTPlaces(t *testing.T) {
	m := newMemory()
	x := m.leaf(t, "x")
	slot := slotAt("a", 256, 0)
	wrong := (slot + 1) % 256
	shard := func(slot int, below ref) ref {
		return m.node(t, ref{tsize: below.tsize}, pb(hamtData(256, murmur, slot), below.as(prefix(256, slot)+below.name)))
	}
	empty := m.node(t, ref{}, pb(hamtData(256, murmur)))
	zeros := "0" // a name whose hash begins with a zero byte: its place is 0 in any width
	for i := 1; slotAt(zeros, 256, 0) != 0; i++ {
		zeros = fmt.Sprint(i)
	}
	inner := m.node(t, ref{tsize: 1}, pb(hamtData(256, murmur, slotAt("a", 256, 1)), x.as(prefix(256, slotAt("a", 256, 1))+"a")))
	for name, r := range map[string]ref{
		"a name not in its slot":               shard(wrong, x.as("a")),
		"a shard whose names belong elsewhere": shard(wrong, inner),
		"an empty shard":                       shard(slot, empty),
		"an empty shard below a shard":         shard(slot, shard(0, empty)),
		"a shard of another fanout":            shard(0, m.hamt(t, 16, 0, zeros, x)),
		"a shard that is a directory":          shard(slot, m.dirOf(t, x.as("a"))),
		"a shard that is a leaf":               shard(slot, x),
	} {
		expect(t, name, m.walk(t, r, unixfs.Limits{}), fault.Invalid)
		_, err := unixfs.ReadDir(t.Context(), m, r.cid())
		expect(t, name+", listed", err, fault.Invalid)
	}
	expect(t, "a shard in its place", m.walk(t, shard(slot, inner), unixfs.Limits{}), "")
}

// TestHAMTBomb: shards that hold one other shard in every slot read as 8^20 of
// them. They are refused after about as many reads as there are levels, and a
// large HAMT that holds is read within the budget that the caller gives.
func TestHAMTBomb(t *testing.T) {
	m := newMemory()
	x := m.leaf(t, "x")
	for name, r := range map[string]ref{
		"nothing at the end":  m.node(t, ref{}, pb(hamtData(8, murmur))),
		"a name at the end":   m.node(t, ref{tsize: 1}, pb(hamtData(8, murmur, 0), x.as("0a"))),
		"a leaf at the end":   x,
		"a symlink, and more": m.node(t, ref{}, pb(field(number(nil, 1, 4), 2, []byte("x")))),
	} {
		for range 20 {
			var all []ref
			for slot := range 8 {
				all = append(all, r.as(prefix(8, slot)))
			}
			r = m.node(t, sum(all), pb(hamtData(8, murmur, 0, 1, 2, 3, 4, 5, 6, 7), all...))
		}
		m.reads = 0
		expect(t, name, m.walk(t, r, unixfs.Limits{}), fault.Invalid)
		if m.reads > 200 {
			t.Errorf("%s: %d reads", name, m.reads)
		}
	}
	deep := m.hamt(t, 256, 5, "a", x)
	expect(t, "6 shards and no budget for them", m.walk(t, deep, unixfs.Limits{Nodes: 5}), fault.TooLarge)
	expect(t, "6 shards and a budget", m.walk(t, deep, unixfs.Limits{Nodes: 20}), "")
}

// TestClaims: sizes are computed and compared, at each place that claims one.
func TestClaims(t *testing.T) {
	m := newMemory()
	x := m.leaf(t, "four")
	liar := x
	liar.tsize++
	two := m.fileOf(t, x, x)
	tib := m.node(t, ref{tsize: 4, bytes: 1 << 40}, pb(fileData(1<<40, 1<<40), x))
	lowTib := m.fileOf(t, tib)
	slot := slotAt("a", 256, 0)
	liarTwo := two
	liarTwo.tsize--
	for name, r := range map[string]ref{
		"a file of 1 TiB over 4 bytes":                   tib,
		"the same below a node":                          lowTib,
		"the same in a directory":                        m.dirOf(t, tib.as("a")),
		"one byte more than there is":                    m.node(t, ref{}, pb(fileData(9, 4, 5), x, x)),
		"one byte more here, one less there":             m.node(t, ref{}, pb(fileData(8, 3, 5), x, x)),
		"a file's link with another Tsize":               m.fileOf(t, x, liar),
		"a file's link to a node with another Tsize":     m.fileOf(t, liarTwo),
		"a directory's link with another Tsize":          m.dirOf(t, liar.as("a")),
		"a directory's link to a file, another Tsize":    m.dirOf(t, liarTwo.as("a")),
		"a link to a directory with another Tsize":       m.dirOf(t, ref{id: m.dirOf(t, x.as("a")).id, name: "d", tsize: 4}),
		"a HAMT's link with another Tsize":               m.node(t, ref{}, pb(hamtData(256, murmur, slot), liar.as(prefix(256, slot)+"a"))),
		"a link to a HAMT of two levels, another Tsize":  m.dirOf(t, ref{id: m.hamt(t, 256, 1, "a", x).id, name: "d", tsize: 4}),
		"a Tsize of nothing, as some tools write, below": m.dirOf(t, ref{id: x.id, name: "a"}),
	} {
		expect(t, name, m.walk(t, r, unixfs.Limits{}), fault.Invalid)
		lines := []unixfs.Listed{{Path: "a", CID: r.cid(), Size: r.bytes}}
		_, err := unixfs.Check(t.Context(), m, r.cid(), unixfs.Limits{}, func() (l unixfs.Listed, ok bool, err error) {
			if len(lines) == 0 {
				return l, false, nil
			}
			l, lines = lines[0], lines[1:]
			return l, true, nil
		})
		expect(t, name+", against a list", err, fault.Invalid)
	}
	for _, r := range []ref{tib, lowTib} {
		got := 0
		err := unixfs.ReadFile(t.Context(), m, r.cid(), func(p []byte) error { got += len(p); return nil })
		expect(t, "reading 1 TiB", err, fault.Invalid)
		if got != 0 {
			t.Errorf("%d bytes of a file that lies were handed out", got)
		}
	}
}

// TestSizesOverflow: sums that leave 64 bits are refused, where every claim is
// true but for the carry.
func TestSizesOverflow(t *testing.T) {
	m := newMemory()
	// Nodes over nothing: no bytes, but each counts the blocks below sixteen times.
	levels := []ref{m.fileOf(t, m.leaf(t, ""))}
	last := func() ref { return levels[len(levels)-1] }
	for last().tsize < 1<<58 {
		levels = append(levels, m.fileOf(t, repeat(16, last())...))
	}
	expect(t, "2^58 bytes of blocks", m.walk(t, last(), unixfs.Limits{}), "")
	expect(t, "a file", m.walk(t, m.fileOf(t, repeat(64, last())...), unixfs.Limits{}), fault.TooLarge)
	var all []ref
	for i := range 64 {
		all = append(all, last().as(fmt.Sprintf("%02d", i)))
	}
	expect(t, "a directory", m.walk(t, m.dirOf(t, all...), unixfs.Limits{}), fault.TooLarge)

	// A file of nearly 2^64 bytes of blocks: a shard around it is still counted,
	// five more below the first are too much.
	const want = 1<<64 - 300
	rest := uint64(want - 64<<10)
	var parts []ref
	for _, n := range slices.Backward(levels) {
		for n.tsize <= rest {
			parts, rest = append(parts, n), rest-n.tsize
		}
	}
	pad := uint64(1 << 10)
	var top ref
	for range 8 {
		top = m.fileOf(t, append(slices.Clone(parts), m.leaf(t, strings.Repeat("x", int(pad))))...)
		pad += want - top.tsize
	}
	if top.tsize != want {
		t.Fatalf("%d bytes of blocks, want %d", top.tsize, uint64(want))
	}
	expect(t, "a HAMT of one shard", m.walk(t, m.hamt(t, 256, 0, "a", top), unixfs.Limits{}), "")
	expect(t, "a HAMT of six shards", m.walk(t, m.hamt(t, 256, 5, "a", top), unixfs.Limits{}), fault.TooLarge)
}

// TestRangeWithoutEnd: a range that is longer than any file goes to the file's end.
func TestRangeWithoutEnd(t *testing.T) {
	m := newMemory()
	r := m.fileOf(t, m.leaf(t, "four"), m.leaf(t, "five"))
	var got []byte
	err := unixfs.ReadRange(t.Context(), m, r.cid(), 5, 1<<64-1, func(p []byte) error { got = append(got, p...); return nil })
	if err != nil || string(got) != "ive" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestDepth: nodes of a file below each other, every claim of which is true.
func TestDepth(t *testing.T) {
	m := newMemory()
	chain := func(n int, end ref) ref {
		for range n {
			end = m.fileOf(t, end)
		}
		return end
	}
	x := m.leaf(t, "x")
	for n, want := range map[int]fault.Code{33: "", 34: fault.TooLarge, 10_000: fault.TooLarge} {
		r := chain(n, x)
		what := fmt.Sprintf("%d nodes over a leaf", n)
		m.reads = 0
		expect(t, what, m.walk(t, r, unixfs.Limits{}), want)
		if m.reads > 40 {
			t.Errorf("%s: %d reads", what, m.reads)
		}
		expect(t, what+", read", unixfs.ReadFile(t.Context(), m, r.cid(), func([]byte) error { return nil }), want)
		_, err := unixfs.Plan(t.Context(), m, r.cid(), func(unixfs.Leaf) error { return nil })
		expect(t, what+", planned", err, want)
	}
	// A file that was measured by itself is as deep below another.
	a := chain(30, x)
	b := chain(10, a)
	expect(t, "a deep file after a part of it", m.walk(t, m.dirOf(t, a.as("a"), b.as("b")), unixfs.Limits{}), fault.TooLarge)
}

// TestPaths: directories below each other, and the bytes of a path.
func TestPaths(t *testing.T) {
	m := newMemory()
	x := m.leaf(t, "x")
	nest := func(r ref, names ...string) ref {
		for _, name := range slices.Backward(names) {
			r = m.dirOf(t, r.as(name))
		}
		return r
	}
	long := slices.Repeat([]string{strings.Repeat("n", 255)}, 15)
	for _, c := range []struct {
		name  string
		names []string
		want  fault.Code
	}{
		{"64 deep", slices.Repeat([]string{"d"}, 64), ""},
		{"65 deep", slices.Repeat([]string{"d"}, 65), fault.TooLarge},
		{"4,096 bytes", append(slices.Clone(long), strings.Repeat("n", 254), "x"), ""},
		{"4,097 bytes", append(slices.Clone(long), strings.Repeat("n", 254), "xy"), fault.TooLarge},
	} {
		expect(t, c.name, m.walk(t, nest(x, c.names...), unixfs.Limits{}), c.want)
		// An empty directory has a path too.
		expect(t, c.name+", an empty directory", m.walk(t, nest(m.dirOf(t), c.names...), unixfs.Limits{}), c.want)
	}
}

// TestNamesThatFold: a foreign DAG may hold names that are one name to some
// systems. They are different names of a dataset; who writes them to such a system
// must look.
func TestNamesThatFold(t *testing.T) {
	m := newMemory()
	x := m.leaf(t, "x")
	r := m.dirOf(t, x.as("A"), x.as("a"), x.as("e\u0301"), x.as("é"))
	entries, err := unixfs.ReadDir(t.Context(), m, r.cid())
	if err != nil || len(entries) != 4 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	expect(t, "walked", m.walk(t, r, unixfs.Limits{}), "")
}
