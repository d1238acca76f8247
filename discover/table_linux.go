package discover

import (
	"sync"
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// table has every namespace seen by a discovery. It comes to know one in four ways:
//
//   - learn: it was opened, is asked for all that it knows, and mostly held. That makes looking at it again cheap, and
//     keeps its inode number from being given to another one.
//   - believe: the snapshot told all there is. Not opened, it may be gone, and its number be another one's.
//   - takeOver: so did the last result.
//   - mention: only its number is known, until one of the others finds it.
//
// One that turns out to be gone stays in all, and byInode has the one that lives.
type table struct {
	dev       uint64
	hierarchy bool
	ownership bool
	limit     int // of descriptors to hold

	mu       sync.Mutex
	byInode  map[uint64]*Namespace
	serials  bool // every namespace has a 64-bit ID
	handles  bool // and can be opened by its file handle
	by64     map[uint64]*Namespace
	byCookie map[uint64]*Namespace // network namespaces by the numbers that sockets know
	all      []*Namespace
	held     []int // descriptors by Namespace.index, raw.NoFD if none is held
	members  []int // by Namespace.index: the first process seen in it, whose mounts can be read
	claims   []int // by Namespace.index: the process whose cgroup stands for it
	holding  int
	lacking  []Problem // of namespaces whose relatives could not be opened
	slab     []Namespace
}

// sizeHint is for a small machine.
const sizeHint = 32

func newTable(dev uint64, opts *Options) *table {
	return &table{
		dev:       dev,
		hierarchy: opts.has(Hierarchy),
		ownership: opts.has(Ownership),
		limit:     sys.DescriptorLimit() / 2,
		byInode:   make(map[uint64]*Namespace, sizeHint),
		byCookie:  make(map[uint64]*Namespace),
		by64:      make(map[uint64]*Namespace, sizeHint),
	}
}

// open returns the namespace that f opens. If that is given up, its goroutine ends here, and whoever gave it up unlocks.
func (t *table) open(kind species.NamespaceType, f func() (int, syscall.Errno)) (*Namespace, syscall.Errno) {
	uncounted.RLock()
	fd, errno := f()
	var n *Namespace
	if errno == 0 {
		n = t.learn(fd, kind)
	}
	uncounted.RUnlock()
	return n, errno
}

// learn returns the namespace behind a descriptor, which it owns from then on. It is nil if that is none.
func (t *table) learn(fd int, kind species.NamespaceType) *Namespace {
	var st raw.Status
	if errno := raw.StatNoWait(fd, &st); errno != 0 || st.Dev != t.dev {
		raw.Close(fd)
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.learnLocked(fd, st.Ino, kind)
}

// learnLocked does so when the inode number is known. Without a kind the kernel is asked.
func (t *table) learnLocked(fd int, inode uint64, kind species.NamespaceType) *Namespace {
	n := t.byInode[inode]
	if n != nil && t.same(n, fd) {
		raw.CloseNoWait(fd)
		return n
	}
	if kind == species.NaNS {
		var errno syscall.Errno
		if kind, errno = raw.Type(fd); errno != 0 {
			raw.Close(fd)
			return nil
		}
	}
	n = t.reachable(inode, kind)
	t.hold(n, fd)
	t.ask(n, fd)
	t.note(n)
	if t.held[n.index] == raw.NoFD {
		raw.Close(fd)
	}
	return n
}

// note makes a namespace found by its 64-bit ID.
func (t *table) note(n *Namespace) {
	if n.Serial == 0 {
		return
	}
	t.by64[n.Serial] = n
	if n.Type == species.CLONE_NEWNET {
		t.byCookie[n.Serial] = n
	}
}

// reachable returns the entry for a namespace that was just found under an inode number: of what is known of that number,
// if it is no more than that, or a new one.
func (t *table) reachable(inode uint64, kind species.NamespaceType) *Namespace {
	n := t.byInode[inode]
	if n == nil || !n.unreachable || n.Type != kind {
		if n != nil {
			n.gone = true
		}
		n = t.add(inode, kind)
	}
	n.unreachable = false
	return n
}

// same says whether the namespace behind fd, with the inode number of n, is n: without a descriptor having been held,
// the number may be another one's by now.
func (t *table) same(n *Namespace, fd int) bool {
	if n.unreachable {
		return false
	}
	if t.held[n.index] != raw.NoFD || n.Serial == 0 {
		return true
	}
	serial, err := sys.SerialOf(fd, n.Type)
	return err != nil || serial == n.Serial
}

func (t *table) hold(n *Namespace, fd int) {
	if t.holding < t.limit && fd < maxHeldFD {
		t.held[n.index] = fd
		t.holding++
		setBeingHeld(fd, true)
	}
}

// add puts a namespace into the table of which no more is known.
func (t *table) add(inode uint64, kind species.NamespaceType) *Namespace {
	if len(t.slab) == 0 {
		t.slab = written[Namespace](max(16, min(len(t.all), 1024)))
	}
	n := &t.slab[0]
	t.slab = t.slab[1:]
	*n = Namespace{
		ID:       species.NamespaceID{Dev: t.dev, Ino: inode},
		Type:     kind,
		Initial:  species.IsInitialInode(inode),
		OwnerUID: -1,
		index:    int32(len(t.all)),
	}
	t.byInode[inode] = n
	t.all = append(t.all, n)
	t.held = append(t.held, raw.NoFD)
	t.members = append(t.members, 0)
	t.claims = append(t.claims, 0)
	return n
}

// written returns zero values that have been written. What the garbage collector reads before is mapped to the kernel's
// page of zeros first, and then again, of which all processors have to be told.
func written[T any](n int) []T {
	all := make([]T, n)
	clear(all)
	return all
}

// ask asks a namespace once for all that it knows, and so its owner and its parent, if they are new.
func (t *table) ask(n *Namespace, fd int) {
	n.Serial, _ = sys.SerialOf(fd, n.Type)
	if t.ownership || t.hierarchy && n.Type == species.CLONE_NEWUSER {
		n.Owner, n.OwnerHidden = t.relative(n, fd, species.CLONE_NEWUSER, raw.Owner)
	}
	switch n.Type {
	case species.CLONE_NEWUSER:
		if uid, err := sys.OwnerUIDOf(fd); err == nil {
			n.OwnerUID = uid
		}
		if t.hierarchy {
			n.Parent, n.ParentHidden = n.Owner, n.OwnerHidden
		}
	case species.CLONE_NEWPID:
		if t.hierarchy {
			n.Parent, n.ParentHidden = t.relative(n, fd, species.CLONE_NEWPID, raw.Parent)
		}
	}
}

// relative returns the owner or parent; hidden says that there is one which the caller may not know.
func (t *table) relative(n *Namespace, fd int, kind species.NamespaceType, open func(int) (int, syscall.Errno)) (found *Namespace, hidden bool) {
	other, errno := open(fd)
	if exhausted(errno) {
		t.lacking = append(t.lacking, Problem{Source: Ownership, Type: n.Type, Namespace: n.ID, Errno: errno})
	}
	if errno != 0 {
		return nil, errno == syscall.EPERM && (!n.Initial || n.Type != kind)
	}
	var st raw.Status
	if errno := raw.StatNoWait(other, &st); errno != 0 {
		raw.Close(other)
		return nil, false
	}
	return t.learnLocked(other, st.Ino, kind), false
}

// known returns the namespace with that inode number, nil if it was not opened yet, or is gone.
func (t *table) known(inode uint64) *Namespace {
	uncounted.RLock()
	defer uncounted.RUnlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.byInode[inode]; n != nil && !n.unreachable && t.lives(n) {
		return n
	}
	return nil
}

// mention returns the namespace with that inode number, of which no more is known if it was not seen yet, or is gone.
func (t *table) mention(inode uint64, kind species.NamespaceType) (n *Namespace, known bool) {
	uncounted.RLock()
	defer uncounted.RUnlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	n = t.byInode[inode]
	if n != nil && !n.unreachable && !t.lives(n) {
		n.gone = true
		n = nil
	}
	if n == nil {
		n = t.add(inode, kind)
		n.unreachable = true
	}
	return n, !n.unreachable
}

// fd returns the descriptor that is held of a namespace, raw.NoFD if none is. One that was not opened yet is.
func (t *table) fd(n *Namespace) int {
	uncounted.RLock()
	defer uncounted.RUnlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lives(n)
	return t.held[n.index]
}

// notHeld returns why no descriptor of a namespace is held that was not gone.
func (t *table) notHeld(n *Namespace) syscall.Errno {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.unreachable {
		return syscall.ESRCH
	}
	return syscall.EMFILE // half of what the process may have is as much as is used
}

// entered notes a process that is in a namespace, if it is the first. The others are nobody's way in.
func (t *table) entered(n *Namespace, pid int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.members[n.index] == 0 {
		t.members[n.index] = pid
	}
}

// claim says whether the process is the first to ask for that namespace.
func (t *table) claim(n *Namespace, pid int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.claims[n.index] == 0 {
		t.claims[n.index] = pid
	}
	return t.claims[n.index] == pid
}

func (t *table) member(n *Namespace) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.members[n.index]
}

// cookie returns the network namespace with that number, nil if it was not seen yet.
func (t *table) cookie(cookie uint64) *Namespace {
	t.mu.Lock()
	defer t.mu.Unlock()
	return present(t.byCookie[cookie])
}

func (t *table) setCookie(cookie uint64, n *Namespace) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byCookie[cookie] = n
}

// withSerial returns the namespace with that 64-bit ID, nil if it was not seen yet.
func (t *table) withSerial(serial uint64) *Namespace {
	t.mu.Lock()
	defer t.mu.Unlock()
	return present(t.by64[serial])
}

// present is nil for a namespace whose number another has by now.
func present(n *Namespace) *Namespace {
	if n == nil || n.gone {
		return nil
	}
	return n
}

// ofType returns those seen so far.
func (t *table) ofType(kind species.NamespaceType) []*Namespace {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []*Namespace
	for _, n := range t.all {
		if n.Type == kind {
			found = append(found, n)
		}
	}
	return found
}

// release closes what is held.
func (t *table) release() {
	for i, fd := range t.held {
		if fd != raw.NoFD {
			raw.Close(fd)
			setBeingHeld(fd, false) // not before: it would look like the program's own
			t.held[i] = raw.NoFD
		}
	}
}

// highest returns the highest 64-bit ID seen. Others may be higher by what the processors have in store.
func (t *table) highest() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var highest uint64
	for _, n := range t.all {
		highest = max(highest, n.Serial)
	}
	return highest
}
