package discover

import (
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// innerPIDs finds the PIDs in the PID namespaces below that of the proc file system.
func (w *worker) innerPIDs(p *Process, t *texts, s subject) {
	n := p.Namespaces[pidSlot]
	switch {
	case n == nil || t.pids != (span{}):
	case n == w.ownPIDNamespace():
		start := len(w.numbers)
		w.numbers = append(w.numbers, s.pid)
		t.pids = span{uint32(start), uint32(len(w.numbers))}
	case !w.translate(n, s.pid, &t.pids):
		w.status(p, t, s)
	}
}

// translate asks PID namespaces, from the outermost to that of the process (6.11).
func (w *worker) translate(n *Namespace, pid int, into *span) bool {
	var chain [33]*Namespace // the kernel nests no deeper
	depth := 0
	own := w.ownPIDNamespace()
	for ; n != nil && n != own; n = n.Parent {
		if depth == len(chain) {
			return false
		}
		chain[depth] = n
		depth++
	}
	if n == nil {
		return false
	}
	start := len(w.numbers)
	w.numbers = append(w.numbers, pid)
	for depth--; depth >= 0; depth-- {
		fd := w.table.fd(chain[depth])
		if fd == raw.NoFD {
			w.numbers = w.numbers[:start]
			return false
		}
		inner, err := sys.PIDIn(fd, pid)
		if err != nil {
			w.numbers = w.numbers[:start]
			return false
		}
		w.numbers = append(w.numbers, inner)
	}
	*into = span{uint32(start), uint32(len(w.numbers))}
	return true
}
