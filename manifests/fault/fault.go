// Package fault is the one taxonomy of errors in cairn. A [Code] says what kind
// of failure an error is; one table gives its HTTP status, the exit status of
// the command, and whether trying again can help. Everything that crosses a
// boundary (a package's API, HTTP, the command line) is marked with a Code
// once, where its meaning is known, and asked for with errors.Is or [Of].
//
// The package does no I/O and imports nothing but the standard library.
package fault

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Code is a kind of failure. It is itself an error, so that the question is
// the same everywhere, across the wire too: errors.Is(err, fault.NotFound).
type Code string

// The closed list of codes. Only Unverified is a verdict: the evidence was
// looked at and does not hold. Whatever kept a check from being made is one of
// the others, usually Internal.
const (
	Internal        Code = "internal"        // cairn's own failure, or a check that could not be made
	Invalid         Code = "invalid"         // the request or input breaks a rule of its format
	Unverified      Code = "unverified"      // checked, and it does not hold
	NotFound        Code = "not-found"       // nothing is known under that name or address
	Conflict        Code = "conflict"        // the state does not allow it: taken, stale, rejected by the fold
	Denied          Code = "denied"          // the caller is known and may not
	Unauthenticated Code = "unauthenticated" // the caller did not prove who they are
	Gone            Code = "gone"            // withdrawn or erased, and the log says so
	TooLarge        Code = "too-large"       // over a documented limit
	NoSpace         Code = "no-space"        // the disk is full or below the watermark
	Busy            Code = "busy"            // another process holds it, or the queue is full: try again
	Pending         Code = "pending"         // accepted, not yet published: ask again
	Interrupted     Code = "interrupted"     // stopped by a signal or a cancelled context
)

type row struct {
	http  int
	exit  int
	retry bool
}

// table is the one place where a code gets its statuses. Exit statuses follow
// FORMAT.md: only 0 and 3 are verdicts.
var table = map[Code]row{
	Internal:        {500, 1, false},
	Invalid:         {400, 2, false},
	Unverified:      {422, 3, false},
	NotFound:        {404, 4, false},
	Conflict:        {409, 5, false},
	Denied:          {403, 6, false},
	Unauthenticated: {401, 7, false},
	Gone:            {410, 8, false},
	TooLarge:        {413, 9, false},
	NoSpace:         {507, 9, false},
	Busy:            {503, 10, true},
	Pending:         {202, 10, true},
	Interrupted:     {499, 130, true},
}

// Codes returns every code, in the order of their exit statuses.
func Codes() []Code {
	return []Code{Internal, Invalid, Unverified, NotFound, Conflict, Denied, Unauthenticated,
		Gone, TooLarge, NoSpace, Busy, Pending, Interrupted}
}

// Error returns the code's name, so that a bare Code is a usable error.
func (c Code) Error() string { return string(c) }

// HTTPStatus returns the status an HTTP answer carries for c; 500 for a code
// that is not in the table.
func (c Code) HTTPStatus() int { return c.row().http }

// ExitStatus returns the exit status of a command that ends with c; 1 for a
// code that is not in the table.
func (c Code) ExitStatus() int { return c.row().exit }

// Retry reports whether the same call can succeed later without being changed.
// In HTTP such an answer carries Retry-After.
func (c Code) Retry() bool { return c.row().retry }

// Known reports whether c is in the table.
func (c Code) Known() bool { _, ok := table[c]; return ok }

func (c Code) row() row {
	if r, ok := table[c]; ok {
		return r
	}
	return table[Internal]
}

// FromHTTP returns the code that a peer meant by an HTTP status that came
// without a problem document.
func FromHTTP(status int) Code {
	switch status {
	case 406, 415: // not acceptable, unsupported media type
		return Invalid
	case 451: // unavailable for legal reasons
		return Gone
	case 412: // precondition failed
		return Conflict
	case 429, 502, 504: // too many requests, bad gateway, gateway timeout
		return Busy
	}
	for _, c := range Codes() {
		if c.HTTPStatus() == status {
			return c
		}
	}
	if status >= 400 && status < 500 {
		return Invalid
	}
	return Internal
}

// marked is an error with a code and, perhaps, a hint.
type marked struct {
	code Code
	err  error
	hint string
}

func (m *marked) Error() string { return m.err.Error() }

// Unwrap gives both the cause and the code, so errors.Is finds either.
func (m *marked) Unwrap() []error {
	if m.code == "" {
		return []error{m.err}
	}
	return []error{m.err, m.code}
}

// New returns an error of the given code. format and args are those of
// fmt.Errorf; %w works.
func New(code Code, format string, args ...any) error {
	return &marked{code: code, err: fmt.Errorf(format, args...)}
}

// Mark gives err a code without changing its text. It returns nil for a nil
// err. A mark nearer to the surface wins over one further down.
func Mark(code Code, err error) error {
	if err == nil {
		return nil
	}
	return &marked{code: code, err: err}
}

// WithHint adds a sentence that tells the user what to do next. It returns nil
// for a nil err.
func WithHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &marked{err: err, hint: fmt.Sprintf(format, args...)}
}

// Hint returns the outermost hint in err's tree, or "".
func Hint(err error) string {
	hint := ""
	walk(err, func(e error) bool {
		if m, ok := e.(*marked); ok && m.hint != "" {
			hint = m.hint
			return true
		}
		return false
	})
	return hint
}

// Of returns the code of err: the outermost mark in its tree; "" for nil;
// Internal when nothing in the tree has a code.
func Of(err error) Code {
	if err == nil {
		return ""
	}
	code := Internal
	walk(err, func(e error) bool {
		switch e := e.(type) {
		case Code:
			code = e
			return true
		case *marked:
			if e.code != "" {
				code = e.code
				return true
			}
		}
		return false
	})
	return code
}

// walk visits err's tree depth first, outermost first, until f returns true.
func walk(err error, f func(error) bool) bool {
	for err != nil {
		if f(err) {
			return true
		}
		switch u := err.(type) {
		case interface{ Unwrap() error }:
			err = u.Unwrap()
		case interface{ Unwrap() []error }:
			for _, e := range u.Unwrap() {
				if walk(e, f) {
					return true
				}
			}
			return false
		default:
			return false
		}
	}
	return false
}

// maxQuoted bounds what Quote shows: enough to recognise a name, too little to
// fill a log.
const maxQuoted = 128

// Quote returns s for use in a message to a person: in Go quotes, with control
// characters, bidirectional overrides, newlines and invalid UTF-8 escaped, and
// cut to 128 bytes. Every foreign string passes it before it reaches a
// terminal or a log.
func Quote(s string) string {
	cut := ""
	if len(s) > maxQuoted {
		s = s[:maxQuoted]
		for len(s) > 0 && !utf8.ValidString(s[len(s)-1:]) && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if n := len(s); n > 0 && s[n-1] >= utf8.RuneSelf {
			s = s[:n-1]
		}
		cut = "…"
	}
	return strconv.Quote(s) + cut
}

// Printable returns s as it may be shown on a terminal without quotes: s
// itself when every rune is graphic, else its quoted form.
func Printable(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return Quote(s)
	}
	return s
}

// Join is errors.Join, here so that callers who report all problems of an
// input at once need one import.
func Join(errs ...error) error { return errors.Join(errs...) }
