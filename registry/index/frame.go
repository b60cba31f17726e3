package index

import (
	"encoding/binary"
	"errors"

	"github.com/cespare/xxhash/v2"
)

// Every value stands in a frame: version, length of the payload (uint32
// big-endian), payload, and the XXH64 of key and all before it. The database
// answers a damaged table with wrong, empty or foreign bytes and no error; in
// the frame those become errors. The hash finds accidents, not forgeries: who
// can write the folder can write the frames too, and replay is what finds that.
const (
	frameVersion = 1
	frameHead    = 1 + 4
	frameTail    = 8
	frameSize    = frameHead + frameTail
)

var errFrame = errors.New("a value is not in its frame")

func seal(key, payload []byte) []byte {
	b := make([]byte, 0, frameSize+len(payload))
	b = append(b, frameVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	return binary.BigEndian.AppendUint64(b, frameSum(key, b))
}

// open returns the payload of a frame, a part of b.
func open(key, b []byte) ([]byte, error) {
	if len(b) < frameSize || b[0] != frameVersion ||
		uint64(binary.BigEndian.Uint32(b[1:])) != uint64(len(b)-frameSize) ||
		binary.BigEndian.Uint64(b[len(b)-frameTail:]) != frameSum(key, b[:len(b)-frameTail]) {
		return nil, errFrame
	}
	return b[frameHead : len(b)-frameTail], nil
}

func frameSum(key, b []byte) uint64 {
	var h xxhash.Digest
	h.Reset()
	h.Write(key)
	h.Write(b)
	return h.Sum64()
}
