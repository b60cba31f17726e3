// Package manifests says what the signed things of cairn are: the statements
// that enter the log, and the manifest that describes a dataset. It encodes
// them canonically, decodes them strictly, and checks them by rules that are
// the same at the contributor and at the registry. FORMAT.md beside it is
// normative.
//
// A [Statement] is small and holds what the registry's state machine reads: the
// root of the data, the terms, the contributors and their weights, the sources.
// A [Manifest] is the long description; the statement names it by CID. The
// terms document is package terms.
//
// The package is pure: no files, no network, no clock, no randomness but a
// reader that is handed in. Statements are judged by ASCII grammars, lengths
// and integers alone: no Unicode table, no licence list and no parser whose
// answers change with a library takes part, so that a statement decoded today
// is decoded for ever.
//
// Every error of this package is marked [fault.Invalid], or [fault.TooLarge]
// where a documented size is exceeded.
package manifests

import "github.com/cairn-registry/cairn/manifests/internal/field"

// A FieldError is one problem of one member of a document: its Path from the
// top, as in "predicate.contributors[2].weight", and its Msg. Validate joins
// all of them, so errors.As finds the first and an Unwrap() []error finds each.
// Every FieldError is marked fault.Invalid.
type FieldError = field.Error
