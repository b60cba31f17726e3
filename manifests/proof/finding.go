package proof

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// A Status is the outcome of one check.
type Status string

// The outcomes. Only Fails is a verdict against the evidence.
const (
	Holds      Status = "holds"
	Fails      Status = "fails"
	NotChecked Status = "not-checked"
)

// A Finding is one line of a report: what was checked, on what, and how it came
// out. Reports of receipts, audits and the registry's own check are lists of
// findings.
type Finding struct {
	Check   string `json:"check"`             // a stable name, such as "inclusion"
	Status  Status `json:"status"`            //
	Subject string `json:"subject,omitempty"` // the thing: a CID, an entry, a file
	Detail  string `json:"detail,omitempty"`  // for people
	Code    string `json:"code,omitempty"`    // for programs, where the check has several ways to fail
}

// String returns the finding as a line for people: status, check, subject,
// detail. Subjects may be foreign text and are made printable.
func (f Finding) String() string {
	s := fmt.Sprintf("%-11s %-12s", f.Status, f.Check)
	switch {
	case f.Subject != "" && f.Detail != "":
		return s + " " + fault.Printable(f.Subject) + ": " + f.Detail
	case f.Subject != "" || f.Detail != "":
		return s + " " + fault.Printable(f.Subject) + f.Detail
	}
	return strings.TrimRight(s, " ")
}

// AnyFails reports whether a finding fails.
func AnyFails(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Status == Fails })
}
