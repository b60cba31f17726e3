package client_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/client"
)

// A registry that does not answer may answer later; a certificate that is not
// trusted stays so, and the answer says what to do.
func TestUnreachable(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	_, err := client.New(s.URL, &http.Transport{}).Status(t.Context())
	if !errors.Is(err, fault.Internal) || fault.Hint(err) == "" {
		t.Errorf("a certificate nobody knows: %v (%s), hint %q", err, fault.Of(err), fault.Hint(err))
	}
	s.Close()
	if _, err := client.New(s.URL, nil).Status(t.Context()); !errors.Is(err, fault.Busy) {
		t.Errorf("nobody listens: %v (%s)", err, fault.Of(err))
	}
}
