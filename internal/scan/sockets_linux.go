package scan

import (
	"runtime"
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// socket looks which network namespace a socket is in: once for all processes, through the first that lets us.
func (l *descriptorLook) socket(fd int, inode uint64) {
	if ref, seen := l.worker.sockets[uint32(inode)]; seen && !l.worker.scan.opts.has(facts.InFlight) {
		l.referSocket(ref, fd)
		return
	}
	errno := l.withDuplicate(facts.Sockets, fd, func(own int) {
		var st raw.Status
		if raw.Stat(own, &st) == 0 && st.Ino == inode && st.IsSocket() { // another one may have the number by now
			l.ownSocket(fd, own, inode)
		}
	})
	if errno == syscall.EPERM || errno == syscall.EACCES || errno == syscall.ENOSYS {
		l.refused = true
	}
}

// ownSocket looks at a duplicate of a socket.
func (l *descriptorLook) ownSocket(fd, own int, inode uint64) {
	n, errno := l.networkOf(own)
	if errno != 0 {
		l.problem(facts.Sockets, fd, errno)
	}
	var ref facts.Ref
	if n != nil {
		ref = n.ref
	}
	l.worker.sockets[uint32(inode)] = ref
	l.referSocket(ref, fd)
	if l.worker.scan.opts.has(facts.InFlight) {
		l.lookIntoSocket(fd, own)
	}
}

func (l *descriptorLook) referSocket(to facts.Ref, fd int) {
	if to != 0 && to != l.in[facts.Net] {
		l.refer(to, facts.BySocket, fd)
	}
}

// duplicate returns a duplicate of a descriptor, for drop. ENOSYS: there is no pidfd, or the kernel cannot do it.
func (l *descriptorLook) duplicate(source facts.Sources, fd int) (int, syscall.Errno) {
	if l.of.pidfd == raw.NoFD {
		return raw.NoFD, syscall.ENOSYS
	}
	inPassing.open()
	own, errno := l.worker.watchOpen(source, true, func() (int, syscall.Errno) { return raw.GetFD(l.of.pidfd, fd) })
	ours.add(own)
	inPassing.close()
	return own, l.worker.checked(source, errno)
}

// withDuplicate looks at a duplicate of a descriptor, and closes it, also if a call is given up. It notes a failure.
func (l *descriptorLook) withDuplicate(source facts.Sources, fd int, look func(own int)) syscall.Errno {
	own, errno := l.duplicate(source, fd)
	if errno != 0 {
		l.problem(source, fd, errno)
		return errno
	}
	back := false
	defer func() {
		if !back { // a call was given up
			ours.drop(own)
		}
	}()
	look(own)
	back = true
	l.worker.drop(source, own)
	return 0
}

// networkOf asks a socket for the number of its network namespace (Linux 5.14); for an unknown one that requires CAP_NET_ADMIN.
func (l *descriptorLook) networkOf(socket int) (*entry, syscall.Errno) {
	cookie, cookieErrno := raw.Cookie(socket)
	if cookieErrno == 0 {
		if n := l.worker.scan.table.withCookie(cookie); n != nil {
			return n, 0
		}
	}
	n, errno := l.worker.scan.table.open(species.CLONE_NEWNET, func() (int, syscall.Errno) { return raw.NetworkOfSocket(socket) })
	if n != nil && cookieErrno == 0 {
		l.worker.scan.table.setCookie(cookie, n)
	}
	return n, errno
}

// tun looks which network namespace the device of a TUN or TAP descriptor is in.
func (l *descriptorLook) tun(fd int) {
	if !l.worker.scan.opts.has(facts.TunTap) {
		return
	}
	_ = l.withDuplicate(facts.TunTap, fd, func(own int) {
		var st raw.Status
		if raw.Stat(own, &st) != 0 || !st.IsTun() {
			return // any file may have such a name
		}
		n, errno := l.worker.scan.table.open(species.CLONE_NEWNET, func() (int, syscall.Errno) {
			return l.worker.watchOpen(facts.TunTap, true, func() (int, syscall.Errno) { return raw.NetworkOfTun(own) })
		})
		switch {
		case n != nil:
			l.refer(n.ref, facts.ByTun, fd)
		case errno != 0 && errno != syscall.EBADFD && errno != syscall.ENOTTY && errno != syscall.EINVAL: // but for no device
			l.problem(facts.TunTap, fd, errno)
		}
	})
}

// lookIntoSocket looks at descriptors that wait in the first message of a unix socket, without receiving them.
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
	call := l.worker.begin(facts.InFlight, true)
	if call == nil {
		inPassing.close()
		return 0, syscall.ETIMEDOUT
	}
	var peeked []int
	defer func() { // of what is left a call was given up
		for _, own := range peeked {
			ours.drop(own)
		}
	}()
	found, errno = raw.PeekFDs(socket, func(own int) {
		ours.add(own)
		peeked = append(peeked, own)
	})
	if !call.end() {
		runtime.Goexit()
	}
	inPassing.close()
	for t := l.worker.scan.table; len(peeked) > 0; {
		own := peeked[0]
		peeked = peeked[1:]
		var st raw.Status
		if raw.Stat(own, &st) == 0 && st.Dev == t.dev {
			n, errno := t.open(species.NaNS, func() (int, syscall.Errno) { return raw.DupFrom(own, 0) })
			if n != nil {
				l.refer(n.ref, facts.ByMessage, fd)
			} else if errno != 0 {
				l.problem(facts.InFlight, fd, errno)
			}
		}
		l.worker.drop(facts.InFlight, own)
	}
	return found, errno
}
