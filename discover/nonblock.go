//go:build unix

package discover

import "syscall"

const nonblock = syscall.O_NONBLOCK
