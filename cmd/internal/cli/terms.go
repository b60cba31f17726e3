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
)

// A licensing is on which terms a dataset or a model is registered: the flags,
// then what they come to.
type licensing struct {
	license, licenseText, termsFile string

	expr  string // normalised
	terms *terms.Terms
	// cid is that of the terms document, once it is stored.
	cid cid.Cid
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
		errs = append(errs, fault.WithHint(fault.New(fault.Invalid, "%s %s is not on the SPDX list, so its text must be recorded", from, expr), "--license-text FILE"))
	}
	if l.licenseText != "" && l.terms.Base.Text.Defined() {
		errs = append(errs, fault.New(fault.Invalid, "--license-text is given, and the terms name their text"))
	}
	return errs
}

// store stores the terms document and, for a licence of one's own, its text.
func (l *licensing) store(ctx context.Context, s sink) error {
	if l.licenseText != "" {
		text, err := auditing.ReadBounded(l.licenseText, maxLicenseText)
		if err != nil {
			return fmt.Errorf("--license-text: %w", err)
		}
		if len(text) == 0 {
			return fault.New(fault.Invalid, "--license-text: %s is empty", l.licenseText)
		}
		// One block under unixfs-v1-2025, whose chunk is 1 MiB.
		c := cjson.RawCID(text)
		if err := s.PutRecord(ctx, c, text); err != nil {
			return err
		}
		sum := sha256.Sum256(text)
		l.terms.Base.Text, l.terms.Base.TextSHA256 = cjson.Link{Cid: c}, hex.EncodeToString(sum[:])
	}
	b, err := terms.Encode(l.terms)
	if err != nil {
		return err
	}
	l.cid = cjson.JSONCID(b)
	return s.PutRecord(ctx, l.cid, b)
}
