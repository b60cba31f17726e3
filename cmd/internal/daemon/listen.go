package daemon

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cairn-registry/cairn/cmd/internal/config"
	"github.com/cairn-registry/cairn/manifests/fault"
)

// unixPrefix marks the address of a unix socket.
const unixPrefix = "unix:"

// listenOn listens on host:port, or on unix:PATH with the given mode. A socket
// file that nobody answers on is left from a server that was killed: it is
// replaced.
func listenOn(address string, mode fs.FileMode) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, unixPrefix)
	if !isUnix {
		ln, err := net.Listen("tcp", address)
		if bad := new(net.AddrError); errors.As(err, &bad) {
			return nil, fault.WithHint(fault.New(fault.Invalid, "%s is no address to listen on: %s", fault.Quote(address), bad.Err),
				"--listen HOST:PORT, such as 127.0.0.1:8411, or unix:PATH; port 0 picks a free one")
		}
		if err != nil {
			return nil, fault.WithHint(fault.New(fault.Conflict, "listening on %s: %w", fault.Quote(address), err),
				"--listen HOST:PORT; port 0 picks a free one")
		}
		return ln, nil
	}
	if len(path) > maxSocketPath {
		return nil, fault.New(fault.Invalid, "the path of a socket has at most %d bytes: %s", maxSocketPath, fault.Quote(path))
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return nil, fault.New(fault.Conflict, "somebody listens on %s", fault.Quote(address))
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fault.New(fault.Conflict, "listening on %s: %w", fault.Quote(address), err)
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// local reports whether only this machine reaches a listener.
func local(ln net.Listener) bool {
	a, ok := ln.Addr().(*net.TCPAddr)
	return !ok || a.IP.IsLoopback()
}

// ownMachine reports whether those who connect to a listener sit at this
// machine. Behind a unix socket is a proxy, and behind it anybody.
func ownMachine(ln net.Listener) bool {
	_, tcp := ln.Addr().(*net.TCPAddr)
	return tcp && local(ln)
}

// baseURL is what a client is told of a listener.
func baseURL(ln net.Listener, tls bool) string {
	a, ok := ln.Addr().(*net.TCPAddr)
	switch {
	case !ok:
		return unixPrefix + ln.Addr().String()
	case tls:
		return "https://" + a.String()
	}
	return "http://" + a.String()
}

// prefixes reads networks and addresses; "unix" is reported apart.
func prefixes(key string, words config.List) (ps []netip.Prefix, isUnix bool, err error) {
	for _, w := range words {
		if w == "unix" {
			isUnix = true
			continue
		}
		p, err := netip.ParsePrefix(w)
		if err != nil {
			a, err := netip.ParseAddr(w)
			if err != nil {
				return nil, false, fault.New(fault.Invalid, "%s: %s is not an address or a network such as 10.0.0.0/8", key, fault.Quote(w))
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		ps = append(ps, p.Masked())
	}
	return ps, isUnix, nil
}

// connections bounds the connections of each of n listeners by half of the
// descriptors that the process may have: the log's engine ends the process when
// it gets none.
func connections(want, n int) int {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &lim) != nil {
		return want
	}
	return max(1, min(want, int(min(lim.Cur, 1<<30))/2/n))
}

// appendLog opens a log file for appending.
func appendLog(dir, name string) (*os.File, error) {
	return os.OpenFile(inHome(dir, name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}
