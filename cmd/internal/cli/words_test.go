package cli

import (
	"slices"
	"testing"

	"github.com/cairn-registry/cairn/manifests"
)

// Whoever signs a model is told of each source what the statement says of it, and not
// that the model was made from what it only replaces, or was compared with.
func TestWordsOfModelSources(t *testing.T) {
	for rel, want := range map[manifests.Rel]string{
		manifests.TrainedOn:           "it is trained on https://data.example/x",
		manifests.DerivedFrom:         "it is made from https://data.example/x",
		manifests.Obsoletes:           "it names the source https://data.example/x, by the relation obsoletes",
		manifests.DeduplicatedAgainst: "it names the source https://data.example/x, by the relation deduplicatedAgainst",
	} {
		said := words(manifests.New(&manifests.Model{Sources: []manifests.Source{{Rel: rel, URL: "https://data.example/x"}}}))
		if !slices.Contains(said, want) {
			t.Errorf("%s: %q", rel, said)
		}
	}
}
