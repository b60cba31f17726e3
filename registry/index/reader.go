package index

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	"github.com/ipfs/go-cid"

	"github.com/cairn-registry/cairn/manifests/cjson"
	"github.com/cairn-registry/cairn/manifests/fault"
	"github.com/cairn-registry/cairn/manifests/sign"
	"github.com/cairn-registry/cairn/registry/fold"
)

const metaIndex = "index" // the row of table meta that holds a metaRow

// statementRow is how a statement was decided.
type statementRow struct {
	Index    uint64       `json:"index"`
	Verdict  fold.Verdict `json:"verdict"`
	Code     fold.Code    `json:"code,omitempty"`
	Kind     string       `json:"kind,omitempty"`
	Envelope cjson.CID    `json:"envelope"`
}

// nameRow is the newest version of a name.
type nameRow struct {
	Index     uint64    `json:"index"`
	Statement cjson.CID `json:"statement"`
	Work      string    `json:"work"`
	Seq       uint64    `json:"seq"`
}

// handleRow is the owner of a handle.
type handleRow struct {
	Index    uint64     `json:"index"`
	Identity sign.KeyID `json:"identity"`
}

// keyRow is whose key a key is, and whether it still signs.
type keyRow struct {
	Identity   sign.KeyID `json:"identity"`
	From       uint64     `json:"from,omitempty"`
	Replaced   bool       `json:"replaced,omitempty"`
	ReplacedAt uint64     `json:"replacedAt,omitempty"`
	Revoked    bool       `json:"revoked,omitempty"`
	RevokedAt  uint64     `json:"revokedAt,omitempty"`
}

// chainRow is what the key events of an identity come to.
type chainRow struct {
	Events uint64     `json:"events"`
	Key    sign.KeyID `json:"key"` // the newest
	Next   string     `json:"next,omitempty"`
}

// signerRow is the entry that brought a signature, and its key when that is not
// the identity's first.
type signerRow struct {
	Index uint64     `json:"index"`
	Key   sign.KeyID `json:"key,omitempty"`
}

// datasetRow is an accepted version of a dataset or model: the fold's effect,
// and what only the body says.
type datasetRow struct {
	Kind string `json:"kind"`
	fold.Node
	Root       cjson.CID     `json:"root"`              // of a model: what the subject names
	Manifest   cjson.CID     `json:"manifest,omitzero"` // of a dataset
	Sources    []fold.Source `json:"sources,omitempty"`
	Artifact   cjson.CID     `json:"artifact,omitzero"` // of a model
	Usages     []cjson.CID   `json:"usages,omitempty"`  // of a model
	Envelope   cjson.CID     `json:"envelope"`
	IssuedAt   string        `json:"issuedAt,omitempty"`
	Title      string        `json:"title,omitempty"`
	License    string        `json:"license,omitempty"`
	Keywords   []string      `json:"keywords,omitempty"`
	MediaTypes []string      `json:"mediaTypes,omitempty"`
	Bytes      int64         `json:"bytes,omitempty"`
	FileCount  int64         `json:"fileCount,omitempty"`
	Declared   []Source      `json:"declared,omitempty"` // all sources in order, when some are URLs
}

// effect returns the effect that made the version.
func (d *datasetRow) effect() fold.Effect {
	if d.Kind == kindModel {
		return fold.AddModel{Node: d.Node, Artifact: d.Artifact, Usages: d.Usages, Sources: d.Sources}
	}
	return fold.AddVersion{Node: d.Node, Root: d.Root, Manifest: d.Manifest, Sources: d.Sources}
}

// encode writes a value. The order of members is that of the struct, so equal
// values are equal bytes.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(fmt.Sprintf("index: encoding a %T: %v", v, err)) // rows hold strings, numbers and CIDs
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// A reader reads rows in a transaction, its own pending writes included.
type reader struct{ txn *badger.Txn }

// get returns the payload of a row; false when there is none.
func (r reader) get(k []byte) ([]byte, bool, error) {
	item, err := r.txn.Get(k)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fault.New(fault.Internal, "reading the index: %w", err)
	}
	payload, err := value(item, k)
	return payload, err == nil, err
}

// value opens the frame of an item; the payload is the caller's to keep.
func value(item *badger.Item, k []byte) ([]byte, error) {
	b, err := item.ValueCopy(nil)
	if err != nil {
		return nil, fault.New(fault.Internal, "reading the index: %w", err)
	}
	payload, err := open(k, b)
	if err != nil {
		return nil, damaged("row %q: %w", k, err)
	}
	return payload, nil
}

// getRow reads a row of JSON.
func getRow[T any](r reader, k []byte) (v T, ok bool, err error) {
	b, ok, err := r.get(k)
	if err != nil || !ok {
		return v, false, err
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return v, false, damaged("row %q: %w", k, err)
	}
	return v, true, nil
}

