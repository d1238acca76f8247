package taskiter

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
)

// iterator is one that the kernel has checked, which takes longer than to run it for a few hundred processes.
type iterator struct {
	name    string // of the function that stands for it
	write   func(*writer)
	written program
	kept    *sys.FD
	refused error
	size    atomic.Int64 // of what was read last
}

var (
	taskReader = iterator{name: taskIterator, write: (*writer).tasks}
	fileReader = iterator{name: fileIterator, write: func(w *writer) { w.files(false) }}
	unixReader = iterator{name: fileIterator, write: func(w *writer) { w.files(true) }}
	iterators  = []*iterator{&taskReader, &fileReader, &unixReader}
	loading    sync.Mutex // has all of them but their sizes
)

// rooms are those of snapshots that were released.
var rooms sync.Pool

// read reads all that the program writes, into the room of buf if that suffices.
func (i *iterator) read(buf []byte) ([]byte, error) {
	kept, err := i.get()
	if err != nil {
		return nil, err
	}
	const more = 16 << 10
	if room := int(i.size.Load()) + more; cap(buf) < room {
		if free, ok := rooms.Get().(*[]byte); ok && cap(*free) >= room {
			buf = *free
		} else {
			buf = make([]byte, 0, room)
		}
	}
	all, err := sys.ReadIterator(kept, buf)
	i.size.Store(int64(len(all)))
	return all, err
}

// get returns what is kept. A kernel that refuses a program is not asked again.
func (i *iterator) get() (*sys.FD, error) {
	loading.Lock()
	defer loading.Unlock()
	if i.kept != nil || i.refused != nil {
		return i.kept, i.refused
	}
	var err error
	if i.written.code == nil {
		err = writePrograms()
	}
	if err == nil {
		i.kept, err = sys.KeepIterator(i.written.code, i.written.function)
	}
	if err != nil && !mayPass(err) {
		i.refused = err
	}
	return i.kept, err
}

// mayPass reports whether something may work later: with rights, descriptors or memory, or once /sys is mounted.
func mayPass(err error) bool {
	later := []error{syscall.EPERM, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EAGAIN, syscall.ENOENT}
	return slices.ContainsFunc(later, func(e error) bool { return errors.Is(err, e) })
}

// writePrograms writes all at once: the types of the kernel take megabytes, and are not kept.
func writePrograms() error {
	text, err := sys.KernelTypes()
	if err != nil {
		return err
	}
	t, err := parseTypes(text, wanted)
	if err != nil {
		return err
	}
	for _, i := range iterators {
		p, err := t.program(i)
		if err != nil {
			return err
		}
		i.written = p
	}
	return nil
}

// program writes the program of an iterator for a kernel with these types.
func (t *types) program(i *iterator) (program, error) {
	w := &writer{types: t}
	i.write(w)
	w.function = w.find(kindFunc, i.name)
	return w.program, w.err
}
