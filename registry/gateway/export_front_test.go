package gateway

import (
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Front puts the front for strangers before a mux, as Public does, for tests
// that need no registry behind it. dropped returns a counter's value by scope.
func Front(o FrontOptions, mux *http.ServeMux, log *slog.Logger) (h http.Handler, metrics *prometheus.Registry, err error) {
	metrics = prometheus.NewRegistry()
	f, err := newFront(o, newInstruments(metrics), log)
	if err != nil {
		return nil, nil, err
	}
	return f.wrap("public", nowhere{}, mux, true), metrics, nil
}

// Patterns returns the patterns that the owner's face has registered, and what
// the public one has, as the muxes hold them. It is called after TakeWrites.
func (g *Gateway) Patterns() (private, public []string) {
	mux := g.mux()
	strangers := g.mux()
	if g.access != nil {
		g.access.Register(strangers)
	}
	if g.fetches != nil {
		g.fetches.Register(strangers)
	}
	if g.writes != nil {
		g.writes.Register(strangers)
	}
	public = patterns(strangers)
	g.api.RegisterPrivate(mux, g.store)
	return patterns(mux), public
}

// patterns digs the patterns out of a mux: there is no other way to them, and a
// list of our own would be one more that can be wrong.
func patterns(mux *http.ServeMux) []string {
	found := make(map[string]bool)
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface:
			if v.Type() == reflect.TypeFor[http.Handler]() || v.IsNil() {
				return
			}
			if v.Kind() == reflect.Pointer && v.Type().Elem().Name() == "pattern" {
				found[v.Elem().FieldByName("str").String()] = true
				return
			}
			walk(v.Elem())
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			for i := v.MapRange(); i.Next(); {
				walk(i.Value())
			}
		}
	}
	walk(reflect.ValueOf(mux).Elem())
	return slices.Sorted(maps.Keys(found))
}
