package procfs

import (
	"bytes"
	"strconv"
)

var newline, colon, space, dash = []byte{'\n'}, []byte{':'}, []byte{' '}, []byte(" - ")

// number parses b, all of which has to be decimal digits.
func number(b []byte) (uint64, bool) {
	n, err := strconv.ParseUint(string(b), 10, 64)
	return n, err == nil
}

// maxPID is more than the kernel ever gives.
const maxPID = 1<<31 - 1

// pid parses a number that fits into what the kernel takes for one.
func pid(b []byte) (int, bool) {
	n, ok := number(b)
	if !ok || n > maxPID {
		return 0, false
	}
	return int(n), true
}

// PID returns the number that a name in /proc stands for; ok is false if it is no process's.
func PID(name []byte) (id int, ok bool) {
	if len(name) == 0 || name[0] < '0' || name[0] > '9' {
		return 0, false // most of the others, without making an error
	}
	return pid(name)
}

// firstWord returns the first word after spaces and tabs, and what follows.
func firstWord(b []byte) (word, rest []byte) {
	b = bytes.TrimLeft(b, "\t ")
	if at := bytes.IndexAny(b, "\t "); at >= 0 {
		return b[:at], b[at:]
	}
	return b, nil
}
