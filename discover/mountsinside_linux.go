package discover

import (
	"syscall"

	"github.com/nsops/nsops/internal/raw"
)

var mountinfoHere = raw.NewPath("thread-self/mountinfo")

// readMountsInside reads mountinfo on a thread that joins the mount namespace, where the kernel lists no mounts (before
// 6.11), or not to us.
func (w *worker) readMountsInside(n *Namespace) (*MountTable, syscall.Errno) {
	fd := w.table.fd(n)
	if fd == raw.NoFD {
		return nil, w.table.notHeld(n)
	}
	read := w.read
	text, err := inside(fd, func() ([]byte, error) {
		text, errno := read.Whole(w.proc, &mountinfoHere)
		if errno != 0 {
			return nil, errno
		}
		return text, nil
	})
	if err != nil {
		return nil, errnoOf(err)
	}
	return w.parseMounts(n, 0, text), 0
}
