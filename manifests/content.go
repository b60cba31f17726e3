package manifests

import "github.com/ipfs/go-cid"

// Content returns the CIDs of what a registry must have beside a statement to
// take it, the one that the statement is about first: whoever pushes the
// statement sends these and all that they link to. It is empty for a statement
// that says everything itself.
//
//   - contribution: the manifest, which links to the data and the terms; model:
//     the terms; attribution: the scores; payout: the lines.
//   - after that, the attachments of any kind that has some.
func (s *Statement) Content() []cid.Cid {
	var out []cid.Cid
	switch p := s.Predicate.(type) {
	case *Contribution:
		out = append(out, p.Dataset.Manifest.Cid)
		if p.Attachments.Defined() {
			out = append(out, p.Attachments.Cid)
		}
	case *Model:
		out = append(out, p.Terms.Cid)
		if p.Attachments.Defined() {
			out = append(out, p.Attachments.Cid)
		}
	case *Attribution:
		out = append(out, p.Scores.Cid)
	case *Payout:
		out = append(out, p.Lines.Cid)
	}
	return out
}
