package manifests

import (
	"fmt"
	"slices"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
)

// Limits of the texts of a manifest. They are generous: the size of the whole
// is bounded by MaxManifest.
const (
	maxMedium = 4 << 10 // a sentence or a few
	maxLong   = 64 << 10
	maxParams = 64 << 10 // of an activity's parameters
	maxBlock  = 2 << 20  // a chunk is a block, and a block is at most this

	million = 1_000_000
)

// Closed lists, in the order in which FORMAT.md prints them.
var (
	modalities = []string{"text", "image", "audio", "video", "other"}
	profiles   = []string{"unixfs-v1-2025", "unixfs-v0-2015"}
	fieldRoles = []string{"content", "label", "id", "meta"}
)

// Validate reports everything that is wrong with m as joined [*FieldError]s.
// What can only be seen with the blocks at hand (that the sizes and CIDs are
// those of the data) is not its check.
func (m *Manifest) Validate() error {
	p := new(field.Problems)
	if m.Schema != ManifestSchema {
		p.Add("must be "+ManifestSchema, "$schema")
	}
	p.Add(message(ValidName(m.Name)), "name")
	p.Line("title", m.Title, maxTitle)
	p.Text("description", m.Description, maxLong)
	p.Add(message(ValidVersion(m.Version)), "version")
	p.Add(field.Time(m.CreatedAt), "createdAt")
	p.Add(field.KeyID(m.Publisher), "publisher")
	p.URL("homepage", m.Homepage)
	p.Text("citeAs", m.CiteAs, maxLong)
	validateKeywords(p, "keywords", m.Keywords)
	for i := range p.List("languages", len(m.Languages), field.MaxList) {
		p.Add(field.Language(m.Languages[i]), "languages[%d]", i)
	}
	p.OneOfEach("modalities", m.Modalities, modalities)
	m.validateData(p)
	m.validateFiles(p)
	for _, name := range field.Keys(p, "schema", m.RecordSchema, field.MaxList) {
		p.Add(field.Token(name), "schema.%s", fault.Printable(name))
		m.RecordSchema[name].validate(p, "schema."+fault.Printable(name))
	}
	m.Stats.validate(p)
	m.Sketch.validate(p)
	m.Fingerprint.validate(p)
	m.validateContributors(p)
	p.Add(field.DocumentCID(cjson.CID(m.Terms)), "terms")
	m.validateLineage(p)
	m.Collection.validate(p)
	m.Rights.validate(p)
	m.Privacy.validate(p)
	m.Safety.validate(p)
	m.Maintenance.validate(p)
	p.Object("ext", m.Ext, MaxManifest)
	return p.Err()
}

func (m *Manifest) validateData(p *field.Problems) {
	d := m.Data
	p.Data("data.root", d.Root)
	p.Add(field.Count(d.Bytes), "data.bytes")
	p.Add(field.Count(d.FileCount), "data.fileCount")
	p.Add(field.OneOf(d.Profile, profiles...), "data.profile")
	d.Chunking.validate(p)
	if d.SWHID != "" {
		p.Add(checkSWHID(d.SWHID, "dir"), "data.swhid")
	}
	if d.FileList.Defined() {
		p.Data("data.fileList", d.FileList)
		if d.FileCount == 0 {
			p.Add("must be absent where there is no file", "data.fileList")
		}
	}
}

// validateFiles checks the inline list of files and that it adds up to what
// data says.
func (m *Manifest) validateFiles(p *field.Problems) {
	if m.Data.FileList.Defined() {
		if len(m.Files) > 0 {
			p.Add("must be absent where data.fileList is present", "files")
		}
		return
	}
	if n := len(m.Files); n > MaxInlineFiles {
		p.Add(fmt.Sprintf("has %d entries; more than %d go into a file list (data.fileList)", n, MaxInlineFiles), "files")
		return
	}
	var sum int64 // at most 1,000 times 2^53
	for i := range m.Files {
		f := &m.Files[i]
		at := fmt.Sprintf("files[%d].", i)
		f.validate(p, at)
		sum += min(max(f.Size, 0), field.MaxInt)
		if i > 0 && ComparePaths(m.Files[i-1].Path, f.Path) >= 0 {
			p.Add("the list must be sorted, each directory's names by bytes, and without repetitions", "%spath", at)
		}
		if _, ok := m.RecordSchema[f.SchemaRef]; !ok && f.SchemaRef != "" {
			p.Add("names no member of schema", "%sschemaRef", at)
		}
	}
	if n := int64(len(m.Files)); n != m.Data.FileCount {
		p.Add(fmt.Sprintf("is %d, but files has %d entries", m.Data.FileCount, n), "data.fileCount")
	}
	if sum != m.Data.Bytes {
		p.Add(fmt.Sprintf("is %d, but the sizes of files add up to %d", m.Data.Bytes, sum), "data.bytes")
	}
}

