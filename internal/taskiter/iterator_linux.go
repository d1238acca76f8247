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
	program int // in programs
	mu      sync.Mutex
	kept    *sys.FD
	refused error
	size    atomic.Int64 // of what was read last
}

// The programs.
const (
	taskProgram = iota
	fileProgram
	unixProgram
)

var (
	taskReader = iterator{program: taskProgram}
	fileReader = iterator{program: fileProgram}
	unixReader = iterator{program: unixProgram}
)

// read reads all that the program writes, into the room of buf if that suffices.
func (i *iterator) read(buf []byte) ([]byte, error) {
	kept, err := i.get()
	if err != nil {
		return nil, err
	}
	const more = 16 << 10
	if room := int(i.size.Load()) + more; cap(buf) < room {
		buf = make([]byte, 0, room)
	}
	all, err := sys.ReadIterator(kept, buf)
	i.size.Store(int64(len(all)))
	return all, err
}

// get returns what is kept. A kernel that refuses a program is not asked again.
func (i *iterator) get() (*sys.FD, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.kept != nil || i.refused != nil {
		return i.kept, i.refused
	}
	all, err := programs()
	if err == nil {
		i.kept, err = sys.KeepIterator(all[i.program].code, all[i.program].function)
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

// written are the programs for this kernel, whose types take megabytes and are looked at once.
var written struct {
	sync.Mutex
	programs []program
}

func programs() ([]program, error) {
	written.Lock()
	defer written.Unlock()
	if written.programs != nil {
		return written.programs, nil
	}
	text, err := sys.KernelTypes()
	if err != nil {
		return nil, err
	}
	t, err := parseTypes(text, wanted)
	if err != nil {
		return nil, err
	}
	all := make([]program, unixProgram+1)
	for i := range all {
		if all[i], err = t.program(i); err != nil {
			return nil, err
		}
	}
	written.programs = all
	return all, nil
}

func (t *types) program(which int) (program, error) {
	w := &writer{types: t}
	function := fileIterator
	if which == taskProgram {
		function = taskIterator
		w.tasks()
	} else {
		w.files(which == unixProgram)
	}
	if w.err == nil {
		w.function, w.err = t.find(kindFunc, function)
	}
	return w.program, w.err
}
