package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/mr-tron/base58"
	mh "github.com/multiformats/go-multihash"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// Limits of a denylist. The largest one that is published has some half a
// million double-hashed lines.
const (
	maxDenyFile  = 256 << 20
	maxDenyLine  = 8 << 10
	maxDenyRules = 4 << 20
)

// denyRules are the rules of one list, as IPIP-383 writes them. Those about
// namespaces other than /ipfs are read past: nothing of them is served here.
type denyRules struct {
	// cids are multihashes that are denied, wherever they stand.
	cids map[string]bool
	// paths are rules about paths below a multihash.
	paths map[string][]pathRule
	// hashed are multihashes of names: see doubleHashes.
	hashed map[string]bool
	// legacy is set when some of hashed are of the older form.
	multihash, legacy bool
}

type pathRule struct {
	path  string // without a slash in front
	whole bool   // the path itself only; else everything that starts with it
	allow bool
}

// parseDenylist reads a list. A line that cannot be understood is an error that
// names it: a list that is half in force would be worse than one that is not.
func parseDenylist(r io.Reader) (*denyRules, error) {
	d := &denyRules{cids: make(map[string]bool), paths: make(map[string][]pathRule), hashed: make(map[string]bool)}
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 4096), maxDenyLine)
	type numbered struct {
		n    int
		text string
	}
	var held []numbered // what may be a header
	header, n, rules := true, 0, 0
	rule := func(l numbered) error {
		if rules++; rules > maxDenyRules {
			return fault.New(fault.TooLarge, "the denylist has more than %d rules", maxDenyRules)
		}
		if err := d.rule(l.text); err != nil {
			return fmt.Errorf("line %d: %w", l.n, err)
		}
		return nil
	}
	for s.Scan() {
		n++
		text := strings.TrimRight(s.Text(), "\r")
		if header && text == "---" {
			header, held = false, nil
			continue
		}
		if text == "" || text[0] == '#' {
			continue
		}
		if header {
			// A header is short; a long list without one is not kept twice.
			if held = append(held, numbered{n, text}); len(held) < 64 {
				continue
			}
			header = false
		}
		for _, l := range held {
			if err := rule(l); err != nil {
				return nil, err
			}
		}
		if held != nil {
			held = nil
			continue
		}
		if err := rule(numbered{n, text}); err != nil {
			return nil, err
		}
	}
	if err := s.Err(); err != nil {
		return nil, fault.New(fault.Invalid, "line %d: %w", n+1, err)
	}
	for _, l := range held {
		if err := rule(l); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *denyRules) rule(line string) error {
	line, _, _ = strings.Cut(line, " ") // hints follow
	rule, allow := strings.CutPrefix(line, "+")
	if !allow {
		rule, allow = strings.CutPrefix(line, "!")
	}
	if hash, ok := strings.CutPrefix(rule, "//"); ok {
		return d.doubleHash(hash, allow)
	}
	rest, ok := strings.CutPrefix(rule, "/ipfs/")
	if !ok {
		if strings.HasPrefix(rule, "/ipns/") || strings.HasPrefix(rule, "/mime/") {
			return nil
		}
		return fault.New(fault.Invalid, "%s is no rule of a denylist", fault.Quote(line))
	}
	root, path, below := strings.Cut(rest, "/")
	c, err := cid.Decode(root)
	if err != nil {
		return fault.New(fault.Invalid, "%s is no CID: %w", fault.Quote(root), err)
	}
	key := string(c.Hash())
	if !below || path == "" {
		if allow {
			delete(d.cids, key)
		} else {
			d.cids[key] = true
		}
		return nil
	}
	if path, err = url.PathUnescape(path); err != nil {
		return fault.New(fault.Invalid, "the path of %s: %w", fault.Quote(line), err)
	}
	prefix, wild := strings.CutSuffix(path, "*")
	if wild {
		prefix = strings.TrimSuffix(prefix, "/")
		if prefix == "" && !allow {
			d.cids[key] = true
		}
	}
	d.paths[key] = append(d.paths[key], pathRule{prefix, !wild, allow})
	return nil
}

func (d *denyRules) doubleHash(text string, allow bool) error {
	b, err := hex.DecodeString(text)
	legacy := err == nil && len(b) == sha256.Size
	if !legacy {
		if b, err = base58.Decode(text); err != nil {
			return fault.New(fault.Invalid, "%s is neither hex nor base58", fault.Quote(text))
		}
		if _, err := mh.Decode(b); err != nil {
			return fault.New(fault.Invalid, "%s is no multihash: %w", fault.Quote(text), err)
		}
		d.multihash = true
	} else {
		d.legacy = true
	}
	if allow {
		delete(d.hashed, string(b))
	} else {
		d.hashed[string(b)] = true
	}
	return nil
}

