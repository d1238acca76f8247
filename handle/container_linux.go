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
	for _, dir := range found.dirs {
		for _, pid := range processesIn(dir) {
			fd, openErr := openMember(dir, pid, o.t())
			if openErr == nil {
				return o.own(fd, ref, nil)
			}
			err = openErr
		}
	}
	if err == nil {
		err = ErrUnknownContainer
	}
	return None(), o.err("open", ref, err)
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
	return fd, ended(p, err)
}

// container is one that runs: there are processes in at least one of its cgroups.
type container struct {
	id   string
	dirs []string // one in each hierarchy that has one
}

// findContainer returns the running container whose id begins like that.
func findContainer(id string, hierarchies []string) (container, error) {
	if id == "" || strings.ContainsAny(id, "/\x00") {
		return container{}, fmt.Errorf("no id of a container: %w", syscall.EINVAL)
	}
	found := map[string]*container{}
	for _, root := range hierarchies {
		err := walkContainers(root, func(dir, have string) {
			if have != id && (!isHex(have) || !strings.HasPrefix(have, id)) {
				return
			}
			if found[have] == nil {
				found[have] = &container{id: have}
			}
			found[have].dirs = append(found[have].dirs, dir)
		})
		if err != nil {
			return container{}, err
		}
	}
	if exact := found[id]; exact != nil {
		return *exact, nil
	}
	return single(found)
}

// single returns the only one that runs.
func single(found map[string]*container) (container, error) {
	var running []string
	for id, c := range found {
		if slices.ContainsFunc(c.dirs, func(dir string) bool { return len(processesIn(dir)) > 0 }) {
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

// walkContainers calls found for each cgroup that belongs to a container, also inside those of other containers.
func walkContainers(root string, found func(dir, id string)) error {
	return filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		switch {
		case err != nil && path == root:
			return err
		case err != nil || !entry.IsDir(): // a cgroup that was removed meanwhile, or may not be read
			return nil //nolint:nilerr // the rest can still be searched
		}
		if id := containerID(filepath.Base(filepath.Dir(path)), entry.Name()); id != "" {
			found(path, id)
		}
		return nil
	})
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
