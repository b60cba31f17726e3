package cli

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxMaps bounds what is read of the kernel's list of mappings.
const maxMaps = 4 << 20

// shedStartup gives back the memory of the program's own code and constants that
// only starting up has touched: some 10 MiB, for a program of many parts of which
// an add uses few. What is needed again is read from the file again. Mappings
// with pages of their own, such as relocated ones, are left alone. When it does
// not work the add only takes more memory.
func shedStartup() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	var start, end uint64 // of the mapping that is being read; 0 when it is not one to shed
	for s := bufio.NewScanner(io.LimitReader(f, maxMaps)); s.Scan(); {
		w := strings.Fields(s.Text())
		switch {
		case len(w) >= 5 && !strings.HasSuffix(w[0], ":"):
			// address perms offset dev inode pathname
			start, end = 0, 0
			if len(w) == 6 && w[5] == exe && w[1][0] == 'r' && w[1][1] == '-' && w[1][3] == 'p' {
				start, end = addresses(w[0])
			}
		case len(w) == 3 && w[0] == "Anonymous:" && w[1] == "0" && end > start:
			// Read-only pages of a file, none of them changed: the file has them all.
			unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
		}
	}
}

// addresses reads a range as the kernel writes it.
func addresses(text string) (start, end uint64) {
	from, to, _ := strings.Cut(text, "-")
	start, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return 0, 0
	}
	end, err = strconv.ParseUint(to, 16, 64)
	if err != nil {
		return 0, 0
	}
	return start, end
}
