package tlscert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"golang.org/x/net/idna"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// ACMEOptions are what an authority is asked for.
type ACMEOptions struct {
	// Domains are the names that get certificates, at least one. A handshake for
	// any other name is refused, and the authority never hears of it.
	Domains []string
	// Email is where the authority writes. It may be empty.
	Email string
	// Directory is the URL of the authority's directory; empty: Let's Encrypt.
	Directory string
	// Cache is the folder of the account and the certificates, with private keys.
	Cache string
	// Roots are the authorities that may vouch for the directory's own
	// certificate; nil: those of the system.
	Roots *x509.CertPool
	// Port is the one that the server listens on, where the authority's question
	// arrives: as port 443, seen from outside.
	Port int
	// Log is told what becomes of certificates. Nil: nothing.
	Log *slog.Logger
}

// ACME returns a configuration that gets certificates by the TLS-ALPN challenge
// (RFC 8737) when a handshake first asks for one of the names, and renews them.
// Before the first handshake nothing is contacted and nothing written. stop
// ends the renewals. Options that cannot work are fault.Invalid.
//
// Who calls ACME has accepted the authority's terms of service.
func ACME(o ACMEOptions) (cfg *tls.Config, stop func(), err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Directory == "" {
		o.Directory = certmagic.LetsEncryptProductionCA
	}
	u, err := url.Parse(o.Directory)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, nil, fault.New(fault.Invalid, "the ACME directory is %s, not an https URL", fault.Quote(o.Directory))
	}
	var names []string
	for _, d := range o.Domains {
		name, err := idna.Lookup.ToASCII(strings.TrimSuffix(d, "."))
		if err != nil || !certmagic.SubjectQualifiesForPublicCert(name) || strings.Contains(name, "*") {
			return nil, nil, fault.WithHint(fault.New(fault.Invalid, "%s is no name that an ACME authority certifies", fault.Quote(d)),
				"a public DNS name without *, such as registry.example.org")
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, nil, fault.New(fault.Invalid, "ACME needs the names to get certificates for")
	}

	quiet := zap.NewNop() // what matters comes by OnEvent
	var magic *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return magic, nil },
		Logger:           quiet,
	})
	magic = certmagic.New(cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: o.Cache},
		Logger:  quiet,
		OnEvent: func(ctx context.Context, event string, data map[string]any) error {
			report(ctx, o.Log, event, data)
			return nil
		},
		OnDemand: &certmagic.OnDemandConfig{DecisionFunc: func(_ context.Context, name string) error {
			if !slices.Contains(names, name) {
				return fault.New(fault.Denied, "%s is not among the names of this server", fault.Quote(name))
			}
			return nil
		}},
	})
	magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(magic, certmagic.ACMEIssuer{
		CA:                   o.Directory,
		Email:                o.Email,
		Agreed:               true,
		TrustedRoots:         o.Roots,
		DisableHTTPChallenge: true,
		AltTLSALPNPort:       o.Port,
		Logger:               quiet,
	})}
	cfg = magic.TLSConfig()
	cfg.MinVersion = minVersion
	// Without this list net/http would take the challenge's protocol for all there is.
	cfg.NextProtos = append([]string{"h2", "http/1.1"}, cfg.NextProtos...)
	return cfg, cache.Stop, nil
}

// report logs the events that an operator wants to know of.
func report(ctx context.Context, log *slog.Logger, event string, data map[string]any) {
	name, _ := data["identifier"].(string)
	switch event {
	case "cert_obtained":
		log.InfoContext(ctx, "certificate obtained", "name", fault.Printable(name))
	case "cert_failed":
		log.ErrorContext(ctx, "no certificate", "name", fault.Printable(name), "error", data["error"])
	}
}
