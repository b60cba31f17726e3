package attribution_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/credit/attribution"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// refused fails the test unless err is what a foreign input gets.
func refused(t testing.TB, err error) {
	t.Helper()
	if c := fault.Of(err); c != fault.Invalid && c != fault.TooLarge {
		t.Fatalf("code %q of %v", c, err)
	}
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vec is a vector from key, value, key, value, …
func vec(t testing.TB, pairs ...any) attribution.Vector {
	t.Helper()
	var e []attribution.Entry
	for i := 0; i < len(pairs); i += 2 {
		e = append(e, attribution.Entry{Key: pairs[i].(string), Value: uint64(pairs[i+1].(int))})
	}
	v, err := attribution.NewVector(e)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func equal(t testing.TB, got, want attribution.Vector) {
	t.Helper()
	if !got.Equal(want) {
		t.Fatalf("got\n%swant\n%s", got.Encode(), want.Encode())
	}
}

func shuffled[T any](s []T, seed uint64) []T {
	s = slices.Clone(s)
	rand.New(rand.NewPCG(seed, 1)).Shuffle(len(s), func(i, j int) { s[i], s[j] = s[j], s[i] })
	return s
}

var genKey = rapid.Custom(func(t *rapid.T) string {
	if rapid.IntRange(0, 9).Draw(t, "self") == 0 {
		return attribution.Self
	}
	return rapid.StringMatching(`[A-Za-z0-9][!#-+\--~]{0,12}`).Draw(t, "key")
})

// genEntries are entries with unique keys whose sum is in the limit.
var genEntries = rapid.Custom(func(t *rapid.T) []attribution.Entry {
	m := rapid.MapOfN(genKey, rapid.Uint64Range(0, math.MaxInt64/32), 0, 32).Draw(t, "entries")
	var e []attribution.Entry
	for k, v := range m {
		e = append(e, attribution.Entry{Key: k, Value: v})
	}
	slices.SortFunc(e, func(a, b attribution.Entry) int { return strings.Compare(a.Key, b.Key) })
	return e
})

func TestVectorLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := genEntries.Draw(t, "e")
		v, err := attribution.NewVector(shuffled(e, rapid.Uint64().Draw(t, "seed")))
		if err != nil {
			t.Fatal(err)
		}
		var sum uint64
		i := 0
		for k, n := range v.All() {
			if e[i].Key != k || e[i].Value != n {
				t.Fatalf("entry %d is %s %d, want %v", i, k, n, e[i])
			}
			if got, ok := v.Get(k); !ok || got != n {
				t.Fatalf("Get(%s) = %d, %v", k, got, ok)
			}
			sum += n
			i++
		}
		if i != len(e) || v.Len() != len(e) || v.Total() != sum {
			t.Fatalf("%d entries and a total of %d, want %d and %d", v.Len(), v.Total(), len(e), sum)
		}
		back, err := attribution.Decode(v.Encode())
		if err != nil || !back.Equal(v) || back.Total() != v.Total() {
			t.Fatalf("Decode(Encode) = %v, %v", back, err)
		}

		total := rapid.Uint64Range(0, math.MaxInt64).Draw(t, "total")
		shares, err := v.Apportion(total)
		if sum == 0 {
			if fault.Of(err) != fault.Invalid {
				t.Fatalf("shares of nothing: %v", err)
			}
			return
		}
		if err != nil || shares.Total() != total || shares.Len() != v.Len() {
			t.Fatalf("Apportion(%d) sums to %d, %v", total, shares.Total(), err)
		}
		edges, self := shares.Edges()
		left := total - self
		for _, x := range edges {
			if x.Weight == 0 || x.Key == attribution.Self {
				t.Fatalf("an edge %v", x)
			}
			left -= x.Weight
		}
		if left != 0 {
			t.Fatalf("edges and self miss %d by %d", total, left)
		}

		grouped, err := v.Group(func(k string) string { return k[:1] + "x" })
		if sum > 0 && slices.ContainsFunc(e, func(x attribution.Entry) bool { return x.Key == attribution.Self }) {
			if fault.Of(err) != fault.Invalid {
				t.Fatalf("an owner called ~x: %v", err)
			}
		} else if err != nil || grouped.Total() != sum {
			t.Fatalf("grouped: %d of %d, %v", grouped.Total(), sum, err)
		}
	})
}

