package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/manifests/fault"
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
	f.StringVar(&w.mode, "write", "", "`who` may upload: open (any key), allowlist (--allow) or token (--tokens)")
	f.StringArrayVar(&w.allow, "allow", nil, "`did:key` that may write (repeatable)")
	f.StringVar(&w.tokens, "tokens", "", "JSON `file` with the hashes of bearer tokens, as \"cairn token\" prints them")
	f.StringArrayVar(&w.urls, "public-url", nil, "`URL` under which this server is reached, when not by its address (repeatable)")
}

// settings are the flags as settings of the config.
func (w *writeFlags) settings(c *cobra.Command) []config.Setting {
	var all []config.Setting
	for _, f := range []struct{ flag, key, value string }{
		{"write", "write.mode", w.mode},
		{"allow", "write.allow", strings.Join(w.allow, ",")},
		{"public-url", "write.urls", strings.Join(w.urls, ",")},
	} {
		if c.Flags().Changed(f.flag) {
			all = append(all, config.Setting{Key: f.key, Value: f.value})
		}
	}
	return all
}

// addTokens adds the tokens of --tokens to those of the config.
func (w *writeFlags) addTokens(c *config.Write) error {
	if c.Mode == "off" && len(w.allow) > 0 {
		return fault.New(fault.Invalid, "--allow needs --write")
	}
	if w.tokens == "" {
		return nil
	}
	list, err := readTokens(w.tokens)
	if err != nil {
		return err
	}
	for _, t := range list {
		c.Tokens = append(c.Tokens, config.Token(t))
	}
	return nil
}

// somebodyWrites refuses a server that says it takes uploads and can take none.
func somebodyWrites(c config.Write) error {
	switch {
	case len(c.Tokens) > 0:
	case c.Mode == "allowlist" && len(c.Allow) == 0:
		return fault.WithHint(fault.New(fault.Invalid, "write.mode is allowlist, and no key is on the list"), "--allow did:key:…, or write.allow in config.yaml")
	case c.Mode == "token":
		return fault.WithHint(fault.New(fault.Invalid, "write.mode is token, and there is no token"), `"cairn token NAME --tokens FILE" makes one; then --tokens FILE`)
	}
	return nil
}

// A tokenJSON is a token as the operator's file has it.
type tokenJSON struct {
	Name      string `json:"name"`
	SHA256    string `json:"sha256"`
	Role      string `json:"role,omitempty"`
	Key       string `json:"key,omitempty"`
	Expires   string `json:"expires,omitempty"` // RFC 3339
	Custodial string `json:"custodial,omitempty"`
}