func (s RecordSchema) validate(p *field.Problems, at string) {
	if len(s.Fields) == 0 {
		p.Add("must have an entry", "%s.fields", at)
	}
	names := make(map[string]bool, len(s.Fields))
	for i := range p.List(at+".fields", len(s.Fields), field.MaxEntries) {
		f := s.Fields[i]
		at := fmt.Sprintf("%s.fields[%d]", at, i)
		p.Add(field.Line(f.Name, field.MaxShort), "%s.name", at)
		if names[f.Name] {
			p.Add("is there already", "%s.name", at)
		}
		names[f.Name] = true
		p.Add(field.Line(f.Type, field.MaxShort), "%s.type", at)
		p.Text(at+".description", f.Description, maxMedium)
		p.Enum(at+".role", f.Role, fieldRoles...)
		if f.Language != "" {
			p.Add(field.Language(f.Language), "%s.language", at)
		}
		if f.PII != "" {
			p.Add(field.Token(f.PII), "%s.pii", at)
		}
	}
	for i := range p.List(at+".key", len(s.Key), field.MaxEntries) {
		if !names[s.Key[i]] {
			p.Add("names no field", "%s.key[%d]", at, i)
		}
	}
}

func (t *Stats) validate(p *field.Problems) {
	if t == nil {
		return
	}
	p.Present("stats", t.Records == nil && t.Tokens == nil && t.Images == nil && t.AudioSeconds == nil && t.VideoSeconds == nil &&
		t.PerLanguage == nil && t.Labels == nil)
	p.Count("stats.records", t.Records)
	p.Count("stats.images", t.Images)
	p.Count("stats.audioSeconds", t.AudioSeconds)
	p.Count("stats.videoSeconds", t.VideoSeconds)
	p.Counts("stats.tokens", t.Tokens)
	p.Counts("stats.labels", t.Labels)
	for _, l := range field.Keys(p, "stats.perLanguage", t.PerLanguage, field.MaxEntries) {
		p.Add(field.Language(l), "stats.perLanguage.%s", fault.Printable(l))
		p.Add(field.Count(t.PerLanguage[l]), "stats.perLanguage.%s", fault.Printable(l))
	}
}

func (s *Sketch) validate(p *field.Problems) {
	if s == nil {
		return
	}
	p.Add(field.OneOf(s.Algo, "frac-minhash-v1"), "sketch.algo")
	p.Add(field.OneOf(s.Canon, "values-v1"), "sketch.canon")
	if s.Scale < 1 || s.Scale > field.MaxInt {
		p.Add("must be from 1 to 2^53-1", "sketch.scale")
	}
	p.Data("sketch.cid", s.CID)
	p.Add(field.Count(s.Count), "sketch.count")
}

func (s *Fingerprint) validate(p *field.Problems) {
	if s == nil {
		return
	}
	p.Add(field.OneOf(s.Algo, "fastcdc"), "fingerprint.algo")
	p.Add(field.OneOf(s.Hash, "sha2-256"), "fingerprint.hash")
	if s.Min < 1 || s.Min > s.Avg || s.Avg > s.Max || s.Max > field.MaxInt {
		p.Add("0 < min <= avg <= max does not hold", "fingerprint.avg")
	}
	p.Data("fingerprint.cid", s.CID)
	p.Add(field.Count(s.Count), "fingerprint.count")
}

func (m *Manifest) validateContributors(p *field.Problems) {
	if n := len(m.Contributors); n < 1 || n > MaxContributors {
		p.Add(fmt.Sprintf("must have 1 to %d entries, has %d", MaxContributors, n), "contributors")
		return
	}
	seen := make(map[string]bool, len(m.Contributors))
	for i := range m.Contributors {
		c := &m.Contributors[i]
		c.validate(p, fmt.Sprintf("contributors[%d].", i))
		if seen[string(c.ID)] {
			p.Add("is there already", "contributors[%d].id", i)
		}
		seen[string(c.ID)] = true
	}
}

func (t *Maintenance) validate(p *field.Problems) {
	if t == nil {
		return
	}
	p.Present("maintenance", *t == Maintenance{})
	p.Text("maintenance.updates", t.Updates, maxMedium)
	p.Line("maintenance.contact", t.Contact, field.MaxShort)
	if t.Deprecates.Defined() {
		p.Add(field.StatementCID(t.Deprecates), "maintenance.deprecates")
	}
}

// validate checks c, whose members are reported below the path at, which is
// empty or ends in a dot.
func (c *Contributor) validate(p *field.Problems, at string) {
	p.Add(field.KeyID(c.ID), "%sid", at)
	p.Line(at+"name", c.Name, maxDisplayName)
	if c.ORCID != "" {
		p.Add(checkORCID(c.ORCID), "%sorcid", at)
	}
	if c.ROR != "" {
		p.Add(checkROR(c.ROR), "%sror", at)
	}
	p.OneOfEach(at+"roles", c.Roles, roles)
}

// Roles returns the closed list of roles: CRediT's, and those of data work.
func Roles() []string { return slices.Clone(roles) }

var roles = []string{
	"conceptualization", "data-curation", "formal-analysis", "funding-acquisition", "investigation", "methodology",
	"project-administration", "resources", "software", "supervision", "validation", "visualization",
	"writing-original-draft", "writing-review-editing",
	"collector", "annotator", "translator", "transcriber", "cleaner", "reviewer", "rights-holder", "subject-consent-collective",
}
