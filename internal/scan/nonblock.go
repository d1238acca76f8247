package scan

import "syscall"

const nonblock = syscall.O_NONBLOCK
