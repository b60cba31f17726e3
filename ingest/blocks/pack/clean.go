package pack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// The database drops tables that its MANIFEST does not name, and does not miss
// those that it never heard of: a MANIFEST that was cut off opens as a smaller
// database. So the files of an index that was closed in order are written down,
// and one that was not is counted.

// cleanMark is a file of the index folder that is there exactly while the index
// is closed in order. It lists the database's files.
const cleanMark = "CLEAN"

var errIndexDiffers = errors.New("its files are not those it was closed with")

// indexFiles lists what makes up the database in dir: tables by their size,
// MANIFEST by its content.
func indexFiles(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var lines []string
	for _, e := range entries {
		switch {
		case e.Name() == "MANIFEST":
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return "", err
			}
			lines = append(lines, fmt.Sprintf("%s %d %016x\n", e.Name(), len(b), xxhash.Sum64(b)))
		case strings.HasSuffix(e.Name(), ".sst"):
			info, err := e.Info()
			if err != nil {
				return "", err
			}
			lines = append(lines, fmt.Sprintf("%s %d\n", e.Name(), info.Size()))
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, ""), nil
}

// markClean says that the index was closed in order.
func markClean(dir string) error {
	files, err := indexFiles(dir)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, cleanMark), []byte(files), 0o600)
}

// takeMark takes the clean mark away before the index is opened. clean is false
// for an index that was not closed in order; errIndexDiffers is for one that
// was, and is not what it was.
func takeMark(dir string) (clean bool, err error) {
	name := filepath.Join(dir, cleanMark)
	b, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	files, err := indexFiles(dir)
	if err != nil {
		return false, err
	}
	if files != string(b) {
		return false, errIndexDiffers
	}
	return true, os.Remove(name)
}

// counted reports whether the index has as many blocks of each pack as it says:
// fewer means that tables were lost.
func (s *Store) counted(ids []packID) (bool, error) {
	have := make(map[packID]int64)
	err := s.each(context.Background(), func(_ [32]byte, l location) error {
		have[packID{l.series, l.num}]++
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		row, ok, err := s.packRow(id)
		if err != nil {
			return false, err
		}
		if ok && have[id] < row.blocks {
			return false, nil
		}
	}
	return true, nil
}
