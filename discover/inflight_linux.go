package discover

import (
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// messages looks at descriptors that wait in a unix socket. They are looked at, not received: nobody misses them. Those
// behind the first message are out of sight.
func (l *descriptorLook) messages(fd, socket int) {
	back := false
	defer func() {
		if !back { // a call was given up
			drop(socket)
		}
	}()
	l.lookIntoSocket(fd, socket)
	back = true
}

func (l *descriptorLook) lookIntoSocket(fd, socket int) {
	// of the duplicate, which is known to be a socket: what there is to say of other files may take a lock
	path := l.worker.name.Set(append([]byte("thread-self/fdinfo/"), strconv.Itoa(socket)...))
	text, errno := l.read.Short(l.proc, path)
	if l.noted(InFlight, errno) != 0 {
		return
	}
	waiting := procfs.ParseFDInfo(text).InFlight
	if waiting == 0 {
		return
	}
	seen, errno := l.peek(fd, socket)
	if errno == 0 && seen < waiting {
		errno = syscall.EMSGSIZE
	}
	if errno != 0 {
		l.descriptorProblem(InFlight, l.subject, fd, errno)
	}
}

// peek notes which namespaces wait in the first message.
func (l *descriptorLook) peek(fd, socket int) (seen int, errno syscall.Errno) {
	uncounted.RLock()
	call := l.beginCounted(InFlight, true)
	if call == nil {
		uncounted.RUnlock()
		return 0, syscall.ETIMEDOUT
	}
	var peeked, others []int
	defer func() { // of what is left a call was given up
		for _, own := range peeked {
			raw.Close(own)
		}
		for _, own := range others {
			drop(own)
		}
	}()
	seen, errno = raw.PeekFDs(socket, func(own int) { peeked = append(peeked, own) })
	call.end()
	for _, own := range peeked {
		var st raw.Status
		if raw.Stat(own, &st) != 0 || st.Dev != l.table.dev {
			setBeingHeld(own, true)
			others = append(others, own)
		} else if n := l.table.learn(own, species.NaNS); n != nil {
			l.refer(n, Reference{Kind: ByMessage, PID: l.pid, TID: l.tid, FD: fd})
		}
	}
	peeked = nil
	uncounted.RUnlock()
	for len(others) > 0 {
		own := others[0]
		others = others[1:]
		l.drop(InFlight, own)
	}
	return seen, errno
}
