// Package auth finds out who sends a request, and says who may write. A caller
// is an identity: requests are signed as RFC 9421 has it, by the key that signs the
// statement, or carry a bearer token that the operator gave out. There are no
// passwords, no cookies and no accounts.
//
// Whatever is wrong with credentials, the answer is the same: one body, one
// status, one path through the code.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/httpsig"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/api"
)

// A Role says what a caller may do beyond what everybody may.
type Role string

// The roles. Each is its own; none contains another.
const (
	Contributor Role = "contributor" // sends data and statements
	Auditor     Role = "auditor"     // reads what was withdrawn
	Operator    Role = "operator"    // operates the registry
	// Reader is the role of tokens that the registry itself gives out, for reading
	// what a key may read. No token of a policy has it.
	Reader Role = "reader"
)

// A Mode says whose writes are taken.
type Mode string

// The modes. The zero Mode takes no writes at all.
const (
	Closed    Mode = ""
	Open      Mode = "open"      // any key that signs its requests
	Allowlist Mode = "allowlist" // the keys that the policy lists
	TokenOnly Mode = "token"     // holders of a token with the role contributor
)

// A Token is a bearer token as the operator keeps it: not the token, only its hash.
type Token struct {
	Name    string     // for people, logs and quotas; unique
	SHA256  string     // of the token's text, hex
	Role    Role       // contributor by default
	Key     sign.KeyID // the identity whose statements the holder may send; "" for any
	Expires time.Time  // zero: never
	// Custodial is the name of a key in the operator's key ring that signs for
	// the holder, "" for none.
	Custodial string
}

// A Policy is the operator's choice. Its zero value takes no writes.
type Policy struct {
	Write  Mode
	Allow  []sign.KeyID // identities, for the mode allowlist
	Tokens []Token      // good in every mode, each by its role; for reading also when closed
}

