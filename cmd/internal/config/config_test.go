package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

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

func none(string) string { return "" }

func load(t *testing.T, text string, flags ...config.Setting) (config.Config, error) {
	t.Helper()
	return config.Load(write(t, text), none, flags...)
}

// uncommented takes the template's keys out of their comments.
func uncommented() (text string, keys int) {
	var live []string
	for line := range strings.Lines(config.Template()) {
		if key, ok := strings.CutPrefix(line, "# "); ok && strings.Contains(key, ":") && !strings.HasPrefix(key, "cairn:") {
			live = append(live, key)
		}
	}
	return strings.Join(live, ""), len(live)
}

func TestDefaults(t *testing.T) {
	want := config.Default()
	live, n := uncommented()
	if n < 30 {
		t.Fatalf("only %d keys in the template", n)
	}
	for name, text := range map[string]string{
		"an empty file": "", "the template": config.Template(), "the template's values": live, "what is printed": config.Print(want),
	} {
		got, err := load(t, text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s gives %+v, %v, want the defaults %+v\n%s", name, got, err, want, text)
		}
	}
	got, err := config.Load(t.TempDir(), none)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("no file: %+v, %v", got, err)
	}
}

// TestEveryKey: each key has a comment, a variable of its own that is none of
// the others that cairn knows, a default within its limits, and can be set.
func TestEveryKey(t *testing.T) {
	variables := map[string]string{"CAIRN_HOME": "", "CAIRN_LOG": "", "CAIRN_PASSPHRASE": "", "CAIRN_BIG": "", "CAIRN_TOOLS": "", "CAIRN_FAILPOINT": ""}
	all := config.Keys()
	for _, k := range all {
		if len(k.Doc) < 10 {
			t.Errorf("%s has no comment", k.Path)
		}
		if k.Path == "" || strings.HasSuffix(k.Path, ".") {
			t.Errorf("a field has no yaml tag, after the comment %q", k.Doc)
		}
		if other, taken := variables[k.Env()]; taken {
			t.Errorf("%s has the variable %s, like %s", k.Path, k.Env(), other)
		}
		variables[k.Env()] = k.Path
		if k.Example == "" {
			continue // a section
		}
		byFlag, err := load(t, "", config.Setting{Key: k.Path, Value: k.Example})
		if err != nil {
			t.Errorf("%s=%s by a flag: %v", k.Path, k.Example, err)
		}
		byEnv, err := config.Load(t.TempDir(), func(name string) string {
			if name == k.Env() {
				return k.Example
			}
			return ""
		})
		if err != nil || !reflect.DeepEqual(byEnv, byFlag) {
			t.Errorf("%s=%s: %+v, %v, by a flag %+v", k.Env(), k.Example, byEnv, err, byFlag)
		}
		byFile, err := load(t, config.Print(byFlag))
		if err != nil || !reflect.DeepEqual(byFile, byFlag) {
			t.Errorf("%s=%s does not survive being printed: %+v, %v", k.Path, k.Example, byFile, err)
		}
	}
	if len(all) < 40 {
		t.Errorf("only %d keys", len(all))
	}
}

func TestPrecedence(t *testing.T) {
	dir := write(t, "limits:\n  minRate: 1KiB\n  body: 2MiB\n  grace: 3s\nlisten: 127.0.0.1:1\n")
	env := map[string]string{"CAIRN_LIMITS_MIN_RATE": "4KiB", "CAIRN_LIMITS_BODY": "5MiB"}
	got, err := config.Load(dir, func(k string) string { return env[k] }, config.Setting{Key: "limits.minRate", Value: "6KiB"})
	if err != nil {
		t.Fatal(err)
	}
	if l := got.Limits; l.MinRate != 6<<10 || l.Body != 5<<20 || l.Grace.Std() != 3*time.Second || l.Header != 16<<10 {
		t.Errorf("flag, environment, file, default: %v %v %v %v", l.MinRate, l.Body, l.Grace, l.Header)
	}
	if len(got.Listen) != 1 || got.Listen[0] != "127.0.0.1:1" {
		t.Errorf("a single word is a list of one: %q", got.Listen)
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"nonsense: 1\n", "line 1"},
		{"key: a\nlimits:\n  bodies: 1\n", "line 3"},
		{"s3:\n  enabled: true\n", "s3"},
		{"write:\n  tokens:\n  - {name: a, token: b}\n", "line 3"},
		{"checkpointInterval: soon\n", "line 1"},
		{"checkpointInterval: 1ms\n", "below 100ms"},
		{"verify: never\n", "always or once"},
		{"limits:\n  header: 1\n", "limits.header is 1, below 4KiB"},
		{"limits:\n  body: 9999999TiB\n", "line 2"},
		{"limits:\n  requests: -1\n", "limits.requests is -1, below 0"},
		{"tls:\n  certFile: a\n", "come together"},
		{"tls: {certFile: a, keyFile: b, acme: {domains: [c.example]}}\n", "not both"},
		{"listen: []\n", "no address"},
		{"key: a\n---\nkey: b\n", "more than one document"},
		{": : :\n", ""}, {"- a\n", ""},
	} {
		_, err := load(t, c.text)
		if !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want an error marked invalid that says %q", c.text, err, c.want)
		}
	}
	if _, err := load(t, strings.Repeat("#", 70<<10)); !errors.Is(err, fault.TooLarge) {
		t.Errorf("an oversized file: %v", err)
	}
	for _, f := range []config.Setting{{"nonsense", "1"}, {"limits", "1"}, {"limits.body", "x"}, {"admin.pprof", "perhaps"}, {"limits.ratePerKey", "NaN"}, {"limits.requests", "1.5"}} {
		if _, err := load(t, "", f); !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), f.Key) {
			t.Errorf("--set %s=%s: %v, want an error marked invalid that names the key", f.Key, f.Value, err)
		}
	}
	// All that is wrong is said at once.
	_, err := load(t, "verify: never\nlimits: {header: 1}\n", config.Setting{Key: "limits.grace", Value: "never"})
	for _, want := range []string{"verify", "limits.header", "limits.grace"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say what is wrong with %s", err, want)
		}
	}
}

func TestBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := config.Bytes(rapid.Int64Range(0, 1<<62).Draw(t, "bytes"))
		var again config.Bytes
		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Fatalf("%d is written %s and read %d, %v", int64(b), b, int64(again), err)
		}
	})
}

func FuzzLoad(f *testing.F) {
	f.Add(config.Template())
	live, _ := uncommented()
	f.Add(live)
	f.Add("write: {mode: token, tokens: [{name: \"a b\", sha256: ab}, {}]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := load(t, text)
		if err != nil {
			return // refusing is always right
		}
		again, err := load(t, config.Print(got))
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%q gives %+v, which printed gives %+v, %v", text, got, again, err)
		}
	})
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
