package procfs

import "bytes"

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
	if s.PID, ok = pid(text[:open-1]); !ok {
		return s, false
	}
	s.Name = text[open+1 : end]
	return s, s.parseFields(text[end+1:])
}

// parseFields parses what follows the name, up to the 22nd field.
func (s *Stat) parseFields(rest []byte) bool {
	for field := 3; field <= 22; field++ {
		if len(rest) == 0 || rest[0] != ' ' {
			return false
		}
		value := rest[1:]
		if at := bytes.IndexByte(value, ' '); at >= 0 {
			value, rest = value[:at], value[at:]
		} else {
			rest = nil
		}
		if !s.set(field, value) {
			return false
		}
	}
	return true
}

// set takes one of the fields, which proc_pid_stat(5) counts from 1.
func (s *Stat) set(field int, value []byte) (ok bool) {
	switch field {
	case 3:
		if len(value) != 1 {
			return false
		}
		s.State = value[0]
	case 4:
		s.PPID, ok = pid(value)
		return ok
	case 9:
		flags, ok := whole(value)
		s.KernelThread = flags&kernelThread != 0
		return ok
	case 20:
		s.Threads, ok = pid(value)
		return ok
	case 22:
		s.Start, ok = whole(bytes.TrimSuffix(value, newline))
		return ok
	}
	return true
}
