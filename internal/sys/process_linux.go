package sys

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// Process is a process, or one of its threads, held by a pidfd: its number may be given away, this may not.
type Process struct {
	fd     *FD
	task   *FD  // instead, the directory in /proc of a thread, where there are no pidfds of threads (before 6.9)
	pid    int  // in our PID namespace, 0 if not known
	thread bool // the calling thread
}

// OpenProcess takes hold of the process, or thread, with that number in our PID namespace. ESRCH: there is none.
func OpenProcess(pid int) (*Process, error) {
	fd, err := openPidfd(pid, false)
	if (err == unix.ENOENT || err == unix.EINVAL) && pid > 0 { // it depends on the kernel
		return openTID(pid)
	}
	if err != nil {
		return nil, explainPidfd(err)
	}
	return &Process{fd: fd, pid: pid}, nil
}

// explainPidfd names the call where that is what is to blame. Rights it takes none.
func explainPidfd(err error) error {
	switch err {
	case unix.ENOSYS:
		return fmt.Errorf("a seccomp filter refuses pidfd_open(2): %w", err)
	case unix.EPERM, unix.EACCES:
		return fmt.Errorf("pidfd_open(2) takes no rights: %s: %w", refuser(), err)
	}
	return err
}

// openPidfd is pidfd_open(2), which of a larger number would take the lower 32 bits for a PID.
func openPidfd(pid int, thread bool) (*FD, error) {
	if pid > math.MaxInt32 {
		return nil, unix.ESRCH
	}
	return Own(raw.OpenPidfd(pid, thread))
}

// NewProcess takes ownership of a pidfd.
func NewProcess(pidfd *FD) *Process { return &Process{fd: pidfd} }

// Int returns the pidfd, for as long as the Process is kept. It is -1 for a thread without one; see IsJoinable.
func (p *Process) Int() int {
	if p.fd == nil {
		return raw.NoFD
	}
	return p.fd.Int()
}

// DupPidfd returns another descriptor of the pidfd.
func (p *Process) DupPidfd() (*FD, error) { return DupFD(p.Int()) }

// Close lets the process go; again, or on nil, it does nothing.
func (p *Process) Close() error {
	if p == nil {
		return nil
	}
	_ = p.task.Close()
	return p.fd.Close()
}

// Alive reports whether the process still runs, with any of its threads: a zombie does not.
func (p *Process) Alive() bool {
	defer runtime.KeepAlive(p)
	switch {
	case p.thread:
		return true
	case p.task != nil:
		return p.taskAlive()
	}
	fds := []unix.PollFd{{Fd: int32(p.fd.Int()), Events: unix.POLLIN}}
	n := 0
	err := Retry(func() (err error) { n, err = unix.Poll(fds, 0); return err })
	return err == nil && n == 0
}

// Kill sends a signal to the process.
func (p *Process) Kill(signal unix.Signal) error {
	defer runtime.KeepAlive(p)
	return unix.PidfdSendSignal(p.fd.Int(), signal, nil, 0)
}

// Identity returns the identity of the process.
func (p *Process) Identity() (Identity, error) {
	defer runtime.KeepAlive(p)
	if p.fd != nil && !pretended(PidfdInode) && isOn(p.fd.Int(), unix.PID_FS_MAGIC, unix.EOPNOTSUPP) == nil {
		id, err := IDOf(p.fd.Int())
		return Identity{Inode: id.Ino}, err
	}
	stat, err := p.Stat()
	return Identity{Start: stat.Start}, err
}

// IsKernelThread reports whether the process is part of the kernel. Only PID 2 of the initial PID namespace and its
// children can be, so that /proc is read for these, and for all before Linux 6.13, whose pidfds do not tell the parent.
func (p *Process) IsKernelThread() bool {
	var info raw.ProcessInfo
	known := p.fd != nil && !pretended(PidfdInfo) && raw.PidfdInfo(p.fd.Int(), &info) == 0
	if known && info.PPID != 0 && info.PPID != 2 {
		return false
	}
	stat, err := p.Stat()
	return err == nil && stat.KernelThread
}

// Stat reads /proc/PID/stat. The error is ESRCH when the process is gone.
func (p *Process) Stat() (procfs.Stat, error) {
	dir, err := p.ProcDir()
	if err != nil {
		return procfs.Stat{}, err
	}
	text, err := readProc(dir + "/stat")
	if err != nil {
		return procfs.Stat{}, gone(err)
	}
	stat, ok := procfs.ParseStat(text)
	if !ok {
		return procfs.Stat{}, fmt.Errorf("stat of a process is %q", text)
	}
	return stat, nil
}

// ProcDir returns the folder of the process in /proc. The number comes from the pidfd's own entry there, so it is
// right even if /proc belongs to another PID namespace than ours.
func (p *Process) ProcDir() (string, error) {
	defer runtime.KeepAlive(p)
	if err := checkProc(); err != nil {
		return "", err
	}
	switch {
	case p.thread:
		return "/proc/thread-self", nil
	case p.task != nil:
		return "/proc/thread-self/fd/" + strconv.Itoa(p.task.Int()), nil
	}
	text, err := readProc("/proc/thread-self/fdinfo/" + strconv.Itoa(p.fd.Int()))
	if err != nil {
		return "", err
	}
	info := procfs.ParseFDInfo(text)
	switch {
	case !info.Pidfd:
		return "", fmt.Errorf("fdinfo of a pidfd is %q", text)
	case info.PID == -1:
		return "", unix.ESRCH
	case info.PID == 0:
		return "", fmt.Errorf("/proc is of a PID namespace that does not show the process: %w", unix.ESRCH)
	}
	return "/proc/" + strconv.Itoa(info.PID), nil
}

