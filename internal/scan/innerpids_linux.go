package scan

import (
	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/sys"
)

// innerPIDs finds the PIDs of a process in the PID namespaces below that of the proc file system, from it to that which the
// process is in.
func (w *worker) innerPIDs(n *entry, p *facts.Process, d *draft, s subject) {
	switch {
	case n == nil || d.pids != (span{}):
	case !w.translate(n, s.pid, &d.pids):
		w.status(p, d, s)
	}
}

// translate asks PID namespaces, from the outermost to that of the process (Linux 6.11).
func (w *worker) translate(n *entry, pid int, into *span) bool {
	var chain [33]*entry // the kernel nests no deeper
	depth := 0
	own := w.scan.ownPIDNamespace()
	for ; n != nil && n != own; n = n.parent {
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
		fd := w.scan.table.fd(chain[depth])
		if fd == sys.NoFD {
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
