package scan

import (
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/taskiter"
	"github.com/nsops/nsops/species"
)

// What workers do with the table, several at once.

// open returns the namespace that f opens, nil if that is none. If f is given up, giveUp calls inPassing.close.
func (t *table) open(kind species.NamespaceType, f func() (int, syscall.Errno)) (*entry, syscall.Errno) {
	inPassing.open()
	fd, errno := f()
	var n *entry
	if errno == 0 {
		n = t.opened(fd, kind)
	}
	inPassing.close()
	return n, errno
}

// openFD is open for an f that returns an FD.
func (t *table) openFD(kind species.NamespaceType, f func() (*sys.FD, error)) (*entry, syscall.Errno) {
	return t.open(kind, func() (int, syscall.Errno) {
		fd, err := f()
		if err != nil {
			return raw.NoFD, errnoOf(err)
		}
		return fd.Disown(), 0
	})
}

// opened returns the namespace behind a descriptor, nil if that is none. The table owns that. NaNS: it says the type.
func (t *table) opened(fd int, kind species.NamespaceType) *entry {
	var st raw.Status
	if errno := raw.StatNoWait(fd, &st); errno != 0 || st.Dev != t.dev {
		raw.Close(fd)
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.see(entry{inode: st.Ino, kind: kind, fd: int32(fd), state: known})
}

// described returns a namespace that the kernel has described in full; nil if its owner was not seen yet. Another worker
// may have added it meanwhile.
func (t *table) described(is taskiter.Namespace, kind species.NamespaceType) *entry {
	t.lock()
	defer t.unlock()
	if n := present(t.bySerial[is.Serial]); n != nil {
		return n
	}
	owner := t.bySerial[is.Owner]
	if owner == nil {
		return nil
	}
	if !t.ownership {
		owner = nil
	}
	return t.see(entry{inode: uint64(is.Inode), serial: is.Serial, kind: kind, fd: raw.NoFD, state: known, owner: owner, ownerUID: -1})
}

// mentioned returns the namespace with that inode number, of which no more may be known.
func (t *table) mentioned(inode uint64, kind species.NamespaceType) (n *entry, isKnown bool) {
	t.lock()
	defer t.unlock()
	n = t.see(entry{inode: inode, kind: kind, fd: raw.NoFD, ownerUID: -1})
	return n, n.state != mentioned
}

// withInode returns the namespace with that inode number, nil if it is not known, or is gone.
func (t *table) withInode(inode uint64) *entry {
	t.lock()
	defer t.unlock()
	if n := t.withNumber(inode); n != nil && n.state == known && t.exists(n) {
		return n
	}
	return nil
}

// withSerial returns the namespace with that 64-bit ID, nil if it was not seen yet.
func (t *table) withSerial(serial uint64) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	return present(t.bySerial[serial])
}

// withCookie returns the network namespace with that number, which is the 64-bit ID if there are these; nil: not seen yet.
func (t *table) withCookie(cookie uint64) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.bySerial[cookie]; n != nil && n.kind == species.CLONE_NEWNET {
		return present(n)
	}
	return present(t.byCookie[cookie])
}

func (t *table) setCookie(cookie uint64, n *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byCookie[cookie] = n
}

// present returns nil for a namespace that is gone.
func present(n *entry) *entry {
	if n == nil || n.state == gone {
		return nil
	}
	return n
}

// at returns the namespace that is referred to, nil for none.
func (t *table) at(ref facts.Ref) *entry {
	if ref == 0 {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.entry(ref)
}

// ofType returns those seen so far.
func (t *table) ofType(kind species.NamespaceType) []*entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []*entry
	for n := range t.each {
		if n.kind == kind {
			found = append(found, n)
		}
	}
	return found
}

// fd returns the descriptor that is held of a namespace, raw.NoFD if none is. One that was not opened yet is.
func (t *table) fd(n *entry) int {
	t.lock()
	defer t.unlock()
	t.exists(n)
	return int(n.fd)
}

// notHeld returns why no descriptor is held of a namespace that is not gone.
func (t *table) notHeld(n *entry) syscall.Errno {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.state == mentioned {
		return syscall.ESRCH
	}
	return syscall.EMFILE // half of what the process may have is as much as is used
}

// isGone reports whether a namespace is gone, and notes that: the processes in it are looked at again.
func (t *table) isGone(n *entry) bool {
	t.lock()
	defer t.unlock()
	if t.exists(n) {
		return false
	}
	n.state = gone
	return true
}

// member returns a process in a namespace whose mounts can be read, which is pid if there was none; 0: there is none.
func (t *table) member(n *entry, pid int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.member == 0 {
		n.member = int32(pid)
	}
	return int(n.member)
}
