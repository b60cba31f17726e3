package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/terms"
	"github.com/cairn-registry/cairn/manifests/unixfs"
	"github.com/cairn-registry/cairn/registry/index"
)

// What becomes of a statement whose terms contradict those of its sources.
const (
	TermsWarn   = "warn"   // it is recorded, and the answer warns
	TermsRefuse = "refuse" // it is refused with fault.Invalid
	TermsOff    = "off"    // nobody looks
)

// maxSources bounds the sources, and own earlier works with what is behind them,
// that the door looks at: twice what one statement can name. Of more, and of more
// terms than one mixture may have, the first count.
const maxSources = 2 * manifests.MaxReferences

// checkTermsPolicy refuses a Config.TermsPolicy that is none.
func checkTermsPolicy(policy string) error {
	switch policy {
	case "", TermsWarn, TermsRefuse, TermsOff:
		return nil
	}
	return fault.New(fault.Invalid, "the terms policy is %s, not warn, refuse or off", fault.Quote(policy))
}

// Instant is the time by the registry's clock, as statements and terms write it.
func (r *Registry) Instant() string { return r.cfg.Now().UTC().Format("2006-01-02T15:04:05Z") }

// Terms returns a terms document that lies in the store: its canonical bytes and
// what they say. What is there and is no terms document is fault.NotFound too.
func (r *Registry) Terms(ctx context.Context, id cid.Cid) ([]byte, *terms.Terms, error) {
	return termsIn(ctx, r.cfg.Blocks, id)
}

