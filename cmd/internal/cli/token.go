package cli

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditing"
	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/auth"
)

func newToken(env *Env) *cobra.Command {
	var file, role, bound, custodial string
	var life time.Duration
	c := &cobra.Command{
		Use:   "token NAME --tokens FILE",
		Short: "Make a bearer token for somebody who writes here",
		Long: `token makes a bearer token, adds its hash to FILE, and prints the token: this
once, for it is stored nowhere. "cairn serve --tokens FILE" takes it. A running
server reads the file when it begins.`,
		Example: `  cairn token ana --tokens tokens.json --bound did:key:z6Mk… --life 720h`,
		Args:    exactly(1, "one NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			if file == "" {
				return fault.New(fault.Invalid, "where to? --tokens FILE is missing")
			}
			t := tokenJSON{Name: args[0], Role: role, Key: bound, Custodial: custodial}
			if life > 0 {
				t.Expires = env.Now().UTC().Add(life).Format(time.RFC3339)
			}
			return runToken(env, file, t)
		},
	}
	f := c.Flags()
	f.StringVar(&file, "tokens", "", "JSON `file` with the hashes of tokens; made when it is not there")
	f.StringVar(&role, "role", string(auth.Contributor), "`role`: contributor, auditor or operator")
	f.StringVar(&bound, "bound", "", "`did:key` whose statements the holder may send (default: any)")
	f.StringVar(&custodial, "custodial", "", "`name` of a key of this home that signs for the holder")
	f.DurationVar(&life, "life", 0, "how long the token is good, such as 720h (default: for ever)")
	return c
}

func runToken(env *Env, file string, t tokenJSON) error {
	list, err := readTokens(file)
	if err != nil && !errors.Is(err, fault.NotFound) {
		return err
	}
	token, hash, err := auth.NewToken(rand.Reader)
	if err != nil {
		return err
	}
	t.SHA256 = hash
	list = append(list, t)
	w := config.Write{Mode: "off"}
	for _, t := range list {
		w.Tokens = append(w.Tokens, config.Token(t))
	}
	if _, err := daemon.Policy(w); err != nil {
		return err
	}
	b, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return fault.Mark(fault.Internal, err)
	}
	if err := durable.WriteFile(file, append(b, '\n'), 0o600); err != nil {
		return err
	}
	out := struct {
		Token string `json:"token"`
		tokenJSON
	}{token, t}
	return env.print(out, func(w io.Writer) { fmt.Fprintln(w, token) })
}

// readTokens reads a file of tokens: fault.NotFound when it is not there.
func readTokens(file string) ([]tokenJSON, error) {
	b, err := auditing.ReadBounded(file, maxTokens)
	if err != nil {
		return nil, fmt.Errorf("--tokens: %w", err)
	}
	var list []tokenJSON
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fault.New(fault.Invalid, "--tokens %s: %w", file, err)
	}
	return list, nil
}
