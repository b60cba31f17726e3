// Package croissant writes and reads Croissant 1.1 with RAI 1.0, the description
// of datasets for machine learning that MLCommons publishes
// (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html).
//
// A document is JSON-LD with its whole context inside, so that it expands
// without a network. What Croissant has no word for, and a reader of ours wants
// back, is written in cairn's own vocabulary ([Vocabulary]), which others skip.
//
// It reads JSON, not RDF: a document of others is understood when it uses the
// usual names, with or without the prefixes sc:, cr:, rai:, prov: and dct:.
package croissant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/export"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// What a document conforms to.
const (
	Version    = "http://mlcommons.org/croissant/1.1"
	VersionRAI = "http://mlcommons.org/croissant/RAI/1.0"
	// Vocabulary is the namespace of the prefix cairn: in a document.
	Vocabulary = manifests.TypeBase + "terms#"
)

// Limits.
const (
	// MaxDocument bounds a document that is written or read: a thousand files and
	// 8,192 fields, described at length, take some 6 MiB.
	MaxDocument = 16 << 20
	// MaxFileObjects is up to how many files each get a FileObject; beyond it
	// there are FileSets. It is how many a manifest lists itself.
	MaxFileObjects = manifests.MaxInlineFiles
	// MaxFileSets bounds the FileSets: with more groups of files, groups are merged.
	MaxFileSets = 64
	// MaxRecordSets and MaxFields bound the RecordSets of single files and all
	// their fields; beyond either the files are described as FileSets.
	MaxRecordSets = 256
	MaxFields     = 8192
	// MaxListed is how many files of a file list are looked at, which takes a second
	// or two; a longer one is one FileSet.
	MaxListed = 200_000
)

// Format is the writer's entry in the list of formats.
var Format = export.Format{
	Name: "croissant", MediaType: `application/ld+json; profile="http://mlcommons.org/croissant/1.1"`, Extension: ".json",
	Title: "Croissant 1.1 with RAI 1.0", Write: Write,
}

type obj = map[string]any

// ref is a node by its name.
func ref(id string) obj { return obj{"@id": id} }

func ipfs(c cid.Cid) string { return "ipfs://" + c.String() }

// A writer makes one document.
type writer struct {
	export.Input
	export.Drops
	doc obj
}

// Write makes the document of a dataset. The same input gives the same bytes.
// The error is that of the input (see [export.Input.Check]), that of its Files,
// or fault.TooLarge beyond [MaxDocument].
func Write(in export.Input) (export.Document, error) {
	if err := in.Check(); err != nil {
		return export.Document{}, err
	}
	w := &writer{Input: in, doc: obj{"@context": context, "@type": "sc:Dataset", "conformsTo": []string{Version, VersionRAI}}}
	w.about()
	w.people()
	w.license()
	w.facts()
	w.lineage()
	if err := w.distribution(); err != nil {
		return export.Document{}, err
	}
	w.homeless()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(w.doc); err != nil {
		return export.Document{}, fmt.Errorf("writing Croissant: %w", err)
	}
	if b.Len() > MaxDocument {
		return export.Document{}, fault.New(fault.TooLarge, "the Croissant document has %d bytes, more than %d", b.Len(), MaxDocument)
	}
	return export.Document{Bytes: b.Bytes(), Dropped: w.List()}, nil
}

// set writes a member that is not empty.
func (w *writer) set(name, value string) { put(w.doc, name, value) }

func put(o obj, name, value string) {
	if value != "" {
		o[name] = value
	}
}

func (w *writer) texts(name string, list []string) {
	if len(list) > 0 {
		w.doc[name] = list
	}
}

