package scan

import (
	"sync"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// table has an entry for every namespace that a discovery sees.
type table struct {
	dev       uint64
	hierarchy bool
	ownership bool
	serials   bool // every namespace has a 64-bit ID
	handles   bool // and can be opened by its file handle
	limit     int  // of descriptors to hold

	mu       sync.Mutex           // after inPassing
	rooms    [][]entry            // full but for the last
	len      int                  // number of entries
	byInode  map[uint32]facts.Ref // of several with a number, the one that has it now
	bySerial map[uint64]*entry
	byCookie map[uint64]*entry // network namespaces by the numbers that sockets have, if these are no 64-bit IDs
	holding  int
	lacking  []facts.Problem // of namespaces whose owner or parent could not be opened
}

// entry is a namespace that was seen: opened; or described, by the kernel or the last result, and not opened, so that it
// may be gone; or only mentioned, by somebody's link or pin. One that was opened is mostly held open: that makes it cheap to
// see again, and keeps its inode number from going to another one.
type entry struct {
	inode  uint64
	serial uint64 // 64-bit ID; 0 if not known
	kind   species.NamespaceType
	state  state
	ref    facts.Ref // one more than the place in table.rooms
	fd     int32     // that is held, raw.NoFD if none is
	member int32     // the first process seen in it whose mounts can be read

	ownerHidden, parentHidden bool
	ownerUID                  int
	owner, parent             *entry
}

// state is how much is known of a namespace.
type state uint8

const (
	mentioned state = iota // its type and number
	known                  // all
	gone                   // that it is no more, or that its number is another's
)

// sizeHint is for a small machine.
const sizeHint = 32

func newTable(dev uint64, opts *Options) *table {
	return &table{
		dev:       dev,
		hierarchy: opts.has(facts.Hierarchy),
		ownership: opts.has(facts.Ownership),
		limit:     sys.DescriptorLimit() / 2,
		byInode:   make(map[uint32]facts.Ref, sizeHint),
		bySerial:  make(map[uint64]*entry, sizeHint),
		byCookie:  make(map[uint64]*entry),
	}
}

// lock is for all that may open a namespace for a moment.
func (t *table) lock() {
	inPassing.open()
	t.mu.Lock()
}

func (t *table) unlock() {
	t.mu.Unlock()
	inPassing.close()
}

// withNumber returns the entry of what has that inode number, which has 32 bits; nil if that was not seen.
func (t *table) withNumber(inode uint64) *entry {
	if ref := t.byInode[uint32(inode)]; ref != 0 {
		return t.entry(ref)
	}
	return nil
}

// see returns the entry of a namespace that is like this: the one that there is, or a new one. A descriptor in there is
// owned by the table from then on, and asked for what is not known. It returns nil if that is none of a namespace.
func (t *table) see(is entry) *entry {
	was, opened := t.withNumber(is.inode), is.fd != raw.NoFD
	switch {
	case was == nil:
	case was.state == mentioned:
		if is.state == mentioned {
			return was
		}
	case t.hasNumber(was, int(is.fd)):
		if opened {
			raw.CloseNoWait(int(is.fd))
		}
		if opened || is.state == mentioned {
			return was
		}
		is.state = gone // since it was described
	}
	if is.kind == species.NaNS {
		var errno syscall.Errno
		if is.kind, errno = raw.Type(int(is.fd)); errno != 0 {
			raw.Close(int(is.fd))
			return nil
		}
	}
	n := t.put(was, is)
	if opened {
		t.ask(n, int(is.fd))
		t.hold(n, int(is.fd))
	}
	if n.serial != 0 {
		t.bySerial[n.serial] = n
	}
	return n
}

// put makes an entry of what is seen: that which was only mentioned, or a new one. What had its number before is gone.
func (t *table) put(was *entry, is entry) *entry {
	n := was
	if was == nil || was.state != mentioned || was.kind != is.kind {
		n = t.add()
		if was != nil && is.state != gone {
			was.state = gone
		}
	}
	is.ref, is.member, is.fd = n.ref, n.member, raw.NoFD
	if *n = is; is.state != gone {
		t.byInode[uint32(is.inode)] = n.ref
	}
	return n
}

// inRoom is how many entries there are in a room.
const inRoom = 64

// add returns a new entry.
func (t *table) add() *entry {
	if t.len%inRoom == 0 {
		t.rooms = append(t.rooms, written[entry](inRoom)[:0])
	}
	t.len++
	last := len(t.rooms) - 1
	t.rooms[last] = append(t.rooms[last], entry{ref: facts.Ref(t.len)})
	return t.entry(facts.Ref(t.len))
}

// entry returns that which is referred to.
func (t *table) entry(ref facts.Ref) *entry { return &t.rooms[(ref-1)/inRoom][(ref-1)%inRoom] }

// each yields all entries in the order in which they were seen.
func (t *table) each(yield func(*entry) bool) {
	for _, room := range t.rooms {
		for i := range room {
			if !yield(&room[i]) {
				return
			}
		}
	}
}

// written returns zero values that have been written. What the garbage collector reads before is mapped to the kernel's
// page of zeros first, and then again, of which all processors have to be told.
func written[T any](n int) []T {
	all := make([]T, n)
	clear(all)
	return all
}

// hold keeps a descriptor of a namespace, or closes it if there are too many.
func (t *table) hold(n *entry, fd int) {
	if t.holding >= t.limit || fd >= maxHeldFD {
		raw.Close(fd)
		return
	}
	n.fd = int32(fd)
	t.holding++
	ours.add(fd)
}

// hasNumber reports whether a namespace still has its inode number, where fd, if there is one, is of the one that has it.
func (t *table) hasNumber(n *entry, fd int) bool {
	switch {
	case n.state != known:
		return false
	case fd == raw.NoFD:
		return t.exists(n)
	case n.fd != raw.NoFD || n.serial == 0:
		return true
	}
	serial, err := sys.SerialOf(fd, n.kind) // the number may be reused if no descriptor was held
	return err != nil || serial == n.serial
}

// exists reports whether a namespace still has its inode number: it is held, or can be opened and held now.
func (t *table) exists(n *entry) bool {
	if n.fd != raw.NoFD || !t.handles || n.serial == 0 {
		return true
	}
	fd, errno := sys.OpenHandle(raw.Handle{Serial: n.serial, Type: n.kind, Inode: uint32(n.inode)})
	if errno != 0 {
		return errno != syscall.ESTALE
	}
	t.hold(n, fd)
	return true
}

// ask asks a namespace once for all that it knows, and so its owner and its parent, if they are new.
func (t *table) ask(n *entry, fd int) {
	n.ownerUID = -1
	n.serial, _ = sys.SerialOf(fd, n.kind)
	if t.ownership || t.hierarchy && n.kind == species.CLONE_NEWUSER {
		n.owner, n.ownerHidden = t.relative(n, fd, species.CLONE_NEWUSER, raw.Owner)
	}
	switch n.kind {
	case species.CLONE_NEWUSER:
		if uid, err := sys.OwnerUIDOf(fd); err == nil {
			n.ownerUID = uid
		}
		if t.hierarchy {
			n.parent, n.parentHidden = n.owner, n.ownerHidden
		}
	case species.CLONE_NEWPID:
		if t.hierarchy {
			n.parent, n.parentHidden = t.relative(n, fd, species.CLONE_NEWPID, raw.Parent)
		}
	}
}

// relative returns the owner or parent; hidden reports that there is one which the caller may not know.
func (t *table) relative(n *entry, fd int, kind species.NamespaceType, open func(int) (int, syscall.Errno)) (found *entry, hidden bool) {
	other, errno := open(fd)
	if exhausted(errno) {
		t.lacking = append(t.lacking, facts.Problem{Source: facts.Ownership, Type: n.kind, Namespace: n.inode, Errno: errno})
	}
	if errno != 0 {
		return nil, errno == syscall.EPERM && (!species.IsInitialInode(n.inode) || n.kind != kind)
	}
	var st raw.Status
	if errno := raw.StatNoWait(other, &st); errno != 0 {
		raw.Close(other)
		return nil, false
	}
	return t.see(entry{inode: st.Ino, kind: kind, fd: int32(other), state: known}), false
}

// release closes what is held.
func (t *table) release() {
	for n := range t.each {
		if n.fd != raw.NoFD {
			ours.drop(int(n.fd))
			n.fd = raw.NoFD
		}
	}
}
