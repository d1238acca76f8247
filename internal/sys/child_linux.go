package sys

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// Child is a child process of ours that was not waited for yet.
type Child struct {
	PID     int
	process *Process
}

// Adopt takes hold of a child of ours that is not reaped yet, such as one made with CLONE_PARENT. If it cannot, it
// kills and reaps the child. ECHILD: it has been reaped, which the kernel itself does while SIGCHLD is ignored.
func Adopt(pid int) (*Child, error) {
	p, err := OpenProcess(pid)
	switch {
	case err == unix.ESRCH:
		return nil, unix.ECHILD
	case err != nil: // without a descriptor to spare there is only the number
		if isChild(unix.P_PID, pid) {
			_ = unix.Kill(pid, unix.SIGKILL)
			_ = Retry(func() error { _, err := syscall.Wait4(pid, nil, 0, nil); return err })
		}
		return nil, err
	case !isChild(unix.P_PIDFD, p.Int()):
		_ = p.Close()
		return nil, unix.ECHILD
	}
	return &Child{PID: pid, process: p}, nil
}

// isChild reports whether a process is a child of ours that is not reaped yet: man 2 waitid. It leaves that as it is.
func isChild(how, id int) bool {
	return Retry(func() error { return unix.Waitid(how, id, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) }) == nil
}

// Pidfd returns the child's pidfd, readable when it has ended.
func (c *Child) Pidfd() int { return c.process.Int() }

