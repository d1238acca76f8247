//go:build linux

package sys

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// executable is the program that runs, opened while /proc was the caller's own, and its sealed copy.
var executable struct {
	sync.Mutex
	file, sealed *FD
}

// HoldExecutable opens the running program, once, so that it can be started again whatever becomes of its path.
func HoldExecutable() error {
	executable.Lock()
	defer executable.Unlock()
	if executable.file != nil {
		return nil
	}
	if err := checkProc(); err != nil {
		return err
	}
	var err error
	executable.file, err = open(func() (int, error) { return unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0) })
	return err
}

// Executable returns the running program, or a sealed copy of it, made once. It is not the caller's to close. PathOf leads
// to it while /proc is mounted.
func Executable(sealed bool) (*FD, error) {
	if err := HoldExecutable(); err != nil {
		return nil, err
	}
	if err := checkProc(); err != nil {
		return nil, err
	}
	executable.Lock()
	defer executable.Unlock()
	if !sealed {
		return executable.file, nil
	}
	if executable.sealed == nil {
		copied, err := SealedCopy(executable.file)
		if err != nil {
			return nil, fmt.Errorf("sealed copy of the program: %w", err)
		}
		executable.sealed = copied
	}
	return executable.sealed, nil
}

// PathOf returns a path that leads to an open file of this process.
func PathOf(f *FD) string { return "/proc/self/fd/" + strconv.Itoa(f.Int()) }

// Spawn starts a program as a child of the calling thread. Its descriptors are files, in that order, from 0 on. With a
// credential it runs as that user. The program comes after the files and stays open: between fork and exec the numbers
// are given out anew, and any other number of it may have been taken by then.
func Spawn(program *FD, argv, env []string, files []int, as *syscall.Credential) (*Child, error) {
	defer runtime.KeepAlive(program)
	path := "/proc/self/fd/" + strconv.Itoa(len(files))
	pidfd := -1
	attr := syscall.ProcAttr{Env: env, Sys: &syscall.SysProcAttr{PidFD: &pidfd, Credential: as}}
	for _, fd := range append(files, program.Int()) {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	pid, err := syscall.ForkExec(path, argv, &attr)
	if err != nil {
		return nil, err
	}
	if pidfd < 0 {
		return Adopt(pid)
	}
	return &Child{PID: pid, process: NewProcess(pidfd)}, nil
}

// Child is a child process of ours that was not waited for yet.
type Child struct {
	PID     int
	process *Process
}

// Adopt takes hold of a child that another process made ours (CLONE_PARENT).
func Adopt(pid int) (*Child, error) {
	p, err := OpenProcess(pid)
	if err != nil {
		return nil, err
	}
	return &Child{PID: pid, process: p}, nil
}

// Pidfd returns the child's pidfd, readable when it has ended.
func (c *Child) Pidfd() int { return c.process.Int() }

// Kill ends the child and, if it leads one, the rest of its process group: until Wait, nobody else can have its PID.
func (c *Child) Kill() {
	_ = c.process.Kill(unix.SIGKILL)
	if group, err := unix.Getpgid(c.PID); err == nil && group == c.PID {
		_ = unix.Kill(-c.PID, unix.SIGKILL)
	}
}

// Wait waits for the end of the child until the deadline (zero: without end), and reaps it. ok is false if the deadline
// came first. A child that somebody else reaped has status 0.
func (c *Child) Wait(deadline time.Time) (status syscall.WaitStatus, ok bool) {
	defer runtime.KeepAlive(c)
	if !c.reap(&status) {
		if _, err := WaitReadable(deadline, c.Pidfd()); err != nil || !c.reap(&status) {
			return 0, false
		}
	}
	_ = c.process.Close()
	return status, true
}

// reap reaps the child if it has ended.
func (c *Child) reap(status *syscall.WaitStatus) bool {
	pid := 0
	err := Retry(func() (err error) { pid, err = syscall.Wait4(c.PID, status, syscall.WNOHANG, nil); return err })
	return pid == c.PID || errors.Is(err, syscall.ECHILD)
}

// Exec replaces the process. It returns only an error.
func Exec(path string, argv, env []string) error { return syscall.Exec(path, argv, env) }

// Exit ends the process at once: no hook of package os runs.
func Exit(status int) { syscall.Exit(status) }
