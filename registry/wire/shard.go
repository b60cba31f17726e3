package wire

import (
	"encoding/binary"

	"github.com/ipfs/go-cid"
)

// ShardHeader returns the bytes that every shard of an upload begins with: the
// header of a CARv1, with its length, whose one root is the upload's. The root
// need not be in the shard.
func ShardHeader(root cid.Cid) []byte {
	id := root.Bytes()
	h := []byte("\xa2\x65roots\x81\xd8\x2a")
	if n := len(id) + 1; n < 24 {
		h = append(h, 0x40|byte(n))
	} else {
		h = append(h, 0x58, byte(n)) // a CID here has 36 or 37 bytes
	}
	h = append(h, 0)
	h = append(h, id...)
	h = append(h, "\x67version\x01"...)
	return append(binary.AppendUvarint(nil, uint64(len(h))), h...)
}

// AppendSection appends the head of a section, before a block's n bytes.
func AppendSection(b []byte, c cid.Cid, n int) []byte {
	id := c.Bytes()
	return append(binary.AppendUvarint(b, uint64(len(id)+n)), id...)
}
