package hub

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/cairn-registry/cairn/manifests/unixfs"
)

// maxHashed is the largest file that is read to learn its git name, and how many
// bytes one answer reads for that: a few seconds. A larger file is named as git
// names it where large files are kept outside, by the blob of its LFS pointer.
const maxHashed = 1 << 30

// pointer is the LFS pointer file of a file.
func pointer(f *file) string {
	return fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", f.SHA256, f.Size)
}

// oidCost is how many bytes have to be read for the git name of a file.
func (h *Hub) oidCost(f *file) int64 {
	if f.virtual != nil || f.SWHID != "" || f.Size > maxHashed {
		return 0
	}
	if _, ok := h.oids.get(f.CID.KeyString()); ok {
		return 0
	}
	return f.Size
}

// oid returns the name of a file's bytes as a git blob: what the manifest says,
// else computed once and kept.
func (h *Hub) oid(ctx context.Context, f *file) (string, error) {
	if f.SWHID != "" {
		return strings.TrimPrefix(f.SWHID, "swh:1:cnt:"), nil
	}
	if f.Size > maxHashed {
		sum := gitBlob([]byte(pointer(f)))
		return hex.EncodeToString(sum[:]), nil
	}
	key := f.CID.KeyString()
	sum, ok := h.oids.get(key)
	if !ok {
		if err := h.hashing.Acquire(ctx, 1); err != nil {
			return "", context.Cause(ctx)
		}
		defer h.hashing.Release(1)
		d := sha1.New()
		fmt.Fprintf(d, "blob %d\x00", f.Size)
		err := unixfs.ReadFile(ctx, h.blocks, f.CID.Cid, func(p []byte) error {
			d.Write(p)
			return nil
		})
		if err != nil {
			return "", err
		}
		sum = [20]byte(d.Sum(nil))
		h.oids.put(key, sum)
	}
	return hex.EncodeToString(sum[:]), nil
}
