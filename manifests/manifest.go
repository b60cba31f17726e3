package manifests

import (
	"encoding/json"
	"slices"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// ManifestSchema is the $schema of a manifest of this version.
const ManifestSchema = "cairn.manifest/1"

// Limits of a manifest.
const (
	// MaxManifest bounds the canonical bytes: one block that any IPFS tool takes.
	MaxManifest = 1 << 20
	// MaxInlineFiles bounds Files; a longer list is a file of its own, Data.FileList.
	MaxInlineFiles = 1000
)

// A Manifest is the long description of one version of a dataset, a DAG-JSON
// document in RFC 8785 form. A [cjson.Link] in it names a part of the dataset,
// which whoever pins the manifest keeps too; a [cjson.CID] names something else.
//
// An absent optional member says nothing at all: a pointer to false or to 0 is
// a statement, nil is none.
type Manifest struct {
	Schema      string     `json:"$schema"`
	Name        string     `json:"name"`
	Title       string     `json:"title,omitempty"`
	Description string     `json:"description,omitempty"`
	Version     string     `json:"version"`
	CreatedAt   string     `json:"createdAt"`
	Publisher   sign.KeyID `json:"publisher"`
	Homepage    string     `json:"homepage,omitempty"`
	CiteAs      string     `json:"citeAs,omitempty"` // BibTeX
	Keywords    []string   `json:"keywords,omitempty"`
	Languages   []string   `json:"languages,omitempty"`  // BCP 47
	Modalities  []string   `json:"modalities,omitempty"` // text, image, audio, video, other

	Data  Data   `json:"data"`
	Files []File `json:"files,omitempty"` // sorted by [ComparePaths]

	// RecordSchema describes records, by the name that File.SchemaRef uses.
	RecordSchema map[string]RecordSchema `json:"schema,omitempty"`
	Stats        *Stats                  `json:"stats,omitempty"`
	Sketch       *Sketch                 `json:"sketch,omitempty"`
	Fingerprint  *Fingerprint            `json:"fingerprint,omitempty"`

	// Contributors are people and roles; their weights stand in the statement.
	Contributors []Contributor `json:"contributors"`
	Terms        cjson.Link    `json:"terms"`
	Lineage      []Lineage     `json:"lineage,omitempty"`
	Activities   []Activity    `json:"activities,omitempty"`

	Collection  *Collection  `json:"collection,omitempty"`
	Rights      *Rights      `json:"rights,omitempty"`
	Privacy     *Privacy     `json:"privacy,omitempty"`
	Safety      *Safety      `json:"safety,omitempty"`
	Maintenance *Maintenance `json:"maintenance,omitempty"`

	// Ext is a JSON object: the only place for members that are not listed here.
	Ext json.RawMessage `json:"ext,omitempty"`
}

// Data says where the bytes are and how they were cut into blocks.
type Data struct {
	Root      cjson.Link `json:"root"`
	Bytes     int64      `json:"bytes"`     // Σ file size over paths
	FileCount int64      `json:"fileCount"` // paths that end in a file
	Profile   string     `json:"profile"`   // CID profile: unixfs-v1-2025, unixfs-v0-2015
	Chunking  Chunking   `json:"chunking"`
	// FileList is a UnixFS file of [EncodeFileLine] lines, when Files is absent.
	FileList cjson.Link `json:"fileList,omitzero"`
	SWHID    string     `json:"swhid,omitempty"` // swh:1:dir:…
}

// Chunking says how files were cut.
type Chunking struct {
	Algo string `json:"algo"`           // fixed, buzhash, rabin, fastcdc
	Size int64  `json:"size,omitempty"` // of fixed
	Min  int64  `json:"min,omitempty"`
	Avg  int64  `json:"avg,omitempty"`
	Max  int64  `json:"max,omitempty"`
	Hash string `json:"hash"` // sha2-256
}

// A File is one path of the dataset that ends in a file.
type File struct {
	Path        string     `json:"path"`
	CID         cjson.Link `json:"cid"`
	Size        int64      `json:"size"`
	SHA256      string     `json:"sha256"`          // lower hex, of the file's bytes
	SWHID       string     `json:"swhid,omitempty"` // swh:1:cnt:…
	MediaType   string     `json:"mediaType,omitempty"`
	Split       string     `json:"split,omitempty"`
	Config      string     `json:"config,omitempty"`
	Records     *int64     `json:"records,omitempty"`
	SchemaRef   string     `json:"schemaRef,omitempty"`
	Compression string     `json:"compression,omitempty"`
}

// A RecordSchema describes the records of some files.
type RecordSchema struct {
	Fields []Field  `json:"fields"`
	Key    []string `json:"key,omitempty"` // names of fields
}

// A Field is a column or member of a record.
type Field struct {
	Name        string `json:"name"`
	Type        string `json:"type"`
	Description string `json:"description,omitempty"`
	Role        string `json:"role,omitempty"` // content, label, id, meta
	Language    string `json:"language,omitempty"`
	PII         string `json:"pii,omitempty"` // "none", or what kind
}

// Stats are counts.
type Stats struct {
	Records      *int64           `json:"records,omitempty"`
	Tokens       map[string]int64 `json:"tokens,omitempty"` // by tokenizer
	Images       *int64           `json:"images,omitempty"`
	AudioSeconds *int64           `json:"audioSeconds,omitempty"`
	VideoSeconds *int64           `json:"videoSeconds,omitempty"`
	PerLanguage  map[string]int64 `json:"perLanguage,omitempty"`
	Labels       map[string]int64 `json:"labels,omitempty"`
}

// A Sketch of the records finds reuse that reorders or filters them.
type Sketch struct {
	Algo  string     `json:"algo"` // frac-minhash-v1
	Scale int64      `json:"scale"`
	Canon string     `json:"canon"` // values-v1
	CID   cjson.Link `json:"cid"`
	Count int64      `json:"count"`
}

// A Fingerprint of content-defined chunks finds verbatim reuse.
type Fingerprint struct {
	Algo  string     `json:"algo"` // fastcdc
	Min   int64      `json:"min"`
	Avg   int64      `json:"avg"`
	Max   int64      `json:"max"`
	Hash  string     `json:"hash"` // sha2-256
	CID   cjson.Link `json:"cid"`
	Count int64      `json:"count"`
}

// A Contributor is a person or organisation that had a part in the dataset.
type Contributor struct {
	ID    sign.KeyID `json:"id"`
	Name  string     `json:"name,omitempty"`
	ORCID string     `json:"orcid,omitempty"`
	ROR   string     `json:"ror,omitempty"`
	Roles []string   `json:"roles,omitempty"` // of [Roles]
}

// A Lineage is one declared relation to something the dataset comes from.
type Lineage struct {
	Rel            Rel       `json:"rel"`
	Target         Target    `json:"target"`
	ByteSharePpm   *int64    `json:"byteSharePpm,omitempty"`
	RecordSharePpm *int64    `json:"recordSharePpm,omitempty"`
	TermsAtUse     cjson.CID `json:"termsAtUse,omitzero"`
	Period         *Period   `json:"period,omitempty"`
	Seed           string    `json:"seed,omitempty"`    // of sampledFrom
	Prompts        string    `json:"prompts,omitempty"` // of syntheticFrom
	Evidence       cjson.CID `json:"evidence,omitzero"` // of the relation
	Note           string    `json:"note,omitempty"`
}

// A Target is what a lineage entry points at, by exactly one of Statement, CID,
// URL, Model, Activity and Party. A registered work is named by its statement.
type Target struct {
	Statement cjson.CID  `json:"statement,omitzero"`
	CID       cjson.CID  `json:"cid,omitzero"`
	URL       string     `json:"url,omitempty"`
	Model     string     `json:"model,omitempty"`    // the name of a model
	Activity  string     `json:"activity,omitempty"` // an id of Activities; of transformedBy
	Party     sign.KeyID `json:"party,omitempty"`    // of annotatedBy

	DomainTable cjson.Link `json:"domainTable,omitzero"` // beside URL
	URI         string     `json:"uri,omitempty"`        // beside Model
	OnEUMarket  *bool      `json:"onEuMarket,omitempty"` // beside Model
	SummaryURL  string     `json:"summaryUrl,omitempty"` // beside Model
}

// A Period is a span of days or months, both ends included.
type Period struct {
	Start   string `json:"start"`
	End     string `json:"end,omitempty"`
	Ongoing *bool  `json:"ongoing,omitempty"`
}

// An Activity is something that was run.
type Activity struct {
	ID        string          `json:"id"`
	Type      string          `json:"type"` // filter, dedup, translate, annotate, redact, convert, generate
	Purpose   string          `json:"purpose,omitempty"`
	Code      *Code           `json:"code,omitempty"`
	Argv      []string        `json:"argv,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"` // a JSON object
	StartedAt string          `json:"startedAt,omitempty"`
	EndedAt   string          `json:"endedAt,omitempty"`
	By        sign.KeyID      `json:"by,omitempty"`
	Inputs    []cjson.CID     `json:"inputs,omitempty"`
	Outputs   []cjson.CID     `json:"outputs,omitempty"`
}

// Code says which program an activity ran.
type Code struct {
	Repo  string `json:"repo,omitempty"`
	Rev   string `json:"rev,omitempty"`   // 40 or 64 hex digits
	SWHID string `json:"swhid,omitempty"` // swh:1:rev:…
	Image string `json:"image,omitempty"` // sha256:…
}

// A Collection says how the data was gathered.
type Collection struct {
	Method      []string    `json:"method,omitempty"`
	Period      *Period     `json:"period,omitempty"`
	Geography   []string    `json:"geography,omitempty"` // ISO 3166, UN M49
	Crawlers    []Crawler   `json:"crawlers,omitempty"`
	Domains     *Domains    `json:"domains,omitempty"`
	Instruments []string    `json:"instruments,omitempty"`
	Annotators  *Annotators `json:"annotators,omitempty"`
}

// A Crawler is a program that fetched pages, and what it respected.
type Crawler struct {
	Name    string  `json:"name"`
	UA      string  `json:"ua,omitempty"`
	Robots  string  `json:"robots,omitempty"`  // respected, partly-respected, not-respected, unknown
	Captcha string  `json:"captcha,omitempty"` // not-bypassed, bypassed, unknown
	Paywall string  `json:"paywall,omitempty"` // not-bypassed, bypassed, unknown
	Login   string  `json:"login,omitempty"`   // none, used, unknown
	Period  *Period `json:"period,omitempty"`
}

// Domains link the table of web domains.
type Domains struct {
	Table    cjson.Link `json:"table"`
	Count    int64      `json:"count"`
	Top10Pct cjson.Link `json:"top10Pct,omitzero"`
}

// Annotators describe who labelled.
type Annotators struct {
	Platform     string `json:"platform,omitempty"`
	PerItem      *int64 `json:"perItem,omitempty"`
	Demographics string `json:"demographics,omitempty"`
	Paid         *bool  `json:"paid,omitempty"`
}

// Rights say what protects the content and how it was obtained.
type Rights struct {
	Copyright         string  `json:"copyright,omitempty"` // contains-protected, public-domain, mixed, unknown
	Trademark         *bool   `json:"trademark,omitempty"`
	Patent            *bool   `json:"patent,omitempty"`
	Acquired          string  `json:"acquired,omitempty"` // created, licensed, purchased, public, donated, crawled
	PubliclyAvailable *bool   `json:"publiclyAvailable,omitempty"`
	TDM               *TDM    `json:"tdm,omitempty"`
	Owners            []Owner `json:"owners,omitempty"`
}

// TDM says which reservations against text and data mining were looked for.
type TDM struct {
	ProtocolsHonoured []string `json:"protocolsHonoured,omitempty"` // robots.txt, tdmrep, aipref, …
	CheckedAt         string   `json:"checkedAt,omitempty"`
}

// An Owner holds a share of the rights.
type Owner struct {
	Name     string `json:"name"`
	SharePpm *int64 `json:"sharePpm,omitempty"`
}

// Privacy says what the data tells about people.
type Privacy struct {
	PersonalInfo          string      `json:"personalInfo,omitempty"`          // no, yes, unknown
	AggregateConsumerInfo string      `json:"aggregateConsumerInfo,omitempty"` // no, yes, unknown
	SpecialCategories     []string    `json:"specialCategories,omitempty"`
	Measures              []Measure   `json:"measures,omitempty"`
	Consents              []cjson.CID `json:"consents,omitempty"`
	LegalBasis            string      `json:"legalBasis,omitempty"`
	Contact               string      `json:"contact,omitempty"`
}

// A Measure protects people in the data.
type Measure struct {
	Technology string `json:"technology"`
	Tool       string `json:"tool,omitempty"`
	Result     string `json:"result,omitempty"`
}

// Safety says what is known to be wrong with the data, and what it is for.
type Safety struct {
	IllegalContentMeasures string        `json:"illegalContentMeasures,omitempty"`
	KnownBiases            []string      `json:"knownBiases,omitempty"`
	Limitations            []string      `json:"limitations,omitempty"`
	IntendedUses           []IntendedUse `json:"intendedUses,omitempty"`
	ProhibitedUses         []string      `json:"prohibitedUses,omitempty"`
	SocialImpact           string        `json:"socialImpact,omitempty"`
}

// An IntendedUse is a purpose, by a code of a closed list and in words.
type IntendedUse struct {
	Code string `json:"code"`
	Text string `json:"text,omitempty"`
}

// Maintenance says what becomes of the dataset.
type Maintenance struct {
	Updates    string    `json:"updates,omitempty"`
	Deprecates cjson.CID `json:"deprecates,omitzero"` // a statement
	Contact    string    `json:"contact,omitempty"`
}

// Source returns the statement's source for l, and whether l's target has a
// name that a statement can hold: activities, parties and models without a URI
// have none.
func (l Lineage) Source() (Source, bool) {
	s := Source{Rel: l.Rel, Statement: l.Target.Statement, CID: l.Target.CID, URL: l.Target.URL}
	if l.Target.Model != "" {
		s.URL = l.Target.URI
	}
	return s, s.Statement.Defined() || s.CID.Defined() || s.URL != ""
}

// Sources returns the sources of the statement about m: the lineage targets
// that can be named, in the manifest's order.
func (m *Manifest) Sources() []Source {
	var list []Source
	for _, l := range m.Lineage {
		if s, ok := l.Source(); ok {
			list = append(list, s)
		}
	}
	return list
}

// MediaTypes returns the media types of the inline files as a statement repeats
// them: sorted, each once, the first 64.
func (m *Manifest) MediaTypes() []string {
	var list []string
	for _, f := range m.Files {
		if f.MediaType != "" {
			list = append(list, f.MediaType)
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return slices.Clip(list[:min(len(list), maxMediaTypes)])
}

// EncodeManifest returns the canonical bytes of m, whose CID is
// [cjson.JSONCID]. It refuses what [Manifest.Validate] refuses, with the same
// error, and with [fault.TooLarge] more than [MaxManifest] bytes.
func EncodeManifest(m *Manifest) ([]byte, error) {
	if err := m.Validate(); err != nil {
		return nil, err
	}
	b, err := cjson.Marshal(m)
	if err != nil {
		return nil, fault.Mark(fault.Invalid, err)
	}
	if len(b) > MaxManifest {
		return nil, fault.WithHint(fault.New(fault.TooLarge, "the manifest has %d bytes, more than %d", len(b), MaxManifest),
			"put the list of files into a file of its own (data.fileList)")
	}
	return b, nil
}

// DecodeManifest reads a manifest. It accepts exactly the bytes that
// [EncodeManifest] returns for some manifest. The error joins all problems
// found, each with its path.
func DecodeManifest(b []byte) (*Manifest, error) {
	if len(b) > MaxManifest {
		return nil, fault.New(fault.TooLarge, "the manifest has %d bytes, more than %d", len(b), MaxManifest)
	}
	m := new(Manifest)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, field.Unreadable(b, new(Manifest), err)
	}
	again, err := cjson.Marshal(m)
	if err := field.Same(b, again, err, m.Validate); err != nil {
		return nil, err
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return m, nil
}
