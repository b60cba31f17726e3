package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cairn-registry/cairn/cmd/internal/auditcli"
	"github.com/cairn-registry/cairn/cmd/internal/cli"
)

// TestMain makes this test binary the two commands as well, for the scripts
// and for the tests that kill real processes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"cairn":       func() { os.Exit(cli.Main()) },
		"cairn-audit": func() { os.Exit(auditcli.Main()) },
	})
}

// TestScripts runs the command as its user types it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: false,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("CAIRN_HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("GOMEMLIMIT", "256MiB")
			e.Values["servers"] = &servers{}
			e.Defer(func() { e.Values["servers"].(*servers).stop() })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":       cmdExits,
			"setid":       cmdSetID,
			"smuggle":     cmdSmuggle,
			"mode":        cmdMode,
			"serve-start": cmdServeStart,
			"serve-stop":  cmdServeStop,
			"fetch":       cmdFetch,
			"flip":        cmdFlip,
			"setstdout":   cmdSetStdout,
			"setmatch":    cmdSetMatch,
			"sametree":    cmdSameTree,
			"mkfifo":      cmdMkfifo,
			"fill":        cmdFill,
			"blob":        cmdBlob,
			"glob":        cmdGlob,
			"pick":        cmdPick,
			"edit":        cmdEdit,
			"nowhere":     cmdNowhere,
			"parquet":     cmdParquet,
			"rows":        cmdRows,
		},
	})
}

// exits STATUS COMMAND ARG… runs a command that must end with the status.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits status command [arg …]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if err != nil {
		exit, ok := err.(*exec.ExitError)
		if !ok {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s exits with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// setid writes to.csv: where the did:key of the last standard output is paid.
func cmdSetID(ts *testscript.TestScript, neg bool, args []string) {
	id := regexp.MustCompile("did:key:[A-Za-z0-9]+").FindString(ts.ReadFile("stdout"))
	if neg || len(args) != 0 || id == "" {
		ts.Fatalf("usage: setid, after a command that prints a did:key")
	}
	line := "payee,destination,name,bic\n" + id + ",DE89370400440532013000,Ana Lind,COBADEFF\n"
	ts.Check(os.WriteFile(ts.MkAbs("to.csv"), []byte(line), 0o600))
}

// mode OCTAL FILE checks a file's permissions.
func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// setstdout VAR puts the last standard output, without its last newline, into
// an environment variable.
func cmdSetStdout(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: setstdout var")
	}
	ts.Setenv(args[0], strings.TrimRight(ts.ReadFile("stdout"), "\n"))
}

// setmatch sets a variable to what a part of a pattern in parentheses matches in
// the last standard output.
func cmdSetMatch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: setmatch var pattern")
	}
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) != 2 {
		ts.Fatalf("no match for %s", args[1])
	}
	ts.Setenv(args[0], m[1])
}

type servers struct {
	mu   sync.Mutex
	cmds []*exec.Cmd
}

func (s *servers) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.cmds {
		c.Process.Signal(syscall.SIGTERM)
		done := make(chan struct{})
		go func() { c.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(40 * time.Second):
			c.Process.Kill()
			<-done
		}
	}
	s.cmds = nil
}

// serve-start [FLAG…] starts "cairn serve" on a free port of 127.0.0.1 and puts
// its base URL into $URL.
func cmdServeStart(ts *testscript.TestScript, neg bool, args []string) {
	cmd := exec.Command("cairn", append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Path = filepath.Join(strings.SplitN(ts.Getenv("PATH"), string(filepath.ListSeparator), 2)[0], "cairn")
	cmd.Dir = ts.Getenv("WORK")
	for _, k := range []string{"HOME", "CAIRN_HOME", "PATH", "GOMEMLIMIT", "GOCOVERDIR"} {
		cmd.Env = append(cmd.Env, k+"="+ts.Getenv(k))
	}
	url, err := startServer(cmd)
	ts.Check(err)
	s := ts.Value("servers").(*servers)
	s.mu.Lock()
	s.cmds = append(s.cmds, cmd)
	s.mu.Unlock()
	ts.Setenv("URL", url)
}

// startServer starts cmd and returns the first line of its standard output.
func startServer(cmd *exec.Cmd) (string, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return "", err
	}
	r := bufio.NewReader(out)
	line, err := r.ReadString('\n')
	if err != nil {
		cmd.Wait()
		return "", fmt.Errorf("%v did not say where it listens: %w\n%s", cmd.Args, err, stderr.String())
	}
	go io.Copy(io.Discard, r)
	return strings.TrimSpace(line), nil
}

func cmdServeStop(ts *testscript.TestScript, neg bool, args []string) {
	ts.Value("servers").(*servers).stop()
}

// fetch [-X METHOD] [-H NAME=VALUE] STATUS PATH FILE asks the running server for
// a path; FILE is - for a check of the status alone. Headers go to FILE.headers.
func cmdFetch(ts *testscript.TestScript, neg bool, args []string) {
	var header http.Header = make(http.Header)
	method := http.MethodGet
	for len(args) > 1 && (args[0] == "-H" || args[0] == "-X") {
		if k, v, _ := strings.Cut(args[1], "="); args[0] == "-H" {
			header.Set(k, v)
		} else {
			method = args[1]
		}
		args = args[2:]
	}
	if neg || len(args) != 3 {
		ts.Fatalf("usage: fetch [-X method] [-H name=value] status path file")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, ts.Getenv("URL")+args[1], nil)
	ts.Check(err)
	req.Header = header
	resp, err := http.DefaultTransport.RoundTrip(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if strconv.Itoa(resp.StatusCode) != args[0] {
		ts.Fatalf("%s %s: %s, want %s\n%.500s", method, args[1], resp.Status, args[0], body)
	}
	if args[2] != "-" {
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), body, 0o666))
		var h bytes.Buffer
		resp.Header.Write(&h)
		ts.Check(os.WriteFile(ts.MkAbs(args[2])+".headers", h.Bytes(), 0o666))
	}
}

