package node_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cairn-registry/cairn/ingest/node"
	"github.com/cairn-registry/cairn/manifests/toolstest"
	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// TestForeignHelia lets Helia, an implementation by others, fetch a file by bitswap.
func TestForeignHelia(t *testing.T) {
	program, tools := toolstest.Node(t, "@helia/bitswap")
	_, store, root := dataset(t, 5<<20)
	server := start(t, node.Options{Listen: []string{loopback}, Blocks: store})
	file, err := unixfs.Resolve(t.Context(), store, root, "large.bin")
	if err != nil {
		t.Fatal(err)
	}
	want := sha256.New()
	if err := unixfs.ReadFile(t.Context(), store, file.CID, func(b []byte) error { want.Write(b); return nil }); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "testdata/bitswap.mjs", server.Addrs()[0], file.CID.String())
	cmd.Env = append(os.Environ(), "CAIRN_TOOLS="+tools)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(string(out)), fmt.Sprintf("%x %d", want.Sum(nil), 5<<20); got != want {
		t.Errorf("Helia read %s, want %s", got, want)
	}
}
