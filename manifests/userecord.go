package manifests

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/internal/field"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// UseRecordSchema is the $schema of a private record of use of this version.
const UseRecordSchema = "cairn.use/1"

// MaxUseRecord bounds a private record: it lists files, domains and other
// sources by name.
const MaxUseRecord = 4 << 20

var (
	stages          = []string{"pretrain", "finetune", "alignment", "eval"}
	inputCategories = []string{"public", "licensed", "private", "crawled", "user", "synthetic", "other"}
	reveals         = []string{"public", "auditor", "hash-only"}
)

// A UseRecord is what a trainer keeps of a run: the part of a record of use that
// is not logged. A usage/v1 commits to it by [UseRecord.Commitment]. Reports to
// authorities are made from it, the lock, and the manifests and terms that they
// name.
type UseRecord struct {
	Schema string `json:"$schema"`
	// Salt is 32 random bytes in lower hex, without which nobody can guess at the
	// record by its commitment.
	Salt string    `json:"salt"`
	Run  string    `json:"run"` // of the usage/v1
	Lock cjson.CID `json:"lock,omitzero"`

	Stage     string    `json:"stage,omitempty"` // pretrain, finetune, alignment, eval
	StartedAt string    `json:"startedAt,omitempty"`
	EndedAt   string    `json:"endedAt,omitempty"`
	Code      *Code     `json:"code,omitempty"`    // the training program and its revision
	Config    cjson.CID `json:"config,omitzero"`   // of the run
	Purpose   string    `json:"purpose,omitempty"` // of the run

	Trainer     *Trainer     `json:"trainer,omitempty"`
	Model       *ModelFacts  `json:"model,omitempty"`
	Inputs      []UseInput   `json:"inputs,omitempty"` // sorted by statement; of those of the usage/v1
	OtherInputs []OtherInput `json:"otherInputs,omitempty"`
	Crawlers    []Crawler    `json:"crawlers,omitempty"` // the trainer's own
	Domains     *Domains     `json:"domains,omitempty"`  // what these visited
	Measures    *Measures    `json:"measures,omitempty"`

	Evidence []cjson.CID `json:"evidence,omitempty"` // CIDs of documents behind the record
	// Reveal says who may see the record: public, auditor, hash-only.
	Reveal string `json:"reveal,omitempty"`
}

// A Trainer is who answers for a run.
type Trainer struct {
	ID                sign.KeyID `json:"id,omitempty"`
	LegalName         string     `json:"legalName,omitempty"`
	Contact           string     `json:"contact,omitempty"`
	EURepresentative  string     `json:"euRepresentative,omitempty"`
	SME               *bool      `json:"sme,omitempty"`
	GPAICodeSignatory *bool      `json:"gpaiCodeSignatory,omitempty"`
}

// ModelFacts are what reports ask about the model that a run made.
type ModelFacts struct {
	Name          string            `json:"name,omitempty"`
	Version       string            `json:"version,omitempty"`
	Docs          []string          `json:"docs,omitempty"` // URLs
	Dependencies  []ModelDependency `json:"dependencies,omitempty"`
	Artifact      cjson.CID         `json:"artifact,omitzero"`
	ReleasedAt    string            `json:"releasedAt,omitempty"`    // day or month
	EUPlacementAt string            `json:"euPlacementAt,omitempty"` // day or month
	Continuous    *bool             `json:"continuous,omitempty"`    // trained on after that
}

// A ModelDependency is a model that a model was made from.
type ModelDependency struct {
	Name       string `json:"name"`
	SummaryURL string `json:"summaryUrl,omitempty"`
}

// A UseInput is what the trainer knows about the use of a registered version.
type UseInput struct {
	Statement   cjson.CID    `json:"statement"`
	Selection   *Selection   `json:"selection,omitempty"`
	Purpose     string       `json:"purpose,omitempty"`
	FirstUsedAt string       `json:"firstUsedAt,omitempty"`
	Processing  []Processing `json:"processing,omitempty"`
	// Fetches are the CIDs of fetch records, envelopes signed by a gateway.
	Fetches []cjson.CID `json:"fetches,omitempty"`
}

// A Selection says which part of a dataset was used.
type Selection struct {
	Files   []string `json:"files,omitempty"` // paths, or patterns of them
	Filter  string   `json:"filter,omitempty"`
	Method  string   `json:"method,omitempty"`
	Records *int64   `json:"records,omitempty"`
	Bytes   *int64   `json:"bytes,omitempty"`
	Tokens  *int64   `json:"tokens,omitempty"`
}

// A Processing is a step that the trainer applied.
type Processing struct {
	Type    string `json:"type"` // as of an activity
	Purpose string `json:"purpose,omitempty"`
}

// An OtherInput is a source that is not registered.
type OtherInput struct {
	// Category is public, licensed, private, crawled, user, synthetic or other.
	Category    string     `json:"category"`
	Name        string     `json:"name"`
	Link        string     `json:"link,omitempty"`
	Version     string     `json:"version,omitempty"`
	Modalities  []string   `json:"modalities,omitempty"`
	Size        *OtherSize `json:"size,omitempty"`
	Period      *Period    `json:"period,omitempty"`
	Description string     `json:"description,omitempty"`
}

