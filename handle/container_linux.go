package handle

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/engines"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/sys"
)

// GetFromDocker returns a handle of a running container's namespace, by the container's ID, the beginning of it, or its
// name; see the function GetFromDocker. It finds the container in the cgroup hierarchies of the calling thread's mount
// namespace, of version 1, 2 or both, and asks no daemon.
//
// An ID is 64 hexadecimal digits, or what users of containerd, runc or crun chose, which has to be complete, like
// names. Names are in the state folders of the runtimes, and in the arguments of their processes, if the caller may
// read these. An ID or a name precedes the beginning of an ID; a name that two running containers have is ErrAmbiguous.
//
// Whoever may make cgroups may make one with the name of another's container. So a cgroup counts only where nobody but
// root and the caller may make one: not below a directory that others may write, such as those of rootless engines
// unless the caller is that user, and not inside the cgroup of another container. If there are no others, it is
// ErrUnknownContainer; use [Of.GetFromPid] then. Two cgroups of that name, in several hierarchies, without a process in
// common and with different namespaces are ErrAmbiguous.
func (o Of) GetFromDocker(id string) (NsHandle, error) {
	ref := "container " + strconv.Quote(id)
	if err := o.valid("open", ref); err != nil {
		return None(), err
	}
	hierarchies, known, err := enginesHere(id)
	if err != nil {
		return None(), o.err("open", ref, err)
	}
	return o.fromContainer(id, hierarchies, known)
}

// OpenContainer returns a pidfd of a process of a running container, as GetFromDocker of [Of] finds it: of its first one
// in most cases. It stays that process; see pidfd_open(2). The caller closes it.
func OpenContainer(id string) (*os.File, error) {
	ref := "container " + strconv.Quote(id)
	hierarchies, known, err := enginesHere(id)
	var cgroups []cgroup
	if err == nil {
		cgroups, err = findContainer(id, hierarchies, known)
	}
	if err != nil {
		return nil, &Error{Op: "open", Ref: ref, Err: err}
	}
	fd, err := openShared(cgroups, (*sys.Process).DupPidfd)
	if fd == nil && err == nil {
		err = fmt.Errorf("%w: no process is in all of them: %s", ErrAmbiguous, listed(cgroups))
	}
	if err != nil {
		return nil, &Error{Op: "open", Ref: ref, Err: err}
	}
	return sys.OSFile(fd, "pidfd of "+ref), nil
}

// enginesHere returns the cgroup hierarchies of the calling thread's mount namespace, and what runtimes have written down.
func enginesHere(id string) ([]container.Hierarchy, *engines.Engines, error) {
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, nil, err
	}
	hierarchies := container.Hierarchies(text)
	known := engines.New("", hierarchies, text)
	if !looksLikeID(id) {
		known.AddProcesses("/proc")
	}
	known.Search()
	return hierarchies, known, nil
}

// fromContainer searches the cgroups of these hierarchies.
func (o Of) fromContainer(id string, hierarchies []container.Hierarchy, known *engines.Engines) (NsHandle, error) {
	var fd *sys.FD
	open := func(p *sys.Process) (*sys.FD, error) { return p.OpenNamespace(o.t()) }
	cgroups, err := findContainer(id, hierarchies, known)
	if err == nil {
		fd, err = openShared(cgroups, open)
	}
	if fd == nil && err == nil {
		fd, err = openCommon(cgroups, open)
	}
	return o.own(fd, "container "+strconv.Quote(id), err)
}

// openShared opens the namespace, or a pidfd, of a process that is in all the cgroups, which those of one container have in all
// hierarchies: nobody can put another's process into a cgroup of their own. Without such a process it returns nil.
func openShared(cgroups []cgroup, open func(*sys.Process) (*sys.FD, error)) (fd *sys.FD, err error) {
	shared := cgroups[0].processes()
	for _, c := range cgroups[1:] {
		there := c.processes()
		shared = slices.DeleteFunc(shared, func(pid int) bool { return !slices.Contains(there, pid) })
	}
	for _, pid := range shared {
		fd, openErr := openMember(cgroups, pid, open)
		if openErr == nil {
			return fd, nil
		}
		if !errors.Is(openErr, ErrStale) {
			err = openErr
		}
	}
	return nil, err
}

