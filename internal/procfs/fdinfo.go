package procfs

import (
	"bytes"

	"github.com/nsops/nsops/species"
)

// FDInfo is a part of /proc/PID/fdinfo/FD; see proc_pid_fdinfo(5).
type FDInfo struct {
	InFlight int // descriptors that wait in a unix socket to be received
	// PID is that of a pidfd in the PID namespace of that /proc: 0 if it has none there, -1 if it has ended.
	PID   int
	Pidfd bool // there is a PID
}

// ParseFDInfo parses the text of /proc/PID/fdinfo/FD. What is not in there is zero.
func ParseFDInfo(text []byte) (f FDInfo) {
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, newline)
		key, value, _ := bytes.Cut(line, colon)
		value = bytes.TrimLeft(value, "\t ")
		switch string(key) {
		case "scm_fds":
			f.InFlight, _ = pid(value)
		case "Pid":
			if f.PID, f.Pidfd = pid(value); string(value) == "-1" {
				f.PID, f.Pidfd = -1, true
			}
		}
	}
	return f
}

// ParseLink parses where a link in /proc/PID/ns leads, such as net:[4026531840]; no other link is ok.
func ParseLink(text []byte) (t species.NamespaceType, inode uint64, ok bool) {
	name, rest, found := bytes.Cut(text, colon)
	if !found || len(name) > len("cgroup") {
		return species.NaNS, 0, false
	}
	t = species.NameToType(string(name))
	if inode, ok = bracketed(rest); !ok || t == species.NaNS {
		return species.NaNS, 0, false
	}
	return t, inode, true
}

// ParseSocket parses where the link of a socket's descriptor leads, such as socket:[12345].
func ParseSocket(text []byte) (inode uint64, ok bool) {
	if name, rest, _ := bytes.Cut(text, colon); string(name) == "socket" {
		return bracketed(rest)
	}
	return 0, false
}

func bracketed(b []byte) (uint64, bool) {
	if len(b) < 3 || b[0] != '[' || b[len(b)-1] != ']' {
		return 0, false
	}
	n, ok := number(b[1 : len(b)-1])
	return n, ok && n > 0
}