// denies reports whether a path below c is denied: by c, by a rule about the
// path, or by the hash of either. path has no slash in front; "" is c itself.
func (d *denyRules) denies(c cid.Cid, path string) bool {
	if d == nil {
		return false
	}
	denied := d.cids[string(c.Hash())]
	if path != "" {
		for _, r := range d.paths[string(c.Hash())] { // the last rule that fits decides
			if r.whole && r.path == path || !r.whole && strings.HasPrefix(path, r.path) {
				denied = !r.allow
			}
		}
	}
	if denied || len(d.hashed) == 0 {
		return denied
	}
	if d.legacy {
		sum := sha256.Sum256([]byte(cjson.V1(c).String() + "/" + path))
		if d.hashed[string(sum[:])] {
			return true
		}
	}
	if d.multihash {
		name := c.Hash().B58String()
		if path != "" {
			name += "/" + path
		}
		for _, code := range []uint64{mh.SHA2_256, mh.BLAKE3} {
			if sum, err := mh.Sum([]byte(name), code, -1); err == nil && d.hashed[string(sum)] {
				return true
			}
		}
	}
	return false
}

// A denylist is the list in force; it is replaced when its file changes.
type denylist struct {
	path  string
	rules atomic.Pointer[denyRules]

	// seen is the file as it was read last, settled as it was looked at last;
	// owned by look.
	seen, settled os.FileInfo
}

// openDenylist reads the list at path; "" is a list without rules.
func openDenylist(path string) (*denylist, error) {
	d := &denylist{path: path}
	if path == "" {
		return d, nil
	}
	_, err := d.look()
	return d, err
}

// look reads the file if it is not the one read last, and did not change since
// the last look.
func (d *denylist) look() (changed bool, err error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return false, fmt.Errorf("the denylist: %w", err)
	}
	if sameFile(d.seen, info) {
		return false, nil
	}
	// Somebody may be writing it: half a list would be in force for a while.
	if last := d.settled; d.seen != nil && !sameFile(last, info) {
		d.settled = info
		return false, nil
	}
	f, err := os.Open(d.path)
	if err != nil {
		return false, fmt.Errorf("the denylist: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDenyFile+1))
	if err != nil {
		return false, fmt.Errorf("the denylist: %w", err)
	}
	if len(b) > maxDenyFile {
		return false, fault.New(fault.TooLarge, "the denylist %s has more than %d bytes", d.path, maxDenyFile)
	}
	rules, err := parseDenylist(bytes.NewReader(b))
	if err != nil {
		return false, fmt.Errorf("the denylist %s: %w", d.path, err)
	}
	d.rules.Store(rules)
	d.seen = info
	return true, nil
}

func sameFile(a, b os.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// watch looks at the file until ctx ends.
func (d *denylist) watch(ctx context.Context, every time.Duration, log *slog.Logger) {
	if d.path == "" {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch changed, err := d.look(); {
		case err == nil:
			last = ""
			if changed {
				log.InfoContext(ctx, "read the denylist again", "path", d.path)
			}
		case err.Error() != last:
			last = err.Error()
			log.ErrorContext(ctx, "the denylist cannot be read; the last one stays in force", "error", err)
		}
	}
}

func (d *denylist) empty() bool { return d.rules.Load() == nil }

// check returns an error that is fault.Gone for a path that is denied: the root,
// what stands at any step of the path, and the path itself.
func (d *denylist) check(root cid.Cid, names []string) error {
	r := d.rules.Load()
	if r == nil {
		return nil
	}
	for i := 0; i <= len(names); i++ {
		if r.denies(root, strings.Join(names[:i], "/")) {
			return errDenied(root)
		}
	}
	return nil
}

// blocks returns an error if one of the blocks on the way to some data is denied.
func (d *denylist) blocks(way []cid.Cid) error {
	for _, c := range way {
		if err := d.block(c); err != nil {
			return err
		}
	}
	return nil
}

func (d *denylist) block(c cid.Cid) error {
	if r := d.rules.Load(); r != nil && r.denies(c, "") {
		return errDenied(c)
	}
	return nil
}

func errDenied(c cid.Cid) error {
	return fault.New(fault.Gone, "%s is blocked and cannot be provided", c)
}
