//go:build 386 || arm

package raw

import "golang.org/x/sys/unix"

// IDs have 16 bits in the system calls without the 32.
const setresuid, setresgid = unix.SYS_SETRESUID32, unix.SYS_SETRESGID32
