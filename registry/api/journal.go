package api

import (
	"io"
	"net/http"

	"github.com/cairn-registry/cairn/manifests/credit"
	"github.com/cairn-registry/cairn/manifests/credit/journal"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/ledger"
)

// journal answers with the books of a currency, over all closed periods, as text
// for a program that checks them: GET /v1/credit/journal/{currency}?format=….
// It is for the owner of the home, because it takes the memory of all postings.
func (a *API) journal(w http.ResponseWriter, r *http.Request) {
	var write func(*journal.Journal, io.Writer) error
	switch format := r.URL.Query().Get("format"); format {
	case "hledger":
		write = (*journal.Journal).WriteHledger
	case "beancount":
		write = (*journal.Journal).WriteBeancount
	case "ledger":
		write = (*journal.Journal).WriteLedger
	default:
		Problem(w, r, a.log, fault.New(fault.Invalid, "format is %s, not hledger, beancount or ledger", fault.Quote(format)))
		return
	}
	j, err := a.entries(r)
	if err != nil {
		Problem(w, r, a.log, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", fresh)
	out := &started{w: w}
	if err := write(j, out); err != nil {
		if out.begun {
			panic(http.ErrAbortHandler) // cut off, so that nobody takes it for whole
		}
		Problem(w, r, a.log, err)
	}
}

// started notes whether an answer has begun.
type started struct {
	w     io.Writer
	begun bool
}

func (s *started) Write(p []byte) (int, error) {
	s.begun = true
	return s.w.Write(p)
}

func (a *API) entries(r *http.Request) (*journal.Journal, error) {
	var entries []credit.Entry
	postings := 0
	err := a.reg.Credit(r.Context(), func(v *ledger.View, _ uint64) error {
		code := r.PathValue("currency")
		if _, err := v.Currency(code); err != nil {
			return err
		}
		if v.Open() == v.First() {
			return fault.New(fault.NotFound, "no period is closed yet: %s is open", v.Open())
		}
		runner, err := v.Runner(code)
		if err != nil {
			return err
		}
		for p := v.First(); p < v.Open(); p++ {
			run, err := runner.Next()
			if err != nil {
				return err
			}
			for e := range run.Entries() {
				if postings += len(e.Postings); postings > journal.MaxPostings {
					return fault.New(fault.TooLarge, "the journal has more than %d postings", journal.MaxPostings)
				}
				entries = append(entries, e)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return journal.New(entries)
}