// scan calls fn for the rows whose keys begin with prefix, in key order, from
// the first key not below from (nil: from the start), until fn returns false.
func (r reader) scan(prefix, from []byte, fn func(k, payload []byte) (bool, error)) error {
	it := r.txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	if from == nil {
		from = prefix
	}
	for it.Seek(from); it.Valid(); it.Next() {
		k := it.Item().Key()
		if !bytes.HasPrefix(k, prefix) {
			return nil
		}
		payload, err := value(it.Item(), k)
		if err != nil {
			return err
		}
		if more, err := fn(k, payload); err != nil || !more {
			return err
		}
	}
	// The last key of all lies behind every prefix, so a scan never runs out.
	return damaged("a scan of %q ended before the last key", prefix)
}

func (r reader) meta() (metaRow, [32]byte, error) {
	var digest [32]byte
	m, ok, err := getRow[metaRow](r, key(tMeta, metaIndex))
	switch {
	case err != nil:
		return m, digest, err
	case !ok:
		return m, digest, damaged("it does not say what it is")
	}
	b, err := hex.DecodeString(m.Digest)
	if err != nil || len(b) != len(digest) {
		return m, digest, damaged("its digest is %s", fault.Quote(m.Digest))
	}
	copy(digest[:], b)
	return m, digest, nil
}

func (r reader) counts() (map[byte]uint64, error) {
	counts := make(map[byte]uint64)
	for _, t := range tables {
		if t.letter == tMeta {
			continue
		}
		n, ok, err := getRow[uint64](r, countKey(t))
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, damaged("table %s has no counter", t.name)
		}
		counts[t.letter] = n
	}
	return counts, nil
}

func countKey(t table) []byte { return key(tMeta, "count/"+t.name) }

func countRow(t table, n uint64) row {
	return row{key: countKey(t), payload: encode(n)}
}

func (r reader) entry(i uint64) (Entry, bool, error) {
	return getRow[Entry](r, key(tEntry, i))
}

func (r reader) statement(c cid.Cid) (statementRow, bool, error) {
	return getRow[statementRow](r, key(tStatement, c.String()))
}

func (r reader) head(publisher sign.KeyID, name string) (nameRow, bool, error) {
	return getRow[nameRow](r, key(tName, string(publisher), name))
}

// keyOf returns whose key it is. Most rows of the table are of keys that signed and
// have no event, and hold nothing.
func (r reader) keyOf(id sign.KeyID) (fold.KeyState, bool, error) {
	k := key(tKey, string(id))
	payload, ok, err := r.get(k)
	if err != nil || !ok {
		return fold.KeyState{}, false, err
	}
	s, err := readKey(id, payload)
	if err != nil {
		err = damaged("row %q: %w", k, err)
	}
	return s, err == nil, err
}

func readKey(id sign.KeyID, payload []byte) (fold.KeyState, error) {
	row := keyRow{Identity: id}
	if len(payload) > 0 {
		if err := json.Unmarshal(payload, &row); err != nil {
			return fold.KeyState{}, err
		}
	}
	return fold.KeyState(row), nil
}

// registry returns the newest registry/v1.
func (r reader) registry() (reg Registry, ok bool, err error) {
	err = r.scan(key(tRegistry), nil, func(k, payload []byte) (bool, error) {
		if err := json.Unmarshal(payload, &reg); err != nil {
			return false, damaged("row %q: %w", k, err)
		}
		ok = true
		return false, nil
	})
	return reg, ok, err
}

// view is the fold's view of the rows that a reader reads.
type view struct {
	reader
	inForce *fold.SetRegistry
}

var _ fold.View = view{}

func (v view) Registry() (fold.SetRegistry, bool, error) {
	if v.inForce == nil {
		return fold.SetRegistry{}, false, nil
	}
	return *v.inForce, true, nil
}

func (v view) Statement(c cid.Cid) (fold.Decided, bool, error) {
	s, ok, err := v.statement(c)
	return fold.Decided{Index: s.Index, Verdict: s.Verdict, Kind: s.Kind}, ok, err
}

func (v view) Signed(c cid.Cid, id sign.KeyID) (bool, error) {
	_, ok, err := v.get(key(tSigner, c.String(), string(id)))
	return ok, err
}

func (v view) Head(publisher sign.KeyID, name string) (fold.Head, bool, error) {
	h, ok, err := v.head(publisher, name)
	return fold.Head{Statement: h.Statement.Cid, Work: h.Work, Seq: h.Seq}, ok, err
}

func (v view) VersionTaken(publisher sign.KeyID, name, version string) (bool, error) {
	_, ok, err := v.get(key(tVersion, string(publisher), name, version))
	return ok, err
}

func (v view) Handle(handle string) (sign.KeyID, bool, error) {
	h, ok, err := getRow[handleRow](v.reader, key(tHandle, handle))
	return h.Identity, ok, err
}

func (v view) Key(id sign.KeyID) (fold.KeyState, bool, error) { return v.keyOf(id) }

func (v view) Chain(identity sign.KeyID) (fold.Chain, bool, error) {
	c, ok, err := getRow[chainRow](v.reader, key(tIdentity, string(identity)))
	return fold.Chain(c), ok, err
}
