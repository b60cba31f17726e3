package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/manifests/fault"
)

func write(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, config.FileName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLoad(t *testing.T) {
	got, err := config.Load(t.TempDir())
	if err != nil || got != config.Default() {
		t.Errorf("no file: %+v, %v", got, err)
	}
	got, err = config.Load(write(t, config.Template))
	if err != nil || got != config.Default() {
		t.Errorf("the template changes a default: %+v, %v", got, err)
	}
	// The template with its comments taken off sets every key to its default.
	var live []string
	for line := range strings.Lines(config.Template) {
		if key, ok := strings.CutPrefix(line, "# "); ok && strings.Contains(key, ": ") && !strings.HasPrefix(key, "cairn:") {
			live = append(live, key)
		}
	}
	got, err = config.Load(write(t, strings.Join(live, "")))
	if err != nil || got != config.Default() || len(live) != 4 {
		t.Errorf("the template's values are not the defaults: %+v, %v, %d keys", got, err, len(live))
	}
	got, err = config.Load(write(t, "key: ana\ncheckpointInterval: 2s\nverify: once\n"))
	if err != nil || got.Key != "ana" || time.Duration(got.CheckpointInterval) != 2*time.Second || got.Verify != "once" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, text := range []string{"nonsense: 1\n", "checkpointInterval: soon\n", "checkpointInterval: 1ms\n", "verify: never\n", ": : :\n", "- a\n"} {
		if _, err := config.Load(write(t, text)); !errors.Is(err, fault.Invalid) {
			t.Errorf("%q: %v, want an error marked invalid", text, err)
		}
	}
	if _, err := config.Load(write(t, strings.Repeat("#", 70<<10))); !errors.Is(err, fault.TooLarge) {
		t.Errorf("an oversized file: %v", err)
	}
}

func TestHome(t *testing.T) {
	env := map[string]string{"HOME": "/h", "CAIRN_HOME": "/c"}
	get := func(k string) string { return env[k] }
	for _, c := range []struct{ flag, want string }{{"/f", "/f"}, {"", "/c"}} {
		if got, err := config.Home(c.flag, get); err != nil || got != c.want {
			t.Errorf("Home(%q) = %q, %v", c.flag, got, err)
		}
	}
	delete(env, "CAIRN_HOME")
	if got, err := config.Home("", get); err != nil || got != "/h/.cairn" {
		t.Errorf("Home = %q, %v", got, err)
	}
	delete(env, "HOME")
	if _, err := config.Home("", get); fault.Hint(err) == "" {
		t.Errorf("without HOME: %v, want an error with a hint", err)
	}
}
