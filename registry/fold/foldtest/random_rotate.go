package foldtest

import (
	"fmt"
	"slices"

	"github.com/cairn-registry/cairn/manifests"
)

// rotations is what a generator knows of the keys of people. A person named "ana"
// signs with the key "ana" until it is rotated, then with "ana.1" and so on.
type rotations struct {
	keys      map[string][]string // by person, the newest last
	announced map[string]string   // the key that was announced
	rotated   func()              // what to do when the rotation in the making is accepted
}

func newRotations() rotations {
	return rotations{keys: make(map[string][]string), announced: make(map[string]string)}
}

// key returns the key that signs for a person; once in a while one that was replaced.
func (g *generator) key(who string) string {
	list := g.keys[who]
	switch {
	case len(list) == 0:
		return who
	case g.one(16):
		return append([]string{who}, list...)[g.r.IntN(len(list))]
	}
	return list[len(list)-1]
}

// log is Log by the keys that people have now.
func (g *generator) log(s *manifests.Statement, people ...string) Body {
	keys := make([]string, len(people))
	for i, p := range people {
		keys[i] = g.key(p)
	}
	slices.Sort(keys)
	return Log(s, slices.Compact(keys)...)
}

// rotation returns the rotation of a person's key. Some are to a key that the log
// knows, or not the one that was announced, or signed by one of the two.
func (g *generator) rotation(who string) Body {
	to := fmt.Sprintf("%s.%d", who, len(g.keys[who])+1)
	if n := g.announced[who]; n != "" && !g.one(3) {
		to = n
	}
	if g.one(6) {
		to = g.key(g.person())
	}
	if to == who {
		to = who + ".other"
	}
	k, next := g.Rotate(who, to), ""
	if g.one(2) {
		next = fmt.Sprintf("%s.announced.%d", who, len(g.keys[who])+1)
		k.Next = manifests.KeyDigest(ID(next))
	}
	signers := []string{to}
	if old := g.key(who); old != to {
		signers = append(signers, old)
	}
	if g.one(8) {
		signers = signers[g.r.IntN(len(signers)):][:1]
	}
	g.rotated = func() { g.keys[who], g.announced[who] = append(g.keys[who], to), next }
	return Log(manifests.New(k), signers...)
}
