package proof

import (
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

const (
	maxPolicy      = 256 << 10 // a page of keys; far above any network of witnesses
	maxPolicyLines = 1024
)

// A Policy says which logs a verifier trusts to sign, and which witnesses must
// have seen a checkpoint. It comes from the verifier, never out of evidence.
// It is immutable and safe for concurrent use.
type Policy struct {
	logs      []verifierKey
	witnesses map[string]verifierKey // by name in the policy
	groups    map[string]policyGroup
	quorum    string // "" or "none": no cosignature is needed
}

type policyGroup struct {
	need    int
	members []string
}

// ParsePolicy reads a C2SP tlog-policy, or a single verifier key, which is a
// policy of that log and no quorum. Every problem is fault.Invalid.
func ParsePolicy(b []byte) (*Policy, error) {
	if len(b) > maxPolicy {
		return nil, fault.New(fault.TooLarge, "the policy has %d bytes, the limit is %d", len(b), maxPolicy)
	}
	text := strings.TrimSpace(string(b))
	p := &Policy{witnesses: make(map[string]verifierKey), groups: make(map[string]policyGroup)}
	if !strings.ContainsAny(text, " \n\t") {
		k, err := parseVKey(text)
		if err != nil {
			return nil, err
		}
		if k.kind != typeEd25519 {
			return nil, fault.New(fault.Invalid, "%s is not the key of a log", fault.Quote(text))
		}
		p.logs = []verifierKey{k}
		return p, nil
	}
	used := make(map[string]bool)
	n := 0
	for line := range strings.Lines(text) {
		n++
		if n > maxPolicyLines {
			return nil, fault.New(fault.TooLarge, "the policy has more than %d lines", maxPolicyLines)
		}
		if hash := strings.IndexByte(line, '#'); hash == 0 {
			continue
		}
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if what := p.line(f, used); what != "" {
			return nil, fault.New(fault.Invalid, "policy, line %d: %s", n, what)
		}
	}
	switch {
	case len(p.logs) == 0:
		return nil, fault.New(fault.Invalid, "the policy names no log")
	case p.quorum == "":
		return nil, fault.New(fault.Invalid, "the policy has no quorum line; \"quorum none\" asks for no witness")
	}
	return p, nil
}

// line takes one line of a policy; it returns what is wrong with it, or "".
func (p *Policy) line(f []string, used map[string]bool) string {
	switch f[0] {
	case "log":
		if len(f) != 2 && len(f) != 3 {
			return "a log line has a verifier key and perhaps a URL"
		}
		k, err := parseVKey(f[1])
		if err != nil || k.kind != typeEd25519 {
			return "not the verifier key of a log"
		}
		if p.knows(k) {
			return "the key stands there twice"
		}
		p.logs = append(p.logs, k)
	case "witness":
		if len(f) != 3 && len(f) != 4 {
			return "a witness line has a name, a verifier key and perhaps a URL"
		}
		k, err := parseVKey(f[2])
		if err != nil || k.kind != typeCosignature {
			return "not the verifier key of a witness"
		}
		if p.taken(f[1]) || p.knows(k) {
			return "the name or the key stands there twice"
		}
		p.witnesses[f[1]] = k
	case "group":
		if len(f) < 4 {
			return "a group line has a name, a number and members"
		}
		members := f[3:]
		need, err := strconv.Atoi(f[2])
		switch {
		case f[2] == "any":
			need = 1
		case f[2] == "all":
			need = len(members)
		case err != nil || strconv.Itoa(need) != f[2] || need < 1 || need > len(members):
			return "the number of a group is any, all, or from 1 to its members"
		}
		if p.taken(f[1]) {
			return "the name stands there twice"
		}
		for _, m := range members {
			if !p.taken(m) || m == "none" {
				return fault.Quote(m) + " is not defined above"
			}
			if used[m] {
				return fault.Quote(m) + " is a member already"
			}
			used[m] = true
		}
		p.groups[f[1]] = policyGroup{need, slices.Clone(members)}
	case "quorum":
		if len(f) != 2 || p.quorum != "" {
			return "there is exactly one quorum, with one name"
		}
		if !p.taken(f[1]) {
			return fault.Quote(f[1]) + " is not defined above"
		}
		p.quorum = f[1]
	default:
		return "a line begins with log, witness, group or quorum"
	}
	return ""
}

func (p *Policy) taken(name string) bool {
	_, witness := p.witnesses[name]
	_, group := p.groups[name]
	return witness || group || name == "none"
}

func (p *Policy) knows(k verifierKey) bool {
	same := func(o verifierKey) bool { return o.pub.Equal(k.pub) }
	for _, w := range p.witnesses {
		if same(w) {
			return true
		}
	}
	return slices.ContainsFunc(p.logs, same)
}

// Origins returns the origins of the logs that the policy trusts.
func (p *Policy) Origins() []string {
	var all []string
	for _, k := range p.logs {
		all = append(all, k.name)
	}
	return all
}

// LogVKeys returns the verifier keys of the logs that the policy trusts.
func (p *Policy) LogVKeys() []string {
	var all []string
	for _, k := range p.logs {
		all = append(all, k.text)
	}
	return all
}

// A Verified is a signed checkpoint that a policy accepts.
type Verified struct {
	Checkpoint
	// Witnesses are the names, in the policy, of those who cosigned.
	Witnesses []string
}

// Verify checks a signed checkpoint: exactly one signature line of a trusted
// log whose name is the origin, every other line by a witness of the policy,
// every signature good, and the quorum met. Whatever does not hold is
// fault.Unverified.
func (p *Policy) Verify(note []byte) (Verified, error) {
	v, quorum, err := p.open(note)
	if err == nil && !quorum {
		err = fault.New(fault.Unverified, "the witnesses' quorum %s is not met: %d cosigned", fault.Quote(p.quorum), len(v.Witnesses))
	}
	return v, err
}

// open is Verify with the quorum told apart.
func (p *Policy) open(note []byte) (v Verified, quorum bool, err error) {
	text, sigs, err := parseNote(note)
	if err != nil {
		return v, false, err
	}
	c, err := ParseCheckpoint(text)
	if err != nil {
		return v, false, err
	}
	v.Checkpoint = c
	logs := 0
	for _, s := range sigs {
		if i := slices.IndexFunc(p.logs, func(k verifierKey) bool { return k.name == s.name && k.hash == s.hash }); i >= 0 {
			if _, ok := p.logs[i].verify(text, s.sig); !ok {
				return v, false, fault.New(fault.Unverified, "the log's signature on the checkpoint does not hold")
			}
			if s.name != c.Origin {
				return v, false, fault.New(fault.Unverified, "the checkpoint's origin is %s, but %s signed it", fault.Quote(c.Origin), fault.Quote(s.name))
			}
			logs++
			continue
		}
		name := ""
		for n, k := range p.witnesses {
			if k.name == s.name && k.hash == s.hash {
				name = n
			}
		}
		if name == "" {
			return v, false, fault.New(fault.Unverified, "the checkpoint carries a signature by %s, whose key the policy does not name", fault.Quote(s.name))
		}
		if _, ok := p.witnesses[name].verify(text, s.sig); !ok || slices.Contains(v.Witnesses, name) {
			return v, false, fault.New(fault.Unverified, "the cosignature of %s does not hold, or stands there twice", name)
		}
		v.Witnesses = append(v.Witnesses, name)
	}
	if logs != 1 {
		return v, false, fault.New(fault.Unverified, "the checkpoint has %d signatures of a trusted log, not one", logs)
	}
	return v, p.met(p.quorum, v.Witnesses), nil
}

// met reports whether name, a witness or a group, is satisfied. Groups only
// name what is defined above them, so this ends.
func (p *Policy) met(name string, cosigned []string) bool {
	if name == "" || name == "none" {
		return true
	}
	g, ok := p.groups[name]
	if !ok {
		return slices.Contains(cosigned, name)
	}
	have := 0
	for _, m := range g.members {
		if p.met(m, cosigned) {
			have++
		}
	}
	return have >= g.need
}
