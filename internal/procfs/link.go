package procfs

import (
	"bytes"

	"github.com/nsops/nsops/species"
)

// ParseLink parses where a link in /proc/PID/ns leads, such as net:[4026531840]. Other links, such as those of
// descriptors, are not ok.
func ParseLink(text []byte) (t species.NamespaceType, inode uint64, ok bool) {
	name, rest, found := bytes.Cut(text, colon)
	if !found || len(name) > len("cgroup") {
		return species.NaNS, 0, false
	}
	if t = species.NameToType(string(name)); t == species.NaNS {
		return species.NaNS, 0, false
	}
	if inode, ok = bracketed(rest); !ok {
		return species.NaNS, 0, false
	}
	return t, inode, true
}

// ParseSocket parses where the link of a socket's descriptor leads, such as socket:[12345].
func ParseSocket(text []byte) (inode uint64, ok bool) {
	rest, found := bytes.CutPrefix(text, socketPrefix)
	if !found {
		return 0, false
	}
	return bracketed(rest)
}

var socketPrefix = []byte("socket:")

func bracketed(b []byte) (uint64, bool) {
	if len(b) < 3 || b[0] != '[' || b[len(b)-1] != ']' {
		return 0, false
	}
	n, ok := whole(b[1 : len(b)-1])
	if n == 0 {
		return 0, false
	}
	return n, ok
}
