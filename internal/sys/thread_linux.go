package sys

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// OpenThreadOf takes hold of the thread tid of the process, as numbered in our PID namespace, before Linux 6.9 in that
// of /proc. ESRCH: there is no such thread in that process.
func (p *Process) OpenThreadOf(tid int) (*Process, error) {
	thread, err := openThread(tid)
	switch {
	case err == unix.EINVAL && tid > 0:
		thread, err = p.openTask(tid)
	case err == nil:
		err = isThreadOf(p.pid, tid)
	}
	// The numbers were not given away while what is held by them lives.
	if err == nil && (!thread.Alive() || !p.Alive()) {
		err = unix.ESRCH
	}
	if err != nil {
		_ = thread.Close()
		return nil, err
	}
	return thread, nil
}

// openThread takes hold of a thread by a pidfd of its own; EINVAL before 6.9.
func openThread(tid int) (*Process, error) {
	if pretended(PidfdThread) {
		return nil, unix.EINVAL
	}
	fd, err := openPidfd(tid, true)
	if err != nil {
		return nil, err
	}
	return &Process{fd: fd, pid: tid}, nil
}

// isThreadOf returns ESRCH unless the process has that thread.
func isThreadOf(pid, tid int) error {
	if err := unix.Tgkill(pid, tid, 0); err != unix.EPERM {
		return err
	}
	return nil
}

// openTask takes hold of a thread by its directory in /proc, which becomes empty for good when the thread ends.
func (p *Process) openTask(tid int) (*Process, error) {
	task, err := p.openIn("/task/"+strconv.Itoa(tid), openDir)
	if err != nil {
		return nil, err
	}
	return &Process{task: task, pid: tid}, nil
}

// taskAlive reports whether the thread has namespaces, which it gives up when it ends.
func (p *Process) taskAlive() bool {
	var text [64]byte
	_, err := unix.Readlinkat(p.task.Int(), "ns/uts", text[:])
	return err != unix.ENOENT && err != unix.ESRCH
}

// openTID is OpenProcess for a thread that leads no process.
func openTID(tid int) (*Process, error) {
	thread, err := openThread(tid)
	if err != unix.EINVAL {
		return thread, err
	}
	if err := checkProc(); err != nil {
		return nil, err
	}
	text, err := readProc("/proc/" + strconv.Itoa(tid) + "/status")
	if err != nil {
		return nil, gone(err)
	}
	status, ok := procfs.ParseStatus(text, nil)
	if !ok || status.TGID == 0 {
		return nil, fmt.Errorf("status of a thread is %q", text)
	}
	fd, err := openPidfd(status.TGID, false)
	if err != nil {
		return nil, err
	}
	process := &Process{fd: fd, pid: status.TGID}
	defer func() { _ = process.Close() }()
	if err := isThreadOf(process.pid, tid); err != nil { // if /proc is of another PID namespace than ours
		return nil, err
	}
	return process.OpenThreadOf(tid)
}

// IsJoinable reports whether there is a pidfd to join by: setns(2). A thread has none before Linux 6.9.
func (p *Process) IsJoinable() bool { return p.fd != nil && !pretended(SetnsPidfd) }

// Exists returns ESRCH unless there is a process or thread with that number in our PID namespace.
func Exists(pid int) error {
	if pid > math.MaxInt32 {
		return unix.ESRCH
	}
	if err := unix.Kill(pid, 0); err != unix.EPERM {
		return err
	}
	return nil
}

// OpenRoot opens the root directory of the process, as a place to resolve paths from (O_PATH). It requires the right to
// inspect the process, but none over its mount namespace.
func (p *Process) OpenRoot() (*FD, error) {
	return p.orOtherThread(func(p *Process) (*FD, error) { return p.openIn("/root", openDir) })
}

// OpenThread takes hold of the calling thread, whose goroutine is locked to it: OpenNamespace and NamespaceID then tell
// what "current" is, where /proc/self would show the main thread's. It holds a pidfd where there are such of threads
// (6.9) and they know their namespaces (6.11); otherwise it stands for whichever thread asks, through /proc.
func OpenThread() *Process {
	p := &Process{thread: true}
	if !pretended(PidfdThread) && !pretended(PidfdNamespaces) {
		p.fd, _ = openPidfd(raw.OwnTID(), true)
	}
	return p
}

// OpenThreadNamespace opens the calling thread's namespace of type t.
func OpenThreadNamespace(t species.NamespaceType) (*FD, error) {
	p := OpenThread()
	defer func() { _ = p.Close() }()
	return p.OpenNamespace(t)
}

// ThreadNamespaceID returns the identity of the calling thread's namespace of type t.
func ThreadNamespaceID(t species.NamespaceType) (species.NamespaceID, error) {
	return idOfFD(OpenThreadNamespace(t))
}

// AwaitThreadEnd waits for the end of a thread of this process that is about to end, but not for long.
func AwaitThreadEnd(tid int) {
	const patience, look = 20 * time.Millisecond, 20 * time.Microsecond
	own := raw.OwnPID()
	for deadline := time.Now().Add(patience); unix.Tgkill(own, tid, 0) == nil && time.Now().Before(deadline); {
		time.Sleep(look)
	}
}

// OnMainThread reports whether the calling thread is the process's first, whose namespaces are those that /proc/PID/ns
// shows, and which the Go runtime never ends.
func OnMainThread() bool { return raw.OwnTID() == raw.OwnPID() }

// Living returns p if its first thread has not ended. If it has, as by pthread_exit(3) in main(), the process has no
// namespaces: then Living closes p and returns the oldest other thread. On an error it returns p.
func (p *Process) Living() (*Process, error) {
	if p.hasNamespaces() {
		return p, nil
	}
	thread, err := p.otherThread()
	if err != nil {
		return p, err
	}
	_ = p.Close()
	return thread, nil
}

// hasNamespaces reports whether the thread itself lives. Of a first thread whose process lives on, the pidfd does not tell.
func (p *Process) hasNamespaces() bool {
	fd, err := p.openNamespace(species.CLONE_NEWUTS)
	_ = fd.Close()
	return err != unix.ESRCH
}

// orOtherThread opens something of the process, or of another thread if its first one has ended (ESRCH).
func (p *Process) orOtherThread(open func(*Process) (*FD, error)) (*FD, error) {
	fd, err := open(p)
	if err != unix.ESRCH || p.thread || !p.Alive() {
		return fd, err
	}
	thread, noOther := p.otherThread()
	if noOther != nil {
		return nil, err
	}
	defer func() { _ = thread.Close() }()
	return open(thread)
}

// otherThread takes hold of a thread that lives, the oldest. ESRCH: there is none.
func (p *Process) otherThread() (*Process, error) {
	dir, err := p.ProcDir()
	if err != nil {
		return nil, err
	}
	tasks, err := os.Open(dir + "/task")
	if err != nil {
		return nil, gone(err)
	}
	defer func() { _ = tasks.Close() }()
	names, _ := tasks.Readdirnames(-1) // as /proc has them
	for _, name := range names {
		tid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		thread, err := p.OpenThreadOf(tid)
		if err != nil { // perhaps as /proc is of another PID namespace than ours
			thread, err = p.openTask(tid)
		}
		if err == nil && thread.hasNamespaces() && p.Alive() {
			return thread, nil
		}
		_ = thread.Close()
	}
	return nil, unix.ESRCH
}
