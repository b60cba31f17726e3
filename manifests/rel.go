package manifests

import (
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// A Rel says how a dataset comes from a source. The list is closed; a name in
// it reads as "this dataset is … the source".
type Rel string

// The relations.
const (
	VersionOf           Rel = "versionOf"           // the previous version
	DerivedFrom         Rel = "derivedFrom"         // general derivation
	SubsetOf            Rel = "subsetOf"            // a part of the records
	FilteredFrom        Rel = "filteredFrom"        // rows removed by a rule
	SampledFrom         Rel = "sampledFrom"         // a random sample
	MergedFrom          Rel = "mergedFrom"          // one of several sources
	TransformedBy       Rel = "transformedBy"       // names an activity of the manifest
	AnnotatedFrom       Rel = "annotatedFrom"       // labels added
	AnnotatedBy         Rel = "annotatedBy"         // names the annotating party
	TranslatedFrom      Rel = "translatedFrom"      // language to language
	TranscribedFrom     Rel = "transcribedFrom"     // audio or image to text
	ConvertedFrom       Rel = "convertedFrom"       // format only
	AugmentedFrom       Rel = "augmentedFrom"       // content added
	RedactedFrom        Rel = "redactedFrom"        // content removed
	DeduplicatedAgainst Rel = "deduplicatedAgainst" // compared with, nothing copied
	CollectedFrom       Rel = "collectedFrom"       // url, archive, API, device
	SyntheticFrom       Rel = "syntheticFrom"       // made by a model
	TrainedOn           Rel = "trainedOn"           // a model, from what it was trained on
	Obsoletes           Rel = "obsoletes"           // replaces
	Mirrors             Rel = "mirrors"             // the same content elsewhere
)

var rels = []Rel{VersionOf, DerivedFrom, SubsetOf, FilteredFrom, SampledFrom, MergedFrom, TransformedBy,
	AnnotatedFrom, AnnotatedBy, TranslatedFrom, TranscribedFrom, ConvertedFrom, AugmentedFrom, RedactedFrom,
	DeduplicatedAgainst, CollectedFrom, SyntheticFrom, TrainedOn, Obsoletes, Mirrors}

// Rels returns the closed list of relations.
func Rels() []Rel { return slices.Clone(rels) }

// Valid returns nil for a relation of the list, else [fault.Invalid] with the
// list, or the one that was meant, as its hint.
func (r Rel) Valid() error {
	if slices.Contains(rels, r) {
		return nil
	}
	err := fault.New(fault.Invalid, "unknown relation %s", fault.Quote(string(r)))
	names := make([]string, len(rels))
	for i, k := range rels {
		names[i] = string(k)
		if strings.EqualFold(names[i], strings.ReplaceAll(string(r), "-", "")) {
			return fault.WithHint(err, "write %s", k)
		}
	}
	return fault.WithHint(err, "the relations are %s", strings.Join(names, ", "))
}
