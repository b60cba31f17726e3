package manifests

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/ipfs/go-cid"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

const (
	// maxSubjects bounds the subjects of a statement. Only the first counts;
	// others are for tools that look data up by another digest.
	maxSubjects = 8
	// maxSubjectName holds the longest name there is, an origin or a name with
	// its version, several times.
	maxSubjectName = 512

	ipfsScheme = "ipfs://"
)

// ErrSubject is wrapped by the error of [Statement.CheckSubject].
var ErrSubject = errors.New("the subject is not what the predicate is about")

// A Subject names what a statement is about, as in-toto does.
type Subject struct {
	Digest map[string]string `json:"digest"` // exactly "sha256", 64 lower hex digits
	Name   string            `json:"name"`
	URI    string            `json:"uri,omitempty"` // "ipfs://" and a CIDv1, for data
}

func validateSubjects(p *field.Problems, subjects []Subject) {
	if len(subjects) == 0 {
		p.Add("must have an entry", "subject")
	}
	for i := range p.List("subject", len(subjects), maxSubjects) {
		s := subjects[i]
		if len(s.Name) < 1 || len(s.Name) > maxSubjectName || strings.ContainsFunc(s.Name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			p.Add(fmt.Sprintf("must be 1 to %d printable ASCII characters without spaces", maxSubjectName), "subject[%d].name", i)
		}
		if len(s.Digest) != 1 {
			p.Add(`must have "sha256" and nothing else`, "subject[%d].digest", i)
		}
		p.Add(field.SHA256(s.Digest["sha256"]), "subject[%d].digest.sha256", i)
		if s.URI != "" {
			_, msg := parseSubjectURI(s.URI)
			p.Add(msg, "subject[%d].uri", i)
		}
	}
}

// CheckSubject reports whether subject[0] is what the predicate is about, for a
// statement that passed [Statement.Validate]: data for a contribution, a model
// and an attribution, another statement for the kinds that are about one, the
// identity or the origin for those that are about these. FORMAT.md has the
// table. The error wraps [ErrSubject].
func (s *Statement) CheckSubject() error {
	if len(s.Subject) == 0 {
		return fault.Mark(fault.Invalid, fmt.Errorf("%w: there is none", ErrSubject))
	}
	got := s.Subject[0]
	want := s.Predicate.subject(got)
	var p field.Problems
	if got.Name != want.Name {
		p.Add("must be "+fault.Quote(want.Name), "subject[0].name")
	}
	if digest := want.Digest["sha256"]; digest != "" && got.Digest["sha256"] != digest {
		p.Add("must be "+digest, "subject[0].digest.sha256")
	}
	switch {
	case got.URI == want.URI:
	case want.URI == "":
		p.Add("must be absent", "subject[0].uri")
	default:
		p.Add("must be "+want.URI, "subject[0].uri")
	}
	if !p.Any() {
		return nil
	}
	return fault.Mark(fault.Invalid, fmt.Errorf("%w: %w", ErrSubject, p.Err()))
}

// SubjectCID returns what a leaf names as the subject: the CID in subject[0]'s
// URI, else the CIDv1 raw of its digest.
func (s *Statement) SubjectCID() (cid.Cid, error) {
	if len(s.Subject) == 0 {
		return cid.Undef, &FieldError{Path: "subject", Msg: "must have an entry"}
	}
	sub := s.Subject[0]
	if sub.URI != "" {
		c, msg := parseSubjectURI(sub.URI)
		if msg != "" {
			return cid.Undef, &FieldError{Path: "subject[0].uri", Msg: msg}
		}
		return c, nil
	}
	if msg := field.SHA256(sub.Digest["sha256"]); msg != "" {
		return cid.Undef, &FieldError{Path: "subject[0].digest.sha256", Msg: msg}
	}
	digest, err := hex.DecodeString(sub.Digest["sha256"])
	if err != nil {
		return cid.Undef, fault.Mark(fault.Invalid, err)
	}
	h, err := mh.Encode(digest, mh.SHA2_256)
	if err != nil {
		return cid.Undef, fault.Mark(fault.Internal, err)
	}
	return cid.NewCidV1(cid.Raw, h), nil
}

// parseSubjectURI reads the URI of a subject; msg says what is wrong with it.
func parseSubjectURI(uri string) (c cid.Cid, msg string) {
	const want = "must be ipfs:// and a CIDv1 of a raw or dag-pb block in base32"
	text, ok := strings.CutPrefix(uri, ipfsScheme)
	if !ok {
		return cid.Undef, want
	}
	c, err := cjson.ParseCID(text)
	if err != nil || c.Version() != 1 || c.String() != text || field.DataCID(c) != "" {
		return cid.Undef, want
	}
	return c, ""
}

// textSubject is the subject that stands for a text: an origin or an identity.
func textSubject(text string) Subject {
	sum := sha256.Sum256([]byte(text))
	return Subject{Name: text, Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])}}
}

// digestHex returns the digest inside a CID, "" when there is none.
func digestHex(c cid.Cid) string {
	if !c.Defined() {
		return ""
	}
	d, err := mh.Decode(c.Hash())
	if err != nil {
		return ""
	}
	return hex.EncodeToString(d.Digest)
}
