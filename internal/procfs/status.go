package procfs

import "bytes"

// Status is a part of /proc/PID/status; see proc_pid_status(5).
type Status struct {
	UID, GID uint32 // real
	PIDs     []int  // NSpid: in the PID namespace of that /proc first, in the innermost last
}

// ParseStatus parses the text of /proc/PID/status. The PIDs are appended to room.
func ParseStatus(text []byte, room []int) (s Status, ok bool) {
	s.PIDs = room
	var uid, gid bool
	for len(text) > 0 {
		var line []byte
		line, text, _ = bytes.Cut(text, newline)
		key, value, found := bytes.Cut(line, colon)
		if !found {
			continue
		}
		switch string(key) {
		case "Uid":
			s.UID, uid = firstID(value)
		case "Gid":
			s.GID, gid = firstID(value)
		case "NSpid":
			s.PIDs = appendPIDs(room, value)
		}
	}
	return s, uid && gid
}

var newline, colon = []byte{'\n'}, []byte{':'}

// firstID parses the first of four numbers with tabs before them.
func firstID(b []byte) (uint32, bool) {
	n, _, ok := number(bytes.TrimLeft(b, "\t "))
	return uint32(n), ok && n <= 1<<32-1
}

func appendPIDs(pids []int, b []byte) []int {
	for {
		n, rest, ok := number(bytes.TrimLeft(b, "\t "))
		if !ok || n > 1<<31-1 {
			return pids
		}
		pids, b = append(pids, int(n)), rest
	}
}
