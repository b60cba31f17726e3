package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/client"
	"github.com/cairn-registry/cairn/registry/wire"
)

// accessTries is how often what a signed request asks is asked, a second apart.
const accessTries = 3

func newAccess(env *Env) *cobra.Command {
	var url, file string
	c := &cobra.Command{
		Use:   "access --registry URL",
		Short: "Get a token for gated data whose terms you accepted",
		Long: `access asks the registry at URL for a token, by a request that your key signs, and
prints it. Shown as a bearer token ("cairn get --bearer-file", or any client of
IPFS gateways and of the Hugging Face Hub), it opens the data of all terms that
your key has accepted there, or that it may fetch for somebody who has. It is good
for a day at most, for reading alone, and stored nowhere but in the -o file.`,
		Example: `  cairn accept ana/interviews --registry https://registry.example
  cairn access --registry https://registry.example -o registry.token
  cairn get ana/interviews --from https://registry.example --bearer-file registry.token -o interviews`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			if url == "" {
				return fault.New(fault.Invalid, "at which registry? --registry URL is missing")
			}
			signer, err := env.mine()
			if err != nil {
				return err
			}
			api, err := env.signed(url, signer)
			if err != nil {
				return err
			}
			if err := knows(c.Context(), signer, url); err != nil {
				return err
			}
			out, err := access(c.Context(), api)
			if err != nil {
				return err
			}
			env.note("good until %s, for the data of %d terms", out.ExpiresAt, len(out.Terms))
			if file == "" || file == "-" {
				return env.print(out, func(w io.Writer) { fmt.Fprintln(w, out.Token) })
			}
			if err := durable.WriteFile(file, []byte(out.Token+"\n"), 0o600); err != nil {
				return err
			}
			out.Token = "" // in the file
			return env.print(out, func(w io.Writer) { fmt.Fprintln(w, file) })
		},
	}
	c.Flags().StringVar(&url, "registry", "", "`URL` of the registry")
	c.Flags().StringVarP(&file, "output", "o", "", "write the token to this `file`, which only you may read")
	return c
}

// access gets a token.
func access(ctx context.Context, api *client.Client) (*wire.Access, error) {
	return again(ctx, api.Access)
}

// again asks what a signed request asks, a few times: a registry that has just begun
// takes no signature of the second that it began in.
func again[T any](ctx context.Context, ask func(context.Context) (T, error)) (out T, err error) {
	for try := 1; ; try++ {
		out, err = ask(ctx)
		if fault.Of(err) != fault.Unauthenticated || try == accessTries {
			return out, err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return out, context.Cause(ctx)
		}
	}
}

// signed returns a client of the registry at url whose requests are signed.
func (env *Env) signed(url string, signer sign.Signer) (*client.Client, error) {
	if err := validURL("--registry", url); err != nil {
		return nil, err
	}
	return client.New(url, client.Signed(http.DefaultTransport.(*http.Transport).Clone(), signer, env.Now)), nil
}
