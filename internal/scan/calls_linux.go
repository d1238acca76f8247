package scan

import (
	"errors"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// The calls of a worker that may not end: each is watched. ETIMEDOUT says that it was not made, and a Problem is noted.

var (
	statPath    = raw.NewPath("stat")
	statusPath  = raw.NewPath("status")
	cmdlinePath = raw.NewPath("cmdline")
	cgroupPath  = raw.NewPath("cgroup")
	fdPath      = raw.NewPath("fd")
	taskPath    = raw.NewPath("task")
)

// openDir opens a directory of /proc to find paths from.
func (w *worker) openDir(source facts.Sources, dir int, path *raw.Path) (int, syscall.Errno) {
	call := w.begin(source)
	if call == nil {
		return raw.NoFD, syscall.ETIMEDOUT
	}
	fd, errno := raw.Open(dir, path, raw.ForPaths)
	call.endWith(fd)
	return fd, w.checked(source, errno)
}

// read reads a file or link with a method of Reader.
func (w *worker) read(source facts.Sources, how reading, dir int, path *raw.Path) ([]byte, syscall.Errno) {
	call := w.begin(source)
	if call == nil {
		return nil, syscall.ETIMEDOUT
	}
	text, errno := how(call.read, dir, path)
	call.end()
	return text, w.checked(source, errno)
}

type reading func(r *sys.ProcReader, dir int, path *raw.Path) ([]byte, syscall.Errno)

func (w *worker) short(source facts.Sources, dir int, path *raw.Path) ([]byte, syscall.Errno) {
	return w.read(source, (*sys.ProcReader).Short, dir, path)
}

func (w *worker) whole(source facts.Sources, dir int, path *raw.Path) ([]byte, syscall.Errno) {
	return w.read(source, (*sys.ProcReader).Whole, dir, path)
}

func (w *worker) readLink(source facts.Sources, dir int, path *raw.Path) ([]byte, syscall.Errno) {
	return w.read(source, (*sys.ProcReader).Link, dir, path)
}

// listNumbers appends the numbers that are names in a directory.
func (w *worker) listNumbers(source facts.Sources, list []int, below int, path *raw.Path) ([]int, syscall.Errno) {
	call := w.begin(source)
	if call == nil {
		return list, syscall.ETIMEDOUT
	}
	dir, errno := raw.Open(below, path, raw.ForListing)
	call.endWith(dir)
	if errno != 0 {
		return list, w.checked(source, errno)
	}
	defer raw.CloseNoWait(dir)
	for {
		if call = w.begin(source); call == nil {
			return list, syscall.ETIMEDOUT
		}
		entries, errno := call.read.List(dir)
		call.end()
		if errno != 0 || len(entries) == 0 {
			return list, w.checked(source, errno)
		}
		list = sys.AppendNumbers(list, entries)
	}
}

// checked notes a lack of descriptors or memory as a Problem, also where a call that fails otherwise means that there is
// nothing. It returns the errno.
func (w *worker) checked(source facts.Sources, errno syscall.Errno) syscall.Errno {
	if exhausted(errno) {
		w.problem(facts.Problem{Source: source, PID: w.pid, Errno: errno})
	}
	return errno
}

func exhausted(errno syscall.Errno) bool {
	return errno == syscall.EMFILE || errno == syscall.ENFILE || errno == syscall.ENOMEM
}

// sharesFDs reports whether a thread has the table of descriptors of its process.
func (w *worker) sharesFDs(pid, tid int) (bool, syscall.Errno) {
	call := w.begin(facts.Tasks)
	if call == nil {
		return false, syscall.ETIMEDOUT
	}
	shares, errno := raw.SharesFDs(pid, tid)
	call.end()
	return shares, errno
}

// take returns a duplicate of another process's descriptor, for drop. That takes the lock of its credentials.
func (w *worker) take(source facts.Sources, pidfd, fd int) (int, syscall.Errno) {
	inPassing.open()
	call := w.beginPassing(source, true)
	if call == nil {
		inPassing.close()
		return raw.NoFD, syscall.ETIMEDOUT
	}
	own, errno := raw.GetFD(pidfd, fd)
	call.endWith(own)
	if errno == 0 {
		ours.add(own)
	}
	inPassing.close()
	return own, w.checked(source, errno)
}

// drop closes a duplicate. It might be of another file by now, whose file system has to be asked before it is closed.
func (w *worker) drop(source facts.Sources, own int) {
	call := w.begin(source)
	if call == nil {
		go ours.drop(own)
		return
	}
	ours.drop(own)
	call.end()
}

// errnoOf returns the errno in an error, EIO if there is none.
func errnoOf(err error) syscall.Errno {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return syscall.EIO
}