// about writes what the dataset is called and where it is.
func (w *writer) about() {
	m := w.M
	w.set("name", m.Name)
	w.set("alternateName", m.Title)
	switch {
	case m.Description != "":
		w.set("description", m.Description)
	case m.Title != "":
		w.set("description", m.Title)
	default:
		w.set("description", m.Name)
	}
	w.set("version", m.Version)
	w.set("dateCreated", m.CreatedAt)
	w.set("dateModified", m.CreatedAt)
	w.set("datePublished", w.PublishedAt)
	if w.PublishedAt == "" {
		w.set("datePublished", m.CreatedAt)
	}
	w.set("citeAs", m.CiteAs)
	w.texts("keywords", m.Keywords)
	w.texts("inLanguage", m.Languages)
	w.texts("cairn:modality", m.Modalities)
	w.set("mainEntityOfPage", m.Homepage)
	w.set("url", w.URL(m.Data.Root.Cid, ""))
	if w.Statement.Defined() {
		w.set("url", w.Base+"/v1/statements/"+w.Statement.String())
		w.doc["cairn:statement"] = ref(ipfs(w.Statement))
	}
	w.doc["cairn:manifest"] = ref(ipfs(w.Manifest))
	w.doc["cairn:terms"] = ref(ipfs(m.Terms.Cid))
	w.set("size", strconv.FormatInt(m.Data.Bytes, 10)+" B")
	w.set("identifier", m.Data.SWHID)
	same := []string{ipfs(m.Data.Root.Cid)}
	for _, l := range m.Lineage {
		if url := targetIRI(w.Base, l.Target); l.Rel == manifests.Mirrors && url != "" {
			same = append(same, url)
		}
	}
	w.doc["sameAs"] = same
	if m.Stats != nil && m.Stats.Records != nil {
		w.doc["cairn:records"] = *m.Stats.Records
	}
}

// people writes who made it and who published it.
func (w *writer) people() {
	var creators, agents []obj
	publisher := obj{"@type": "sc:Organization", "@id": string(w.M.Publisher), "name": string(w.M.Publisher)}
	for _, c := range w.M.Contributors {
		person := obj{"@type": "sc:Person", "@id": string(c.ID), "name": c.Name}
		if c.Name == "" {
			person["name"] = string(c.ID)
		}
		var ids []string
		if c.ORCID != "" {
			ids = append(ids, orcidURL+c.ORCID)
		}
		if c.ROR != "" {
			ids = append(ids, rorURL+c.ROR)
			if c.ORCID == "" {
				person["@type"] = "sc:Organization"
			}
		}
		if len(ids) > 0 {
			person["identifier"] = ids
		}
		if c.ID == w.M.Publisher {
			publisher = obj{"@type": person["@type"], "@id": person["@id"], "name": person["name"]}
		}
		if len(c.Roles) > 0 {
			person["cairn:role"] = c.Roles
		}
		creators = append(creators, person)
		agents = append(agents, ref(string(c.ID)))
	}
	w.doc["creator"] = creators
	w.doc["publisher"] = publisher
	w.doc["prov:wasAttributedTo"] = agents
}

const (
	orcidURL = "https://orcid.org/"
	rorURL   = "https://ror.org/"
)

// homeless lists what the manifest says and Croissant has no word for.
func (w *writer) homeless() {
	m := w.M
	drop := func(there bool, path, reason string) {
		if there {
			w.Add(path, "%s", reason)
		}
	}
	const none = "Croissant has no member for it; cairn:manifest names the document that has"
	drop(true, "data.profile", "how the data is stored is not its description")
	drop(true, "data.chunking", "how the data is stored is not its description")
	drop(m.Sketch != nil, "sketch", none)
	drop(m.Fingerprint != nil, "fingerprint", none)
	if s := m.Stats; s != nil {
		drop(s.Tokens != nil, "stats.tokens", none)
		drop(s.Images != nil, "stats.images", none)
		drop(s.AudioSeconds != nil, "stats.audioSeconds", none)
		drop(s.VideoSeconds != nil, "stats.videoSeconds", none)
		drop(s.PerLanguage != nil, "stats.perLanguage", none)
		drop(s.Labels != nil, "stats.labels", none)
	}
	if c := m.Collection; c != nil {
		drop(c.Crawlers != nil, "collection.crawlers", none)
		drop(c.Domains != nil, "collection.domains", none)
		drop(c.Annotators != nil && c.Annotators.Paid != nil, "collection.annotators.paid", none)
	}
	drop(m.Rights != nil, "rights", none)
	if p := m.Privacy; p != nil {
		drop(p.AggregateConsumerInfo != "", "privacy.aggregateConsumerInfo", none)
		drop(p.Measures != nil, "privacy.measures", none)
		drop(p.Consents != nil, "privacy.consents", none)
		drop(p.LegalBasis != "", "privacy.legalBasis", none)
		drop(p.Contact != "", "privacy.contact", none)
	}
	if s := m.Safety; s != nil {
		drop(s.IllegalContentMeasures != "", "safety.illegalContentMeasures", none)
		drop(s.ProhibitedUses != nil, "safety.prohibitedUses", none)
	}
	if t := m.Maintenance; t != nil {
		drop(t.Contact != "", "maintenance.contact", none)
		drop(t.Deprecates.Defined(), "maintenance.deprecates", none)
	}
	drop(m.Ext != nil, "ext", "only those who wrote it know what it means")
}
