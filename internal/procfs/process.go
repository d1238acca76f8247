package procfs

import (
	"bytes"
	"strconv"
)

// Stat is a part of /proc/PID/stat; see proc_pid_stat(5).
type Stat struct {
	PID, PPID    int
	Name         []byte // at most 15 bytes of a program's, more of a kernel thread's
	State        byte   // 'Z' and 'X' are zombies
	KernelThread bool
	Threads      int
	Start        uint64 // clock ticks after boot
}

const kernelThread = 0x00200000 // PF_KTHREAD of linux/sched.h

// ParseStat parses the text of /proc/PID/stat. The name in it ends with the last parenthesis.
func ParseStat(text []byte) (s Stat, ok bool) {
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 2 || end < open {
		return s, false
	}
	rest, more := bytes.CutPrefix(text[end+1:], space)
	var fields [23][]byte // as proc_pid_stat(5) counts them
	for i := 3; i < len(fields); i++ {
		if !more {
			return s, false
		}
		fields[i], rest, more = bytes.Cut(rest, space)
	}
	id, okPID := pid(text[:open-1])
	parent, okParent := pid(fields[4])
	flags, okFlags := number(fields[9])
	threads, okThreads := pid(fields[20])
	start, okStart := number(bytes.TrimSuffix(fields[22], newline))
	if len(fields[3]) != 1 || !okPID || !okParent || !okFlags || !okThreads || !okStart {
		return s, false
	}
	return Stat{
		PID: id, PPID: parent, Name: text[open+1 : end], State: fields[3][0],
		KernelThread: flags&kernelThread != 0, Threads: threads, Start: start,
	}, true
}

// Status is a part of /proc/PID/status; see proc_pid_status(5). What is not in the text is zero: a part of the text has
// the first lines, in this order.
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

// firstID parses the first of four numbers with tabs before them.
func firstID(b []byte) (uint32, bool) {
	word, _ := firstWord(b)
	n, ok := number(word)
	return uint32(n), ok && n <= 1<<32-1
}

// appendPIDs appends none at all if there is anything but PIDs.
func appendPIDs(pids []int, b []byte) []int {
	start := len(pids)
	for word, rest := firstWord(b); len(word) > 0; word, rest = firstWord(rest) {
		n, ok := pid(word)
		if !ok {
			return pids[:start]
		}
		pids = append(pids, n)
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

// Cgroup is a line of /proc/PID/cgroup; see cgroups(7).
type Cgroup struct {
	Hierarchy   int    // 0: of version 2
	Controllers []byte // with commas; or name=systemd and the like
	Path        []byte
}

// NextCgroup parses the first line that is a cgroup, and returns those after it; ok is false at the end. A path with a
// newline in it, which the kernel writes as it is, ends there.
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
