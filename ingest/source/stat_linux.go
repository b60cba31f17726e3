package source

import (
	"io/fs"
	"syscall"
)

// StatOf takes from info what tells a changed file from an unchanged one.
func StatOf(info fs.FileInfo) Stat {
	s := Stat{Size: info.Size(), Mtime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Ctime, s.Inode = st.Ctim.Nano(), st.Ino
	}
	return s
}

func deviceOf(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev)
	}
	return 0
}
