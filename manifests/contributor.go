package manifests

import (
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// maxContributorText bounds the short form of a contributor.
const maxContributorText = 4 << 10

// ParseContributor reads a contributor as a person types one:
//
//	Ada L. <did:key:z6Mk…>;share=2;role=annotator,translator;orcid=0000-0002-1825-0097
//
// The name may be missing, and then the angle brackets too. share is the
// weight and defaults to "1"; role, orcid and ror may be missing. All problems
// are reported at once, as [fault.Invalid].
func ParseContributor(text string) (c Contributor, weight string, err error) {
	if len(text) > maxContributorText {
		return Contributor{}, "", fault.New(fault.Invalid, "a contributor is written in at most %d bytes", maxContributorText)
	}
	who, rest, more := strings.Cut(text, ";")
	who = strings.TrimSpace(who)
	if name, id, ok := strings.Cut(who, "<"); ok {
		id, after, closed := strings.Cut(id, ">")
		if !closed || after != "" {
			return Contributor{}, "", badContributor(text)
		}
		c.Name, c.ID = strings.TrimSpace(name), sign.KeyID(strings.TrimSpace(id))
	} else {
		c.ID = sign.KeyID(who)
	}
	var p field.Problems
	seen := make(map[string]bool)
	for more {
		var part string
		part, rest, more = strings.Cut(rest, ";")
		key, value, ok := strings.Cut(part, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || value == "" {
			return Contributor{}, "", badContributor(text)
		}
		if seen[key] {
			p.Add("is there twice", "%s", fault.Printable(key))
		}
		seen[key] = true
		switch key {
		case "share":
			weight = value
		case "role":
			for r := range strings.SplitSeq(value, ",") {
				c.Roles = append(c.Roles, strings.TrimSpace(r))
			}
		case "orcid":
			c.ORCID = value
		case "ror":
			c.ROR = value
		default:
			p.Add("is not known; share, role, orcid and ror are", "%s", fault.Printable(key))
		}
	}
	if weight == "" {
		weight = "1"
	}
	_, msg := positiveWeight(weight)
	p.Add(msg, "share")
	c.validate(&p, "")
	if p.Any() {
		return Contributor{}, "", p.Err()
	}
	return c, weight, nil
}

func badContributor(text string) error {
	return fault.WithHint(fault.New(fault.Invalid, "cannot read the contributor %s", fault.Quote(text)),
		"write 'Name <did:key:…>;share=N;role=r1,r2'")
}
