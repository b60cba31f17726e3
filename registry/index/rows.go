package index

import (
	"bytes"
	"slices"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
)

// rowWriter collects the rows of one entry.
type rowWriter struct {
	reader
	index uint64
	entry *fold.Entry
	rows  []row
}

// put adds a row that is not there yet.
func (w *rowWriter) put(payload []byte, letter byte, parts ...any) {
	w.rows = append(w.rows, row{key: key(letter, parts...), payload: payload, fresh: true})
}

// putOnce adds a row unless it is there.
func (w *rowWriter) putOnce(payload []byte, letter byte, parts ...any) error {
	_, ok, err := w.get(key(letter, parts...))
	if err == nil && !ok {
		w.put(payload, letter, parts...)
	}
	return err
}

// pending returns the row of this entry with the key k.
func (w *rowWriter) pending(k []byte) (*row, bool) {
	for i := range w.rows {
		if bytes.Equal(w.rows[i].key, k) {
			return &w.rows[i], true
		}
	}
	return nil, false
}

// replace adds a row that may be there.
func (w *rowWriter) replace(payload []byte, letter byte, parts ...any) error {
	k := key(letter, parts...)
	if r, ok := w.pending(k); ok {
		r.payload = payload
		return nil
	}
	_, ok, err := w.get(k)
	w.rows = append(w.rows, row{key: k, payload: payload, fresh: !ok})
	return err
}

// effect adds the rows of one effect. Titles, keywords and other text come from
// the statement.
func (w *rowWriter) effect(effect fold.Effect) error {
	switch e := effect.(type) {
	case fold.SetRegistry:
		w.put(encode(Registry{Index: w.index, SetRegistry: e}), tRegistry, w.index)
		return w.constitution(e)
	case fold.AddVersion:
		return w.version(datasetRow{Kind: kindContribution, Node: e.Node, Root: e.Root, Manifest: e.Manifest, Sources: e.Sources})
	case fold.AddModel:
		return w.version(datasetRow{Kind: kindModel, Node: e.Node, Root: w.entry.Leaf.Subj[0], Artifact: e.Artifact, Usages: e.Usages, Sources: e.Sources})
	case fold.AddSigners:
		return w.signers(e)
	case fold.SetProfile:
		return w.profile(e)
	case fold.AddKey:
		w.put(encode(KeyEvent{
			Index: w.index, Statement: e.Statement, Op: keyFirst,
			Identity: e.Identity, Key: e.Key, Next: e.Next,
		}), tKeyEvent, string(e.Identity), w.index)
		return w.keyEvent(e.Identity, e)
	case fold.RotateKey:
		w.put(encode(KeyEvent{
			Index: w.index, Statement: e.Statement, Op: keyRotate,
			Identity: e.Identity, Key: e.Key, Replaces: e.Replaces, Next: e.Next,
		}), tKeyEvent, string(e.Identity), w.index)
		w.put(encode(keyRow{Identity: e.Identity, From: w.index}), tKey, string(e.Key))
		if err := w.keyChange(e.Replaces, fold.KeyState.Replace); err != nil {
			return err
		}
		return w.keyEvent(e.Identity, e)
	case fold.RevokeKey:
		w.put(encode(KeyEvent{
			Index: w.index, Statement: e.Statement, Op: keyRevoke,
			Identity: e.Identity, Key: e.Key, CompromisedSince: e.CompromisedSince,
		}), tKeyEvent, string(e.Identity), w.index)
		if err := w.keyChange(e.Key, fold.KeyState.Revoke); err != nil {
			return err
		}
		return w.keyEvent(e.Identity, e)
	case fold.AddAttestation:
		w.put(encode(Attestation{
			Index: w.index, Statement: e.Statement, Attester: e.Attester,
			Type: e.Type, About: e.About, Report: e.Report, Result: e.Result,
		}), tAttestation, e.About.String(), w.index)
	default:
		return w.credit(effect)
	}
	return nil
}

// What a KeyEvent says it is: the statement's own words.
const (
	keyFirst  = "first"
	keyRotate = "rotate"
	keyRevoke = "revoke"
)

// keyEvent counts a key event of an identity.
func (w *rowWriter) keyEvent(identity sign.KeyID, e fold.Effect) error {
	c, _, err := getRow[chainRow](w.reader, key(tIdentity, string(identity)))
	if err != nil {
		return err
	}
	return w.replace(encode(chainRow(fold.Chain(c).With(e))), tIdentity, string(identity))
}

// keyChange changes the row of a key that is there, if only since this entry.
func (w *rowWriter) keyChange(id sign.KeyID, to func(k fold.KeyState, i uint64) fold.KeyState) error {
	s, ok, err := w.keyOf(id)
	if err != nil {
		return err
	}
	if !ok {
		s = fold.KeyState{Identity: id}
	}
	return w.replace(encode(keyRow(to(s, w.index))), tKey, string(id))
}

