package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cairn-registry/cairn/cmd/internal/auditcli"
	"github.com/cairn-registry/cairn/cmd/internal/demo"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func newDemo(env *Env) *cobra.Command {
	var keep string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole main job on a small real dataset, explained",
		Long: `demo registers a small public-domain dataset that ships with cairn, serves it,
fetches it back as a stranger, audits it, and shows that damage is found. It
runs the real commands in a temporary folder, which is removed at the end.`,
		Example: `  cairn demo
  cairn demo --keep ./demo     # leave the homes there to look at`,
		Args: exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return runDemonstration(c.Context(), env, keep, (*demonstration).run)
		},
	}
	c.AddCommand(newDemoCredit(env))
	c.Flags().StringVar(&keep, "keep", "", "new `folder` to work in and to keep")
	return c
}

// runDemonstration runs a demo in a temporary folder, or in the new one to keep.
func runDemonstration(ctx context.Context, env *Env, keep string, run func(*demonstration, context.Context) error) (err error) {
	dir := keep
	if keep == "" {
		if dir, err = os.MkdirTemp("", "cairn-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	} else if err := os.Mkdir(dir, 0o755); err != nil {
		return fault.WithHint(err, "--keep makes a new folder")
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	d := &demonstration{env: env, dir: dir, start: time.Now()}
	if err := run(d, ctx); err != nil {
		return fmt.Errorf("the demo stopped: %w", err)
	}
	return nil
}

// A demonstration runs commands in this process as a person would type them.
type demonstration struct {
	env   *Env
	dir   string
	start time.Time
	out   string // what the last command printed
	brief *strings.Replacer
}

// say explains what comes next.
func (d *demonstration) say(text string) { fmt.Fprintf(d.env.Stdout, "\n# %s\n", text) }

// command runs a command line in a home and prints both, paths shortened.
func (d *demonstration) command(ctx context.Context, home string, want int, line ...string) error {
	shown := make([]string, len(line))
	for i, arg := range line {
		if shown[i] = arg; strings.ContainsAny(arg, " <>;") {
			shown[i] = "'" + arg + "'"
		}
	}
	fmt.Fprintf(d.env.Stdout, "$ %s\n", d.short(strings.Join(shown, " ")))
	var stdout, stderr bytes.Buffer
	getenv := func(k string) string {
		if k == "CAIRN_HOME" {
			return filepath.Join(d.dir, home)
		}
		return ""
	}
	status := 0
	if line[0] == "cairn-audit" {
		status = auditcli.Run(ctx, &auditcli.Env{Stdout: &stdout, Stderr: &stderr, Getenv: getenv}, line[1:])
	} else {
		env := &Env{Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr, Getenv: getenv, Now: d.env.Now}
		status = Run(ctx, env, line[1:])
	}
	d.out = strings.TrimSpace(stdout.String())
	d.print(stdout.String() + stderr.String())
	if status != want {
		return fault.New(fault.Internal, "%s ended with status %d, not %d", line[0], status, want)
	}
	if want != 0 {
		fmt.Fprintf(d.env.Stdout, "  (exit status %d)\n", status)
	}
	return nil
}

// short leaves out what is long and says nothing: the folder, most of a key.
func (d *demonstration) short(s string) string {
	s = strings.ReplaceAll(s, d.dir+"/", "")
	if d.brief != nil {
		s = d.brief.Replace(s)
	}
	return s
}

// print shows output, indented and not too long.
func (d *demonstration) print(text string) {
	if text == "" {
		return
	}
	const most = 36
	lines := strings.Split(strings.TrimRight(d.short(text), "\n"), "\n")
	for i, l := range lines {
		if i == most {
			fmt.Fprintf(d.env.Stdout, "  … %d more lines\n", len(lines)-most)
			return
		}
		fmt.Fprintf(d.env.Stdout, "  %s\n", strings.TrimRight(l, " "))
	}
}

func (d *demonstration) path(name string) string { return filepath.Join(d.dir, name) }

func (d *demonstration) run(ctx context.Context) error {
	if err := demo.Write(d.path(demo.Name)); err != nil {
		return err
	}
	d.say("The dataset: daily and hourly weather of Seattle, by NOAA, in the public domain.")
	fmt.Fprintf(d.env.Stdout, "$ ls %s\n", demo.Name)
	names, err := os.ReadDir(d.path(demo.Name))
	if err != nil {
		return err
	}
	for _, n := range names {
		info, err := n.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(d.env.Stdout, "  %-24s %7d bytes\n", n.Name(), info.Size())
	}

	d.say("A contributor registers it: one command. It chunks and hashes the files, makes a\n# key and a log because there is none yet, signs a statement, and logs it. What it\n# prints is the data's address, the same that any IPFS tool computes.")
	if err := d.command(ctx, "contributor", 0, "cairn", "add", d.path(demo.Name), "--name", demo.Name, "--license", demo.License,
		"--title", "Seattle weather", "--from", "https://www.ncei.noaa.gov/", "--relation", "collectedFrom"); err != nil {
		return err
	}
	root := d.out
	d.say("The log's key. Whoever wants to check needs it from somebody they believe.")
	if err := d.command(ctx, "contributor", 0, "cairn", "log", "key"); err != nil {
		return err
	}
	if err := os.WriteFile(d.path("log.vkey"), []byte(d.out+"\n"), 0o644); err != nil {
		return err
	}
	d.say("What was recorded: who, what, on which terms, from what.")
	if err := d.command(ctx, "contributor", 0, "cairn", "show", demo.Name); err != nil {
		return err
	}
	if err := d.served(ctx, root); err != nil {
		return err
	}
	d.say("A proof to keep. It is checked offline, by another program that links no database.")
	if err := d.command(ctx, "contributor", 0, "cairn", "receipt", demo.Name, "-o", d.path("weather.cairn.json")); err != nil {
		return err
	}
	if err := d.command(ctx, "stranger", 0, "cairn-audit", "bundle", d.path("weather.cairn.json"), "--policy", d.path("log.vkey")); err != nil {
		return err
	}
	if err := d.borrowed(ctx); err != nil {
		return err
	}
	if err := d.damage(ctx); err != nil {
		return err
	}
	fmt.Fprintf(d.env.Stdout, `
# Done in %.1f s. To go on with your own data:
    go install ./cmd/cairn ./cmd/cairn-audit
    cairn add ./my-data --name my-data --license CC-BY-4.0
    cairn serve --listen 127.0.0.1:8411
    cairn help
`, time.Since(d.start).Seconds())
	return nil
}

// served is the part during which a server runs.
func (d *demonstration) served(ctx context.Context, root string) error {
	d.say("The contributor serves it.")
	return d.serving(ctx, "contributor", func(ctx context.Context, url string) error { return d.fetched(ctx, url, root) })
}

// serving runs a server of a home while fn runs.
func (d *demonstration) serving(ctx context.Context, home string, fn func(ctx context.Context, url string) error) (err error) {
	serverCtx, stop := context.WithCancel(ctx)
	defer stop()
	pr, pw := io.Pipe()
	ended := make(chan int, 1)
	fmt.Fprintln(d.env.Stdout, "$ cairn serve --listen 127.0.0.1:0 &")
	var stderr bytes.Buffer
	go func() {
		env := &Env{Stdin: strings.NewReader(""), Stdout: pw, Stderr: &stderr, Now: d.env.Now, Getenv: func(k string) string {
			return map[string]string{"CAIRN_HOME": d.path(home), "CAIRN_LOG": "error"}[k]
		}}
		status := Run(serverCtx, env, []string{"serve", "--listen", "127.0.0.1:0"})
		pw.Close()
		ended <- status
	}()
	line := make([]byte, 256)
	n, err := pr.Read(line)
	if err != nil {
		return fault.New(fault.Internal, "the server did not start: %s", stderr.String())
	}
	url := strings.TrimSpace(string(line[:n]))
	d.print(url)
	go io.Copy(io.Discard, pr)
	defer func() {
		stop()
		if status := <-ended; err == nil && status != 0 {
			err = fault.New(fault.Internal, "the server ended with status %d: %s", status, stderr.String())
		}
	}()
	return fn(ctx, url)
}

// fetched is what a trainer and an auditor do at a server.
func (d *demonstration) fetched(ctx context.Context, url, root string) error {
	d.say("A trainer fetches with any HTTP client …")
	fmt.Fprintf(d.env.Stdout, "$ curl -s %s/ipfs/%s/daily.csv | head -3\n", url, root)
	resp, err := http.Get(url + "/ipfs/" + root + "/daily.csv")
	if err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK {
		return errors.Join(err, fault.New(fault.Internal, "the server answers %s", resp.Status))
	}
	d.print(strings.Join(strings.SplitN(string(b), "\n", 4)[:3], "\n"))

	d.say("… or with cairn, in a home of their own, every block hashed on the way.")
	if err := d.command(ctx, "stranger", 0, "cairn", "get", root, "--from", url, "-o", d.path("copy")); err != nil {
		return err
	}
	fmt.Fprintf(d.env.Stdout, "$ diff -r %s copy\n", demo.Name)
	if err := d.same(); err != nil {
		return err
	}
	d.say("An auditor checks all of it over HTTP and believes nobody but that key.")
	return d.command(ctx, "stranger", 0, "cairn-audit", "dataset", demo.Name, "--registry", url, "--policy", d.path("log.vkey"))
}

// same compares what was fetched with what was added.
func (d *demonstration) same() error {
	names, err := os.ReadDir(d.path(demo.Name))
	if err != nil {
		return err
	}
	for _, n := range names {
		x, err := os.ReadFile(filepath.Join(d.path(demo.Name), n.Name()))
		if err != nil {
			return err
		}
		y, err := os.ReadFile(filepath.Join(d.path("copy"), n.Name()))
		if err != nil {
			return err
		}
		if !bytes.Equal(x, y) {
			return fault.New(fault.Internal, "%s differs from the original", n.Name())
		}
	}
	fmt.Fprintln(d.env.Stdout, "  (no difference)")
	return nil
}

// borrowed registers some rows of the dataset under other terms, and asks where
// they are from and what may be done with the two together.
func (d *demonstration) borrowed(ctx context.Context) error {
	d.say("Somebody registers every second day of it, in another order, as data of their own\n# that is not for commercial use.")
	b, err := os.ReadFile(filepath.Join(d.path(demo.Name), "daily.csv"))
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	some := []string{lines[0]}
	for i := len(lines) - 1; i > 0; i -= 2 {
		some = append(some, lines[i])
	}
	const name = "my-weather"
	if err := os.Mkdir(d.path(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.path(name), "days.csv"), []byte(strings.Join(some, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	if err := d.command(ctx, "contributor", 0, "cairn", "add", d.path(name), "--name", name, "--license", "CC-BY-NC-4.0"); err != nil {
		return err
	}
	d.say("Where its records were before, and that nobody said so. It is an estimate: of each\n# dataset a sketch of a few KiB is kept, not the records.")
	if err := d.command(ctx, "contributor", 0, "cairn", "overlap", name); err != nil {
		return err
	}
	d.say("May a commercial model be trained on both? The exit status says no, the text why.")
	return d.command(ctx, "contributor", fault.Unverified.ExitStatus(), "cairn", "terms", "check", "--use", "train,commercial", demo.Name, name)
}

// damage flips one bit of a stored block and shows what an audit says.
func (d *demonstration) damage(ctx context.Context) error {
	d.say("Now one bit of one stored byte is changed behind cairn's back.")
	name := filepath.Join(d.path("contributor"), "blocks/packs/data-00000001.car")
	const offset = 2000
	fmt.Fprintf(d.env.Stdout, "$ flip-a-bit %s %d\n", d.short(name), offset)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], offset); err != nil {
		return err
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], offset); err != nil {
		return err
	}
	if err := d.command(ctx, "contributor", fault.Unverified.ExitStatus(), "cairn", "check"); err != nil {
		return err
	}
	d.say("It is found and named. And get hands out nothing that does not verify.")
	return d.command(ctx, "contributor", fault.Unverified.ExitStatus(), "cairn", "get", demo.Name, "-o", d.path("damaged"))
}