// An OtherSize is a size in a unit, of a source that nobody counted exactly.
type OtherSize struct {
	Value string `json:"value"` // decimal
	Unit  string `json:"unit"`
}

// Measures are what the trainer did about rights and illegal content.
type Measures struct {
	TDM                string `json:"tdm,omitempty"`
	IllegalContent     string `json:"illegalContent,omitempty"`
	Other              string `json:"other,omitempty"`
	CopyrightPolicyURL string `json:"copyrightPolicyUrl,omitempty"`
}

// UseRecordFromYAML reads what a trainer wrote, YAML or JSON with the members
// of a record, as strictly as [FromYAML] reads a manifest. It is not complete:
// salt and run are the command's to fill in.
func UseRecordFromYAML(b []byte) (*UseRecord, error) {
	r := new(UseRecord)
	if err := fillYAML(b, r); err != nil {
		return nil, err
	}
	return r, wantSchema(&r.Schema, UseRecordSchema)
}

// NewSalt reads 32 bytes from rand for a record's salt.
func NewSalt(rand io.Reader) (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fault.Mark(fault.Internal, fmt.Errorf("reading randomness for a salt: %w", err))
	}
	return hex.EncodeToString(b[:]), nil
}

// EncodeUseRecord returns the canonical bytes of r, after [UseRecord.Validate].
func EncodeUseRecord(r *UseRecord) ([]byte, error) { return encodeDocument(r, MaxUseRecord, "record") }

// DecodeUseRecord reads exactly what [EncodeUseRecord] writes. A line feed may
// end it.
func DecodeUseRecord(b []byte) (*UseRecord, error) {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	return decodeDocument(b, new(UseRecord), MaxUseRecord, "record")
}

// Commitment returns what a usage/v1 logs as private: the lower hex SHA-256 of
// the salt's 32 bytes and the canonical JSON of r without its salt.
func (r *UseRecord) Commitment() (string, error) {
	if err := r.Validate(); err != nil {
		return "", err
	}
	salt, err := hex.DecodeString(r.Salt)
	if err != nil {
		return "", fault.Mark(fault.Invalid, err)
	}
	bare := struct {
		UseRecord
		Salt string `json:"salt,omitempty"` // hides that of the record
	}{UseRecord: *r}
	b, err := cjson.Marshal(bare)
	if err != nil {
		return "", fault.Mark(fault.Invalid, err)
	}
	sum := sha256.Sum256(append(salt, b...))
	return hex.EncodeToString(sum[:]), nil
}

// Opens reports whether r is the record that a usage/v1 commits to, and fits
// it; fault.Unverified when it is not.
func (r *UseRecord) Opens(u *Usage) error {
	got, err := r.Commitment()
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare([]byte(got), []byte(u.Private)) != 1 {
		return fault.New(fault.Unverified, "the record is not the one that the log commits to")
	}
	return r.fits(u)
}

// fits holds a record against the logged part.
func (r *UseRecord) fits(u *Usage) error {
	var p field.Problems
	if r.Run != u.Run {
		p.Add("is not the run of the logged record", "run")
	}
	if u.Lock.Defined() && r.Lock.Defined() && r.Lock != u.Lock {
		p.Add("is not the lock of the logged record", "lock")
	}
	logged := make(map[cjson.CID]bool, len(u.Inputs))
	for _, in := range u.Inputs {
		logged[in.Statement] = true
	}
	for i, in := range r.Inputs {
		if u.Type == UsageTraining && !logged[in.Statement] {
			p.Add("is no input of the logged record", "inputs[%d].statement", i)
		}
	}
	if err := p.Err(); err != nil {
		return fault.Mark(fault.Unverified, err)
	}
	return nil
}

// Validate reports everything that is wrong with r.
func (r *UseRecord) Validate() error {
	var p field.Problems
	if r.Schema != UseRecordSchema {
		p.Add("must be "+UseRecordSchema, "$schema")
	}
	p.Add(field.SHA256(r.Salt), "salt")
	p.Add(checkNonce(r.Run), "run")
	if r.Lock.Defined() {
		p.Add(field.AnyCID(r.Lock), "lock")
	}
	p.Enum("stage", r.Stage, stages...)
	p.Time("startedAt", r.StartedAt)
	p.Time("endedAt", r.EndedAt)
	if r.EndedAt != "" && r.EndedAt < r.StartedAt {
		p.Add("is before startedAt", "endedAt")
	}
	r.Code.validate(&p, "code")
	if r.Config.Defined() {
		p.Add(field.AnyCID(r.Config), "config")
	}
	p.Text("purpose", r.Purpose, maxLong)
	r.Trainer.validate(&p)
	r.Model.validate(&p)
	for i := range p.List("inputs", len(r.Inputs), maxInputs) {
		r.Inputs[i].validate(&p, fmt.Sprintf("inputs[%d]", i))
		if i > 0 && r.Inputs[i-1].Statement.String() >= r.Inputs[i].Statement.String() {
			p.Add("the list must be sorted by statement and without repetitions", "inputs[%d].statement", i)
		}
	}
	for i := range p.List("otherInputs", len(r.OtherInputs), field.MaxList) {
		r.OtherInputs[i].validate(&p, fmt.Sprintf("otherInputs[%d]", i))
	}
	for i := range p.List("crawlers", len(r.Crawlers), field.MaxList) {
		r.Crawlers[i].validate(&p, fmt.Sprintf("crawlers[%d]", i))
	}
	r.Domains.validate(&p, "domains")
	r.Measures.validate(&p)
	for i := range p.List("evidence", len(r.Evidence), field.MaxList) {
		p.Add(field.AnyCID(r.Evidence[i]), "evidence[%d]", i)
	}
	p.Enum("reveal", r.Reveal, reveals...)
	return p.Err()
}

