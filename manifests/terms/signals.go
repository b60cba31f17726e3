package terms

import (
	"bytes"
	"encoding/xml"
	"slices"
	"strings"
)

// Announced is what a server says about data to crawlers, from the terms that
// stand behind it. The zero value says nothing.
type Announced struct {
	// TrainAI and Search are the AIPREF preferences: y, n, or "" for unknown.
	TrainAI, Search string
	// Reserved is the TDM reservation: "1", "0", or "" for unknown.
	Reserved string
	// Policy is the URL of the TDM policy, where the reservation has one. When
	// the documents name several it is "": a reader is sent to the terms, each of
	// which has its own link.
	Policy string
	// Permits and Prohibits are RSL usages, sorted; Payment is RSL's type of
	// payment, "" for none.
	Permits, Prohibits []string
	Payment            string
}

// SignalsOf returns what the documents announce together. Of several, as when
// one root has several statements, any n wins, else any y; any reservation wins;
// RSL permits what each document that speaks of it permits. The order of the
// documents does not matter, and nil ones are passed over.
//
// Terms that ask a payment or forbid training announce train-ai=n and a
// reservation, whatever their signals say: a y beside them would tell readers
// who know only AIPREF that training is free.
func SignalsOf(docs ...*Terms) Announced {
	var a Announced
	var policies []string
	spoken := false
	for _, t := range docs {
		if t == nil {
			continue
		}
		train, search, reserved := t.preferences()
		a.TrainAI, a.Search = combine(a.TrainAI, train), combine(a.Search, search)
		a.Reserved = max(a.Reserved, reserved) // "" < "0" < "1"
		s := t.Signals
		if s == nil {
			s = new(Signals)
		}
		if reserved == "1" && s.TDMPolicy != "" {
			policies = append(policies, s.TDMPolicy)
		}
		if train == "n" && (s.RSL == nil || s.RSL.Payment == "" || !slices.Contains(s.RSL.Usage, rslTrain)) {
			a.Prohibits = append(a.Prohibits, rslTrain)
		}
		if s.RSL == nil {
			continue
		}
		if !spoken {
			a.Permits, spoken = slices.Clone(s.RSL.Usage), true
		} else {
			a.Permits = slices.DeleteFunc(a.Permits, func(u string) bool { return !slices.Contains(s.RSL.Usage, u) })
		}
		a.Payment = max(a.Payment, s.RSL.Payment)
	}
	slices.Sort(policies)
	if policies = slices.Compact(policies); len(policies) == 1 {
		a.Policy = policies[0]
	}
	a.Prohibits = compactSorted(a.Prohibits)
	a.Permits = compactSorted(slices.DeleteFunc(a.Permits, func(u string) bool { return slices.Contains(a.Prohibits, u) }))
	return a
}

// rslTrain is RSL's word for training.
const rslTrain = "ai-train"

// preferences are the AIPREF and TDM values of one document.
func (t *Terms) preferences() (train, search, reserved string) {
	if s := t.Signals; s != nil {
		if s.AIPref != nil {
			train, search = s.AIPref.TrainAI, s.AIPref.Search
		}
		if s.TDMReservation != nil {
			reserved = string('0' + byte(*s.TDMReservation&1))
		}
	}
	if t.paid() || slices.ContainsFunc(t.Prohibits, func(p Prohibition) bool { return len(p.Purpose) == 0 && slices.Contains(p.Use, UseTrain) }) {
		train, reserved = "n", "1"
	}
	return train, search, reserved
}

// paid reports whether the terms ask a share of revenue.
func (t *Terms) paid() bool {
	return t.Payment != nil && t.Payment.Model == "revenue-share" && (t.Payment.RatePpm > 0 || t.Payment.PoolPpm > 0)
}

// combine is how AIPREF combines statements: any n wins, else any y.
func combine(a, b string) string {
	switch {
	case a == "n" || b == "n":
		return "n"
	case a == "y" || b == "y":
		return "y"
	}
	return ""
}

func compactSorted(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// ContentUsage is the value of the Content-Usage header, a structured-field
// dictionary such as "train-ai=n, search=y"; "" when nothing is known.
func (a Announced) ContentUsage() string {
	var parts []string
	if a.TrainAI != "" {
		parts = append(parts, "train-ai="+a.TrainAI)
	}
	if a.Search != "" {
		parts = append(parts, "search="+a.Search)
	}
	return strings.Join(parts, ", ")
}

// A Header is a header field.
type Header struct{ Name, Value string }

// Headers are the header fields that answers about the data carry. policy is
// the URL of the terms, sent as the TDM policy where the documents name none; it
// may be "". The link fields to the terms are the caller's: only it knows where
// it serves them.
func (a Announced) Headers(policy string) []Header {
	var out []Header
	add := func(name, value string) {
		if value != "" {
			out = append(out, Header{name, value})
		}
	}
	add("Content-Usage", a.ContentUsage())
	add("tdm-reservation", a.Reserved)
	if a.Reserved == "1" {
		add("tdm-policy", a.policy(policy))
	}
	return out
}

func (a Announced) policy(terms string) string {
	if a.Policy != "" {
		return a.Policy
	}
	return terms
}

// A TDMRule is an entry of /.well-known/tdmrep.json.
type TDMRule struct {
	Location    string `json:"location"`
	Reservation int    `json:"tdm-reservation"`
	Policy      string `json:"tdm-policy,omitempty"`
}

// TDMRule returns the entry for a location, a path pattern; false when nothing
// is known. policy is as in [Announced.Headers].
func (a Announced) TDMRule(location, policy string) (TDMRule, bool) {
	switch a.Reserved {
	case "1":
		return TDMRule{location, 1, a.policy(policy)}, true
	case "0":
		return TDMRule{Location: location}, true
	}
	return TDMRule{}, false
}

// Robots returns the line of robots.txt for a path; "" when nothing is known.
func (a Announced) Robots(path string) string {
	if u := a.ContentUsage(); u != "" {
		return "Content-Usage: " + path + " " + u + "\n"
	}
	return ""
}

// RSLType is the media type of an RSL document.
const RSLType = "application/rsl+xml"

// RSL returns an RSL 1.0 document about the content at a URL whose terms are at
// another; nil when there is nothing to say.
func (a Announced) RSL(content, terms string) []byte {
	if len(a.Permits) == 0 && len(a.Prohibits) == 0 && a.Payment == "" {
		return nil
	}
	var b bytes.Buffer
	text := func(s string) string {
		var e bytes.Buffer
		xml.EscapeText(&e, []byte(s)) // a buffer takes everything
		return e.String()
	}
	b.WriteString("<rsl xmlns=\"https://rslstandard.org/rsl\">\n <content url=\"" + text(content) + "\">\n  <license>\n")
	if len(a.Permits) > 0 {
		b.WriteString("   <permits type=\"usage\">" + text(strings.Join(a.Permits, ",")) + "</permits>\n")
	}
	if len(a.Prohibits) > 0 {
		b.WriteString("   <prohibits type=\"usage\">" + text(strings.Join(a.Prohibits, ",")) + "</prohibits>\n")
	}
	if a.Payment != "" {
		b.WriteString("   <payment type=\"" + text(a.Payment) + "\"><custom>" + text(terms) + "</custom></payment>\n")
	}
	b.WriteString("  </license>\n  <terms>" + text(terms) + "</terms>\n </content>\n</rsl>\n")
	return b.Bytes()
}