// openCommon opens the namespace of cgroups that have no process in common: they may be those of two containers.
func openCommon(cgroups []cgroup, open func(*sys.Process) (*sys.FD, error)) (common *sys.FD, err error) {
	err = ErrUnknownContainer
	for _, c := range cgroups {
		fd, openErr := openShared([]cgroup{c}, open)
		switch {
		case openErr != nil:
			err = openErr
		case common == nil:
			common = fd
		case fd != nil:
			same := NsHandle(fd.Int()).Equal(NsHandle(common.Int()))
			_ = fd.Close()
			if !same {
				_ = common.Close()
				return nil, fmt.Errorf("%w: %s", ErrAmbiguous, listed(cgroups))
			}
		}
	}
	if common != nil {
		return common, nil
	}
	return nil, err
}

// openMember opens something of a process of cgroups. If the cgroups have the PID after the pidfd was opened, and the
// process has not ended, it is the right process.
func openMember(cgroups []cgroup, pid int, open func(*sys.Process) (*sys.FD, error)) (*sys.FD, error) {
	stale := true // it was not opened, or not asked
	fd, err := ofProcess(pid, func(p *sys.Process) (*sys.FD, error) {
		left := func(c cgroup) bool { return !slices.Contains(c.processes(), pid) }
		if stale = slices.ContainsFunc(cgroups, left) || !p.Alive(); stale {
			return nil, syscall.ESRCH
		}
		return open(p)
	})
	if stale && errors.Is(err, syscall.ESRCH) {
		err = fmt.Errorf("process %d has ended, or left: %w: %w", pid, ErrStale, err)
	}
	return fd, err
}

// cgroup is one of a container's.
type cgroup struct {
	dir  string // below the mount point of its hierarchy
	path string // in its hierarchy
}

func listed(cgroups []cgroup) string {
	dirs := make([]string, len(cgroups))
	for i, c := range cgroups {
		dirs[i] = c.dir
	}
	slices.Sort(dirs)
	return strings.Join(dirs, ", ")
}

// candidate is a container that may be the one that is searched for, with its proven cgroups in all hierarchies.
type candidate struct {
	container.Container
	cgroups []cgroup
}

// search looks for a container by its ID, the beginning of one, or its name.
type search struct {
	known    *engines.Engines
	word     string
	found    map[string]*candidate // by ID
	unproven []cgroup              // with that ID or name, which a user or another container may have made
}

// findContainer returns the cgroups of the running container with that ID or name, or else of that whose ID begins so.
func findContainer(word string, hierarchies []container.Hierarchy, known *engines.Engines) ([]cgroup, error) {
	if word == "" || strings.ContainsAny(word, "/\x00") {
		return nil, fmt.Errorf("no ID or name of a container: %w", syscall.EINVAL)
	}
	s := &search{known: known, word: word, found: map[string]*candidate{}}
	var walkErr error
	for i := range hierarchies {
		walkErr = cmp.Or(walkErr, s.walk(&hierarchies[i]))
	}
	cgroups, err := s.running()
	if walkErr != nil && errors.Is(err, ErrUnknownContainer) {
		err = fmt.Errorf("%w: %w", err, walkErr)
	}
	return cgroups, err
}

// walk adds the containers of a hierarchy. The error is that it cannot be read.
func (s *search) walk(h *container.Hierarchy) error {
	var trust sys.Trust
	return filepath.WalkDir(h.Point, func(dir string, entry os.DirEntry, err error) error {
		switch {
		case err != nil && dir == h.Point:
			return err
		case err != nil || !entry.IsDir(): // a cgroup that was removed meanwhile, or may not be read
			return nil //nolint:nilerr // the rest can still be searched
		}
		at := s.known.At(h.Cgroup(dir))
		switch {
		case at == nil:
		case h.Proves(at, s.known.At, trust.OnlyTrustedMayMake):
			s.add(at, dir)
		case at.ID == s.word || at.Name == s.word || s.begins(at.ID):
			s.unproven = append(s.unproven, cgroup{dir, at.Cgroup})
		}
		return nil
	})
}

