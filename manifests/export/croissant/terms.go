package croissant

import (
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/terms"
)

// license writes where the terms can be read, and what they say as an ODRL offer.
// An SPDX page stands for the whole of them only when they say no more.
func (w *writer) license() {
	page := spdxURL(w.Terms.Base.SPDX)
	offer := w.offer()
	switch own := w.Block(w.M.Terms.Cid); {
	case page == "":
		w.doc["license"] = []string{own}
	case offer == nil:
		w.doc["license"] = []string{page}
	default:
		w.doc["license"] = []string{page, own}
	}
	w.set("cairn:license", w.Terms.Base.SPDX)
	if offer != nil {
		w.doc["usageInfo"] = offer
	}
}

const spdxPage = "https://spdx.org/licenses/"

// spdxURL returns the page of a licence, "" for an expression of several, with an
// exception, or of one's own.
func spdxURL(expr string) string {
	if expr == "" || strings.ContainsAny(expr, " ()+:") || terms.IsOwn(expr) {
		return ""
	}
	return spdxPage + expr
}

// actions are ODRL's names for uses; the rest have cairn's.
var actions = map[string]string{"redistribute-verbatim": "odrl:distribute", "redistribute-derived": "odrl:derive"}

func action(use string) obj {
	if a, ok := actions[use]; ok {
		return ref(a)
	}
	return ref("cairn:" + use)
}

func constraint(left, operator string, right any) obj {
	return obj{"@type": "odrl:Constraint", "odrl:leftOperand": ref(left), "odrl:operator": ref("odrl:" + operator), "odrl:rightOperand": right}
}

func date(s string) obj {
	return obj{"@type": "http://www.w3.org/2001/XMLSchema#dateTime", "@value": s}
}

// offer returns the terms beyond the licence as an offer of ODRL 2.2, nil when
// there are none. It is a view for readers: nothing is decided by it.
func (w *writer) offer() obj {
	t := w.Terms
	var when []obj
	if t.ValidFrom != "" {
		when = append(when, constraint("odrl:dateTime", "gteq", date(t.ValidFrom)))
	}
	if t.ValidUntil != "" {
		when = append(when, constraint("odrl:dateTime", "lteq", date(t.ValidUntil)))
	}
	var permissions, prohibitions []obj
	for _, g := range t.Grants {
		var use []obj
		for _, u := range g.Use {
			use = append(use, action(u))
		}
		p := obj{"@type": "odrl:Permission", "odrl:action": use}
		limits := append([]obj(nil), when...)
		if !g.Commercial {
			limits = append(limits, constraint("odrl:purpose", "neq", ref("cairn:commercial")))
		}
		if len(g.Territory) > 0 && g.Territory[0] != "*" {
			limits = append(limits, constraint("odrl:spatial", "isAnyOf", g.Territory))
		}
		if len(limits) > 0 {
			p["odrl:constraint"] = limits
		}
		if g.Sublicense {
			w.Add("terms.grants.sublicense", "ODRL has no action for it here; cairn:terms names the document")
		}
		if g.Exclusive {
			w.Add("terms.grants.exclusive", "ODRL has no action for it here; cairn:terms names the document")
		}
		permissions = append(permissions, p)
	}
	for _, x := range t.Prohibits {
		p := obj{"@type": "odrl:Prohibition"}
		var use []obj
		for _, u := range x.Use {
			use = append(use, action(u))
		}
		if use == nil {
			use = []obj{ref("odrl:use")}
		}
		p["odrl:action"] = use
		if len(x.Purpose) > 0 {
			p["odrl:constraint"] = constraint("odrl:purpose", "isAnyOf", x.Purpose)
		}
		put(p, "description", x.Reason)
		prohibitions = append(prohibitions, p)
	}
	duties := w.duties()
	if permissions == nil && prohibitions == nil && duties == nil {
		return nil
	}
	o := obj{"@type": []string{"CreativeWork", "odrl:Offer"}, "@id": ipfs(w.M.Terms.Cid), "url": w.Block(w.M.Terms.Cid), "odrl:target": ref(ipfs(w.M.Data.Root.Cid))}
	put(o, "name", t.Title)
	var assigners []obj
	for _, l := range t.Licensor {
		assigners = append(assigners, ref(string(l.ID)))
	}
	for name, list := range map[string][]obj{"odrl:assigner": assigners, "odrl:permission": permissions, "odrl:prohibition": prohibitions, "odrl:obligation": duties} {
		if list != nil {
			o[name] = list
		}
	}
	for _, d := range []struct {
		there bool
		path  string
	}{{t.Signals != nil, "terms.signals"}, {t.Privacy != nil, "terms.privacy"}, {t.GoverningLaw != "", "terms.governingLaw"}, {t.Disputes != "", "terms.disputes"}} {
		if d.there {
			w.Add(d.path, "ODRL has no member for it; cairn:terms names the document")
		}
	}
	return o
}

func (w *writer) duties() []obj {
	var list []obj
	duty := func(action, text string, limits ...obj) {
		d := obj{"@type": "odrl:Duty", "odrl:action": ref(action)}
		put(d, "description", text)
		if limits != nil {
			d["odrl:constraint"] = limits
		}
		list = append(list, d)
	}
	if c := w.Terms.Conditions; c != nil {
		if c.Accept != "" {
			duty("cairn:accept-"+c.Accept, "")
		}
		if a := c.Attribution; a != nil && a.Required {
			duty("odrl:attribute", a.Text)
		}
		if c.Notice {
			duty("cc:Notice", "")
		}
		if s := c.ShareAlike; s != nil {
			if s.DerivedData {
				duty("cc:ShareAlike", "")
			}
			if s.Weights {
				duty("cairn:shareAlikeWeights", "")
			}
		}
		if r := c.ReportUsage; r != nil && r.Required {
			var within []obj
			if r.WithinDays > 0 {
				within = append(within, constraint("odrl:delayPeriod", "lteq", obj{"@type": "http://www.w3.org/2001/XMLSchema#duration", "@value": "P" + strconv.FormatInt(r.WithinDays, 10) + "D"}))
			}
			duty("odrl:inform", "", within...)
		}
		if d := c.DeleteOnWithdrawal; d != nil && d.Required {
			duty("odrl:delete", "", constraint("odrl:event", "gt", ref("cairn:withdrawal")))
		}
	}
	if p := w.Terms.Payment; p != nil && p.Model == "revenue-share" {
		share := constraint("odrl:payAmount", "eq", strconv.FormatInt(p.RatePpm, 10))
		share["odrl:unit"] = ref("cairn:ppmOfNetRevenue")
		duty("odrl:compensate", "", share)
		w.Add("terms.payment", "ODRL says the rate; how shares add up, floors, caps and pools stand in the document of cairn:terms")
	}
	return list
}
