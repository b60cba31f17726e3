package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/manifests/fault"
)

func TestTableIsComplete(t *testing.T) {
	for _, c := range fault.Codes() {
		if !c.Known() {
			t.Errorf("%s is not in the table", c)
		}
		if c.ExitStatus() == 0 {
			t.Errorf("%s exits with 0, which means success", c)
		}
		if (c.ExitStatus() == 3) != (c == fault.Unverified) {
			t.Errorf("%s exits with %d: 3 belongs to unverified alone", c, c.ExitStatus())
		}
		if s := c.HTTPStatus(); s != 202 && (s < 400 || s > 599) {
			t.Errorf("%s has HTTP status %d", c, s)
		}
		if got := fault.FromHTTP(c.HTTPStatus()); got != c {
			t.Errorf("FromHTTP(%d) = %s, want %s", c.HTTPStatus(), got, c)
		}
	}
	if fault.Code("nonsense").ExitStatus() != 1 {
		t.Error("an unknown code must count as internal")
	}
}

func TestOutermostMarkWins(t *testing.T) {
	inner := fault.New(fault.NotFound, "no block: %w", io.EOF)
	err := fault.Mark(fault.Unverified, fmt.Errorf("checking: %w", inner))
	if fault.Of(err) != fault.Unverified {
		t.Errorf("Of = %s, want the outer code", fault.Of(err))
	}
	for _, want := range []error{fault.Unverified, fault.NotFound, io.EOF} {
		if !errors.Is(err, want) {
			t.Errorf("errors.Is(err, %v) = false", want)
		}
	}
	if err.Error() != "checking: no block: EOF" {
		t.Errorf("text = %q", err)
	}
}

func TestHintsAndBareErrors(t *testing.T) {
	if fault.Of(nil) != "" || fault.Mark(fault.Busy, nil) != nil || fault.WithHint(nil, "x") != nil {
		t.Error("nil must stay nil")
	}
	if fault.Of(context.Canceled) != fault.Internal {
		t.Error("an unmarked error is internal")
	}
	err := errors.Join(io.EOF, fault.WithHint(fault.New(fault.Busy, "locked"), "wait %d s", 3))
	if fault.Hint(err) != "wait 3 s" || fault.Of(err) != fault.Busy {
		t.Errorf("hint %q, code %s", fault.Hint(err), fault.Of(err))
	}
}

func TestQuoteIsBoundedAndInert(t *testing.T) {
	for _, s := range []string{"\x1b]0;owned\a", "a\nb", "\u202egnp.exe", string([]byte{0xff}), strings.Repeat("ü", 4000)} {
		q := fault.Quote(s)
		if len(q) > 8*130 || strings.ContainsAny(q, "\x1b\n\a") || strings.Contains(q, "\u202e") {
			t.Errorf("Quote(%.20q…) = %s", s, q)
		}
	}
	if fault.Printable("ąę źł") != "ąę źł" || fault.Printable("a\x1b") == "a\x1b" {
		t.Error("Printable lets control characters through, or quotes letters")
	}
}
