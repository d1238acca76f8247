package handle

import (
	"strconv"
)

// NamespaceFd refers to a namespace by a descriptor that somebody else opened, and will close after the last use of
// this.
type NamespaceFd int

func noCloser() {}

// NsFd returns the descriptor itself; its closer does nothing.
func (n NamespaceFd) NsFd() (int, FdCloser, error) { return int(n), noCloser, nil }

// String returns the number.
func (n NamespaceFd) String() string { return "fd " + strconv.Itoa(int(n)) }