func (t *Trainer) validate(p *field.Problems) {
	if t == nil {
		return
	}
	p.Present("trainer", *t == Trainer{})
	if t.ID != "" {
		p.Add(field.KeyID(t.ID), "trainer.id")
	}
	p.Line("trainer.legalName", t.LegalName, maxMedium)
	p.Text("trainer.contact", t.Contact, maxMedium)
	p.Text("trainer.euRepresentative", t.EURepresentative, maxMedium)
}

func (m *ModelFacts) validate(p *field.Problems) {
	if m == nil {
		return
	}
	p.Present("model", m.Name == "" && m.Version == "" && len(m.Docs) == 0 && len(m.Dependencies) == 0 && !m.Artifact.Defined() &&
		m.ReleasedAt == "" && m.EUPlacementAt == "" && m.Continuous == nil)
	p.Line("model.name", m.Name, field.MaxShort)
	p.Line("model.version", m.Version, field.MaxShort)
	for i := range p.List("model.docs", len(m.Docs), field.MaxList) {
		p.Add(field.URL(m.Docs[i]), "model.docs[%d]", i)
	}
	for i := range p.List("model.dependencies", len(m.Dependencies), field.MaxList) {
		p.Add(field.Line(m.Dependencies[i].Name, field.MaxShort), "model.dependencies[%d].name", i)
		p.URL(fmt.Sprintf("model.dependencies[%d].summaryUrl", i), m.Dependencies[i].SummaryURL)
	}
	if m.Artifact.Defined() {
		p.Add(field.AnyCID(m.Artifact), "model.artifact")
	}
	if m.ReleasedAt != "" {
		p.Add(field.Day(m.ReleasedAt), "model.releasedAt")
	}
	if m.EUPlacementAt != "" {
		p.Add(field.Day(m.EUPlacementAt), "model.euPlacementAt")
	}
}

func (n *UseInput) validate(p *field.Problems, at string) {
	p.Add(field.StatementCID(n.Statement), "%s.statement", at)
	if s := n.Selection; s != nil {
		p.Present(at+".selection", len(s.Files) == 0 && s.Filter == "" && s.Method == "" && s.Records == nil && s.Bytes == nil && s.Tokens == nil)
		p.Texts(at+".selection.files", s.Files, maxMedium)
		p.Text(at+".selection.filter", s.Filter, maxLong)
		p.Text(at+".selection.method", s.Method, maxLong)
		for _, c := range []struct {
			name string
			n    *int64
		}{{"records", s.Records}, {"bytes", s.Bytes}, {"tokens", s.Tokens}} {
			if c.n != nil {
				p.Add(field.Count(*c.n), "%s.selection.%s", at, c.name)
			}
		}
	}
	p.Text(at+".purpose", n.Purpose, maxLong)
	p.Time(at+".firstUsedAt", n.FirstUsedAt)
	for i := range p.List(at+".processing", len(n.Processing), field.MaxList) {
		p.Add(field.OneOf(n.Processing[i].Type, activityTypes...), "%s.processing[%d].type", at, i)
		p.Text(fmt.Sprintf("%s.processing[%d].purpose", at, i), n.Processing[i].Purpose, maxMedium)
	}
	p.CIDs(at+".fetches", n.Fetches)
}

func (o *OtherInput) validate(p *field.Problems, at string) {
	p.Add(field.OneOf(o.Category, inputCategories...), "%s.category", at)
	p.Add(field.Line(o.Name, maxMedium), "%s.name", at)
	p.URL(at+".link", o.Link)
	p.Line(at+".version", o.Version, field.MaxShort)
	p.OneOfEach(at+".modalities", o.Modalities, modalities)
	if o.Size != nil {
		p.Add(checkAmount(o.Size.Value), "%s.size.value", at)
		p.Add(field.Token(o.Size.Unit), "%s.size.unit", at)
	}
	o.Period.validate(p, at+".period")
	p.Text(at+".description", o.Description, maxLong)
}

func (m *Measures) validate(p *field.Problems) {
	if m == nil {
		return
	}
	p.Present("measures", *m == Measures{})
	p.Text("measures.tdm", m.TDM, maxLong)
	p.Text("measures.illegalContent", m.IllegalContent, maxLong)
	p.Text("measures.other", m.Other, maxLong)
	p.URL("measures.copyrightPolicyUrl", m.CopyrightPolicyURL)
}