// flip GLOB OFFSET changes one bit of one byte in the one file that matches;
// a negative offset counts from the end.
func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip glob offset")
	}
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(names) != 1 {
		ts.Fatalf("%s matches %q, want one file", args[0], names)
	}
	off, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(flipByte(names[0], off))
}

func flipByte(name string, off int64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if off < 0 {
		off += info.Size()
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b[:], off)
	return err
}

// sametree A B compares two trees: names, kinds, link targets and bytes.
func cmdSameTree(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: sametree a b")
	}
	err := sameTree(ts.MkAbs(args[0]), ts.MkAbs(args[1]))
	if neg && err == nil {
		ts.Fatalf("%s and %s are the same", args[0], args[1])
	}
	if !neg {
		ts.Check(err)
	}
}

func sameTree(a, b string) error {
	left, err := listTree(a)
	if err != nil {
		return err
	}
	right, err := listTree(b)
	if err != nil {
		return err
	}
	for name, l := range left {
		r, ok := right[name]
		if !ok {
			return fmt.Errorf("%s is missing in %s", name, b)
		}
		if l.Mode.Type() != r.Mode.Type() || l.Target != r.Target {
			return fmt.Errorf("%s: %v %q here, %v %q there", name, l.Mode, l.Target, r.Mode, r.Target)
		}
		if l.Mode.IsRegular() {
			same, err := sameFile(filepath.Join(a, name), filepath.Join(b, name))
			if err != nil || !same {
				return fmt.Errorf("%s differs (%v)", name, err)
			}
		}
		delete(right, name)
	}
	for name := range right {
		return fmt.Errorf("%s is only in %s", name, b)
	}
	return nil
}

type treeEntry struct {
	Mode   fs.FileMode
	Target string
}

func listTree(dir string) (map[string]treeEntry, error) {
	all := make(map[string]treeEntry)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		e := treeEntry{Mode: d.Type()}
		if d.Type()&fs.ModeSymlink != 0 {
			if e.Target, err = os.Readlink(path); err != nil {
				return err
			}
		}
		all[rel] = e
		return nil
	})
	return all, err
}

func sameFile(a, b string) (bool, error) {
	f, err := os.Open(a)
	if err != nil {
		return false, err
	}
	defer f.Close()
	g, err := os.Open(b)
	if err != nil {
		return false, err
	}
	defer g.Close()
	p, q := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, err1 := io.ReadFull(f, p)
		m, err2 := io.ReadFull(g, q)
		if n != m || !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		if err1 != nil || err2 != nil {
			return err1 == err2, nil
		}
	}
}

func cmdMkfifo(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(syscall.Mkfifo(ts.MkAbs(args[0]), 0o600))
}

// fill DIR COUNT makes COUNT small files in DIR.
func cmdFill(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o777))
	for i := range n {
		ts.Check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("%05d.txt", i)), []byte(fmt.Sprintln("file", i)), 0o666))
	}
}

// blob FILE BYTES makes a file of bytes that look random and are always the same.
func cmdBlob(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	name := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Dir(name), 0o777))
	ts.Check(os.WriteFile(name, b, 0o666))
}

// glob VAR PATTERN puts the one path that matches into an environment variable.
func cmdGlob(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: glob var pattern")
	}
	names, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	if len(names) != 1 {
		ts.Fatalf("%s matches %q, want one path", args[1], names)
	}
	ts.Setenv(args[0], names[0])
}

// edit FILE OLD NEW replaces a text that must be in the file.
func cmdEdit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit file old new")
	}
	name := ts.MkAbs(args[0])
	b, err := os.ReadFile(name)
	ts.Check(err)
	if !bytes.Contains(b, []byte(args[1])) {
		ts.Fatalf("%s has no %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(name, bytes.ReplaceAll(b, []byte(args[1]), []byte(args[2])), 0o600))
}

// nowhere DIR TEXT looks for a text in the files below DIR, as it is and as
// base64 has it at any offset, and fails when it is there.
func cmdNowhere(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: nowhere dir text")
	}
	forms := [][]byte{[]byte(args[1])}
	for shift := range 3 {
		b := base64.StdEncoding.EncodeToString(append(make([]byte, shift), args[1]...))
		forms = append(forms, []byte(b[4:len(b)-4])) // the ends depend on what is around
	}
	found := ""
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, f := range forms {
			if bytes.Contains(b, f) {
				found = path
			}
		}
		return err
	}))
	if neg != (found != "") {
		ts.Fatalf("nowhere %q: found in %q", args[1], found)
	}
}

// pick VAR MEMBER puts the first string of that name in the JSON text of an
// environment variable in the variable's place.
func cmdPick(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pick var member")
	}
	_, rest, ok := strings.Cut(ts.Getenv(args[0]), `"`+args[1]+`":"`)
	value, _, closed := strings.Cut(rest, `"`)
	if !ok || !closed {
		ts.Fatalf("$%s has no %s", args[0], args[1])
	}
	ts.Setenv(args[0], value)
}
