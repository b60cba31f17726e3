package pack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cespare/xxhash/v2"
	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// The keys of the index:
//
//	0x01 ‖ digest 32 B             where a block is: location
//	0x02 ‖ series byte ‖ num u32   what of a pack is indexed: packRow
//
// Every value is framed: version ‖ payload ‖ xxh64 of key and payload, so that
// an empty or foreign value is an error and never an answer.
const (
	prefixBlock = 0x01
	prefixPack  = 0x02

	valueVersion = 1

	// indexFormat is refused at Open when it differs: a new layout is rebuilt.
	indexFormat = 1

	// maxTxnKeys bounds one transaction, well below what a memtable of 4 MiB
	// takes (6,553 keys, 629,145 bytes); a key and its value take 100 bytes.
	maxTxnKeys = 2000

	// memTable is small, because the index is: 50,000 blocks take 4 MiB. Its
	// memory counts in that of an add: it is zeroed where pages were used before.
	memTable = 4 << 20
)

// A location says where a block lies.
type location struct {
	series byte
	num    uint32
	offset int64  // of the frame
	size   int    // of the block
	prefix []byte // of the frame's CID: all but the digest
}

func (l location) frameHeaderLen() int64 {
	id := len(l.prefix) + 32
	return int64(uvarintLen(uint64(id+l.size)) + id)
}

func (l location) encode(b []byte) []byte {
	b = append(b, l.series)
	b = binary.BigEndian.AppendUint32(b, l.num)
	b = binary.AppendUvarint(b, uint64(l.offset))
	b = binary.AppendUvarint(b, uint64(l.size))
	return append(b, l.prefix...)
}

func decodeLocation(b []byte) (l location, err error) {
	bad := fault.New(fault.Internal, "the block index holds a value that is no location")
	if len(b) < 7 {
		return l, bad
	}
	l.series, l.num = b[0], binary.BigEndian.Uint32(b[1:])
	b = b[5:]
	off, n := binary.Uvarint(b)
	if n <= 0 {
		return l, bad
	}
	size, m := binary.Uvarint(b[n:])
	if m <= 0 || size > MaxBlock || len(b[n+m:]) > maxCIDLen {
		return l, bad
	}
	l.offset, l.size = int64(off), int(size)
	l.prefix = append([]byte(nil), b[n+m:]...)
	return l, nil
}

// A packRow is what the index knows of a pack.
type packRow struct {
	end    int64 // behind the last commit frame that is indexed
	frames int64 // frames before end, commit frames included
	blocks int64 // of these, the ones the index points to
	sealed bool
}

func (p packRow) encode() []byte {
	b := binary.AppendUvarint(nil, uint64(p.end))
	b = binary.AppendUvarint(b, uint64(p.frames))
	b = binary.AppendUvarint(b, uint64(p.blocks))
	if p.sealed {
		return append(b, 1)
	}
	return append(b, 0)
}

func decodePackRow(b []byte) (p packRow, err error) {
	var v [3]uint64
	for i := range v {
		n := 0
		if v[i], n = binary.Uvarint(b); n <= 0 {
			return p, fault.New(fault.Internal, "the block index holds a value that is no pack row")
		}
		b = b[n:]
	}
	if len(b) != 1 {
		return p, fault.New(fault.Internal, "the block index holds a value that is no pack row")
	}
	return packRow{int64(v[0]), int64(v[1]), int64(v[2]), b[0] == 1}, nil
}

func blockKey(d [32]byte) []byte { return append([]byte{prefixBlock}, d[:]...) }

func packKey(series byte, num uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{prefixPack, series}, num)
}

func frameValue(key, payload []byte) []byte {
	b := append([]byte{valueVersion}, payload...)
	return binary.BigEndian.AppendUint64(b, checksum(key, payload))
}

func checksum(key, payload []byte) uint64 {
	h := xxhash.New()
	h.Write(key)
	h.Write(payload)
	return h.Sum64()
}

func unframe(key, value []byte) ([]byte, error) {
	if len(value) < 9 || value[0] != valueVersion {
		return nil, fault.New(fault.Internal, "the block index holds a damaged value")
	}
	payload := value[1 : len(value)-8]
	if binary.BigEndian.Uint64(value[len(value)-8:]) != checksum(key, payload) {
		return nil, fault.New(fault.Internal, "the block index holds a damaged value")
	}
	return payload, nil
}

// openIndex opens Badger in dir with settings for a small, rebuildable index
// that is synced on every commit.
func openIndex(dir string, log *slog.Logger) (*badger.DB, error) {
	o := badger.DefaultOptions(dir).
		WithSyncWrites(true).
		WithValueThreshold(1 << 20 >> 1).
		WithMemTableSize(memTable).WithNumMemtables(2).
		WithNumLevelZeroTables(2).WithNumLevelZeroTablesStall(4).
		WithNumCompactors(2).
		WithCompression(options.None).
		WithBlockCacheSize(4 << 20).WithIndexCacheSize(8 << 20).
		WithValueLogFileSize(1 << 20).
		WithChecksumVerificationMode(options.OnTableRead).
		WithDetectConflicts(false). // one writer, idempotent keys
		WithNumVersionsToKeep(1).
		WithMetricsEnabled(false).
		WithExternalMagic(indexFormat).
		WithLogger(badgerLog{log})
	db, err := badger.Open(o)
	if err != nil {
		return nil, fmt.Errorf("opening the block index: %w", err)
	}
	return db, nil
}

// get reads one framed value: nil when the key is absent.
func get(txn *badger.Txn, key []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var payload []byte
	err = item.Value(func(v []byte) error {
		p, err := unframe(key, v)
		payload = append([]byte(nil), p...)
		return err
	})
	return payload, err
}

func set(txn *badger.Txn, key, payload []byte) error {
	return txn.Set(key, frameValue(key, payload))
}

type badgerLog struct{ log *slog.Logger }

func (l badgerLog) Errorf(f string, a ...any)   { l.log.Error(fmt.Sprintf("block index: "+f, a...)) }
func (l badgerLog) Warningf(f string, a ...any) { l.log.Warn(fmt.Sprintf("block index: "+f, a...)) }
func (l badgerLog) Infof(f string, a ...any)    { l.log.Debug(fmt.Sprintf("block index: "+f, a...)) }
func (l badgerLog) Debugf(f string, a ...any)   { l.log.Debug(fmt.Sprintf("block index: "+f, a...)) }
