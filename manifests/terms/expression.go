package terms

import (
	"fmt"
	"slices"
	"strings"

	"github.com/github/go-spdx/v2/spdxexp/spdxlicenses"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// Limits of an SPDX expression. The longest in use has some 200 characters.
const (
	MaxExpression = 1024
	maxIDs        = 64
	maxNesting    = 16
)

// ParseExpression reads an SPDX licence expression, as annex D of SPDX 2.3
// defines it: identifiers of the SPDX list in any case, with "+" and WITH, own
// terms as LicenseRef-… (or DocumentRef-…:LicenseRef-…), joined by AND, OR and
// parentheses.
//
// The normalised form has each identifier in the case of the list, single
// spaces, and no parentheses that change nothing; the order is kept. ids are
// the licence identifiers in it (without "+" and exceptions) as they appear,
// each once. An identifier that is not on the list gives [fault.Invalid], with
// the nearest one as the hint. Deprecated identifiers are read; see
// [Deprecated].
//
// The list grows with the library that brings it, so an expression that is
// refused today may be read later. Nothing that was read is refused later.
func ParseExpression(expr string) (normalised string, ids []string, err error) {
	root, err := parse(expr)
	if err != nil {
		return "", nil, err
	}
	var p field.Problems
	var hint string
	root.each(func(n *node) {
		n.id = lookUp(&p, &hint, n.id)
		if n.exception != "" {
			n.exception = lookUpException(&p, n.exception)
		}
		if !slices.Contains(ids, n.id) {
			ids = append(ids, n.id)
		}
	})
	if p.Any() {
		err := p.Err()
		if hint != "" {
			err = fault.WithHint(err, "%s", hint)
		}
		return "", nil, err
	}
	return root.String(), ids, nil
}

// CheckExpression returns nil for an expression in normalised form, as far as
// that can be said without the list of licences: structure, spaces and
// parentheses. Otherwise the error is [fault.Invalid].
func CheckExpression(expr string) error {
	root, err := parse(expr)
	if err != nil {
		return err
	}
	if s := root.String(); s != expr {
		return fault.New(fault.Invalid, "the licence expression %s is not in its normal form, %s", fault.Quote(expr), fault.Quote(s))
	}
	return nil
}

// IsOwn reports whether id names terms of somebody's own (LicenseRef-…), whose
// text no list holds.
func IsOwn(id string) bool {
	return strings.HasPrefix(id, "LicenseRef-") || strings.HasPrefix(id, "DocumentRef-")
}

// Deprecated reports whether SPDX has replaced id, which stays readable.
func Deprecated(id string) bool {
	return slices.Contains(spdxlicenses.GetDeprecated(), id) && !slices.Contains(spdxlicenses.GetLicenses(), id)
}

// lookUp returns id in the case of the list, or reports that it is not there.
func lookUp(p *field.Problems, hint *string, id string) string {
	if IsOwn(id) {
		return id
	}
	for _, list := range [][]string{spdxlicenses.GetLicenses(), spdxlicenses.GetDeprecated()} {
		if i := slices.IndexFunc(list, func(s string) bool { return strings.EqualFold(s, id) }); i >= 0 {
			return list[i]
		}
	}
	p.Add(fault.Quote(id)+" is not on the SPDX list", "license")
	if *hint == "" {
		*hint = suggestion(id)
	}
	return id
}

func lookUpException(p *field.Problems, id string) string {
	list := spdxlicenses.GetExceptions()
	if i := slices.IndexFunc(list, func(s string) bool { return strings.EqualFold(s, id) }); i >= 0 {
		return list[i]
	}
	p.Add(fault.Quote(id)+" is not an exception of the SPDX list", "license")
	return id
}

// familiar are names by which hubs and people call a licence of the list.
var familiar = map[string]string{
	"odc-by": "ODC-By-1.0", "odbl": "ODbL-1.0", "pddl": "PDDL-1.0", "c-uda": "C-UDA-1.0", "o-uda": "O-UDA-1.0",
	"cc0": "CC0-1.0", "cc-zero": "CC0-1.0", "cc-by": "CC-BY-4.0", "cc-by-sa": "CC-BY-SA-4.0", "cc-by-nc": "CC-BY-NC-4.0",
	"cc-by-nd": "CC-BY-ND-4.0", "cc-by-nc-sa": "CC-BY-NC-SA-4.0", "cc-by-nc-nd": "CC-BY-NC-ND-4.0",
	"public-domain": "CC-PDM-1.0", "pdm": "CC-PDM-1.0", "cc-pdm": "CC-PDM-1.0", "apache": "Apache-2.0", "apache2": "Apache-2.0",
	"gpl": "GPL-3.0-or-later", "bsd": "BSD-3-Clause", "cdla-permissive": "CDLA-Permissive-2.0", "cdla-sharing": "CDLA-Sharing-1.0",
	"other": "LicenseRef-hf-other", "unknown": "LicenseRef-hf-unknown", "none": "LicenseRef-hf-none",
	"openrail": "LicenseRef-hf-openrail", "llama2": "LicenseRef-hf-llama2", "llama3": "LicenseRef-hf-llama3", "gemma": "LicenseRef-hf-gemma",
}

// suggestion says what the writer of id may have meant.
func suggestion(id string) string {
	low := strings.ToLower(id)
	best := familiar[low]
	if best == "" {
		least := min(1+len(id)/3, 4) // of edits that still look like a slip
		for _, list := range [][]string{spdxlicenses.GetLicenses(), spdxlicenses.GetDeprecated()} {
			for _, s := range list {
				if d := field.Distance(low, strings.ToLower(s), least); d < least {
					best, least = s, d
				}
			}
		}
	}
	if best == "" {
		return "own terms are written LicenseRef-NAME, with their text beside"
	}
	return fmt.Sprintf("is %s meant? Own terms are written LicenseRef-NAME", best)
}

// A node is a licence (op == "") or two or more expressions joined by op.
type node struct {
	op   string // "AND", "OR"
	args []*node

	id        string
	plus      bool
	exception string
}

func (n *node) each(f func(*node)) {
	if n.op == "" {
		f(n)
		return
	}
	for _, a := range n.args {
		a.each(f)
	}
}

// String returns the normal form of n.
func (n *node) String() string {
	if n.op == "" {
		s := n.id
		if n.plus {
			s += "+"
		}
		if n.exception != "" {
			s += " WITH " + n.exception
		}
		return s
	}
	parts := make([]string, len(n.args))
	for i, a := range n.args {
		parts[i] = a.String()
		if n.op == "AND" && a.op == "OR" {
			parts[i] = "(" + parts[i] + ")"
		}
	}
	return strings.Join(parts, " "+n.op+" ")
}

// A parser holds what is left of the tokens of an expression.
type parser struct {
	tokens []string
	ids    int
	depth  int
}

// parse reads the structure of an expression. It knows no list of licences.
func parse(expr string) (*node, error) {
	if expr == "" {
		return nil, fault.New(fault.Invalid, "the licence expression is empty")
	}
	if len(expr) > MaxExpression {
		return nil, fault.New(fault.Invalid, "the licence expression has %d characters, more than %d", len(expr), MaxExpression)
	}
	tokens, err := scan(expr)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	n, err := p.or()
	if err == nil && len(p.tokens) > 0 {
		err = fault.New(fault.Invalid, "unexpected %s: AND or OR joins two licences", fault.Quote(p.tokens[0]))
	}
	if err != nil {
		return nil, fmt.Errorf("the licence expression %s: %w", fault.Quote(expr), err)
	}
	return n, nil
}

// scan cuts an expression into parentheses and words.
func scan(expr string) ([]string, error) {
	var tokens []string
	start := -1
	end := func(i int) {
		if start >= 0 {
			tokens = append(tokens, expr[start:i])
		}
		start = -1
	}
	for i := range len(expr) {
		switch c := expr[i]; {
		case c == ' ':
			end(i)
		case c == '(' || c == ')':
			end(i)
			tokens = append(tokens, expr[i:i+1])
		case field.Only(expr[i:i+1], "-.+:"):
			if start < 0 {
				start = i
			}
		default:
			return nil, fault.New(fault.Invalid, "the licence expression %s has a character that no SPDX expression has: %s",
				fault.Quote(expr), fault.Quote(expr[i:i+1]))
		}
	}
	end(len(expr))
	return tokens, nil
}

// word takes the next token when it is the operator op, in either case.
func (p *parser) word(op string) bool {
	if len(p.tokens) > 0 && (p.tokens[0] == op || p.tokens[0] == strings.ToLower(op)) {
		p.tokens = p.tokens[1:]
		return true
	}
	return false
}

func (p *parser) or() (*node, error)  { return p.join("OR", p.and) }
func (p *parser) and() (*node, error) { return p.join("AND", p.atom) }

// join reads one or more operands with op between them. Operands that are
// joined by the same op become operands of the whole: it is associative.
func (p *parser) join(op string, operand func() (*node, error)) (*node, error) {
	n, err := operand()
	if err != nil {
		return nil, err
	}
	if len(p.tokens) == 0 || p.tokens[0] != op && p.tokens[0] != strings.ToLower(op) {
		return n, nil
	}
	all := &node{op: op}
	all.add(n)
	for p.word(op) {
		if n, err = operand(); err != nil {
			return nil, err
		}
		all.add(n)
	}
	return all, nil
}

func (n *node) add(a *node) {
	if a.op == n.op {
		n.args = append(n.args, a.args...)
		return
	}
	n.args = append(n.args, a)
}

func (p *parser) atom() (*node, error) {
	if len(p.tokens) == 0 {
		return nil, fault.New(fault.Invalid, "it ends where a licence is expected")
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	if t == "(" {
		if p.depth++; p.depth > maxNesting {
			return nil, fault.New(fault.Invalid, "parentheses are nested deeper than %d", maxNesting)
		}
		n, err := p.or()
		if err != nil {
			return nil, err
		}
		if !p.word(")") {
			return nil, fault.New(fault.Invalid, "a parenthesis is not closed")
		}
		p.depth--
		return n, nil
	}
	if p.ids++; p.ids > maxIDs {
		return nil, fault.New(fault.Invalid, "it has more than %d licences", maxIDs)
	}
	n := new(node)
	n.id, n.plus = strings.CutSuffix(t, "+")
	if !isLicense(n.id) || n.plus && IsOwn(n.id) {
		return nil, fault.New(fault.Invalid, "%s stands where a licence is expected", fault.Quote(t))
	}
	if p.word("WITH") {
		if len(p.tokens) == 0 || !isID(p.tokens[0]) {
			return nil, fault.New(fault.Invalid, "an exception must follow WITH")
		}
		n.exception, p.tokens = p.tokens[0], p.tokens[1:]
	}
	return n, nil
}

// isLicense reports whether s has the form of a licence identifier or of a
// reference to own terms.
func isLicense(s string) bool {
	if doc, ref, ok := strings.Cut(s, ":"); ok {
		doc, isDoc := strings.CutPrefix(doc, "DocumentRef-")
		ref, isRef := strings.CutPrefix(ref, "LicenseRef-")
		return isDoc && isRef && doc != "" && field.Only(doc, "-.") && ref != "" && field.Only(ref, "-.")
	}
	if strings.HasPrefix(s, "DocumentRef-") || s == "LicenseRef-" {
		return false
	}
	return isID(s)
}

// isID reports whether s is an idstring that is not an operator.
func isID(s string) bool {
	switch strings.ToUpper(s) {
	case "", "AND", "OR", "WITH":
		return false
	}
	return field.Only(s, "-.")
}
