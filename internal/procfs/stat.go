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

// Zombie says that the process has ended and waits to be reaped.
func (s *Stat) Zombie() bool { return s.State == 'Z' || s.State == 'X' || s.State == 'x' }

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
	largest := uint64(0) // of the numbers that are counts of threads
	for field := 3; field <= 22; field++ {
		if len(rest) == 0 || rest[0] != ' ' {
			return false
		}
		rest = rest[1:]
		if field == 3 {
			if len(rest) == 0 {
				return false
			}
			s.State, rest = rest[0], rest[1:]
			continue
		}
		if len(rest) > 0 && rest[0] == '-' {
			rest = rest[1:] // a terminal or a nice value: not wanted
		}
		n, after, ok := number(rest)
		if !ok {
			return false
		}
		rest = after
		switch field {
		case 4:
			s.PPID, largest = int(n), max(largest, n)
		case 9:
			s.KernelThread = n&kernelThread != 0
		case 20:
			s.Threads, largest = int(n), max(largest, n)
		case 22:
			s.Start = n
		}
	}
	return largest <= maxPID
}