// Valid returns fault.Invalid for a policy that cannot be meant, with all that
// is wrong.
func (p Policy) Valid() error {
	var errs []error
	switch p.Write {
	case Closed, Open, Allowlist, TokenOnly:
	default:
		errs = append(errs, fault.New(fault.Invalid, "write is %s: open, allowlist, token, or nothing at all", fault.Quote(string(p.Write))))
	}
	for _, k := range p.Allow {
		if _, err := sign.ParseKeyID(string(k)); err != nil {
			errs = append(errs, err)
		}
	}
	names := make(map[string]bool)
	for _, t := range p.Tokens {
		if t.Name == "" || names[t.Name] {
			errs = append(errs, fault.New(fault.Invalid, "the name %s of a token is empty or taken", fault.Quote(t.Name)))
		}
		names[t.Name] = true
		if b, err := hex.DecodeString(t.SHA256); err != nil || len(b) != sha256.Size {
			errs = append(errs, fault.New(fault.Invalid, "token %s: sha256 is not 64 hex digits", fault.Quote(t.Name)))
		}
		switch t.Role {
		case "", Contributor, Auditor, Operator:
		default:
			errs = append(errs, fault.New(fault.Invalid, "token %s: there is no role %s", fault.Quote(t.Name), fault.Quote(string(t.Role))))
		}
		if t.Key != "" {
			if _, err := sign.ParseKeyID(string(t.Key)); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return fault.Join(errs...)
}

// A Caller is who sent a request.
type Caller struct {
	// Key is the identity whose key signed the request, or that the token is bound
	// to; "" for a free token.
	Key sign.KeyID
	// Signed is the key itself that signed the request; "" for a token.
	Signed sign.KeyID
	Role   Role
	Token  string // name of the token; "" when the request was signed
	// Custodial is the key-ring name of the custodial key that the token is bound
	// to, "" otherwise.
	Custodial string
}

type contextKey struct{}

// NewContext returns a context that says who called.
func NewContext(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// FromContext returns who sent the request of ctx; false for an anonymous one.
func FromContext(ctx context.Context) (Caller, bool) {
	c, ok := ctx.Value(contextKey{}).(Caller)
	return c, ok
}

// Options are the settings of an [Auth].
type Options struct {
	Policy Policy
	// URLs are the base URLs under which this server is reached, such as
	// https://registry.example: a signed request must be for one of them. Without
	// any, requests are good that name the address they came in on; behind a
	// proxy, or under a host name, URLs are needed.
	URLs []string
	// Issued finds a caller by the hash of a token that the policy does not list;
	// nil: there are no others.
	Issued func(sum [sha256.Size]byte) (Caller, bool)
	// Party returns the identity that a key belongs to, and whether the key signs for
	// it now. The credentials of one that was revoked or replaced do not hold, nor do
	// the tokens that were given out to it. An error is the answer. nil: each key is
	// its own identity's.
	Party func(key sign.KeyID) (identity sign.KeyID, signs bool, err error)
	// Live returns the same of an identity that the policy names, by its name or by a
	// key: whether any key signs for it. Tokens that are bound to one whose last key
	// was revoked do not hold. nil: every identity is.
	Live func(id sign.KeyID) (identity sign.KeyID, live bool, err error)
	Now  func() time.Time // default time.Now
	Log  *slog.Logger     // default: nothing is logged
}

// An Auth checks credentials. It is safe for concurrent use.
type Auth struct {
	policy Policy
	hashes [][]byte
	urls   []*url.URL
	issued func(sum [sha256.Size]byte) (Caller, bool)
	party  func(key sign.KeyID) (sign.KeyID, bool, error)
	live   func(id sign.KeyID) (sign.KeyID, bool, error)
	now    func() time.Time
	start  time.Time // whole seconds; what was signed before is refused
	log    *slog.Logger
	nonces nonces
}

// New returns an Auth. A policy that is not valid is fault.Invalid.
func New(o Options) (*Auth, error) {
	if err := o.Policy.Valid(); err != nil {
		return nil, err
	}
	a := &Auth{policy: o.Policy, issued: o.Issued, party: o.Party, live: o.Live, now: o.Now, log: o.Log}
	if a.now == nil {
		a.now = time.Now
	}
	itself := func(id sign.KeyID) (sign.KeyID, bool, error) { return id, true, nil }
	if a.party == nil {
		a.party = itself
	}
	if a.live == nil {
		a.live = itself
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if a.urls, err = parseURLs(o.URLs); err != nil {
		return nil, err
	}
	// A signature says the second that it was made in, so the one that we begin in
	// is over first.
	a.start = a.now().Add(time.Second - 1).Truncate(time.Second)
	for _, t := range o.Policy.Tokens {
		h, _ := hex.DecodeString(t.SHA256)
		a.hashes = append(a.hashes, h)
	}
	return a, nil
}

// Begins is when the Auth starts to take signatures: at most a second after it
// was made. What was signed before may have been used before.
func (a *Auth) Begins() time.Time { return a.start }

// errCredentials is the one answer to credentials that do not hold.
var errCredentials = fault.New(fault.Unauthenticated, "the credentials do not hold")

// Middleware finds out who sends a request, for [FromContext]. A request without
// credentials is anonymous and passes. Credentials that do not hold are answered
// 401, with the same body for every cause. Credentials that an outer Middleware
// has found good are not looked at again: a nonce counts once.
func (a *Auth) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := FromContext(r.Context()); ok {
			next.ServeHTTP(w, r)
			return
		}
		// A copy: the server looks at its own request's body when it answers early,
		// and must find the one that it knows.
		r = r.WithContext(r.Context())
		c, known, err := a.caller(r)
		if err != nil {
			var state *stateError
			if errors.Is(err, fault.Busy) || errors.As(err, &state) {
				api.Problem(w, r, a.log, err)
				return
			}
			a.log.InfoContext(r.Context(), "credentials refused", "cause", err)
			w.Header().Set("WWW-Authenticate", `Bearer realm="cairn"`)
			// By these words clients of the Hub tell a wrong token from a wrong name.
			w.Header().Set("X-Error-Message", "Invalid credentials in Authorization header")
			api.Problem(w, r, a.log, errCredentials)
			return
		}
		if known {
			r = r.WithContext(NewContext(r.Context(), c))
		}
		next.ServeHTTP(w, r)
	})
}

// caller checks the credentials of a request; false for none.
func (a *Auth) caller(r *http.Request) (Caller, bool, error) {
	if len(r.Header.Values(httpsig.FieldInput))+len(r.Header.Values(httpsig.FieldSignature)) > 0 {
		if r.Header.Get("Authorization") != "" {
			return Caller{}, false, fault.New(fault.Unauthenticated, "a signature and a token")
		}
		c, err := a.signed(r)
		if err == nil {
			c.Signed = c.Key
			c.Key, err = identity(c.Key, a.party)
		}
		return c, err == nil, err
	}
	if h := r.Header.Values("Authorization"); len(h) > 0 {
		scheme, token, _ := strings.Cut(h[0], " ")
		if len(h) > 1 || !strings.EqualFold(scheme, "Bearer") {
			return Caller{}, false, fault.New(fault.Unauthenticated, "not a single bearer token")
		}
		c, err := a.bearer(strings.TrimSpace(token))
		return c, err == nil, err
	}
	return Caller{}, false, nil
}

// bearer finds the token by its hash. All hashes are compared, whatever is found.
func (a *Auth) bearer(token string) (Caller, error) {
	sum := sha256.Sum256([]byte(token))
	found := -1
	for i, h := range a.hashes {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(h, sum[:]), i, found)
	}
	if found < 0 && a.issued != nil {
		if c, ok := a.issued(sum); ok {
			var err error
			c.Key, err = identity(c.Key, a.party)
			return c, err
		}
	}
	if found < 0 {
		return Caller{}, fault.New(fault.Unauthenticated, "an unknown token")
	}
	t := a.policy.Tokens[found]
	if !t.Expires.IsZero() && !a.now().Before(t.Expires) {
		return Caller{}, fault.New(fault.Unauthenticated, "the token %s has expired", fault.Quote(t.Name))
	}
	role := t.Role
	if role == "" {
		role = Contributor
	}
	c := Caller{Role: role, Token: t.Name, Custodial: t.Custodial}
	var err error
	if t.Key != "" {
		c.Key, err = identity(t.Key, a.live)
	}
	return c, err
}

