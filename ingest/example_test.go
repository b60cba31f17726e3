package ingest_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/cairn-registry/cairn/ingest"
	"github.com/cairn-registry/cairn/ingest/blocks/remote"
	"github.com/cairn-registry/cairn/registry/client"
)

// A trainer resolves a name at a registry, fetches the data from two gateways at
// once, and reads what became of them. Which version is the newest is the
// registry's word; whoever wants proof verifies the bundle of the statement.
func Example_fetch() {
	servers := exampleGateways()
	defer func() {
		for _, s := range servers {
			s.Close()
		}
	}()
	ctx := context.Background()

	// client.New("https://registry.example", nil), in earnest.
	api := client.New(servers[0].URL, nil)
	res, err := api.Resolve(ctx, "ana/iris")
	if err != nil {
		log.Fatal(err)
	}

	src, err := remote.OpenSources([]remote.Source{
		{URL: servers[0].URL},
		{URL: servers[1].URL}, // with Bearer: "…" for gated data
	}, remote.SourcesOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer src.Close()

	dir, err := os.MkdirTemp("", "iris-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	r, err := ingest.Get(ctx, src, res.Root.Cid, filepath.Join(dir, "iris"), ingest.GetOptions{})
	if err != nil {
		log.Fatal(err) // errors.As(err, *remote.LieError) has the evidence of a lie
	}
	fmt.Printf("%d files, %d bytes\n", r.Files, r.Bytes)
	for _, s := range src.Reports() {
		if s.Lied {
			fmt.Println("a source lied")
		}
	}

	// Or as a stream for a loader of WebDataset shards, without a disk.
	if _, err := ingest.Tar(ctx, src, res.Root.Cid, os.Stderr, ingest.TarOptions{Match: []string{"*.jpg"}}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 2 files, 9 bytes
	// a source lied
}
