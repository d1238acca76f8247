package sys

import (
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// PathOf returns a path that leads to an open file of this process.
func PathOf(f *FD) string { return "/proc/self/fd/" + strconv.Itoa(f.Int()) }

// Spawn starts a program as a child of the calling thread. Its descriptors are files, in that order, from 0 on.
func Spawn(program *FD, argv, env []string, files []int) (*Child, error) {
	return start(&syscall.SysProcAttr{}, program, argv, env, files)
}

// start passes the program on after the files and leaves it open: between fork and exec the numbers are given out anew,
// and any other number of it may have been taken by then.
func start(how *syscall.SysProcAttr, program *FD, argv, env []string, files []int) (*Child, error) {
	defer runtime.KeepAlive(program)
	path := "/proc/self/fd/" + strconv.Itoa(len(files))
	pidfd := -1
	how.PidFD = &pidfd
	attr := syscall.ProcAttr{Env: env, Sys: how}
	for _, fd := range append(files, program.Int()) {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	pid, err := syscall.ForkExec(path, argv, &attr)
	for try := 0; err == unix.ETXTBSY && try < 100; try++ { // another child still has the descriptor a copy was written with
		time.Sleep(time.Millisecond)
		pid, err = syscall.ForkExec(path, argv, &attr)
	}
	if err != nil {
		return nil, err
	}
	return &Child{PID: pid, process: NewProcess(pidfd)}, nil
}

// Exec replaces the process and lets it keep a descriptor that otherwise is close-on-exec. It returns only an error.
// No child that another thread starts meanwhile gets the descriptor.
func Exec(path string, argv, env []string, kept *FD) error {
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	defer runtime.KeepAlive(kept)
	if _, err := unix.FcntlInt(uintptr(kept.Int()), unix.F_SETFD, 0); err != nil {
		return err
	}
	err := syscall.Exec(path, argv, env)
	syscall.CloseOnExec(kept.Int())
	return err
}

// Exit ends the process at once: no hook of package os runs.
func Exit(status int) { syscall.Exit(status) }
