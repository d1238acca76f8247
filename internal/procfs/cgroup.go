package procfs

import "bytes"

// Cgroup is a line of /proc/PID/cgroup; see cgroups(7).
type Cgroup struct {
	Hierarchy   int    // 0: of version 2
	Controllers []byte // with commas; or name=systemd and the like
	Path        []byte
}

// NextCgroup parses the first line, and returns those after it. Lines that are none are passed over; ok is false at the
// end. A path with a newline in it, which the kernel writes as it is, ends there.
func NextCgroup(text []byte) (c Cgroup, rest []byte, ok bool) {
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, newline)
		hierarchy, line, found := bytes.Cut(line, colon)
		controllers, path, found2 := bytes.Cut(line, colon)
		n, digits := pid(hierarchy)
		if found && found2 && digits && len(path) > 0 && path[0] == '/' {
			return Cgroup{n, controllers, path}, text, true
		}
	}
	return Cgroup{}, nil, false
}
