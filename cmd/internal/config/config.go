// Package config finds the home folder and reads its config.yaml. Every key
// has a default that is good for one machine; a missing file is not an error.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// FileName is the configuration's name in the home folder.
const FileName = "config.yaml"

// maxFile bounds config.yaml: the file is a page of settings, not data.
const maxFile = 64 << 10

// Config is what config.yaml may say.
type Config struct {
	// Key names the key in keys/ that signs unless --key says otherwise.
	Key string `yaml:"key"`
	// Listen is the address that "cairn serve" listens on; port 0 picks a free one.
	Listen string `yaml:"listen"`
	// CheckpointInterval is how often the log publishes while entries come in.
	// The log's engine goes no lower than 100ms.
	CheckpointInterval Duration `yaml:"checkpointInterval"`
	// Verify is "always" (every block is hashed on every read) or "once"
	// (when it is first read since its pack was opened).
	Verify string `yaml:"verify"`
}

// Duration is a time.Duration written as Go writes it: 250ms, 1s, 2m.
type Duration time.Duration

// UnmarshalYAML reads a duration string.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || v < 0 {
		return fmt.Errorf("line %d: %s is not a duration such as 250ms or 1s", n.Line, fault.Quote(n.Value))
	}
	*d = Duration(v)
	return nil
}

// Default returns the settings in force where config.yaml says nothing.
func Default() Config {
	return Config{
		Key:                "default",
		Listen:             "127.0.0.1:0",
		CheckpointInterval: Duration(100 * time.Millisecond),
		Verify:             "always",
	}
}

// Template is the file that "cairn init" writes: every key, commented out, with
// its default.
const Template = `# cairn: settings of this home. Every key is optional.

# key: default                  # the key in keys/ that signs
# listen: 127.0.0.1:0           # where "cairn serve" listens; port 0 picks a free one
# checkpointInterval: 100ms     # how often the log publishes; at least 100ms
# verify: always                # always: hash every block on every read; once: on its first read
`

// Home returns the home folder: flag, else $CAIRN_HOME, else ~/.cairn.
func Home(flag string, getenv func(string) string) (string, error) {
	dir := flag
	if dir == "" {
		dir = getenv("CAIRN_HOME")
	}
	if dir == "" {
		user := getenv("HOME")
		if user == "" {
			return "", fault.WithHint(fault.New(fault.Invalid, "no home folder: neither CAIRN_HOME nor HOME is set"),
				"set CAIRN_HOME to a folder that cairn may own")
		}
		dir = filepath.Join(user, ".cairn")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fault.Mark(fault.Internal, err)
	}
	return abs, nil
}

// Load reads config.yaml in the given home. Unknown keys and bad values are
// refused with fault.Invalid, with the line they stand on.
func Load(home string) (Config, error) {
	cfg := Default()
	f, err := os.Open(filepath.Join(home, FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return cfg, nil
	}
	if err != nil {
		return cfg, fault.Mark(fault.Internal, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return cfg, fault.Mark(fault.Internal, err)
	}
	if len(b) > maxFile {
		return cfg, fault.New(fault.TooLarge, "%s is larger than %d bytes", f.Name(), maxFile)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&cfg); err != nil && !errors.Is(err, io.EOF) {
		return cfg, fault.New(fault.Invalid, "%s: %w", f.Name(), err)
	}
	if cfg.Verify != "always" && cfg.Verify != "once" {
		return cfg, fault.New(fault.Invalid, "%s: verify is %s, not always or once", f.Name(), fault.Quote(cfg.Verify))
	}
	if time.Duration(cfg.CheckpointInterval) < 100*time.Millisecond {
		return cfg, fault.New(fault.Invalid, "%s: checkpointInterval is below 100ms, the floor of the log's engine", f.Name())
	}
	return cfg, nil
}
