// Package field checks the members of cairn's documents: it collects problems
// with their JSON paths, holds the grammars that statements, manifests and
// terms share, and the rule of strict decoding.
package field