func termsIn(ctx context.Context, blocks unixfs.Blocks, id cid.Cid) ([]byte, *terms.Terms, error) {
	none := fault.New(fault.NotFound, "there is no terms document %s", id)
	if id.Type() != cid.DagJSON {
		return nil, nil, none
	}
	size, err := blocks.Size(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if size > terms.MaxTerms {
		return nil, nil, none
	}
	b, err := blocks.Block(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	t, err := terms.Decode(b)
	if err != nil {
		return nil, nil, none
	}
	return b, t, nil
}

// Mixture returns the works of a mixture for terms.Decide: the versions that the
// statements made and, with upstream, everything that they come from; with the
// size of the log that the answer describes. A statement that made no version is
// fault.NotFound.
func (r *Registry) Mixture(ctx context.Context, statements []cid.Cid, upstream bool) (works []terms.Work, external []terms.External, size uint64, err error) {
	var roots []string
	for _, s := range statements {
		roots = append(roots, cjson.V1(s).String())
	}
	docs := r.documents()
	err = r.View(func(s *index.Snapshot) error {
		size = s.Applied()
		works, external, err = terms.Upstream(ctx, roots, func(ctx context.Context, id string) (*terms.Version, error) {
			c, err := cjson.ParseCID(id)
			if err != nil {
				return nil, err
			}
			d, err := s.Version(c)
			if err != nil {
				return nil, err
			}
			v, err := version(ctx, s, docs, d)
			if err == nil && !upstream {
				v.Links = nil
			}
			return v, err
		})
		return err
	})
	return works, external, size, err
}

// documents reads terms for one question.
func (r *Registry) documents() *terms.Documents {
	return &terms.Documents{Read: func(ctx context.Context, id cid.Cid) ([]byte, error) {
		b, _, err := r.Terms(ctx, id)
		return b, err
	}}
}

// version is a row of the index with its terms.
func version(ctx context.Context, s *index.Snapshot, docs *terms.Documents, d index.Dataset) (*terms.Version, error) {
	_, gone, err := s.Gone(d.Statement.Cid)
	if err != nil {
		return nil, err
	}
	v := &terms.Version{Work: terms.Work{ID: d.Statement.String(), Name: fmt.Sprintf("%s/%s@%s", d.Publisher, d.Name, d.Version), TermsCID: d.Terms, Withdrawn: gone}}
	if v.Terms, err = docs.Terms(ctx, d.Terms.Cid); err != nil {
		return nil, err
	}
	all, err := sourcesOf(s, d)
	if err != nil {
		return nil, err
	}
	var sources []terms.Declared
	for _, x := range all {
		out := terms.Declared{Rel: x.Rel, Other: x.URL}
		if x.Statement.Defined() {
			out.Statement = x.Statement.String()
		} else if x.CID.Defined() {
			out.Other = x.CID.String()
		}
		sources = append(sources, out)
	}
	var edges []string
	for _, e := range d.Edges {
		edges = append(edges, e.Statement.String())
	}
	v.Declare(sources, edges)
	return v, nil
}

// sourcesOf is what a version comes from: its sources and, of a model, what the runs
// that made it read.
func sourcesOf(s *index.Snapshot, d index.Dataset) ([]index.Source, error) {
	out := slices.Clone(d.Sources)
	for _, run := range d.Usages {
		u, err := s.Use(run.Cid)
		if errors.Is(err, fault.NotFound) {
			continue // the fold refuses it
		}
		if err != nil {
			return nil, err
		}
		for _, in := range u.Inputs {
			out = append(out, trainedOn(in.Statement))
		}
	}
	return out, nil
}

func trainedOn(statement cjson.CID) index.Source {
	return index.Source{Rel: string(manifests.TrainedOn), Statement: statement}
}

// admitSources compares the terms of a dataset or a model with those of what it
// comes from, by the function that answers about mixtures; its own are in blocks.
// What contradicts is returned as warnings, at most maxWarnings, or, when the
// operator wants that, refused.
func (r *Registry) admitSources(ctx context.Context, blocks unixfs.Blocks, s *manifests.Statement) (warnings []string, err error) {
	if r.cfg.TermsPolicy == TermsOff {
		return nil, nil
	}
	var child index.Dataset
	switch p := s.Predicate.(type) {
	case *manifests.Contribution:
		child.Publisher, child.Terms = p.Publisher, p.Terms
		for _, x := range p.Sources {
			child.Sources = append(child.Sources, index.Source{Rel: string(x.Rel), Statement: x.Statement})
		}
	case *manifests.Model:
		child.Publisher, child.Terms, child.Usages = p.Publisher, p.Terms, p.Usages
		for _, x := range p.Sources {
			child.Sources = append(child.Sources, index.Source{Rel: string(x.Rel), Statement: x.Statement})
		}
		for _, e := range p.Edges {
			child.Sources = append(child.Sources, trainedOn(e.Statement))
		}
	default:
		return nil, nil
	}
	sources, err := r.foreignSources(ctx, child)
	if err != nil || len(sources) == 0 {
		return nil, err
	}
	_, t, err := termsIn(ctx, blocks, child.Terms.Cid)
	if err != nil {
		return nil, fmt.Errorf("the terms: %w", err)
	}
	reasons, err := terms.DefaultTable().Contradictions(r.Instant(), t, child.Terms.String(), sources...)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string)
	for _, x := range sources {
		names[x.ID] = x.Name
	}
	var refused []error
	for i, reason := range reasons {
		if i == maxWarnings {
			warnings = append(warnings, fmt.Sprintf("and %d more", len(reasons)-i))
		}
		if i >= maxWarnings && (reason.Verdict != terms.Deny || len(refused) > 0) {
			continue // a refusal names one at least
		}
		text := fmt.Sprintf("rule %d, %s: %s (%s)", reason.Rule, reason.Source, reason.Why, listed(reason.Works, names))
		if i < maxWarnings {
			warnings = append(warnings, text)
		}
		if reason.Verdict == terms.Deny {
			refused = append(refused, errors.New(text))
		}
	}
	if r.cfg.TermsPolicy == TermsRefuse && len(refused) > 0 {
		err := fault.New(fault.Invalid, "the terms contradict those of what it comes from, which this registry refuses:\n%w", errors.Join(refused...))
		return nil, fault.WithHint(err, "\"cairn terms check --use redistribute REF…\" says which licence would do. %s", terms.NotLegalAdvice)
	}
	return warnings, nil
}

// maxWarnings bounds the warnings of one statement: an answer, and the record of an
// upload, hold them.
const maxWarnings = 100

// maxListed bounds the works that one warning names.
const maxListed = 5

func listed(ids []string, names map[string]string) string {
	out := ""
	for i, id := range ids {
		if i == maxListed {
			return fmt.Sprintf("%s and %d more", out, len(ids)-i)
		}
		if i > 0 {
			out += ", "
		}
		out += names[id] + " " + id
	}
	return out
}

// foreignSources returns what a version comes from. A publisher may put own
// earlier work under other terms, so that is passed over and what is behind it
// counts. What the log does not know is the fold's to refuse.
func (r *Registry) foreignSources(ctx context.Context, child index.Dataset) (out []terms.Source, err error) {
	docs := r.documents()
	err = r.View(func(s *index.Snapshot) error {
		seen := make(map[cid.Cid]bool)
		queue := []index.Dataset{child}
		for n := 0; n < len(queue); n++ {
			sources, err := sourcesOf(s, queue[n])
			if err != nil {
				return err
			}
			for _, x := range sources {
				if !x.Statement.Defined() || seen[x.Statement.Cid] {
					continue
				}
				if len(seen) == maxSources {
					return nil
				}
				seen[x.Statement.Cid] = true
				d, err := s.Version(x.Statement.Cid)
				if errors.Is(err, fault.NotFound) {
					continue
				}
				if err != nil {
					return err
				}
				if d.Publisher == child.Publisher {
					if d.Kind == string(manifests.KindModel) {
						for _, e := range d.Edges {
							d.Sources = append(d.Sources, trainedOn(e.Statement))
						}
					}
					queue = append(queue, d)
					continue
				}
				v, err := version(ctx, s, docs, d)
				if errors.Is(err, fault.TooLarge) {
					return nil
				}
				if err != nil {
					return err
				}
				out = append(out, terms.Source{Work: v.Work, Rel: x.Rel})
			}
		}
		return nil
	})
	return out, err
}