// A stateError is that of Options.Party or Live: it says nothing about credentials.
type stateError struct{ error }

func (e *stateError) Unwrap() error { return e.error }

// identity returns whose a key is, as of tells it: fault.Unauthenticated for a key,
// or an identity, that is nobody any more.
func identity(key sign.KeyID, of func(sign.KeyID) (sign.KeyID, bool, error)) (sign.KeyID, error) {
	id, good, err := of(key)
	switch {
	case err != nil:
		return "", &stateError{err}
	case !good:
		return "", fault.New(fault.Unauthenticated, "%s was revoked or replaced", key)
	}
	return id, nil
}

// allowed reports whether the policy lists an identity, by its name or by a key.
func (a *Auth) allowed(id sign.KeyID) (bool, error) {
	if slices.Contains(a.policy.Allow, id) {
		return true, nil
	}
	for _, k := range a.policy.Allow {
		if of, _, err := a.live(k); of == id || err != nil {
			return err == nil, err
		}
	}
	return false, nil
}

// Writer returns who called if they may write: fault.Unauthenticated for an
// anonymous caller, fault.Denied for one whom the policy does not take.
func (a *Auth) Writer(ctx context.Context) (Caller, error) {
	if a.policy.Write == Closed {
		return Caller{}, fault.New(fault.Denied, "this registry takes no writes here")
	}
	c, ok := FromContext(ctx)
	if !ok {
		return Caller{}, fault.WithHint(fault.New(fault.Unauthenticated, "writing needs a signed request or a token"),
			"requests are signed as RFC 9421 has it, by the key that signs the statement")
	}
	may := false
	switch {
	case c.Token != "":
		may = c.Role == Contributor
	case a.policy.Write == Open:
		may = true
	case a.policy.Write == Allowlist:
		var err error
		if may, err = a.allowed(c.Key); err != nil {
			return Caller{}, err
		}
	}
	if !may {
		return Caller{}, fault.New(fault.Denied, "this caller may not write here")
	}
	return c, nil
}

// NewToken reads 256 bits from rand and returns a new bearer token with its
// hash, as [Token] keeps it. The token itself is shown once and stored nowhere.
func NewToken(rand io.Reader) (token, hash string, err error) {
	var b [32]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", "", fault.Mark(fault.Internal, err)
	}
	token = "cairn_" + base64.RawURLEncoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(token))
	return token, hex.EncodeToString(sum[:]), nil
}
