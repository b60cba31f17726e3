package index

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/dgraph-io/badger/v4"

	"github.com/cairn-registry/cairn/ingest/durable"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// The folder of an index:
//
//	db/     the database
//	lock    locked while a process has the index open
//	state   how far the folder can be trusted
//
// The state says "building" while a rebuild fills the folder unsynced: nothing
// in it counts. It says "open" while a process has it open: a folder found so
// was not closed, and is read whole before it is used. It says "clean" after a
// proper Close, and then vouches for the files of the database, each with its
// size and checksum.
const (
	dbDir     = "db"
	lockFile  = "lock"
	stateFile = "state"

	statePrefix   = "cairn-index/1 "
	stateBuilding = "building"
	stateOpen     = "open"
	stateClean    = "clean"
)

// checkManifest checks that MANIFEST is whole and that the tables in the folder
// are those that it names.
func checkManifest(db string) (err error) {
	f, err := os.Open(filepath.Join(db, badger.ManifestFilename))
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	m, end, err := badger.ReplayManifestFile(f, format, badger.DefaultOptions("").WithLogger(nil))
	if err != nil {
		return fmt.Errorf("reading MANIFEST: %w", err)
	}
	if end != fi.Size() {
		return fmt.Errorf("MANIFEST ends within a record, at byte %d of %d", end, fi.Size())
	}
	names, err := filepath.Glob(filepath.Join(db, "*.sst"))
	if err != nil {
		return err
	}
	have := make(map[string]bool, len(names))
	for _, n := range names {
		have[filepath.Base(n)] = true
	}
	for id := range m.Tables {
		name := fmt.Sprintf("%06d.sst", id)
		if !have[name] {
			return fmt.Errorf("table %s is missing", name)
		}
		delete(have, name)
	}
	for name := range have {
		return fmt.Errorf("table %s is not in MANIFEST", fault.Quote(name))
	}
	return nil
}

// marked reports whether the clean state vouches for a file of the database:
// those that are not written again, or not without the rest.
func marked(name string) bool {
	return strings.HasSuffix(name, ".sst") || name == badger.ManifestFilename || name == badger.KeyRegistryFileName
}

// A fileMark is what the clean state says of a file.
type fileMark struct {
	size int64
	sum  uint64 // XXH64 of all bytes
}

// A seenFile is a marked file as this process found it when it opened the
// index. Tables are never changed, so their mark is good at Close too.
type seenFile struct {
	info fs.FileInfo
	mark fileMark
}

// markFiles reads the marked files of the database; those that are as seen are
// not read again.
func markFiles(db string, seen map[string]seenFile) (map[string]fileMark, error) {
	if err := checkManifest(db); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(db)
	if err != nil {
		return nil, err
	}
	marks := make(map[string]fileMark)
	for _, e := range entries {
		if !marked(e.Name()) {
			continue
		}
		f, err := readMark(filepath.Join(db, e.Name()), seen[e.Name()])
		if err != nil {
			return nil, err
		}
		marks[e.Name()] = f.mark
	}
	return marks, nil
}

// readMark returns the mark of a file, known's when it is the same file unchanged.
func readMark(path string, known seenFile) (seenFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return seenFile{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return seenFile{}, err
	}
	if known.info != nil && os.SameFile(fi, known.info) && fi.Size() == known.info.Size() && fi.ModTime().Equal(known.info.ModTime()) {
		return known, nil
	}
	h := xxhash.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return seenFile{}, err
	}
	return seenFile{info: fi, mark: fileMark{size: n, sum: h.Sum64()}}, nil
}

// checkFiles looks at the files before the library does. The library deletes
// tables that MANIFEST does not name, cuts a MANIFEST that ends within a
// record, and ends the process over a table that is too short. In a folder that
// was closed properly every byte of the marked files is compared; in one that
// was not, MANIFEST and the list of tables are what can be.
func checkFiles(db string, state folderState) (map[string]seenFile, error) {
	if err := checkManifest(db); err != nil {
		return nil, err
	}
	seen := make(map[string]seenFile)
	if state.word != stateClean {
		return seen, nil
	}
	for name, want := range state.files {
		f, err := readMark(filepath.Join(db, name), seenFile{})
		if err != nil {
			return nil, err
		}
		if f.mark != want {
			return nil, fmt.Errorf("file %s was changed since the index was closed", fault.Quote(name))
		}
		if strings.HasSuffix(name, ".sst") {
			seen[name] = f
		}
	}
	tables, err := filepath.Glob(filepath.Join(db, "*.sst"))
	if err != nil {
		return nil, err
	}
	if len(tables) != len(seen) || state.files[badger.ManifestFilename].size == 0 {
		return nil, fmt.Errorf("%d tables, and %d when the index was closed", len(tables), len(seen))
	}
	return seen, nil
}

// folderState is what the state file says.
type folderState struct {
	word  string
	files map[string]fileMark // when clean
}

// readState returns the state of the folder. Its word is none of the known ones
// when the file is missing or not as [writeState] writes it.
func readState(dir string) folderState {
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return folderState{}
	}
	first, rest, _ := strings.Cut(string(b), "\n")
	word, ok := strings.CutPrefix(first, statePrefix)
	s := folderState{word: word, files: make(map[string]fileMark)}
	if !ok {
		s.word = "unknown"
		return s
	}
	for line := range strings.Lines(rest) {
		var name string
		var m fileMark
		if _, err := fmt.Sscanf(line, "%s %d %016x\n", &name, &m.size, &m.sum); err != nil || !marked(name) || strings.ContainsRune(name, filepath.Separator) {
			return folderState{word: "unknown"}
		}
		s.files[name] = m
	}
	if !bytes.Equal(s.encode(), b) {
		return folderState{word: "unknown"}
	}
	return s
}

func (s folderState) encode() []byte {
	b := []byte(statePrefix + s.word + "\n")
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		b = fmt.Appendf(b, "%s %d %016x\n", name, s.files[name].size, s.files[name].sum)
	}
	return b
}

// writeState replaces the state and waits until it is on disk.
func writeState(dir string, s folderState) error {
	if err := durable.WriteFile(filepath.Join(dir, stateFile), s.encode(), 0o600); err != nil {
		return fmt.Errorf("marking the index as %s: %w", s.word, err)
	}
	return nil
}

func syncFiles(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if err := durable.Sync(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return durable.Sync(dir)
}
