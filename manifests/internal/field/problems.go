package field

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// An Error is one problem of one member of a document. Validate joins all of
// them, so errors.As finds the first and an Unwrap() []error finds each.
type Error struct {
	// Path is the JSON path from the top of the document, as in
	// "predicate.contributors[2].weight".
	Path string
	// Msg says what is wrong and what would be right. Foreign text in it is
	// quoted and bounded.
	Msg string
}

// Error returns "path: message".
func (e *Error) Error() string { return e.Path + ": " + e.Msg }

// Unwrap marks every Error [fault.Invalid].
func (e *Error) Unwrap() error { return fault.Invalid }

// maxProblems bounds how many problems of one document are reported: enough to
// mend a file in one go, too few to make an answer larger than its question.
const maxProblems = 100

// Limits of lists and maps that have none of their own. They only keep one
// member from eating the document and its readers.
const (
	MaxList    = 1024 // entries of a list
	MaxEntries = 4096 // entries of a map of counts
	MaxShort   = 256  // bytes of a name or a label
)

// Problems collects what is wrong with one document. The zero value is ready.
//
// The methods that take a path and a value report what is wrong with an
// optional member, and say nothing about an absent (empty) one.
type Problems struct {
	errs []error
	more int
}

// Add reports msg at the path that format and args give. An empty msg is no
// problem, so that a checker's answer can be handed on as it is.
func (p *Problems) Add(msg, format string, args ...any) {
	switch {
	case msg == "":
	case len(p.errs) == maxProblems:
		p.more++
	case len(args) == 0:
		p.errs = append(p.errs, &Error{Path: format, Msg: msg})
	default:
		p.errs = append(p.errs, &Error{Path: fmt.Sprintf(format, args...), Msg: msg})
	}
}

// Any reports whether anything was added.
func (p *Problems) Any() bool { return len(p.errs) > 0 }

// Err returns everything reported so far, nil for nothing.
func (p *Problems) Err() error {
	if p.more > 0 {
		return errors.Join(append(p.errs, fault.New(fault.Invalid, "and %d more problems", p.more))...)
	}
	return errors.Join(p.errs...)
}

// Line checks a text of one line.
func (p *Problems) Line(path, s string, limit int) {
	if s != "" {
		p.Add(Line(s, limit), "%s", path)
	}
}

// Text checks a text of any number of lines.
func (p *Problems) Text(path, s string, limit int) {
	if s != "" {
		p.Add(Text(s, limit), "%s", path)
	}
}

// Enum checks a value of a closed list.
func (p *Problems) Enum(path, s string, allowed ...string) {
	if s != "" {
		p.Add(OneOf(s, allowed...), "%s", path)
	}
}

// Time checks an instant.
func (p *Problems) Time(path, s string) {
	if s != "" {
		p.Add(Time(s), "%s", path)
	}
}

// URL checks an absolute URL.
func (p *Problems) URL(path, s string) {
	if s != "" {
		p.Add(URL(s), "%s", path)
	}
}

// Count checks a number that counts something.
func (p *Problems) Count(path string, n *int64) {
	if n != nil {
		p.Add(Count(*n), "%s", path)
	}
}

// Ppm checks parts per million.
func (p *Problems) Ppm(path string, n *int64) {
	if n != nil {
		p.Add(Ppm(*n), "%s", path)
	}
}

// A Payment is what a terms document and the rules copied from it both say of
// money.
type Payment struct {
	RatePpm  int64
	Stacking string
	FloorPpm int64
	CapPpm   int64
	Pool     cjson.CID
	PoolPpm  int64
}

// Payment checks the members of y, which lie at path.
func (p *Problems) Payment(path string, y Payment) {
	p.Add(Ppm(y.RatePpm), "%s.ratePpm", path)
	p.Add(OneOf(y.Stacking, "weighted", "sum", "pool"), "%s.stacking", path)
	p.Add(Ppm(y.FloorPpm), "%s.floorPpm", path)
	p.Add(Ppm(y.CapPpm), "%s.capPpm", path)
	p.Add(Ppm(y.PoolPpm), "%s.poolPpm", path)
	if y.Pool.Defined() {
		p.Add(StatementCID(y.Pool), "%s.pool", path)
	}
	if y.Pool.Defined() != (y.PoolPpm > 0) {
		p.Add("pool and poolPpm stand together", "%s.pool", path)
	}
	if y.Stacking == "pool" && !y.Pool.Defined() {
		p.Add(`stacking "pool" needs a pool`, "%s.pool", path)
	}
}

// Data checks a link to data, which must be present.
func (p *Problems) Data(path string, l cjson.Link) { p.Add(DataCID(l.Cid), "%s", path) }

// Present reports an optional object that has no members.
func (p *Problems) Present(path string, empty bool) {
	if empty {
		p.Add("is empty, so it must be absent", "%s", path)
	}
}

// List returns how many entries of a list of n to look at: all, or none after
// reporting that there are too many.
func (p *Problems) List(path string, n, limit int) int {
	if n > limit {
		p.Add(fmt.Sprintf("may have %d entries, has %d", limit, n), "%s", path)
		return 0
	}
	return n
}

// Keys is List for the sorted names of an object's members; it also reports an
// object that is present and empty.
func Keys[V any](p *Problems, path string, m map[string]V, limit int) []string {
	p.Present(path, m != nil && len(m) == 0)
	if p.List(path, len(m), limit) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
}

// Counts checks an object of counts.
func (p *Problems) Counts(path string, m map[string]int64) {
	for _, k := range Keys(p, path, m, MaxEntries) {
		p.Add(Line(k, MaxShort), "%s.%s", path, fault.Printable(k))
		p.Add(Count(m[k]), "%s.%s", path, fault.Printable(k))
	}
}

// OneOfEach checks a list of values of a closed list, each at most once.
func (p *Problems) OneOfEach(path string, values, allowed []string) {
	for i := range p.List(path, len(values), len(allowed)) {
		p.Add(OneOf(values[i], allowed...), "%s[%d]", path, i)
		if slices.Contains(values[:i], values[i]) {
			p.Add("is there already", "%s[%d]", path, i)
		}
	}
}

// Texts checks a list of texts.
func (p *Problems) Texts(path string, values []string, limit int) {
	for i := range p.List(path, len(values), MaxList) {
		p.Add(Text(values[i], limit), "%s[%d]", path, i)
	}
}

// CIDs checks a list of CIDs of any kind.
func (p *Problems) CIDs(path string, values []cjson.CID) {
	for i := range p.List(path, len(values), MaxList) {
		p.Add(AnyCID(values[i]), "%s[%d]", path, i)
	}
}

// Object checks a free JSON object: that it is one, and its length.
func (p *Problems) Object(path string, raw json.RawMessage, limit int) {
	if raw == nil {
		return
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		p.Add("must be a JSON object", "%s", path)
		return
	}
	p.Present(path, len(members) == 0)
	if len(raw) > limit {
		p.Add(fmt.Sprintf("may have %d bytes, has %d", limit, len(raw)), "%s", path)
	}
}
