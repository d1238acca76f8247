package discover

import (
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// The calls of a worker that may not end: each is watched. ETIMEDOUT says that it was not made, and a Problem is noted. What
// they take of the worker's they take before they begin.

// openDir opens a directory of /proc to find paths from.
func (w *worker) openDir(source Sources, dir int, path *raw.Path) (int, syscall.Errno) {
	call := w.begin(source)
	if call == nil {
		return raw.NoFD, syscall.ETIMEDOUT
	}
	fd, errno := raw.Open(dir, path, raw.ForPaths)
	call.endWith(fd)
	return fd, w.noted(source, errno)
}

// short is Reader.Short.
func (w *worker) short(source Sources, dir int, path *raw.Path) ([]byte, syscall.Errno) {
	read := w.read
	call := w.begin(source)
	if call == nil {
		return nil, syscall.ETIMEDOUT
	}
	text, errno := read.Short(dir, path)
	call.end()
	return text, w.noted(source, errno)
}

// quick is Reader.Quick.
func (w *worker) quick(source Sources, dir int, path *raw.Path) ([]byte, syscall.Errno) {
	read := w.read
	call := w.begin(source)
	if call == nil {
		return nil, syscall.ETIMEDOUT
	}
	text, errno := read.Short(dir, path)
	call.end()
	return text, w.noted(source, errno)
}

// whole is Reader.Whole.
func (w *worker) whole(source Sources, dir int, path *raw.Path) ([]byte, syscall.Errno) {
	read := w.read
	call := w.begin(source)
	if call == nil {
		return nil, syscall.ETIMEDOUT
	}
	text, errno := read.Whole(dir, path)
	call.end()
	return text, w.noted(source, errno)
}

// readLink is Reader.Link.
func (w *worker) readLink(source Sources, dir int, path *raw.Path) ([]byte, syscall.Errno) {
	read := w.read
	call := w.begin(source)
	if call == nil {
		return nil, syscall.ETIMEDOUT
	}
	text, errno := read.Link(dir, path)
	call.end()
	return text, w.noted(source, errno)
}

// listNumbers appends the numbers that are names in a directory.
func (w *worker) listNumbers(source Sources, list []int, below int, path *raw.Path) ([]int, syscall.Errno) {
	read := w.read
	call := w.begin(source)
	if call == nil {
		return list, syscall.ETIMEDOUT
	}
	dir, errno := raw.Open(below, path, raw.ForListing)
	call.endWith(dir)
	if errno != 0 {
		return list, w.noted(source, errno)
	}
	defer raw.CloseNoWait(dir)
	for {
		if call = w.begin(source); call == nil {
			return list, syscall.ETIMEDOUT
		}
		entries, errno := read.List(dir)
		call.end()
		if errno != 0 || len(entries) == 0 {
			return list, w.noted(source, errno)
		}
		list = sys.AppendNumbers(list, entries)
	}
}

// noted has a lack of descriptors or memory be a Problem, also where a call that fails otherwise means that there is
// nothing.
func (w *worker) noted(source Sources, errno syscall.Errno) syscall.Errno {
	if exhausted(errno) {
		w.problem(Problem{Source: source, PID: w.asked.pid, Errno: errno})
	}
	return errno
}

func exhausted(errno syscall.Errno) bool {
	return errno == syscall.EMFILE || errno == syscall.ENFILE || errno == syscall.ENOMEM
}

// sharesFDs says whether a thread has the table of descriptors of its process.
func (w *worker) sharesFDs(pid, tid int) (bool, syscall.Errno) {
	call := w.begin(Tasks)
	if call == nil {
		return false, syscall.ETIMEDOUT
	}
	shares, errno := raw.SharesFDs(pid, tid)
	call.end()
	return shares, errno
}

// take returns a duplicate of another process's descriptor, for drop. That takes the lock of its credentials.
func (w *worker) take(source Sources, pidfd, fd int) (int, syscall.Errno) {
	uncounted.RLock()
	call := w.beginCounted(source, true)
	if call == nil {
		uncounted.RUnlock()
		return raw.NoFD, syscall.ETIMEDOUT
	}
	own, errno := raw.GetFD(pidfd, fd)
	call.endWith(own)
	if errno == 0 {
		setBeingHeld(own, true)
	}
	uncounted.RUnlock()
	return own, w.noted(source, errno)
}

// drop closes a duplicate. It might be of another file by now, whose file system has to be asked before it is closed.
func (w *worker) drop(source Sources, own int) {
	call := w.begin(source)
	if call == nil {
		go drop(own)
		return
	}
	drop(own)
	call.end()
}

func drop(own int) {
	raw.Close(own)
	setBeingHeld(own, false)
}
