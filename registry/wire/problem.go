package wire

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// ProblemType is the media type of a problem document.
const ProblemType = "application/problem+json"

const (
	// maxProblem bounds a problem document that a client reads.
	maxProblem = 64 << 10
	// maxDetail bounds the text of a problem.
	maxDetail = 8 << 10
	// retryAfter is what a client is told to wait, in seconds, where trying
	// again can help.
	retryAfter = 1
)

// A Problem is an error on the wire: RFC 9457, with cairn's code and hint.
type Problem struct {
	Type     string     `json:"type"`
	Title    string     `json:"title"`
	Status   int        `json:"status"`
	Detail   string     `json:"detail,omitempty"`
	Instance string     `json:"instance,omitempty"` // the request's ID
	Code     fault.Code `json:"code"`
	Hint     string     `json:"hint,omitempty"`
}

// NewProblem describes err. An internal error shows only the request's ID: its
// text is for the log.
func NewProblem(err error, requestID string) Problem {
	code := fault.Of(err)
	p := Problem{
		Type:     manifests.TypeBase + "problems/" + string(code),
		Title:    title(code),
		Status:   code.HTTPStatus(),
		Instance: requestID,
		Code:     code,
		Hint:     fault.Hint(err),
	}
	if code != fault.Internal {
		p.Detail = err.Error()
		if len(p.Detail) > maxDetail {
			p.Detail = p.Detail[:maxDetail] + "…"
		}
	}
	return p
}

func title(code fault.Code) string {
	switch code {
	case fault.Internal:
		return "Internal failure"
	case fault.Invalid:
		return "Invalid request"
	case fault.Unverified:
		return "Checked, and it does not hold"
	case fault.NotFound:
		return "Not found"
	case fault.Conflict:
		return "Conflict"
	case fault.Denied:
		return "Denied"
	case fault.Unauthenticated:
		return "Not authenticated"
	case fault.Gone:
		return "Gone"
	case fault.TooLarge:
		return "Too large"
	case fault.NoSpace:
		return "No space left"
	case fault.Busy:
		return "Busy"
	case fault.Pending:
		return "Pending"
	case fault.Interrupted:
		return "Interrupted"
	}
	return string(code)
}

// Write sends the problem as an answer.
func (p Problem) Write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", ProblemType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if p.Code.Retry() && h.Get("Retry-After") == "" {
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	w.WriteHeader(p.Status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.Encode(p)
}

// Err turns the problem back into an error of its code.
func (p Problem) Err() error {
	detail := p.Detail
	if detail == "" {
		detail = p.Title
	}
	if p.Code == fault.Internal && p.Instance != "" {
		detail += " (request " + fault.Printable(p.Instance) + ")"
	}
	err := fault.New(p.Code, "%s", detail)
	if p.Hint != "" {
		err = fault.WithHint(err, "%s", p.Hint)
	}
	return err
}

// ReadProblem returns the error that an answer with a status of 400 or above,
// or 202, carries. A body that is no problem document gives the code that the
// status stands for.
func ReadProblem(resp *http.Response) error {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	var p Problem
	if resp.Header.Get("Content-Type") == ProblemType && json.Unmarshal(b, &p) == nil && p.Code.Known() {
		return p.Err()
	}
	return fault.New(fault.FromHTTP(resp.StatusCode), "the server answers %s", resp.Status)
}
