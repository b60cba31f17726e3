package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/registry/index"
)

// probeName is the hidden command that reads an index whole.
const probeName = "probe-index"

// probeTime bounds a probe: reading the index of a million entries takes
// seconds.
const probeTime = 10 * time.Minute

// probeIndex reads an index in a child process: a damaged table may end the
// process that maps it, and then only that one. The child holds the other end
// of a pipe: when this process is killed it reads the end of it, and ends too,
// so that nobody finds the index locked.
func probeIndex(dir, origin string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, probeName, dir, origin)
	leash, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	defer leash.Close()
	out, err := cmd.CombinedOutput()
	if err != nil {
		const most = 500
		return fmt.Errorf("%w: %s", err, out[:min(len(out), most)])
	}
	return nil
}

func newProbe() *cobra.Command {
	return &cobra.Command{
		Use:    probeName + " DIR ORIGIN",
		Short:  "Read an index whole",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			go func() {
				io.Copy(io.Discard, c.InOrStdin())
				os.Exit(fault.Interrupted.ExitStatus()) // the parent is gone
			}()
			return index.Probe(c.Context(), args[0], args[1])
		},
	}
}
