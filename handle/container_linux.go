package handle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// GetFromDocker returns a handle of a running container's namespace, by the container's id or the beginning of it; see
// the function GetFromDocker. It finds the container in the cgroup hierarchies that the calling thread's mount namespace
// has, of version 1, 2 or both, whoever made its cgroup there, and asks no daemon.
//
// An id is 64 hexadecimal digits. Names that users gave to containerd or runc are found if they are complete.
//
// Whoever may make cgroups may make one with the name of another's container. If that is inside a container, it is not
// looked at; otherwise, two cgroups of that name and different namespaces are ErrAmbiguous.
func (o Of) GetFromDocker(id string) (NsHandle, error) {
	ref := "container " + strconv.Quote(id)
	if err := o.valid("open", ref); err != nil {
		return None(), err
	}
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return None(), o.err("open", ref, err)
	}
	return o.fromContainer(id, cgroupMounts(text))
}

// fromContainer looks below the mount points of cgroup hierarchies.
func (o Of) fromContainer(id string, hierarchies []string) (NsHandle, error) {
	ref := "container " + strconv.Quote(id)
	found, err := findContainer(id, hierarchies)
	if err != nil {
		return None(), o.err("open", ref, err)
	}
	err = ErrUnknownContainer
	for _, dirs := range found.dirs {
		var fd *sys.FD
		if fd, err = openCommon(dirs, o.t()); err == nil || errors.Is(err, ErrAmbiguous) {
			return o.own(fd, ref, err)
		}
	}
	return None(), o.err("open", ref, err)
}

// openCommon opens the namespace of cgroups in one hierarchy, of which there is one unless two containers have the same
// name or somebody made a cgroup with the id of another's container: then they must have the same namespace.
func openCommon(dirs []string, t species.NamespaceType) (common *sys.FD, err error) {
	err = ErrUnknownContainer
	for _, dir := range dirs {
		fd, openErr := openFirst(dir, t)
		switch {
		case openErr != nil && common == nil:
			err = openErr
		case openErr != nil:
		case common == nil:
			common, err = fd, nil
		default:
			same := NsHandle(fd.Int()).Equal(NsHandle(common.Int()))
			_ = fd.Close()
			if !same {
				_ = common.Close()
				return nil, fmt.Errorf("%w: %s", ErrAmbiguous, strings.Join(dirs, ", "))
			}
		}
	}
	return common, err
}

// openFirst opens the namespace of the first process of a cgroup that is still there.
func openFirst(dir string, t species.NamespaceType) (fd *sys.FD, err error) {
	err = ErrUnknownContainer
	for _, pid := range processesIn(dir) {
		if fd, err = openMember(dir, pid, t); err == nil {
			break
		}
	}
	return fd, err
}

// openMember opens a namespace of a process of a cgroup. Once the pidfd is open, the PID cannot change hands unnoticed;
// so if the cgroup has it then, it is the right process.
func openMember(dir string, pid int, t species.NamespaceType) (*sys.FD, error) {
	p, err := openProcess(pid)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }()
	if !slices.Contains(processesIn(dir), pid) || !p.Alive() {
		return nil, fmt.Errorf("process %d has left: %w: %w", pid, ErrStale, syscall.ESRCH)
	}
	fd, err := p.OpenNamespace(t)
	return fd, uninspected(p, err)
}

// container is one that runs: there are processes in at least one of its cgroups.
type container struct {
	id     string
	dirs   [][]string // of each hierarchy that has any
	nested bool       // all are inside cgroups of other containers
}

// add adds what one hierarchy has. A cgroup inside that of another container is passed over if there is one that is not:
// that container may have made it up.
func (c *container) add(dirs []string, nested bool) {
	switch {
	case nested && !c.nested:
		return
	case !nested && c.nested:
		c.dirs, c.nested = nil, false
	}
	c.dirs = append(c.dirs, dirs)
}

// findContainer returns the running container whose id begins like that.
func findContainer(id string, hierarchies []string) (container, error) {
	if id == "" || strings.ContainsAny(id, "/\x00") {
		return container{}, fmt.Errorf("no id of a container: %w", syscall.EINVAL)
	}
	found := map[string]*container{}
	var walkErr error
	for _, root := range hierarchies {
		outer, inner, err := walkContainers(root, func(have string) bool {
			return have == id || isHex(have) && strings.HasPrefix(have, id)
		})
		if walkErr == nil {
			walkErr = err
		}
		addAll(found, outer, false)
		addAll(found, inner, true)
	}
	if exact := found[id]; exact != nil {
		return *exact, nil
	}
	c, err := single(found)
	if walkErr != nil && errors.Is(err, ErrUnknownContainer) {
		err = fmt.Errorf("%w: %w", err, walkErr)
	}
	return c, err
}

func addAll(found map[string]*container, cgroups map[string][]string, nested bool) {
	for id, dirs := range cgroups {
		if found[id] == nil {
			found[id] = &container{id: id, nested: true}
		}
		found[id].add(dirs, nested)
	}
}

// single returns the only one that runs.
func single(found map[string]*container) (container, error) {
	var running []string
	for id, c := range found {
		if slices.ContainsFunc(slices.Concat(c.dirs...), func(dir string) bool { return len(processesIn(dir)) > 0 }) {
			running = append(running, id)
		}
	}
	slices.Sort(running)
	switch len(running) {
	case 0:
		return container{}, ErrUnknownContainer
	case 1:
		return *found[running[0]], nil
	}
	return container{}, fmt.Errorf("%w: %s", ErrAmbiguous, strings.Join(running, ", "))
}

// walkContainers returns the cgroups that belong to wanted containers, by id: those outside and those inside of cgroups
// of other containers. The error is that the hierarchy cannot be read.
func walkContainers(root string, wanted func(id string) bool) (outer, inner map[string][]string, err error) {
	outer, inner = map[string][]string{}, map[string][]string{}
	around := "" // the container in whose cgroup the walk is
	err = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		switch {
		case err != nil && path == root:
			return err
		case err != nil || !entry.IsDir(): // a cgroup that was removed meanwhile, or may not be read
			return nil //nolint:nilerr // the rest can still be searched
		}
		id := containerID(filepath.Base(filepath.Dir(path)), entry.Name())
		if id == "" {
			return nil
		}
		at := inner
		if around == "" || !strings.HasPrefix(path, around) {
			at, around = outer, path+"/"
		}
		if wanted(id) {
			at[id] = append(at[id], path)
		}
		return nil
	})
	return outer, inner, err
}

// processesIn returns the PIDs of a container's processes, those of its own cgroup first, then those of the cgroups in
// there, for instance made by an init; but not those of containers in the container, nor those of its supervisor.
func processesIn(dir string) []int {
	pids := readPIDs(dir)
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if !entry.IsDir() || entry.Name() == "supervisor" || containerID(filepath.Base(dir), entry.Name()) != "" {
			continue
		}
		pids = append(pids, processesIn(filepath.Join(dir, entry.Name()))...)
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
		if pid, err := strconv.Atoi(word); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}
