package main

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestE2EPeers moves 100 MiB by bitswap between two processes.
func TestE2EPeers(t *testing.T) {
	big(t, "100 MiB between two processes by bitswap")
	server, client := newPerson(t), newPerson(t)
	data := filepath.Join(t.TempDir(), "data")
	if err := os.MkdirAll(data, 0o777); err != nil {
		t.Fatal(err)
	}
	keystream(t, filepath.Join(data, "large.bin"), 100<<20, "peers")
	root := server.run("add", "--name", "set", "--license", "CC0-1.0", data)

	cmd := server.command("serve", "--listen", "127.0.0.1:0", "--p2p", "--p2p-listen", "/ip4/127.0.0.1/tcp/0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(40*time.Second, func() { cmd.Process.Kill() })
		defer timer.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve ended with %v\n%s", err, log.String())
		}
	})
	peer := ""
	for lines := bufio.NewScanner(out); peer == "" && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "/ip4/127.0.0.1/") {
			peer = lines.Text()
		}
	}
	if peer == "" {
		t.Fatalf("no address for peers was printed\n%s", log.String())
	}
	got := filepath.Join(t.TempDir(), "got")
	client.run("get", root, "--p2p", "--peer", peer, "-o", got)
	if err := sameTree(data, got); err != nil {
		t.Error(err)
	}
}
