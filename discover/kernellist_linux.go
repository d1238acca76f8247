package discover

import (
	"slices"
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// listNamespaces asks the kernel for all namespaces (6.19) and takes up those that the walk has not found, such as those
// that only an inotify watch holds. Before 6.19 it does nothing.
func (s *scan) listNamespaces() {
	for _, t := range slots {
		if !s.opts.Types.Has(t) {
			continue
		}
		serials, errno := raw.ListNamespaces(t)
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
			n, errno := s.table.open(t, func() (int, syscall.Errno) {
				return sys.OpenHandle(raw.Handle{Serial: serial}) // since 6.19 that alone will do
			})
			if errno != 0 {
				s.cannotOpen(t, serial, errno)
			}
			if n != nil {
				s.workers[0].refer(n, Reference{Kind: ByKernel})
			}
		}
	}
}

// cannotOpen tells of a namespace that is listed and cannot be opened. ESTALE is said of those that are gone, but also
// where they are only shown: opening them takes CAP_SYS_ADMIN and the initial PID namespace.
func (s *scan) cannotOpen(t species.NamespaceType, serial uint64, errno syscall.Errno) {
	if errno == syscall.ESTALE {
		errno = syscall.EPERM
		if serials, _ := raw.ListNamespaces(t); !slices.Contains(serials, serial) {
			return
		}
	}
	s.workers[0].problem(Problem{Source: KernelList, Type: t, Errno: errno})
}
