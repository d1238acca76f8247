package handle

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/engines"
	"github.com/nsops/nsops/internal/procfs"
	"github.com/nsops/nsops/internal/sys"
)

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

// candidate is a container that may be the one that is searched for, with its cgroups in all hierarchies.
type candidate struct {
	container.Container
	proven   []cgroup
	unproven []cgroup // which a user or another container may have made
}

// search looks for a container by its ID, the beginning of one, or its name.
type search struct {
	told  *engines.Engines
	word  string
	found map[string]*candidate // by ID
}

// findContainer returns the cgroups of the running container with that ID or name, or else of that whose ID begins so.
func findContainer(word string, hierarchies []container.Hierarchy, told *engines.Engines) ([]cgroup, error) {
	if word == "" || strings.ContainsAny(word, "/\x00") {
		return nil, fmt.Errorf("no ID or name of a container: %w", syscall.EINVAL)
	}
	s := &search{told, word, map[string]*candidate{}}
	var walkErr error
	for i := range hierarchies {
		walkErr = cmp.Or(walkErr, s.walk(&hierarchies[i]))
	}
	cgroups, err := single(s.best())
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
		at := s.told.At(h.Cgroup(dir))
		if at == nil {
			return nil
		}
		if s.found[at.ID] == nil {
			s.found[at.ID] = &candidate{}
		}
		at.Proven = h.Proves(at, s.told.At, trust.OnlyTrustedMayMake)
		s.found[at.ID].add(at, dir)
		return nil
	})
}

// add adds a cgroup. One that is not proven does not say what the container is.
func (c *candidate) add(at *container.Container, dir string) {
	if c.ID == "" || at.Proven && (!c.Proven || c.Runtime == "") {
		c.Container = *at
	}
	list := &c.unproven
	if at.Proven {
		list = &c.proven
	}
	*list = append(*list, cgroup{dir, at.Cgroup})
}

// best returns the candidates with that ID or name, or if there are none, those whose ID begins so, and those that are
// not proven, for an error to name them.
func (s *search) best() []*candidate {
	var exact, begin, unproven []*candidate
	for id, c := range s.found {
		is := id == s.word || c.Name == s.word || s.isNamed(c)
		begins := container.IsID(id) && strings.HasPrefix(id, s.word)
		switch {
		case !c.Proven && (is || begins):
			unproven = append(unproven, c)
		case is:
			exact = append(exact, c)
		case begins:
			begin = append(begin, c)
		}
	}
	if len(exact) > 0 {
		return exact
	}
	return append(begin, unproven...)
}

// isNamed reports whether a proven container has that name according to the state of its runtime.
func (s *search) isNamed(c *candidate) bool {
	if !c.Proven || c.Name != "" || looksLikeID(s.word) {
		return false
	}
	described := c.Container
	s.told.Describe(&described)
	return described.Name == s.word
}

// looksLikeID reports whether a word is an ID or, as engines print them, the beginning of one, and not a name.
func looksLikeID(word string) bool {
	const short = 12
	return len(word) >= short && strings.Trim(word, "0123456789abcdef") == ""
}

// single returns the cgroups of the only candidate that runs.
func single(found []*candidate) (cgroups []cgroup, err error) {
	var running []string
	var unproven []cgroup
	runs := func(c cgroup) bool { return len(c.processes()) > 0 }
	for _, c := range found {
		if slices.ContainsFunc(c.proven, runs) {
			running = append(running, c.ID)
			cgroups = c.proven
		}
		if i := slices.IndexFunc(c.unproven, runs); i >= 0 {
			unproven = append(unproven, c.unproven[i])
		}
	}
	switch {
	case len(running) > 1:
		slices.Sort(running)
		return nil, fmt.Errorf("%w: %s", ErrAmbiguous, strings.Join(running, ", "))
	case len(running) == 1:
		return cgroups, nil
	case len(unproven) > 0:
		return nil, fmt.Errorf("%w: another user or a container may have made these cgroups, so that their name proves nothing: %s",
			ErrUnknownContainer, listed(unproven))
	}
	return nil, ErrUnknownContainer
}

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
