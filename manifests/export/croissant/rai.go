package croissant

import (
	"slices"
	"strconv"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
)

// Kinds of collection for which RAI recommends a word; others keep theirs.
var collected = map[string]string{
	"web-scraping-crawling": "Web Scraping", "user-generated-content": "User-generated content data", "other": "Others",
}

const (
	personal = "Personal information: " // before no, yes or unknown
)

// facts writes what RAI 1.0 and schema.org ask about the data, by the names of
// RAI's table of properties.
func (w *writer) facts() {
	m := w.M
	if c := m.Collection; c != nil {
		var kinds []string
		for _, k := range c.Method {
			if word, ok := collected[k]; ok {
				k = word
			}
			kinds = append(kinds, k)
		}
		w.texts("rai:dataCollectionType", kinds)
		if p := c.Period; p != nil {
			when := []string{p.Start}
			if p.End != "" {
				when = append(when, p.End)
			}
			w.texts("rai:dataCollectionTimeframe", when)
			if p.Ongoing != nil {
				w.doc["isLiveDataset"] = *p.Ongoing
			}
		}
		w.texts("spatialCoverage", c.Geography)
		w.texts("measurementTechnique", c.Instruments)
		if a := c.Annotators; a != nil {
			w.set("rai:dataAnnotationPlatform", a.Platform)
			w.set("rai:annotatorDemographics", a.Demographics)
			if a.PerItem != nil {
				w.set("rai:annotationsPerItem", strconv.FormatInt(*a.PerItem, 10)) // RAI wants text
			}
		}
	}
	if p := m.Privacy; p != nil {
		var list []string
		if p.PersonalInfo != "" {
			list = append(list, personal+p.PersonalInfo)
		}
		w.texts("rai:personalSensitiveInformation", append(list, p.SpecialCategories...))
	}
	if s := m.Safety; s != nil {
		w.texts("rai:dataBiases", s.KnownBiases)
		w.texts("rai:dataLimitations", s.Limitations)
		w.set("rai:dataSocialImpact", s.SocialImpact)
		var uses []string
		for _, u := range s.IntendedUses {
			if u.Text != "" {
				u.Code += ": " + u.Text
			}
			uses = append(uses, u.Code)
		}
		w.texts("rai:dataUseCases", uses)
	}
	if m.Maintenance != nil {
		w.set("rai:dataReleaseMaintenancePlan", m.Maintenance.Updates)
	}
	w.protocols()
}

// protocols repeats in RAI's words what the activities were for.
func (w *writer) protocols() {
	said := make(map[string][]string)
	for _, a := range w.M.Activities {
		if name := protocol(a.Type); a.Purpose != "" && !slices.Contains(said[name], a.Purpose) {
			said[name] = append(said[name], a.Purpose)
		}
	}
	for name, list := range said {
		if name == preprocessing {
			w.texts(name, list) // the only one of which there may be many
			continue
		}
		w.set(name, strings.Join(list, "; "))
	}
	var raw []string
	for _, l := range w.M.Lineage {
		if t := targetIRI(w.Base, l.Target); l.Rel == manifests.CollectedFrom && t != "" {
			raw = append(raw, t)
		}
	}
	w.set("rai:dataCollectionRawData", strings.Join(raw, "; "))
}

const preprocessing = "rai:dataPreprocessingProtocol"

func protocol(activity string) string {
	switch activity {
	case "annotate":
		return "rai:dataAnnotationProtocol"
	case "redact", "generate":
		return "rai:dataManipulationProtocol"
	}
	return preprocessing
}
