package pack

import (
	"golang.org/x/sys/unix"

	"github.com/cairn-registry/cairn/manifests/fault"
)

// Usage is how much a store holds, and how it fares.
type Usage struct {
	Packs      int
	Blocks     int64 // that the index points to
	Bytes      int64 // of packs, up to their last commit
	IndexBytes int64
	FreeBytes  int64 // that the disk has left
	// Damaged counts the reads since Open that found a block damaged.
	Damaged int64
}

// Usage reads one row per pack of the index. It may be called concurrently.
func (s *Store) Usage() (Usage, error) {
	s.mu.RLock()
	ids := make([]packID, 0, len(s.packs))
	for id := range s.packs {
		ids = append(ids, id)
	}
	s.mu.RUnlock()
	u := Usage{Packs: len(ids), Damaged: s.damaged.Load()}
	for _, id := range ids {
		row, ok, err := s.packRow(id)
		if err != nil {
			return u, err
		}
		if ok {
			u.Blocks += row.blocks
			u.Bytes += row.end
		}
	}
	tables, logs := s.db.Size()
	u.IndexBytes = tables + logs
	free, err := s.free()
	u.FreeBytes = free
	return u, err
}

// free returns how many bytes the disk below the store has left.
func (s *Store) free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err != nil {
		return 0, fault.New(fault.Internal, "asking for free space: %w", err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}
