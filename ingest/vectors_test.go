package ingest_test

import (
	"os"
	"testing"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/dag"
	"github.com/cairn-registry/cairn/ingest/ingesttest"
)

// TestIPIP499 adds every published vector of both profiles. The largest take
// gigabytes and run when CAIRN_BIG is set, as the gate does.
func TestIPIP499(t *testing.T) {
	for _, v := range ingesttest.Vectors() {
		t.Run(v.Profile+"/"+v.Name, func(t *testing.T) {
			if v.Big && os.Getenv("CAIRN_BIG") == "" {
				t.Skip("NOT RUN: a vector of a gigabyte (set CAIRN_BIG=1; the gate does)")
			}
			profile, err := dag.ParseProfile(v.Profile)
			if err != nil {
				t.Fatal(err)
			}
			r, err := ingest.Add(t.Context(), v.Make(t), nil, ingest.AddOptions{Profile: profile})
			if err != nil {
				t.Fatal(err)
			}
			if r.Root.String() != v.CID {
				t.Errorf("%s, want %s", r.Root, v.CID)
			}
		})
	}
}
