//go:build linux

package sys

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

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

// Spawn starts a program as a child of the calling thread. Its descriptors are files, in that order, from 0 on. The
// program comes after the files and stays open: between fork and exec the numbers are given out anew, and any other
// number of it may have been taken by then.
func Spawn(program *FD, argv, env []string, files []int) (*Child, error) {
	defer runtime.KeepAlive(program)
	path := "/proc/self/fd/" + strconv.Itoa(len(files))
	pidfd := -1
	attr := syscall.ProcAttr{Env: env, Sys: &syscall.SysProcAttr{PidFD: &pidfd}}
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

// Adopt takes hold of a child of ours that is not reaped yet, such as one made with CLONE_PARENT. If it cannot, it ends
// and reaps the child; ESRCH: somebody else has.
func Adopt(pid int) (*Child, error) {
	p, err := OpenProcess(pid)
	if err == nil {
		return &Child{PID: pid, process: p}, nil
	}
	if err != unix.ESRCH {
		_ = unix.Kill(pid, unix.SIGKILL)
		_ = Retry(func() error { _, err := syscall.Wait4(pid, nil, 0, nil); return err })
	}
	return nil, err
}

// Pidfd returns the child's pidfd, readable when it has ended.
func (c *Child) Pidfd() int { return c.process.Int() }

// Kill ends the child and, if it leads one, the rest of its process group. It does nothing if somebody else has reaped
// the child: its PID may be anybody's then.
func (c *Child) Kill() {
	if c.process.Kill(unix.SIGKILL) != nil {
		return
	}
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

// reap reaps the child if it has ended. By its pidfd: if somebody else has reaped it, another child may have its PID.
func (c *Child) reap(status *syscall.WaitStatus) bool {
	var info childInfo
	err := Retry(func() error {
		return unix.Waitid(unix.P_PIDFD, c.Pidfd(), (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOHANG, nil)
	})
	switch {
	case err == unix.ECHILD:
		*status = 0
	case err != nil || info.Signo == 0:
		return false
	case info.Code == exited:
		*status = syscall.WaitStatus(info.Status << 8)
	default: // killed; the bit for a core dump is of no interest
		*status = syscall.WaitStatus(info.Status)
	}
	return true
}

// exited is CLD_EXITED, the siginfo code of a child that was not killed.
const exited = 1

// childInfo is siginfo_t as waitid(2) fills it in: man 2 sigaction. The union is aligned like a pointer.
type childInfo struct {
	Signo, Errno, Code int32
	_                  [(unsafe.Sizeof(uintptr(0)) - 4) / 4]int32
	PID, UID, Status   int32
	_                  [128]byte
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
