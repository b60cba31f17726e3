package ingest

// Matches holds one path against globs.
func Matches(globs []string, name string) (bool, error) {
	m, err := newMatcher(globs)
	return m.path(name), err
}
