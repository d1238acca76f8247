package procfs

import "bytes"

// FDInfo is a part of /proc/PID/fdinfo/FD; see proc_pid_fdinfo(5).
type FDInfo struct {
	InFlight int // descriptors that wait in a unix socket to be received
	// PID is, for a pidfd, the process's in the PID namespace of that proc file system: 0 if it has none there, -1 if it
	// has ended.
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
