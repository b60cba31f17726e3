package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/auth"
)

// maxTokens bounds the file with the tokens' hashes.
const maxTokens = 1 << 20

// writeFlags say who may write over TCP.
type writeFlags struct {
	mode   string
	allow  []string
	urls   []string
	tokens string
}

func (w *writeFlags) register(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&w.mode, "write", "", "take uploads from strangers: open (any key), allowlist (--allow) or token (--tokens)")
	f.StringArrayVar(&w.allow, "allow", nil, "`did:key` that may write (repeatable)")
	f.StringVar(&w.tokens, "tokens", "", "JSON `file` with the hashes of bearer tokens, which \"cairn token\" makes")
	f.StringArrayVar(&w.urls, "public-url", nil, "`URL` under which this server is reached, when not by its address (repeatable)")
}

// writes returns what the flags say; nil when nobody may write.
func (w *writeFlags) writes() (*daemon.Writes, error) {
	if w.mode == "" {
		if len(w.allow) > 0 || w.tokens != "" {
			return nil, fault.New(fault.Invalid, "--allow and --tokens need --write")
		}
		return nil, nil
	}
	out := &daemon.Writes{Policy: auth.Policy{Write: auth.Mode(w.mode)}, URLs: w.urls}
	for _, a := range w.allow {
		out.Policy.Allow = append(out.Policy.Allow, sign.KeyID(a))
	}
	if w.tokens != "" {
		list, err := readTokens(w.tokens)
		if err != nil {
			return nil, err
		}
		for _, t := range list {
			out.Policy.Tokens = append(out.Policy.Tokens, t.token())
		}
	}
	return out, out.Policy.Valid()
}

// A tokenJSON is a token as the operator's file has it.
type tokenJSON struct {
	Name      string     `json:"name"`
	SHA256    string     `json:"sha256"`
	Role      auth.Role  `json:"role,omitempty"`
	Key       sign.KeyID `json:"key,omitempty"`
	Expires   time.Time  `json:"expires,omitzero"`
	Custodial string     `json:"custodial,omitempty"`
}

func (t tokenJSON) token() auth.Token {
	return auth.Token{Name: t.Name, SHA256: t.SHA256, Role: t.Role, Key: t.Key, Expires: t.Expires, Custodial: t.Custodial}
}
