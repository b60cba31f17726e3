package twin

// Slow turns to crypto/sha256 alone, until back is called.
func Slow() (back func()) {
	was := fast
	fast = false
	return func() { fast = was }
}
