//go:build !amd64 || purego

package twin

var fast = false

func blocks2(a, b *state, p, q *byte, n int) { panic("twin: no such instructions") }