func TestVectorRefuses(t *testing.T) {
	const h = "key,integer\n"
	for name, s := range map[string]string{
		"empty": "", "no header": "a,1\n", "another header": "key,value\na,1\n", "CRLF": "key,integer\r\na,1\r\n",
		"no end": h + "a,1", "no comma": h + "a\n", "a third field": h + "a,1,2\n", "empty line": h + "\n", "empty key": h + ",1\n",
		"no number": h + "a,\n", "minus": h + "a,-1\n", "plus": h + "a,+1\n", "leading zero": h + "a,01\n", "a float": h + "a,1.0\n",
		"an exponent": h + "a,1e3\n", "underscore": h + "a,1_0\n", "hex": h + "a,0x1\n", "space": h + "a, 1\n", "2^63": h + "a,9223372036854775808\n",
		"sum of 2^63": h + "a,9223372036854775807\nb,1\n", "out of order": h + "b,1\na,1\n", "twice": h + "a,1\na,1\n",
		"a quote": h + "a\"b,1\n", "a formula": h + "=1+1,1\n", "a tilde": h + "~other,1\n", "self not last": h + "~self,1\na,1\n", "blank in key": h + "a b,1\n",
		"UTF-8 in key": h + "é,1\n", "a long key": h + strings.Repeat("a", 257) + ",1\n", "NUL": h + "a\x00,1\n",
	} {
		if _, err := attribution.Decode([]byte(s)); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			refused(t, err)
		}
	}
	if v, err := attribution.Decode([]byte(h)); err != nil || v.Len() != 0 {
		t.Errorf("an empty vector: %v, %v", v, err)
	}
	if v, err := attribution.Decode([]byte(h + "a,9223372036854775807\nb,0\n")); err != nil || v.Total() != math.MaxInt64 {
		t.Errorf("the greatest total: %v, %v", v, err)
	}
	if v, err := attribution.Decode([]byte(h + strings.Repeat("a", 256) + ",1\n")); err != nil || v.Len() != 1 {
		t.Errorf("the longest key: %v, %v", v, err)
	}
	many := make([]attribution.Entry, attribution.MaxEntries+1)
	for i := range many {
		many[i].Key = fmt.Sprintf("%07d", i)
	}
	if _, err := attribution.NewVector(many); fault.Of(err) != fault.TooLarge {
		t.Errorf("one entry too many: %v", err)
	}
	wide := slices.Clone(many[:1<<18])
	for i := range wide {
		wide[i].Key += strings.Repeat("x", attribution.MaxKey-7)
	}
	if _, err := attribution.NewVector(wide); fault.Of(err) != fault.TooLarge {
		t.Errorf("a vector whose file would be too large to read: %v", err)
	}
	v, err := attribution.NewVector(many[1:])
	if err != nil {
		t.Fatalf("as many entries as allowed: %v", err)
	}
	b := v.Encode()
	if _, err := attribution.Decode(b); err != nil {
		t.Errorf("as many lines as allowed: %v", err)
	}
	if _, err := attribution.Decode(append(b, "x,1\n"...)); fault.Of(err) != fault.TooLarge {
		t.Errorf("one line too many: %v", err)
	}
}

func FuzzDecodeVector(f *testing.F) {
	f.Add(golden(f, "vector.csv"))
	f.Add([]byte("key,integer\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := attribution.Decode(b)
		if err != nil {
			refused(t, err)
			return
		}
		if again := v.Encode(); !bytes.Equal(again, b) {
			t.Fatalf("accepted %q, which encodes to %q", b, again)
		}
	})
}

// What was published once is read forever. The golden files are never changed.
func TestGoldenFiles(t *testing.T) {
	v, err := attribution.Decode(golden(t, "vector.csv"))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, v, vec(t, "bafkreia7pmsjkrtzvvyhhmr2nipkkbsvcd6knjmkpoyhbsqzwrxzh2mtem", 450000, "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK", 0, "train#17", 7, "~self", 550000))

	parts, err := attribution.DecodeParts(golden(t, "parts.csv"))
	if want := []attribution.Part{{Key: "ana", Path: "data/a, b.csv"}, {Key: "~self", Path: "data/été.csv"}}; err != nil || !slices.Equal(parts, want) {
		t.Errorf("parts.csv: %v, %v", parts, err)
	}

	points, err := attribution.DecodePoints(golden(t, "points.csv"))
	if err != nil || len(points) != 2 || points[0].Key != "p1" || points[0].Label != "cat" ||
		!slices.Equal(points[0].Embedding, []int16{-32768, 32767, -1, 258}) || !slices.Equal(points[1].Embedding, []int16{0, 1, 2, 3}) {
		t.Errorf("points.csv: %v, %v", points, err)
	}
}

func FuzzDecodeParts(f *testing.F) {
	f.Add(golden(f, "parts.csv"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := attribution.DecodeParts(b)
		if err != nil {
			refused(t, err)
			return
		}
		if again, err := attribution.EncodeParts(shuffled(p, 1)); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted %q, which encodes to %q, %v", b, again, err)
		}
	})
}

func FuzzDecodePoints(f *testing.F) {
	f.Add(golden(f, "points.csv"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := attribution.DecodePoints(b)
		if err != nil {
			refused(t, err)
			return
		}
		if again, err := attribution.EncodePoints(shuffled(p, 1)); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted %q, which encodes to %q, %v", b, again, err)
		}
	})
}