func (s *search) add(at *container.Container, dir string) {
	c := s.found[at.ID]
	if c == nil {
		c = &candidate{}
		s.found[at.ID] = c
	}
	if c.Runtime == "" {
		c.Container = *at
	}
	c.cgroups = append(c.cgroups, cgroup{dir, at.Cgroup})
}

func (s *search) begins(id string) bool { return container.IsID(id) && strings.HasPrefix(id, s.word) }

// best returns the candidates with that ID or name, or if there are none, those whose ID begins so.
func (s *search) best() []*candidate {
	var exact, begin []*candidate
	for id, c := range s.found {
		switch {
		case id == s.word || c.Name == s.word || s.isNamed(c):
			exact = append(exact, c)
		case s.begins(id):
			begin = append(begin, c)
		}
	}
	if len(exact) > 0 {
		return exact
	}
	return begin
}

// isNamed reports whether a container has that name according to the state of its runtime.
func (s *search) isNamed(c *candidate) bool {
	if c.Name != "" || looksLikeID(s.word) {
		return false
	}
	described := c.Container
	s.known.Describe(&described)
	return described.Name == s.word
}

// looksLikeID reports whether a word is an ID or, as engines print them, the beginning of one, and not a name.
func looksLikeID(word string) bool {
	const short = 12
	return len(word) >= short && strings.Trim(word, "0123456789abcdef") == ""
}

// running returns the cgroups of the only candidate that runs.
func (s *search) running() (cgroups []cgroup, err error) {
	var ids []string
	for _, c := range s.best() {
		if slices.ContainsFunc(c.cgroups, cgroup.runs) {
			ids, cgroups = append(ids, c.ID), c.cgroups
		}
	}
	unproven := slices.DeleteFunc(s.unproven, func(c cgroup) bool { return !c.runs() })
	switch {
	case len(ids) > 1:
		slices.Sort(ids)
		return nil, fmt.Errorf("%w: %s", ErrAmbiguous, strings.Join(ids, ", "))
	case len(ids) == 1:
		return cgroups, nil
	case len(unproven) > 0:
		return nil, fmt.Errorf("%w: another user or a container may have made these cgroups, whose name proves nothing: %s",
			ErrUnknownContainer, listed(unproven))
	}
	return nil, ErrUnknownContainer
}

func (c cgroup) runs() bool { return len(c.processes()) > 0 }

// processes returns the PIDs of a container's processes, first those in its own cgroup, then those in the cgroups
// below, which an init may have made; but not those of containers in the container, nor those of its supervisor.
func (c cgroup) processes() []int {
	pids := readPIDs(c.dir)
	entries, _ := os.ReadDir(c.dir)
	for _, entry := range entries {
		below := cgroup{filepath.Join(c.dir, entry.Name()), c.path + "/" + entry.Name()}
		if !entry.IsDir() || container.IsSupervisor(entry.Name()) || container.At(below.path) != nil {
			continue
		}
		pids = append(pids, below.processes()...)
	}
	return pids
}

// readPIDs returns the processes of a cgroup, without those that have no PID in our PID namespace, which are 0. A
// threaded cgroup of version 2 has a list of threads only; the TID of a first thread is a PID, too.
func readPIDs(dir string) []int {
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if errors.Is(err, syscall.EOPNOTSUPP) {
		text, _ = os.ReadFile(filepath.Join(dir, "cgroup.threads"))
	}
	var pids []int
	for word := range strings.FieldsSeq(string(text)) {
		if pid, ok := procfs.PID([]byte(word)); ok && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}
