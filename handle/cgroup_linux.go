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

// candidate has the cgroups of a container, in all hierarchies.
type candidate struct {
	proven   []cgroup
	unproven []cgroup // that a user or another container may have made
}

// findContainer returns the cgroups of the running container whose id begins like that.
func findContainer(id string, hierarchies []container.Hierarchy) ([]cgroup, error) {
	if id == "" || strings.ContainsAny(id, "/\x00") {
		return nil, fmt.Errorf("no id of a container: %w", syscall.EINVAL)
	}
	found := map[string]*candidate{}
	var walkErr error
	for i := range hierarchies {
		err := walkContainers(&hierarchies[i], found, func(have string) bool {
			return have == id || container.IsID(have) && strings.HasPrefix(have, id)
		})
		if walkErr == nil {
			walkErr = err
		}
	}
	if exact := found[id]; exact != nil {
		found = map[string]*candidate{id: exact}
	}
	cgroups, err := single(found)
	if walkErr != nil && errors.Is(err, ErrUnknownContainer) {
		err = fmt.Errorf("%w: %w", err, walkErr)
	}
	return cgroups, err
}

// single returns the cgroups of the only one that runs.
func single(found map[string]*candidate) (cgroups []cgroup, err error) {
	var running []string
	var unproven []cgroup
	runs := func(c cgroup) bool { return len(c.processes()) > 0 }
	for id, c := range found {
		if slices.ContainsFunc(c.proven, runs) {
			running = append(running, id)
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

// walkContainers adds the cgroups that belong to wanted containers, by id. The error is that the hierarchy cannot be
// read.
func walkContainers(h *container.Hierarchy, found map[string]*candidate, wanted func(id string) bool) error {
	var trust sys.Trust
	return filepath.WalkDir(h.Point, func(dir string, entry os.DirEntry, err error) error {
		switch {
		case err != nil && dir == h.Point:
			return err
		case err != nil || !entry.IsDir(): // a cgroup that was removed meanwhile, or may not be read
			return nil //nolint:nilerr // the rest can still be searched
		}
		at := container.At(h.Cgroup(dir))
		if at == nil || !wanted(at.ID) {
			return nil
		}
		if found[at.ID] == nil {
			found[at.ID] = &candidate{}
		}
		c := cgroup{dir, at.Cgroup}
		if h.Proves(at, trust.OnlyTrustedMayMake) {
			found[at.ID].proven = append(found[at.ID].proven, c)
		} else {
			found[at.ID].unproven = append(found[at.ID].unproven, c)
		}
		return nil
	})
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
