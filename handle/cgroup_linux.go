package handle

import (
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
	dir  string // where it is to be seen
	path string // in its hierarchy
}

func listed(cgroups []cgroup) string {
	dirs := make([]string, len(cgroups))
	for i, c := range cgroups {
		dirs[i] = c.dir
	}
	return strings.Join(dirs, ", ")
}

// candidate is a container that may be the one that is meant, with its cgroups in all hierarchies.
type candidate struct {
	container.Container
	proven   []cgroup
	unproven []cgroup // that a user or another container may have made
}

// search looks for a container by its ID, the beginning of one, or its name.
type search struct {
	told  *engines.Engines
	word  string
	found map[string]*candidate // by ID
}

// findContainer returns the cgroups of the running container with that ID or name, or else of the one whose ID begins like
// that.
func findContainer(word string, hierarchies []container.Hierarchy, told *engines.Engines) ([]cgroup, error) {
	if word == "" || strings.ContainsAny(word, "/\x00") {
		return nil, fmt.Errorf("no ID or name of a container: %w", syscall.EINVAL)
	}
	s := &search{told, word, map[string]*candidate{}}
	var walkErr error
	for i := range hierarchies {
		if err := s.walk(&hierarchies[i]); walkErr == nil {
			walkErr = err
		}
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

// add adds a cgroup. What others than root and the caller may have made does not say what the container is.
func (c *candidate) add(at *container.Container, dir string) {
	if c.ID == "" || at.Proven && (!c.Proven || c.Runtime == "") {
		c.Container = *at
	}
	if at.Proven {
		c.proven = append(c.proven, cgroup{dir, at.Cgroup})
	} else {
		c.unproven = append(c.unproven, cgroup{dir, at.Cgroup})
	}
}

// best returns those with the word for an ID or a name, and if there are none, those whose ID begins like that. Those that
// are not proven come along, for an error to name them.
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

// isNamed reports whether a proven container was given the word for a name, as its runtime has written down.
func (s *search) isNamed(c *candidate) bool {
	if !c.Proven || c.Name != "" || looksLikeID(s.word) {
		return false
	}
	described := c.Container
	s.told.Describe(&described)
	return described.Name == s.word
}

// looksLikeID reports whether a word is an ID, or a short one as engines print them, and not a name.
func looksLikeID(word string) bool {
	const short = 12
	return len(word) >= short && strings.Trim(word, "0123456789abcdef") == ""
}

// single returns the cgroups of the only one that runs.
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
	slices.Sort(running)
	slices.SortFunc(unproven, func(a, b cgroup) int { return strings.Compare(a.dir, b.dir) })
	switch {
	case len(running) > 1:
		return nil, fmt.Errorf("%w: %s", ErrAmbiguous, strings.Join(running, ", "))
	case len(running) == 1:
		return cgroups, nil
	case len(unproven) > 0:
		return nil, fmt.Errorf("%w, but for cgroups that another user or a container may have named, which proves nothing: %s",
			ErrUnknownContainer, listed(unproven))
	}
	return nil, ErrUnknownContainer
}

// processes returns the PIDs of a container's processes, those of its own cgroup first, then those of the cgroups in
// there, for instance made by an init; but not those of containers in the container, nor those of its supervisor.
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

// readPIDs returns the processes of a cgroup. 0 stands for one that our PID namespace has no PID for. A threaded cgroup
// of version 2 has a list of threads only; a thread that leads its process serves as well.
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