// Kill ends the child and, if it leads one, the rest of its process group. If somebody else has reaped the child, its
// PID may be anybody's: then it ends what is left of the group, or before Linux 6.9 nothing.
func (c *Child) Kill() {
	err := error(unix.EINVAL)
	if !pretended(GroupSignals) {
		err = unix.PidfdSendSignal(c.Pidfd(), unix.SIGKILL, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
	}
	if err == unix.EINVAL { // a group has a number only, and while the child has not ended that is its own
		if group, err := unix.Getpgid(c.PID); err == nil && group == c.PID && c.process.Alive() {
			_ = unix.Kill(-c.PID, unix.SIGKILL)
		}
	}
	_ = c.process.Kill(unix.SIGKILL)
}

// Terminate asks the child to end, by SIGTERM.
func (c *Child) Terminate() { _ = c.process.Kill(unix.SIGTERM) }

// Wait waits for the end of the child until the deadline (zero: without end), and reaps it. ok is false if the deadline
// came first. A child that somebody else reaped has status 0.
func (c *Child) Wait(deadline time.Time) (status syscall.WaitStatus, ok bool) {
	if !c.reap(&status) {
		if _, err := WaitReadable(deadline, c.Pidfd()); err != nil || !c.reap(&status) {
			return 0, false
		}
	}
	_ = c.process.Close()
	return status, true
}

// WaitLater reaps the child whenever it ends, which may take for ever if it hangs in the kernel. No thread waits
// meanwhile, if possible. The child is not to be used any more.
func (c *Child) WaitLater() {
	var status syscall.WaitStatus
	if c.reap(&status) {
		_ = c.process.Close()
		return
	}
	go func() {
		if copied, err := DupFD(c.Pidfd()); err == nil && unix.SetNonblock(copied.Int(), true) == nil {
			polled := OSFile(copied, "pidfd") // the Go runtime waits for it without a thread
			if raw, err := polled.SyscallConn(); err == nil {
				_ = raw.Read(func(uintptr) bool { return c.reap(&status) })
			}
			_ = polled.Close()
		}
		if _, ok := c.Wait(time.Time{}); !ok { // it has ended, and who traces it does not reap it yet
			_, _ = c.waitid(unix.WEXITED)
			_ = c.process.Close()
		}
	}()
}

// reap reaps the child if it has ended.
func (c *Child) reap(status *syscall.WaitStatus) bool {
	info, err := c.waitid(unix.WEXITED | unix.WNOHANG)
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

// waitid goes by the pidfd: if somebody else has reaped the child, another one may have its PID.
func (c *Child) waitid(options int) (info childInfo, err error) {
	defer runtime.KeepAlive(c)
	err = Retry(func() error {
		return unix.Waitid(unix.P_PIDFD, c.Pidfd(), (*unix.Siginfo)(unsafe.Pointer(&info)), options, nil)
	})
	return info, err
}

// CLD_EXITED, CLD_TRAPPED and CLD_STOPPED, the siginfo codes of a child that was not killed.
const exited, trapped, stopped = 1, 4, 5

// childInfo is siginfo_t as waitid(2) fills it in: man 2 sigaction. The union is aligned like a pointer.
type childInfo struct {
	Signo, Errno, Code int32
	_                  [(unsafe.Sizeof(uintptr(0)) - 4) / 4]int32
	PID, UID, Status   int32
	_                  [128]byte
}

// PathOf returns a path that leads to an open file of this process.
func PathOf(f *FD) string { return "/proc/self/fd/" + strconv.Itoa(f.Int()) }

// Spawn starts a program as a child of the calling thread. Its descriptors are files, in that order, from 0 on.
func Spawn(program *FD, argv, env []string, files []int) (*Child, error) {
	return start(&syscall.SysProcAttr{}, program, argv, env, files)
}

// start passes the program after the files: between fork and exec the numbers are given out anew, and that of the
// program may have been taken by then.
func start(how *syscall.SysProcAttr, program *FD, argv, env []string, files []int) (*Child, error) {
	defer runtime.KeepAlive(program)
	path := "/proc/self/fd/" + strconv.Itoa(len(files))
	attr := syscall.ProcAttr{Env: env, Sys: how}
	for _, fd := range append(files, program.Int()) {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	child, err := forkExec(path, argv, &attr)
	for try := 0; err == unix.ETXTBSY && try < 100; try++ { // another child still has the descriptor a copy was written with
		time.Sleep(time.Millisecond)
		child, err = forkExec(path, argv, &attr)
	}
	return child, err
}

func forkExec(path string, argv []string, attr *syscall.ProcAttr) (*Child, error) {
	pidfd := -1
	attr.Sys.PidFD = &pidfd
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return nil, err
	}
	return &Child{PID: pid, process: &Process{fd: NewFD(pidfd)}}, nil
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

// Newborn is a child that was made for its namespaces and never runs an instruction of its program: it is stopped at
// the end of execve(2), as by a debugger. So a multithreaded process can make a user namespace without C code.
type Newborn struct{ child *Child }

// MakeNewborn makes a child with new namespaces of these types, those of the other types owned by the new user
// namespace if there is one. Mounts are private. The child dies with the calling thread, to which the goroutine is
// locked until End. It requires /proc and the right to be traced, which a process under strace -f has not.
func MakeNewborn(types species.Set, uids, gids []syscall.SysProcIDMap) (*Newborn, error) {
	const atBirth = species.Set(species.CLONE_NEWUSER | species.CLONE_NEWPID)
	if err := checkProc(); err != nil {
		return nil, err
	}
	child, err := forkExec("/proc/self/exe", []string{""}, &syscall.ProcAttr{Dir: "/", Sys: &syscall.SysProcAttr{
		Ptrace:       true,
		Pdeathsig:    unix.SIGKILL,
		Cloneflags:   uintptr(types & atBirth),
		Unshareflags: uintptr(types &^ atBirth),
		UidMappings:  uids,
		GidMappings:  gids,
	}})
	if err != nil {
		return nil, err
	}
	n := &Newborn{child}
	info, err := child.waitid(unix.WSTOPPED | unix.WEXITED | unix.WNOWAIT)
	if err == nil && info.Code != stopped && info.Code != trapped {
		err = errors.New("the child ended before it was used")
	}
	if err != nil {
		n.End()
		return nil, err
	}
	return n, nil
}

// OpenNamespace opens one of the child's namespaces. Of time namespaces it is the one for children: before Linux 6.3,
// execve(2) does not join it.
func (n *Newborn) OpenNamespace(t species.NamespaceType) (*FD, error) {
	if t == species.CLONE_NEWTIME {
		t = raw.TimeForChildren
	}
	return n.child.process.OpenNamespace(t)
}

// End kills the child and reaps it.
func (n *Newborn) End() {
	n.child.Kill()
	n.child.Wait(time.Time{})
}

// OwnGroup chooses the process group for KillGroupAtEnd: that of an existing leader, or of a process that will lead
// one; 0 is none. The signal is sent with the rights of the calling thread: man 2 fcntl, F_SETOWN.
func OwnGroup(socket *FD, group int) error {
	defer runtime.KeepAlive(socket)
	_, err := unix.FcntlInt(uintptr(socket.Int()), unix.F_SETOWN, -group)
	return err
}

// ownerEx is struct f_owner_ex: man 2 fcntl. F_GETOWN's number of a group is hard to tell from an error.
type ownerEx struct{ Type, ID int32 }

const ownerIsGroup = 2 // F_OWNER_PGRP

// OwnsItsGroup reports whether somebody has called OwnGroup for the group that the calling process leads.
func OwnsItsGroup(socket *FD) bool {
	defer runtime.KeepAlive(socket)
	var owner ownerEx
	_, _, errno := unix.Syscall(unix.SYS_FCNTL, uintptr(socket.Int()), unix.F_GETOWN_EX, uintptr(unsafe.Pointer(&owner)))
	return errno == 0 && owner == ownerEx{ownerIsGroup, int32(os.Getpid())}
}

// KillGroupAtEnd makes the kernel kill the group of OwnGroup when the other end of the socket is closed.
func KillGroupAtEnd(socket *FD) error {
	defer runtime.KeepAlive(socket)
	unix.CloseOnExec(socket.Int())
	_, signal := unix.FcntlInt(uintptr(socket.Int()), unix.F_SETSIG, int(unix.SIGKILL))
	_, async := unix.FcntlInt(uintptr(socket.Int()), unix.F_SETFL, unix.O_ASYNC)
	return errors.Join(signal, async)
}

// KillSelf kills this process, and with group all of its process group that it may kill. The first process of a PID
// namespace ignores that, and ends: the rest of the namespace ends with it.
func KillSelf(group bool) {
	pid := os.Getpid()
	if group {
		pid = 0
	}
	_ = unix.Kill(pid, unix.SIGKILL)
	syscall.Exit(128 + int(unix.SIGKILL))
}
