//go:build !purego

package twin

import (
	"crypto/fips140"

	"golang.org/x/sys/cpu"
)

// A process that asks for the certified module gets no other code.
var fast = hasSHA() && cpu.X86.HasAVX && cpu.X86.HasSSSE3 && cpu.X86.HasSSE41 && !fips140.Enabled()

// hasSHA reports whether the processor has the SHA extensions.
func hasSHA() bool

// blocks2 takes n blocks at p into a, and n at q into b. n must not be 0.
//
//go:noescape
func blocks2(a, b *state, p, q *byte, n int)

// rollBlocks2 is blocks2, and beside it takes the bytes at p into the gear hash
// h, one by one: h<<1 + gear[byte]. It returns the last hash, and sets hints[i] to
// 1 if one of the 64 hashes of block i is below a limit, else to 0.
//
//go:noescape
func rollBlocks2(a, b *state, p, q *byte, n int, gear *[256]uint64, below, h uint64, hints *byte) uint64
