package procfs

import "bytes"

// FDInfo is a part of /proc/PID/fdinfo/FD; see proc_pid_fdinfo(5).
type FDInfo struct {
	MountID  int    // of mountinfo
	Inode    uint64 // 5.14
	InFlight int    // descriptors that wait in a unix socket to be received
	Device   []byte // the network device of a TUN or TAP descriptor
}

// ParseFDInfo parses the text of /proc/PID/fdinfo/FD. What is not in there is zero.
func ParseFDInfo(text []byte) (f FDInfo) {
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, newline)
		key, value, _ := bytes.Cut(line, colon)
		value = bytes.TrimLeft(value, "\t ")
		switch string(key) {
		case "mnt_id":
			f.MountID, _ = pid(value)
		case "ino":
			f.Inode, _ = whole(value)
		case "scm_fds":
			f.InFlight, _ = pid(value)
		case "iff":
			f.Device = value
		}
	}
	return f
}
