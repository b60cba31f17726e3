package attribution_test

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/cairn-registry/cairn/manifests/credit/attribution"
)

var format = sync.OnceValue(func() string {
	b, err := os.ReadFile("FORMAT.md")
	if err != nil {
		panic(err)
	}
	return string(b)
})

// formatGear is the table that FORMAT.md prints.
var formatGear = sync.OnceValue(func() (g [256]uint64) {
	_, table, _ := strings.Cut(format(), "from `gear[0]`:\n\n```\n")
	for i, s := range strings.Fields(strings.TrimSuffix(table, "```\n")) {
		n, err := strconv.ParseUint(s, 16, 64)
		if err != nil || len(s) != 16 {
			panic("the gear table of FORMAT.md: " + s)
		}
		g[i] = n
	}
	return g
})

func TestGearTableIsPrinted(t *testing.T) {
	for i, g := range formatGear() {
		h := sha256.Sum256([]byte("cairn-gear/1" + string([]byte{byte(i)})))
		if want := binary.BigEndian.Uint64(h[:8]); g != want {
			t.Errorf("gear[%d] is printed as %016x, the formula gives %016x", i, g, want)
		}
	}
}

// The examples of FORMAT.md are what the code computes.
func TestFormatExamples(t *testing.T) {
	printed := func(s string) {
		t.Helper()
		if !strings.Contains(format(), s) {
			t.Errorf("FORMAT.md does not have\n%s", s)
		}
	}
	for _, name := range []string{"vector.csv", "parts.csv", "points.csv"} {
		printed("```\n" + string(golden(t, name)) + "```")
	}

	chunk := func(n int) attribution.Chunk { return attribution.ChunkOf(noise(uint64(n), n)) }
	c1, c2, c3 := chunk(100_000), chunk(65_536), chunk(40_000)
	v := firstSeen(t, []attribution.Chunk{c1, c2, c3, c2}, 12,
		entry(4, "bafkreiaone", []attribution.Chunk{c2}), entry(9, "bafkreiatwo", []attribution.Chunk{c1, c2}), entry(12, "bafkreiathree", []attribution.Chunk{c3}))
	printed("```\n" + string(v.Encode()) + "```")
	w, err := v.Apportion(1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, w, vec(t, "bafkreiaone", 318_854, "bafkreiatwo", 486_533, "~self", 194_613))
	printed("| 318,854 |\n")
	printed("| 486,533 |\n")
	printed("| 194,613 |\n")

	v, err = attribution.KNNShapley(2, []attribution.Point{{"p1", "cat", []int16{0}}, {"p2", "dog", []int16{1}}, {"p3", "cat", []int16{3}}},
		[]attribution.Point{{"t", "cat", []int16{0}}})
	if err != nil {
		t.Fatal(err)
	}
	printed("```\n" + string(v.Encode()) + "```")

	v, err = attribution.Cap(vec(t, "a", 700, "b", 200, "~self", 100), 400_000)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, v, vec(t, "a", 400, "b", 200, "~self", 400))

	v, washed := meter(t, []attribution.Usage{use("1", "work", "ana", 100), use("2", "work", "dia", 50)}, vec(t, "ana", 1, "ben", 1, "cho", 1))
	equal(t, v, vec(t, "work", 116))
	if len(washed) != 1 || washed[0] != (attribution.Wash{Statement: "work", Payer: "ana", Qty: 100, Excluded: 34}) {
		t.Errorf("washed: %v", washed)
	}

	// The table of methods is printed: method, class and scale of each row.
	for _, r := range attribution.Methods() {
		found := false
		for line := range strings.Lines(format()) {
			cell := strings.Split(strings.TrimSpace(line), " | ")
			if len(cell) == 6 && strings.HasPrefix(cell[0], "| `"+string(r.Method)+"`") && cell[1] == string(r.Class) {
				scale := "1 |"
				if r.Scale == attribution.ScoreScale {
					scale = "10^9 |"
				}
				found = cell[5] == scale && strings.HasPrefix(cell[3], "yes") == r.Recomputable
			}
			if found {
				break
			}
		}
		if !found {
			t.Errorf("FORMAT.md has no row for %s of class %s, or another scale or answer", r.Method, r.Class)
		}
	}
}
