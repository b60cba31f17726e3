package access

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/auth"
)

const (
	// maxLife is the longest that a token is good.
	maxLife = 24 * time.Hour
	// maxTokens bounds the tokens that are good at a time, some 300 bytes each;
	// maxOfKey those of one key, whose oldest goes when it asks for another.
	maxTokens = 1 << 16
	maxOfKey  = 16
	// maxLine bounds a line of the file.
	maxLine = 1 << 10
)

// A grant is a token as it is kept: without the token.
type grant struct {
	SHA256  string     `json:"sha256"`
	Key     sign.KeyID `json:"key"`
	Expires int64      `json:"expires"` // Unix seconds
}

// tokens are the tokens that were given out. Each is appended to a file, which is
// written anew by the first one after a start, and when half of it has expired; one that a crash loses is asked for
// again.
type tokens struct {
	now func() time.Time

	mu    sync.Mutex
	all   map[[sha256.Size]byte]grant
	ofKey map[sign.KeyID][][sha256.Size]byte // the oldest first
	name  string                             // "": no file
	file  *os.File
	lines int
}

func openTokens(name string, now func() time.Time) (*tokens, error) {
	t := &tokens{now: now, all: make(map[[sha256.Size]byte]grant), ofKey: make(map[sign.KeyID][][sha256.Size]byte), name: name}
	if name == "" {
		return t, nil
	}
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.Mark(fault.Internal, err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var g grant
		if json.Unmarshal(lines.Bytes(), &g) != nil {
			continue // a line that a crash cut
		}
		sum, err := hex.DecodeString(g.SHA256)
		if _, bad := sign.ParseKeyID(string(g.Key)); err != nil || bad != nil || len(sum) != sha256.Size {
			continue
		}
		t.keep([sha256.Size]byte(sum), g)
	}
	t.lines = len(t.all)
	t.sweep()
	return t, nil
}

func (t *tokens) keep(sum [sha256.Size]byte, g grant) {
	if _, ok := t.all[sum]; ok {
		return
	}
	t.all[sum] = g
	list := append(t.ofKey[g.Key], sum)
	for len(list) > maxOfKey {
		delete(t.all, list[0])
		list = list[1:]
	}
	t.ofKey[g.Key] = list
}

// sweep forgets what has expired.
func (t *tokens) sweep() {
	now := t.now().Unix()
	for key, list := range t.ofKey {
		kept := list[:0]
		for _, sum := range list {
			if t.all[sum].Expires > now {
				kept = append(kept, sum)
			} else {
				delete(t.all, sum)
			}
		}
		if t.ofKey[key] = kept; len(kept) == 0 {
			delete(t.ofKey, key)
		}
	}
}

// rewrite writes the file anew, with what is good.
func (t *tokens) rewrite() error {
	if t.name == "" {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(t.name), "."+filepath.Base(t.name)+".*.tmp") // 0600
	if err != nil {
		return fault.Mark(fault.Internal, err)
	}
	w := bufio.NewWriter(f)
	t.lines = 0
	for _, list := range t.ofKey {
		for _, sum := range list {
			w.Write(line(t.all[sum]))
			t.lines++
		}
	}
	err = w.Flush()
	if err == nil {
		err = os.Rename(f.Name(), t.name)
	}
	if err != nil {
		f.Close()
		os.Remove(f.Name())
		return fault.Mark(fault.Internal, err)
	}
	if t.file != nil {
		t.file.Close()
	}
	t.file = f
	return nil
}

func line(g grant) []byte {
	b, err := json.Marshal(g)
	if err != nil {
		panic(err) // strings and a number
	}
	return append(b, '\n')
}

// give makes a token for a key. fault.Busy when no more can be remembered.
func (t *tokens) give(key sign.KeyID, life time.Duration) (token string, expires time.Time, err error) {
	token, hash, err := auth.NewToken(rand.Reader)
	if err != nil {
		return "", expires, err
	}
	sum := sha256.Sum256([]byte(token))
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.all) >= maxTokens {
		if t.sweep(); len(t.all) >= maxTokens && len(t.ofKey[key]) < maxOfKey {
			return "", expires, fault.New(fault.Busy, "too many tokens are good at the same time")
		}
	}
	expires = t.now().Add(life).Truncate(time.Second)
	g := grant{SHA256: hash, Key: key, Expires: expires.Unix()}
	t.keep(sum, g)
	if t.name == "" {
		return token, expires, nil
	}
	// The first one after a start writes anew what is good: what a crash cut goes.
	if t.file == nil || t.lines > 2*len(t.all)+1024 {
		t.sweep()
		return token, expires, t.rewrite()
	}
	t.lines++
	if _, err := t.file.Write(line(g)); err != nil {
		return "", expires, fault.Mark(fault.Internal, err)
	}
	return token, expires, nil
}

// find returns whose token has the hash sum. Hashes are found by their own hash:
// the time that takes tells nothing about a token.
func (t *tokens) find(sum [sha256.Size]byte) (sign.KeyID, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.all[sum]
	if !ok || g.Expires <= t.now().Unix() {
		return "", false
	}
	return g.Key, true
}

func (t *tokens) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.file == nil {
		return nil
	}
	err := t.file.Close()
	t.file = nil
	return err
}
