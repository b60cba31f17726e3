package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/keyring"
)

func newKey(env *Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Make, list, rotate, export and revoke the keys that sign",
		Long: `Keys live in the home's keys/ folder, readable by their owner alone. A key is
named locally; to everyone else it is its did:key. The key named "default" signs
unless --key says otherwise. The did:key of your first key names your identity, for
ever; "cairn key rotate" lets another key sign for it.`,
	}
	group(c)
	c.AddCommand(newKeyNew(env), newKeyList(env), newKeyShow(env), newKeyExport(env), newKeyRotate(env), newKeyTake(env), newKeyHistory(env), newKeyRevoke(env))
	return c
}

func newKeyNew(env *Env) *cobra.Command {
	var alg string
	var locked bool
	c := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a key",
		Long: `new makes a key and prints its did:key. With --passphrase its file is encrypted
with age; the passphrase is asked for, or taken from CAIRN_PASSPHRASE.`,
		Example: `  cairn key new ana --passphrase
  cairn key new build-server --type p256`,
		Args: exactly(1, "one NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			ring, _, err := env.keys()
			if err != nil {
				return err
			}
			var ask func() ([]byte, error)
			if locked {
				ask = env.passphrase(args[0], true)
			}
			e, err := ring.Create(args[0], keyring.Algorithm(alg), ask)
			if err != nil {
				return err
			}
			return env.print(e, func(w io.Writer) { fmt.Fprintln(w, e.ID) })
		},
	}
	c.Flags().StringVar(&alg, "type", string(keyring.Ed25519), "`kind` of key: ed25519 or p256")
	c.Flags().BoolVar(&locked, "passphrase", false, "encrypt the key's file with a passphrase")
	return c
}

func newKeyList(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the keys",
		Example: "  cairn key list --json",
		Args:    exactly(0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			ring, _, err := env.keys()
			if err != nil {
				return err
			}
			keys, err := ring.List()
			if err != nil {
				return err
			}
			if keys == nil {
				keys = []keyring.Entry{}
			}
			return env.print(keys, func(w io.Writer) {
				for _, k := range keys {
					fmt.Fprintf(w, "%-16s %s%s%s\n", k.Name, k.ID, encryptedMark(k), identityMark(k))
				}
			})
		},
	}
}

func encryptedMark(k keyring.Entry) string {
	if k.Encrypted {
		return "  (encrypted)"
	}
	return ""
}

func identityMark(k keyring.Entry) string {
	if k.Identity != "" {
		return "  signs for " + string(k.Identity)
	}
	return ""
}

func newKeyShow(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "show [NAME]",
		Short:   "Print a key's did:key",
		Example: "  cairn key show ana",
		Args:    atMost(1, "at most one NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			ring, cfg, err := env.keys()
			if err != nil {
				return err
			}
			name := env.keyName(cfg)
			if len(args) == 1 {
				name = args[0]
			}
			k, err := ring.Show(name)
			if err != nil {
				return err
			}
			return env.print(k, func(w io.Writer) { fmt.Fprintln(w, k.ID) })
		},
	}
}

func newKeyExport(env *Env) *cobra.Command {
	var private bool
	c := &cobra.Command{
		Use:   "export NAME",
		Short: "Print a key as PEM, for other tools",
		Long: `export prints the public half as PKIX PEM, which cosign and openssl read. With
--private it prints the private half, decrypted, as PKCS#8 PEM: whoever reads it
can sign in your name.`,
		Example: "  cairn key export default > default.pub.pem",
		Args:    exactly(1, "one NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			ring, _, err := env.keys()
			if err != nil {
				return err
			}
			export := ring.Public
			if private {
				export = ring.Private
			}
			b, err := export(args[0], env.passphrase(args[0], false))
			if err != nil {
				return err
			}
			out := struct {
				Name string `json:"name"`
				PEM  string `json:"pem"`
			}{args[0], string(b)}
			return env.print(out, func(w io.Writer) { w.Write(b) })
		},
	}
	c.Flags().BoolVar(&private, "private", false, "print the private half")
	return c
}