// readProc reads a short file of /proc. Package os would ask the poller, in vain, whether it can wait for it.
func readProc(path string) ([]byte, error) {
	fd, err := openFile(raw.CurrentDir, path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = fd.Close() }()
	buf := make([]byte, 2048)
	n, errno := raw.Read(fd.Int(), buf)
	return buf[:n], asError(errno)
}

// Environment returns the environment that the process was started with, or has put there: proc_pid_environ(5). Its user
// can make the reader wait for ever.
func (p *Process) Environment() ([]string, error) {
	const limit = 8 << 20 // the kernel's is a quarter of RLIMIT_STACK
	dir, err := p.ProcDir()
	if err != nil {
		return nil, err
	}
	fd, err := openFile(raw.CurrentDir, dir+"/environ", unix.O_RDONLY)
	if err != nil {
		return nil, gone(err)
	}
	defer func() { _ = fd.Close() }()
	var text []byte
	for len(text) < limit {
		text = slices.Grow(text, 32<<10)
		n, errno := raw.Read(fd.Int(), text[len(text):cap(text)])
		if errno != 0 {
			return nil, gone(errno)
		}
		if n == 0 {
			break
		}
		text = text[:len(text)+n]
	}
	if !p.Alive() {
		return nil, unix.ESRCH
	}
	return strings.FieldsFunc(string(text), func(c rune) bool { return c == 0 }), nil
}

func checkProc() error {
	fs, err := statfsAt("/proc/")
	switch {
	case err != nil:
		return fmt.Errorf("/proc: %w", err)
	case fs.Type != unix.PROC_SUPER_MAGIC:
		return errNoProc
	}
	return nil
}

// gone returns what the error of a file in /proc means: without the file, there is no such process.
func gone(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return unix.ESRCH
	}
	return err
}

// OpenNamespace opens the process's namespace of type t: that of its first thread, or if that has ended, of another
// one. It asks the pidfd, before Linux 6.11 /proc, and then the pidfd whether the process is still there. ESRCH: it is
// gone, or a zombie. It requires the right to inspect the process (man 2 ptrace, PTRACE_MODE_READ_FSCREDS), else
// EACCES.
func (p *Process) OpenNamespace(t species.NamespaceType) (*FD, error) {
	return p.orOtherThread(func(p *Process) (*FD, error) { return p.openNamespace(t) })
}

func (p *Process) openNamespace(t species.NamespaceType) (*FD, error) {
	fd, err := Own(p.askPidfd(t))
	if err == unix.ENOTTY || err == unix.EINVAL {
		return p.openIn("/ns/"+linkName(t), OpenNamespace)
	}
	return fd, err
}

// linkName returns the name of one of the ten namespaces in /proc/PID/ns.
func linkName(t species.NamespaceType) string {
	if t&raw.ForChildren != 0 {
		return (t &^ raw.ForChildren).Name() + "_for_children"
	}
	return t.Name()
}

// askPidfd has the pidfd open a namespace. ENOTTY or EINVAL: there is no pidfd, or it cannot (before Linux 6.11).
func (p *Process) askPidfd(t species.NamespaceType) (int, syscall.Errno) {
	defer runtime.KeepAlive(p)
	if p.fd == nil || pretended(PidfdNamespaces) {
		return raw.NoFD, unix.ENOTTY
	}
	return raw.PidfdNamespace(p.fd.Int(), raw.PidfdRequest(t))
}

// openIn opens something in the folder of the process in /proc. ESRCH: the process is gone.
func (p *Process) openIn(name string, open func(path string) (*FD, error)) (*FD, error) {
	dir, err := p.ProcDir()
	if err != nil {
		return nil, err
	}
	fd, err := open(dir + name)
	if !p.Alive() {
		err = unix.ESRCH
	}
	return orClose(fd, gone(err))
}

// NamespaceID returns the identity of the process's namespace of type t. Errors are those of OpenNamespace.
func (p *Process) NamespaceID(t species.NamespaceType) (species.NamespaceID, error) {
	if fd, errno := p.askPidfd(t); errno == 0 {
		id, err := IDOf(fd)
		raw.CloseNoWait(fd)
		return id, err
	}
	return idOfFD(p.OpenNamespace(t))
}

// BirthNamespaceID returns the identity of the namespace of type t for children of the thread, which differs from its
// own if it unshared a PID or time namespace. ErrNotSupported: it is a PID namespace without a first process yet.
func (p *Process) BirthNamespaceID(t species.NamespaceType) (species.NamespaceID, error) {
	if t != species.CLONE_NEWPID && t != species.CLONE_NEWTIME {
		return p.NamespaceID(t)
	}
	id, err := idOfFD(p.openNamespace(raw.ForChildren | t))
	if err == unix.ESRCH && p.Alive() {
		return species.NoneID, fmt.Errorf("this thread's children start a %s namespace of their own: %w", t.Name(), ErrNotSupported)
	}
	return id, err
}
