package scan

import (
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// messages looks at descriptors that wait in a unix socket. They are looked at, not received: nobody misses them. Those
// behind the first message are out of sight.
func (l *descriptorLook) messages(fd, socket int) {
	back := false
	defer func() {
		if !back { // a call was given up
			ours.drop(socket)
		}
	}()
	l.lookIntoSocket(fd, socket)
	back = true
}

func (l *descriptorLook) lookIntoSocket(fd, socket int) {
	// of the duplicate, which is known to be a socket: what there is to say of other files may take a lock
	caller := l.worker.caller
	path := caller.name.Set(append([]byte("thread-self/fdinfo/"), strconv.Itoa(socket)...))
	text, errno := caller.read.Short(l.worker.scan.proc.dir, path)
	if l.worker.checked(facts.InFlight, errno) != 0 {
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
		l.problem(facts.InFlight, fd, errno)
	}
}

// peek notes which namespaces wait in the first message.
func (l *descriptorLook) peek(fd, socket int) (found int, errno syscall.Errno) {
	inPassing.open()
	call := l.worker.beginPassing(facts.InFlight, true)
	if call == nil {
		inPassing.close()
		return 0, syscall.ETIMEDOUT
	}
	var peeked, others []int
	defer func() { // of what is left a call was given up
		for _, own := range peeked {
			sys.ScanClose(own)
		}
		for _, own := range others {
			ours.drop(own)
		}
	}()
	found, errno = sys.PeekFDs(socket, func(own int) { peeked = append(peeked, own) })
	call.end()
	t := l.worker.scan.table
	for _, own := range peeked {
		var st sys.ScanStat
		if sys.ScanStatOf(own, &st) != 0 || st.Dev != t.dev {
			ours.add(own)
			others = append(others, own)
		} else if n := t.opened(own, species.NaNS); n != nil {
			l.refer(n.ref, facts.ByMessage, fd)
		}
	}
	peeked = nil
	inPassing.close()
	for len(others) > 0 {
		own := others[0]
		others = others[1:]
		l.worker.drop(facts.InFlight, own)
	}
	return found, errno
}
