package scan

import (
	"slices"
	"syscall"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// listNamespaces asks the kernel for all namespaces (listns(2), Linux 6.19) and opens those that were not found, such as
// those that only an inotify watch holds. On an older kernel it does nothing.
func (s *scan) listNamespaces() {
	if !s.opts.has(facts.KernelList) {
		return
	}
	for t := range s.opts.Types.All() {
		serials, errno := raw.ListNamespaces(t)
		if sys.IsMissing(errno) {
			return
		}
		if errno != 0 {
			s.workers[0].problem(facts.Problem{Source: facts.KernelList, Type: t, Errno: errno})
			continue
		}
		for _, serial := range serials {
			if s.table.withSerial(serial) == nil {
				s.openListed(t, serial)
			}
		}
	}
}

func (s *scan) openListed(t species.NamespaceType, serial uint64) {
	n, errno := s.table.open(t, func() (int, syscall.Errno) {
		return sys.OpenHandle(raw.Handle{Serial: serial}) // since Linux 6.19 that alone will do
	})
	if n != nil {
		s.workers[0].refer(n.ref, facts.Reference{Kind: facts.ByKernel})
	}
	// ESTALE is said of those that are gone, but also where they are only shown: to open them requires CAP_SYS_ADMIN and
	// the initial PID namespace.
	if errno == syscall.ESTALE {
		errno = syscall.EPERM
		if serials, _ := raw.ListNamespaces(t); !slices.Contains(serials, serial) {
			return
		}
	}
	if errno != 0 {
		s.workers[0].problem(facts.Problem{Source: facts.KernelList, Type: t, Errno: errno})
	}
}

// walkMountNamespaces asks the kernel for the mount namespaces before and after one that is known.
func (s *scan) walkMountNamespaces() {
	if !s.opts.has(facts.Mounts | facts.AllMountNamespaces) {
		return
	}
	known := s.table.ofType(species.CLONE_NEWNS)
	start := raw.NoFD
	if len(known) > 0 {
		start = s.table.fd(known[0])
	} else if own := s.openOwn(species.CLONE_NEWNS); own != nil {
		start = s.table.fd(own)
	}
	if start == raw.NoFD {
		s.walkProblem(syscall.EMFILE)
		return
	}
	for _, before := range [...]bool{false, true} {
		for fd := start; s.ctx.Err() == nil; {
			n, errno := s.table.open(species.CLONE_NEWNS, func() (int, syscall.Errno) { return raw.NextMountNamespace(fd, before) })
			if errno != 0 && errno != syscall.ENOENT {
				s.walkProblem(errno)
				return
			}
			if n == nil {
				break
			}
			if fd = s.table.fd(n); fd == raw.NoFD {
				if !s.table.isGone(n) {
					s.walkProblem(syscall.EMFILE) // none can be held any more
				}
				break
			}
		}
	}
}

func (s *scan) walkProblem(errno syscall.Errno) {
	if !sys.IsMissing(errno) && errno != syscall.EINVAL {
		s.workers[0].problem(facts.Problem{Source: facts.AllMountNamespaces, Errno: errno})
	}
}
