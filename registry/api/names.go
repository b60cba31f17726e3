package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/cairn-registry/cairn/manifests"
	"github.com/cairn-registry/cairn/registry/index"
)

// A dataset's names are URLs of its data as well. /v1/datasets/ana/iris is JSON,
// and so is one version of it, /v1/datasets/ana/iris/1.0.0 or …/iris@1.0.0. With
// a path behind it, which may be the empty one, it leads to the data: …/iris/
// and …/iris/a.csv to those of the newest version, …/iris@1.0.0/a.csv to those
// of that one. A file at the top whose name is a version needs the second form.

// named returns the dataset that a path names, as NAME or NAME@VERSION.
func (a *API) named(r *http.Request) (d index.Dataset, size uint64, err error) {
	name, version, fixed := strings.Cut(r.PathValue("name"), "@")
	err = a.reg.View(func(s *index.Snapshot) error {
		size = s.Applied()
		id, err := s.Who(r.PathValue("publisher"))
		if err != nil {
			return err
		}
		if fixed {
			d, err = s.ByVersion(id, name, version)
		} else {
			d, err = s.ByName(id, name)
		}
		return err
	})
	return d, size, err
}

// dataOf redirects to the data of a dataset, at the path behind its name. What
// the newest version is changes, and so may what is served: nobody shall keep
// the answer.
func (a *API) dataOf(w http.ResponseWriter, r *http.Request) { a.lead(w, r, r.PathValue("path")) }

func (a *API) lead(w http.ResponseWriter, r *http.Request, path string) {
	d, _, err := a.named(r)
	if err != nil {
		Problem(w, r, a.log, err)
		return
	}
	to := url.URL{Path: "/ipfs/" + d.Root.String() + "/" + path, RawQuery: r.URL.RawQuery}
	h := w.Header()
	h.Set("Location", to.String())
	h.Set("Cache-Control", fresh)
	h.Add("Link", "</v1/statements/"+d.Statement.String()+`>; rel="describedby"; type="application/json"`)
	h.Set("Content-Length", "0")
	w.WriteHeader(http.StatusFound)
}

// versionOrData answers for one segment behind a name.
func (a *API) versionOrData(w http.ResponseWriter, r *http.Request) {
	last := r.PathValue("version")
	if strings.Contains(r.PathValue("name"), "@") || manifests.ValidVersion(last) != nil {
		a.lead(w, r, last)
		return
	}
	v, err := a.datasetVersion(r)
	if err != nil {
		Problem(w, r, a.log, err)
		return
	}
	a.send(w, r, v)
}
