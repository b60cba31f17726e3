package hub_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Sixteen large files come at once and become one commit: the server, its client
// and its databases together stay below 256 MiB.
func TestE2EUploadMemory(t *testing.T) {
	if os.Getenv("CAIRN_BIG") == "" {
		t.Skip("NOT RUN: uploads of 1 GiB (set CAIRN_BIG=1; the gate does)")
	}
	const files, size, limit = 16, 64 << 20, 256 << 20
	h := newHome(t, nil)
	id := owner("ada") + "/big"
	body := func(i int) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{byte(i)}), size) }
	var objects []map[string]any
	ops := []op{header("big"), inline("README.md", card)}
	for i := range files {
		d := sha256.New()
		io.Copy(d, body(i))
		oid := hex.EncodeToString(d.Sum(nil))
		objects = append(objects, map[string]any{"oid": oid, "size": size})
		ops = append(ops, op{"key": "lfsFile", "value": map[string]any{"path": fmt.Sprintf("f%02d", i), "algo": "sha256", "oid": oid, "size": size}})
	}
	var out struct{ Objects []batchObject }
	h.do("POST", "/datasets/"+id+".git/info/lfs/objects/batch", map[string]any{"operation": "upload", "objects": objects}, bearer(adaToken)...).into(t, &out)
	began := time.Now()
	var wg sync.WaitGroup
	for i, o := range out.Objects {
		wg.Add(1)
		go func() {
			defer wg.Done()
			req, err := http.NewRequest("PUT", o.Actions["upload"].Href, body(i))
			if err != nil {
				t.Error(err)
				return
			}
			req.ContentLength = size
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
			if res.StatusCode != 200 {
				t.Errorf("status %d", res.StatusCode)
			}
		}()
	}
	wg.Wait()
	sent := time.Since(began)
	h.committed(id, ops...)
	t.Logf("sent in %v, committed after %v", sent, time.Since(began))
	if peak := peakMemory(t); peak > limit {
		t.Errorf("the process took %d MiB", peak>>20)
	} else {
		t.Logf("peak %d MiB", peak>>20)
	}
	if d := h.newest("ada", "big"); d.Bytes != files*size+int64(len(card)) {
		t.Errorf("%d bytes", d.Bytes)
	}
}

// peakMemory is the largest resident size that the process had.
func peakMemory(t *testing.T) int64 {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Skipf("NOT RUN: %v", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Skip("NOT RUN: the system does not say how much memory a process took")
	return 0
}
