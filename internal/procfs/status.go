package procfs

import (
	"bytes"
	"strconv"
)

// Status is a part of /proc/PID/status; see proc_pid_status(5). What is not in the text is zero: one that was cut off may
// serve, as the lines come in this order.
type Status struct {
	TGID     int    // the PID of the process that the thread is of
	UID, GID uint32 // real
	PIDs     []int  // NSpid: in the PID namespace of that /proc first, in the innermost last
}

// ParseStatus parses the text of /proc/PID/status. The PIDs are appended to room. It is not ok if there are no IDs.
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
		case "Tgid":
			s.TGID, _ = pid(bytes.TrimLeft(value, "\t "))
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

// appendPIDs appends none at all if there is anything but PIDs.
func appendPIDs(pids []int, b []byte) []int {
	start := len(pids)
	for b = bytes.TrimLeft(b, "\t "); len(b) > 0; b = bytes.TrimLeft(b, "\t ") {
		n, rest, ok := number(b)
		if !ok || n > maxPID {
			return pids[:start]
		}
		pids, b = append(pids, int(n)), rest
	}
	return pids
}

// ParseCapabilities parses, of the text of /proc/PID/status, the permitted and the bounding set, as bits.
func ParseCapabilities(text []byte) (permitted, bounding uint64, ok bool) {
	permitted, hasPermitted := hexadecimal(text, "\nCapPrm:\t")
	bounding, hasBounding := hexadecimal(text, "\nCapBnd:\t")
	return permitted, bounding, hasPermitted && hasBounding
}

// hexadecimal parses the number on the line that begins with key.
func hexadecimal(text []byte, key string) (n uint64, ok bool) {
	_, rest, found := bytes.Cut(text, []byte(key))
	line, _, ended := bytes.Cut(rest, newline)
	n, err := strconv.ParseUint(string(line), 16, 64)
	return n, found && ended && err == nil
}
