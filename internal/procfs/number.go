package procfs

// number parses the decimal digits that b starts with; ok is false if there are none or too many.
func number(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && '0' <= b[i] && b[i] <= '9'; i++ {
		digit := uint64(b[i] - '0')
		if n > (1<<64-1-digit)/10 {
			return 0, b, false
		}
		n = n*10 + digit
	}
	return n, b[i:], i > 0
}

// whole parses b, all of which has to be digits.
func whole(b []byte) (uint64, bool) {
	n, rest, ok := number(b)
	return n, ok && len(rest) == 0
}

// maxPID is more than the kernel ever gives.
const maxPID = 1<<31 - 1

// pid parses a number that fits into what the kernel takes for one.
func pid(b []byte) (int, bool) {
	n, ok := whole(b)
	return int(n), ok && n <= maxPID
}

// PID returns the number that a name in /proc stands for; ok is false if it is no process's.
func PID(name []byte) (id int, ok bool) {
	if len(name) == 0 || name[0] < '0' || name[0] > '9' {
		return 0, false
	}
	return pid(name)
}
