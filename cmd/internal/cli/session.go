package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/cmd/internal/daemon"
	"github.com/cairn-registry/cairn/cmd/internal/keyring"
	"github.com/cairn-registry/cairn/cmd/internal/term"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
)

// closeWait bounds the orderly end of a command: publishing the last
// checkpoint and closing two databases.
const closeWait = 20 * time.Second

// homeDir returns the home folder and its settings.
func (env *Env) homeDir() (string, config.Config, error) {
	dir, err := config.Home(env.home, env.Getenv)
	if err != nil {
		return "", config.Config{}, err
	}
	cfg, err := config.Load(dir, env.Getenv)
	return dir, cfg, err
}

// logger returns where the parts below report: stderr, from a level on that
// CAIRN_LOG names (debug, info, warn, error), else from the given one on.
func (env *Env) logger(level slog.Level) *slog.Logger {
	if text := env.Getenv("CAIRN_LOG"); text != "" {
		var l slog.Level
		if l.UnmarshalText([]byte(text)) == nil {
			level = l
		}
	}
	return slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: level}))
}

// withHome connects to the home, runs fn, and closes the connection in any
// case. A home that does not exist is not made.
func (env *Env) withHome(ctx context.Context, fn func(ctx context.Context, c *daemon.Conn) error) error {
	dir, cfg, err := env.homeDir()
	if err != nil {
		return err
	}
	if !daemon.HasLog(dir) {
		return noRegistry(dir)
	}
	return env.connect(ctx, dir, cfg, fn)
}

func (env *Env) connect(ctx context.Context, dir string, cfg config.Config, fn func(ctx context.Context, c *daemon.Conn) error) (err error) {
	c, err := daemon.Connect(ctx, dir, env.options(cfg))
	if err != nil {
		return err
	}
	defer func() { err = joinClose(ctx, err, c) }()
	return fn(ctx, c)
}

// joinClose closes a connection, whatever became of ctx, and adds its error.
func joinClose(ctx context.Context, err error, c *daemon.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWait)
	defer cancel()
	return errors.Join(err, c.Close(ctx))
}

// options are what a home is opened with.
func (env *Env) options(cfg config.Config) daemon.Options {
	return daemon.Options{Config: cfg, Log: env.logger(slog.LevelError + 1), Version: version(), Probe: env.probe}
}

func noRegistry(dir string) error {
	return fault.WithHint(fault.New(fault.NotFound, "there is no registry in %s", dir),
		`make one with "cairn init", or by adding a dataset`)
}

// keys opens the home's key ring.
func (env *Env) keys() (*keyring.Ring, config.Config, error) {
	dir, cfg, err := env.homeDir()
	if err != nil {
		return nil, cfg, err
	}
	return keyring.Open(dir), cfg, nil
}

// keyName returns the name of the key that signs.
func (env *Env) keyName(cfg config.Config) string {
	if env.key != "" {
		return env.key
	}
	return cfg.Key
}

// passphrase returns a key's passphrase: from CAIRN_PASSPHRASE, else asked for
// on the terminal.
func (env *Env) passphrase(name string, twice bool) func() ([]byte, error) {
	return func() ([]byte, error) {
		if p := env.Getenv("CAIRN_PASSPHRASE"); p != "" {
			return []byte(p), nil
		}
		in, ok := env.Stdin.(*os.File)
		if !ok || !term.IsTerminal(in) {
			return nil, fault.WithHint(fault.New(fault.Unauthenticated, "the key %q needs its passphrase", name),
				"set CAIRN_PASSPHRASE, or run cairn on a terminal")
		}
		first, err := term.ReadPassphrase(in, env.Stderr, "Passphrase for key "+name+": ")
		if err != nil || !twice {
			return first, err
		}
		second, err := term.ReadPassphrase(in, env.Stderr, "The same again: ")
		if err != nil {
			return nil, err
		}
		if string(first) != string(second) {
			return nil, fault.New(fault.Invalid, "the two passphrases differ")
		}
		return first, nil
	}
}

// signer loads the key that signs.
func (env *Env) signer(ring *keyring.Ring, cfg config.Config) (sign.Signer, error) {
	name := env.keyName(cfg)
	if _, begun, err := ring.Rotation(name); err != nil {
		return nil, err
	} else if begun {
		return nil, fault.WithHint(fault.New(fault.Conflict, "a rotation of the key %q was begun and not finished: which key signs is not known", name),
			"finish it with the same command: cairn key rotate %s", name)
	}
	s, err := ring.Load(name, env.passphrase(name, false))
	if errors.Is(err, fault.NotFound) {
		hint := fmt.Sprintf("make one with \"cairn key new %s\"", name)
		if dir, _, failed := env.homeDir(); failed == nil && !daemon.HasLog(dir) {
			hint += "; \"cairn init\" makes a whole home, with the first key"
		}
		return nil, fault.WithHint(err, "%s", hint)
	}
	return s, err
}

// output opens the file that -o names for writing: "-" is standard output. The
// returned finish must be called with the outcome; only after success does the
// file stand under its name.
func (env *Env) output(name string) (w io.Writer, finish func(error) error, err error) {
	if name == "-" || name == "" {
		return env.Stdout, func(err error) error { return err }, nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".cairn-*.tmp")
	if err != nil {
		return nil, nil, err
	}
	return f, func(err error) error {
		if err == nil {
			err = f.Chmod(0o644)
		}
		if err == nil {
			err = f.Sync()
		}
		err = errors.Join(err, f.Close())
		if err == nil {
			err = os.Rename(f.Name(), name)
		}
		if err != nil {
			os.Remove(f.Name())
		}
		return err
	}, nil
}
