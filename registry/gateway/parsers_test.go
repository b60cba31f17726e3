package gateway_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"pgregory.net/rapid"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/gateway"
)

// denyVectors is a list with the examples of IPIP-383.
const denyVectors = `version: 1
name: vectors
---
# by CID, which is by multihash
/ipfs/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq

/ipfs/QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8/*
/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test*
/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked*
+/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blockednot
/ipfs/QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC/with%20space hint=x
/ipns/domain.example
//d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7
//3f8b9febd851873b3774b937cce126910699ceac56e72e64b866f8e258d09572
//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM
//gW813G35CnLsy7gRYYHuf63hrz71U1xoLFDVeV7actx6oX
`

func TestDenylistVectors(t *testing.T) {
	t.Parallel()
	d, err := gateway.ParseDenylist(strings.NewReader(denyVectors))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		cid, path string
		want      bool
	}{
		{"bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq", "", true},
		{"bafkreihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq", "", true},
		{"QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo", "", true},
		{"QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8", "", true},
		{"QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8", "a/b", true},
		{"Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2", "", false},
		{"Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2", "testing", true},
		{"Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2", "tes", false},
		{"QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK", "blocked/x", true},
		{"QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK", "blockednot", false},
		{"QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC", "with space", true},
		{"bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e", "", true},
		{"bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e", "path", true},
		{"bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e", "path2", false},
		{"bafybeidjwik6im54nrpfg7osdvmx7zojl5oaxqel5cmsz46iuelwf5acja", "", true},
		{"QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR", "", true},
		{"bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a", "path", true},
		{"bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a", "path2", false},
		{"bafybeihykld7uyxzogax6vgyvag42y7464eywpf55gxi5qpoisibh3c5wa", "", false},
	} {
		id, err := cid.Decode(c.cid)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Denies(id, c.path); got != c.want {
			t.Errorf("%s/%s: denied %t, want %t", c.cid, c.path, got, c.want)
		}
	}
	for _, bad := range []string{"nonsense", "/ipfs/nonsense", "//zz!", "/ipfs/" + "bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq/%zz", strings.Repeat("x", 10000)} {
		if _, err := gateway.ParseDenylist(strings.NewReader(bad)); !errors.Is(err, fault.Invalid) {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

func FuzzDenylist(f *testing.F) {
	f.Add(denyVectors)
	f.Add("---\n---\n")
	f.Add("+//d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7\r\n!/ipfs/bafkqaaa/*")
	root := cid.MustParse("bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq")
	f.Fuzz(func(t *testing.T, list string) {
		d, err := gateway.ParseDenylist(strings.NewReader(list))
		if err != nil {
			if code := fault.Of(err); code != fault.Invalid && code != fault.TooLarge {
				t.Fatalf("%v has code %s", err, code)
			}
			return
		}
		d.Denies(root, "a/b")
		// A rule behind all others denies what it names.
		rule := "/ipfs/" + root.String() + "\n"
		again, err := gateway.ParseDenylist(strings.NewReader("---\n" + rule))
		if err != nil || !again.Denies(root, "") {
			t.Fatalf("a rule alone does not hold: %v", err)
		}
		more, err := gateway.ParseDenylist(strings.NewReader(list + "\n" + rule))
		if err != nil || !more.Denies(root, "") {
			t.Fatalf("a rule at the end of %q does not hold: %v", list, err)
		}
	})
}

// checkRanges holds what parseRanges promises.
func checkRanges(t interface{ Fatalf(string, ...any) }, header string, size uint64) {
	spans, err := gateway.ParseRanges(header, size)
	if err != nil {
		if len(spans) > 0 || !errors.Is(err, fault.Invalid) {
			t.Fatalf("%q of %d: %v beside %v", header, size, spans, err)
		}
		return
	}
	if len(spans) > gateway.MaxRanges {
		t.Fatalf("%q: %d ranges", header, len(spans))
	}
	for _, s := range spans {
		if s[1] == 0 || s[0] >= size || s[1] > size-s[0] {
			t.Fatalf("%q of %d: %d bytes at %d", header, size, s[1], s[0])
		}
	}
}

func FuzzRanges(f *testing.F) {
	for _, h := range []string{"", "bytes=0-0", "bytes=-5", "bytes=5-", "bytes=0-1,4-5", "lines=1-2", "bytes", "bytes=", "bytes=9223372036854775807-9223372036854775808", "bytes=-18446744073709551616", "bytes=+1-2"} {
		f.Add(h, uint64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size uint64) { checkRanges(t, header, size>>1) })
}

// TestRangesRoundTrip: what a client writes is what it gets, as far as there is
// something.
func TestRangesRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Uint64Range(1, 1<<62).Draw(t, "size")
		var parts []string
		var want [][2]uint64
		for range rapid.IntRange(1, gateway.MaxRanges).Draw(t, "n") {
			from := rapid.Uint64Range(0, size-1).Draw(t, "from")
			to := rapid.Uint64Range(from, 1<<62).Draw(t, "to")
			parts = append(parts, fmt.Sprintf("%d-%d", from, to))
			want = append(want, [2]uint64{from, min(to, size-1) - from + 1})
		}
		header := "bytes=" + strings.Join(parts, rapid.SampledFrom([]string{",", ", ", " ,"}).Draw(t, "comma"))
		got, err := gateway.ParseRanges(header, size)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s of %d: %v, %v", header, size, got, err)
		}
		checkRanges(t, header, size)
	})
}