// acted adds those who sign for the first time.
func (w *rowWriter) acted(effects []fold.Effect) error {
	for _, e := range effects {
		for _, id := range fold.Acted(e) {
			if err := w.putOnce(nil, tKey, string(id)); err != nil {
				return err
			}
		}
	}
	return nil
}

// signers adds who signed, with the key that did: the one that signed for them at
// this entry.
func (w *rowWriter) signers(e fold.AddSigners) error {
	keys := make(map[sign.KeyID]sign.KeyID, len(e.Signers))
	for _, k := range w.entry.Leaf.Keys {
		party, not, err := fold.PartyOf(view{reader: w.reader}, k)
		if err != nil {
			return err
		}
		// In a group k is the signer itself, whoever it is a key of.
		if not == "" && party != k && !slices.Contains(e.Signers, k) {
			keys[party] = k
		}
	}
	for _, id := range e.Signers {
		w.put(encode(signerRow{Index: w.index, Key: keys[id]}), tSigner, e.Statement.String(), string(id))
	}
	return nil
}

func (w *rowWriter) profile(e fold.SetProfile) error {
	p := Profile{Index: w.index, Statement: e.Statement, Identity: e.Identity, Handle: e.Handle}
	if body, ok := predicate[*manifests.Profile](w.entry); ok {
		p.Name, p.URL = body.Name, body.URL
	}
	if e.Handle != "" {
		if err := w.putOnce(encode(handleRow{Index: w.index, Identity: e.Identity}), tHandle, e.Handle); err != nil {
			return err
		}
	}
	return w.replace(encode(p), tProfile, string(e.Identity))
}

func (w *rowWriter) version(d datasetRow) error {
	publisher := string(d.Publisher)
	d.Envelope = w.entry.Leaf.Env
	terms := make(map[string][]string)
	add := func(kind string, t ...string) { terms[kind] = append(terms[kind], t...) }
	for _, s := range d.Contributors {
		add(termContributor, string(s.ID))
	}
	for _, p := range d.Edges {
		add(termParent, p.Statement.String())
	}
	for _, u := range d.Usages {
		add(termUsage, u.String())
	}
	add(termPublisher, publisher)
	add(termName, d.Name)
	add(termRoot, hashTerm(d.Root.Cid))
	if d.Manifest.Defined() {
		add(termManifest, hashTerm(d.Manifest.Cid))
	}
	for _, s := range d.Sources {
		add(termSource, sourceTerm(Source{Statement: s.Statement, CID: s.CID}))
	}
	if body, ok := predicate[*manifests.Model](w.entry); ok {
		d.IssuedAt = body.IssuedAt
		d.Title, d.MediaTypes = body.Model.Title, body.Model.MediaTypes
		d.Declared = declared(body.Sources, len(d.Sources))
	}
	if body, ok := predicate[*manifests.Contribution](w.entry); ok {
		d.IssuedAt = body.IssuedAt
		d.Title, d.License = body.Dataset.Title, body.Dataset.License
		d.Keywords, d.MediaTypes = body.Dataset.Keywords, body.Dataset.MediaTypes
		d.Bytes, d.FileCount = body.Dataset.Bytes, body.Dataset.FileCount
		add(termKeyword, keywordTerms(d.Keywords)...)
		add(termLicense, licenseTerms(d.License)...)
		d.Declared = declared(body.Sources, len(d.Sources))
	}
	for _, s := range d.Declared {
		if s.URL != "" {
			add(termSource, s.URL)
		}
	}
	w.put(encode(d), tDataset, w.index)
	w.put(nil, tHistory, publisher, d.Name, w.index)
	w.put(encode(w.index), tVersion, publisher, d.Name, d.Version)
	for kind, list := range terms {
		seen := make(map[string]bool, len(list))
		for _, t := range list {
			if t = boundTerm(t); !seen[t] {
				seen[t] = true
				w.put(nil, tTerm, kind, t, w.index)
			}
		}
	}
	if err := w.node(&d); err != nil {
		return err
	}
	return w.replace(encode(nameRow{Index: w.index, Statement: d.Statement, Work: d.Work, Seq: d.Seq}), tName, publisher, d.Name)
}

// declared returns all sources in their order when some of them are URLs, which
// the effect leaves out; the effect has content of them.
func declared(sources []manifests.Source, content int) []Source {
	if len(sources) == content {
		return nil
	}
	out := make([]Source, len(sources))
	for i, s := range sources {
		out[i] = Source{Rel: string(s.Rel), Statement: s.Statement, URL: s.URL, CID: s.CID}
	}
	return out
}

// sourceTerm is the term by which a lineage target is found.
func sourceTerm(s Source) string {
	switch {
	case s.Statement.Defined():
		return s.Statement.String()
	case s.CID.Defined():
		return s.CID.String()
	}
	return s.URL
}

// predicate returns the body of an entry, when it is there.
func predicate[P manifests.Predicate](e *fold.Entry) (p P, ok bool) {
	if e.Statement == nil {
		return p, false
	}
	p, ok = e.Statement.Predicate.(P)
	return p, ok
}
