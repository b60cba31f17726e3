package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"
	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/registry/wire"
)

// A licensing is on which terms a dataset or a model is registered: the flags,
// then what they come to.
type licensing struct {
	license, licenseText, termsFile string

	expr  string // normalised
	terms *terms.Terms
	// What follows is set by complete: the document, its CID, and a licence text to
	// record with it.
	document, own []byte
	cid           cid.Cid
}

func (l *licensing) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&l.license, "license", "", "licence as an SPDX `expression`; own texts are LicenseRef-…")
	f.StringVar(&l.licenseText, "license-text", "", "`file` with the text of a LicenseRef- licence")
	f.StringVar(&l.termsFile, "terms", "", "YAML or JSON `file` with a terms document, for more than a licence")
}

// read reads the licence, or the terms document that builds on one.
func (l *licensing) read() (errs []error) {
	from := "--license"
	if l.termsFile != "" {
		b, err := auditing.ReadBounded(l.termsFile, manifests.MaxYAML)
		if err == nil {
			l.terms, err = manifests.TermsFromYAML(b)
		}
		if err != nil {
			return []error{fmt.Errorf("--terms %s: %w", l.termsFile, err)}
		}
		switch l.license {
		case "", l.terms.Base.SPDX:
			l.license, from = l.terms.Base.SPDX, "--terms: base.spdx"
		default:
			return []error{fault.New(fault.Invalid, "--license says %s, the terms are based on %s: one of them is enough", fault.Quote(l.license), fault.Quote(l.terms.Base.SPDX))}
		}
	}
	if l.license == "" {
		return []error{fault.WithHint(fault.New(fault.Invalid, "--license is missing: what has no terms may not be used"),
			"for example --license CC-BY-4.0, or --license LicenseRef-own --license-text FILE")}
	}
	expr, ids, err := terms.ParseExpression(l.license)
	if err != nil {
		return []error{fmt.Errorf("%s: %w", from, err)}
	}
	l.expr = expr
	if l.terms == nil {
		l.terms = &terms.Terms{Schema: terms.Schema, Base: terms.Base{SPDX: expr}}
	}
	own := slices.ContainsFunc(ids, func(id string) bool { return strings.HasPrefix(id, "LicenseRef-") })
	if own && l.licenseText == "" && !l.terms.Base.Text.Defined() {
		if _, ok := ownText(ids); ok {
			return errs
		}
		errs = append(errs, fault.WithHint(fault.New(fault.Invalid, "%s %s is not on the SPDX list, so its text must be recorded", from, expr), "--license-text FILE"))
	}
	if l.licenseText != "" && l.terms.Base.Text.Defined() {
		errs = append(errs, fault.New(fault.Invalid, "--license-text is given, and the terms name their text"))
	}
	return errs
}

// ownText returns the text for an expression whose only terms of one's own are
// those that cairn brings along.
func ownText(ids []string) (text []byte, ok bool) {
	for _, id := range ids {
		if terms.IsOwn(id) {
			if text, ok = terms.Text(id); !ok {
				return nil, false
			}
		}
	}
	return text, ok
}

// text is the text to record with the terms; nil for none.
func (l *licensing) text() ([]byte, error) {
	if l.licenseText == "" {
		if l.terms.Base.Text.Defined() {
			return nil, nil
		}
		_, ids, err := terms.ParseExpression(l.expr)
		text, _ := ownText(ids)
		return text, err
	}
	text, err := auditing.ReadBounded(l.licenseText, maxLicenseText)
	if err != nil {
		return nil, fmt.Errorf("--license-text: %w", err)
	}
	if len(text) == 0 {
		return nil, fault.New(fault.Invalid, "--license-text: %s is empty", l.licenseText)
	}
	return text, nil
}

// complete makes the terms document, with its CID and, for a licence of one's own,
// its text.
func (l *licensing) complete() (err error) {
	if l.own, err = l.text(); err != nil {
		return err
	}
	if l.own != nil {
		// One block under unixfs-v1-2025, whose chunk is 1 MiB.
		sum := sha256.Sum256(l.own)
		l.terms.Base.Text, l.terms.Base.TextSHA256 = cjson.Link{Cid: cjson.RawCID(l.own)}, hex.EncodeToString(sum[:])
	}
	if l.document, err = terms.Encode(l.terms); err != nil {
		return err
	}
	l.cid = cjson.JSONCID(l.document)
	return nil
}

// space is the terms in whose gated space the data belongs; not defined for the
// public one. It is known once the terms are complete.
func (l *licensing) space() cid.Cid {
	if manifests.RulesOf(l.terms).GatesBytes() {
		return l.cid
	}
	return cid.Undef
}

// store stores what complete made.
func (l *licensing) store(ctx context.Context, s sink) error {
	if l.own != nil {
		if err := s.PutRecord(ctx, cjson.RawCID(l.own), l.own); err != nil {
			return err
		}
	}
	return s.PutRecord(ctx, l.cid, l.document)
}

// doorWarnings shows what the registry warned of, and returns it.
func (env *Env) doorWarnings(sub *wire.Submitted) []string {
	if !env.json {
		for _, text := range sub.Warnings {
			env.warn("recorded, but its terms do not fit those of what it comes from: %s", fault.Printable(text))
		}
	}
	return sub.Warnings
}
