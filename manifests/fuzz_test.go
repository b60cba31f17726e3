package manifests_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// refused fails the test when foreign bytes made an error that is not theirs.
func refused(t *testing.T, err error) {
	t.Helper()
	if c := fault.Of(err); c != fault.Invalid && c != fault.TooLarge {
		t.Fatalf("code %s of %v", c, err)
	}
}

// canonical is b in canonical form where it has one, so that the fuzzer spends
// its time behind the first check.
func canonical(b []byte) []byte {
	if c, err := cjson.Canonicalize(b); err == nil {
		return c
	}
	return b
}

func FuzzDecode(f *testing.F) {
	for _, b := range goldens(f, "*.statement.json") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = canonical(b)
		s, err := manifests.Decode(b)
		if err != nil {
			refused(t, err)
			if errors.Is(err, manifests.ErrUnknownKind) && cjson.Check(b) != nil {
				t.Fatalf("%s is no canonical JSON, and yet a statement of an unknown kind", b)
			}
			return
		}
		again, err := manifests.Encode(s)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted %s, which encodes to %s, %v", b, again, err)
		}
		if err := cjson.Check(b); err != nil {
			t.Fatalf("accepted %s: %v", b, err)
		}
		if _, err := s.SubjectCID(); err != nil {
			t.Fatal(err)
		}
		required, allowed := s.Signers()
		for _, r := range required {
			if !slices.Contains(allowed, r) {
				t.Fatalf("%s must sign and may not", r)
			}
		}
		_ = s.CheckSubject()
	})
}

func FuzzDecodeManifest(f *testing.F) {
	for _, b := range goldens(f, "*.manifest.json") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = canonical(b)
		m, err := manifests.DecodeManifest(b)
		if err != nil {
			refused(t, err)
			return
		}
		again, err := manifests.EncodeManifest(m)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted %s, which encodes to %s, %v", b, again, err)
		}
		m.Sources()
		m.MediaTypes()
	})
}

func FuzzDecodeFileLine(f *testing.F) {
	for _, b := range goldens(f, "*.fileline.json") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := manifests.DecodeFileLine(b)
		if err != nil {
			refused(t, err)
			return
		}
		again, err := manifests.EncodeFileLine(file)
		if err != nil || !bytes.Equal(again, append(bytes.TrimSuffix(b, []byte("\n")), '\n')) {
			t.Fatalf("accepted %q, which encodes to %q, %v", b, again, err)
		}
		if same, err := cjson.Marshal(file); err != nil || !bytes.Equal(append(same, '\n'), again) {
			t.Fatalf("%q is %q in canonical JSON, %v", again, same, err)
		}
	})
}

func FuzzFromYAML(f *testing.F) {
	for _, b := range goldens(f, "*.yaml") {
		f.Add(b)
	}
	for _, s := range []string{"a: &a [*a]", "? [a]\n: b", "a: !!binary x", "<<: {}", "%YAML 1.1\n---\n", "\xff\xfe", "a:\n\t- b", "{\"/\": 1}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := manifests.FromYAML(b)
		if err != nil {
			refused(t, err)
			return
		}
		// What was read can be checked and, once it is right, written.
		if err := m.Validate(); err != nil {
			refused(t, err)
			return
		}
		if _, err := manifests.EncodeManifest(m); err != nil {
			refused(t, err)
		}
	})
}

func FuzzParseContributor(f *testing.F) {
	f.Add("Ada L. <" + string(edKey(1)) + ">;share=2;role=annotator,translator")
	f.Add("a;b=c;<>")
	f.Fuzz(func(t *testing.T, text string) {
		c, weight, err := manifests.ParseContributor(text)
		if err != nil {
			refused(t, err)
			return
		}
		if strings.ContainsAny(c.Name, "<;") {
			return
		}
		// Written down again it reads the same.
		again, w, err := manifests.ParseContributor(c.Name + " <" + string(c.ID) + ">;share=" + weight)
		if err != nil || again.ID != c.ID || again.Name != c.Name || w != weight {
			t.Fatalf("%q reads as %+v, %s; again as %+v, %s, %v", text, c, weight, again, w, err)
		}
	})
}
