package tlscert

import (
	"testing"
	"time"
)

// SetCheckEvery changes how often files are looked at, until the test ends.
func SetCheckEvery(t *testing.T, d time.Duration) {
	before := checkEvery
	checkEvery = d
	t.Cleanup(func() { checkEvery = before })
}
