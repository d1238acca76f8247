package discover

import (
	"syscall"

	"github.com/nsops/nsops/internal/sys"
)

// listNamespaces asks the kernel for all namespaces (6.19) and takes up those that the walk has not found, such as those
// that only an inotify watch holds. Before 6.19 it does nothing.
func (s *scan) listNamespaces() {
	for _, t := range slots {
		if !s.opts.Types.Has(t) {
			continue
		}
		serials, errno := sys.ListNamespaces(t)
		if sys.IsMissing(errno) {
			return
		}
		if errno != 0 {
			s.workers[0].problem(Problem{Source: KernelList, Type: t, Errno: errno})
			continue
		}
		seen := make(map[uint64]bool, len(serials))
		for _, n := range s.table.ofType(t) {
			seen[n.Serial] = true
		}
		for _, serial := range serials {
			if seen[serial] {
				continue
			}
			fd, err := sys.NamespaceHandle{Serial: serial}.Open() // the type alone, without the inode number, is refused
			if err != nil {
				if errnoOf(err) != syscall.ESTALE {
					s.workers[0].problem(Problem{Source: KernelList, Type: t, Errno: errnoOf(err)})
				}
				continue
			}
			if n := s.table.learn(fd.Disown(), t); n != nil {
				s.workers[0].refer(n, Reference{Kind: ByKernel})
			}
		}
	}
}
