package discover

import (
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/taskiter"
	"github.com/nsops/nsops/species"
)

// Namespaces that the snapshot or the last result has told of are not opened, until it matters whether they still live.

// believe takes a namespace as the kernel has told it, without opening it. It is nil if its owner was not seen yet.
func (t *table) believe(is taskiter.Namespace, kind species.NamespaceType) *Namespace {
	uncounted.RLock()
	defer uncounted.RUnlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	owner := t.by64[is.Owner]
	if owner == nil {
		return nil
	}
	n := t.told(uint64(is.Inode), is.Serial, kind)
	if t.ownership {
		n.Owner = owner
	}
	return n
}

// told returns a new entry for a namespace that was not opened, so that it may be gone, and its number be the one of
// another that was seen before.
func (t *table) told(inode, serial uint64, kind species.NamespaceType) *Namespace {
	was := t.byInode[inode]
	late := was != nil && !was.unreachable && t.lives(was)
	n := t.reachable(inode, kind)
	if n.Serial = serial; late {
		n.gone, was.gone = true, false
		t.byInode[inode] = was
	}
	t.note(n)
	return n
}

// takeOver returns a namespace of the last result, of which nothing can have changed but who is in it. Nil stays nil.
func (t *table) takeOver(old *Namespace) *Namespace {
	uncounted.RLock()
	defer uncounted.RUnlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.takeOverLocked(old)
}

func (t *table) takeOverLocked(old *Namespace) *Namespace {
	if old == nil {
		return nil
	}
	n := present(t.by64[old.Serial])
	if old.Serial == 0 { // before 6.18, where all are held; of a mount namespace the owner has none
		n = t.byInode[old.ID.Ino]
	}
	if n != nil && n.Type == old.Type && !n.unreachable {
		return n
	}
	n = t.told(old.ID.Ino, old.Serial, old.Type)
	n.OwnerUID, n.OwnerHidden, n.ParentHidden = old.OwnerUID, old.OwnerHidden, old.ParentHidden
	n.Owner, n.Parent = t.takeOverLocked(old.Owner), t.takeOverLocked(old.Parent)
	return n
}

// lives says whether a namespace still has its inode number: it is held, or can be opened and held now.
func (t *table) lives(n *Namespace) bool {
	if t.held[n.index] != raw.NoFD || !t.handles || n.Serial == 0 {
		return true
	}
	fd, errno := sys.OpenHandle(raw.Handle{Serial: n.Serial, Type: n.Type, Inode: uint32(n.ID.Ino)})
	if errno != 0 {
		return errno != syscall.ESTALE
	}
	if t.hold(n, fd); t.held[n.index] == raw.NoFD {
		raw.Close(fd)
	}
	return true
}

// isGone says whether a namespace is gone, and has that noted: who was in it is looked at again.
func (t *table) isGone(n *Namespace) bool {
	uncounted.RLock()
	defer uncounted.RUnlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lives(n) {
		return false
	}
	n.gone = true
	return true
}
