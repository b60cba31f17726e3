//go:build !amd64 || purego

package twin

var fast = false

func blocks2(a, b *state, p, q *byte, n int) { panic("twin: no such instructions") }

func rollBlocks2(a, b *state, p, q *byte, n int, gear *[256]uint64, below, h uint64, hints *byte) uint64 {
	panic("twin: no such instructions")
}
