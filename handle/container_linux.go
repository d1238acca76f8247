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
// Whoever may make cgroups may make one with the name of another's container. So a cgroup counts only where nobody but
// root and the caller may make one: not below a directory that others may write, such as those of rootless engines
// unless the caller is that user, and not inside the cgroup of another container. If there are no others, it is
// ErrUnknownContainer; [Of.GetFromPid] finds what is known otherwise. What several hierarchies have must be the same:
// two cgroups of that name without a process in common and with different namespaces are ErrAmbiguous.
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
	dirs, err := findContainer(id, hierarchies)
	if err != nil {
		return None(), o.err("open", ref, err)
	}
	fd, err := openShared(dirs, o.t())
	if fd == nil && err == nil {
		fd, err = openCommon(dirs, o.t())
	}
	return o.own(fd, ref, err)
}

// openShared opens the namespace of a process that is in all the cgroups, as those of a container are that has one in
// each hierarchy: nobody can put another's process into a cgroup of their own. It returns nil and no error if there is none.
func openShared(dirs []string, t species.NamespaceType) (fd *sys.FD, err error) {
	shared := processesIn(dirs[0])
	for _, dir := range dirs[1:] {
		there := processesIn(dir)
		shared = slices.DeleteFunc(shared, func(pid int) bool { return !slices.Contains(there, pid) })
	}
	for _, pid := range shared {
		fd, openErr := openMember(dirs, pid, t)
		switch {
		case openErr == nil:
			return fd, nil
		case !errors.Is(openErr, ErrStale):
			err = openErr
		}
	}
	return nil, err
}

// openCommon opens the namespace that the cgroups have in common although they have no process in common: the names of
// two containers may be the same.
func openCommon(dirs []string, t species.NamespaceType) (common *sys.FD, err error) {
	err = ErrUnknownContainer
	for _, dir := range dirs {
		fd, openErr := openShared([]string{dir}, t)
		switch {
		case openErr != nil:
			err = openErr
		case fd == nil:
		case common == nil:
			common = fd
		default:
			same := NsHandle(fd.Int()).Equal(NsHandle(common.Int()))
			_ = fd.Close()
			if !same {
				_ = common.Close()
				return nil, fmt.Errorf("%w: %s", ErrAmbiguous, strings.Join(dirs, ", "))
			}
		}
	}
	if common != nil {
		err = nil
	}
	return common, err
}

// openMember opens a namespace of a process of cgroups. Once the pidfd is open, the PID cannot change hands unnoticed; so
// if the cgroups have it then, it is the right process.
func openMember(dirs []string, pid int, t species.NamespaceType) (*sys.FD, error) {
	p, err := openProcess(pid)
	if errors.Is(err, syscall.ESRCH) {
		return nil, fmt.Errorf("process %d has ended: %w: %w", pid, ErrStale, err)
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.Close() }()
	left := func(dir string) bool { return !slices.Contains(processesIn(dir), pid) }
	if slices.ContainsFunc(dirs, left) || !p.Alive() {
		return nil, fmt.Errorf("process %d has left: %w: %w", pid, ErrStale, syscall.ESRCH)
	}
	fd, err := p.OpenNamespace(t)
	return fd, uninspected(p, err)
}

// container has the cgroups of one, in all hierarchies.
type container struct {
	proven   []string
	unproven []string // that a user or another container may have made
}

// findContainer returns the cgroups of the running container whose id begins like that.
func findContainer(id string, hierarchies []string) ([]string, error) {
	if id == "" || strings.ContainsAny(id, "/\x00") {
		return nil, fmt.Errorf("no id of a container: %w", syscall.EINVAL)
	}
	found := map[string]*container{}
	var walkErr error
	for _, root := range hierarchies {
		err := walkContainers(root, found, func(have string) bool {
			return have == id || isHex(have) && strings.HasPrefix(have, id)
		})
		if walkErr == nil {
			walkErr = err
		}
	}
	if exact := found[id]; exact != nil {
		found = map[string]*container{id: exact}
	}
	dirs, err := single(found)
	if walkErr != nil && errors.Is(err, ErrUnknownContainer) {
		err = fmt.Errorf("%w: %w", err, walkErr)
	}
	return dirs, err
}

// single returns the cgroups of the only one that runs.
func single(found map[string]*container) (dirs []string, err error) {
	var running, unproven []string
	runs := func(dir string) bool { return len(processesIn(dir)) > 0 }
	for id, c := range found {
		if slices.ContainsFunc(c.proven, runs) {
			running = append(running, id)
			dirs = c.proven
		}
		if i := slices.IndexFunc(c.unproven, runs); i >= 0 {
			unproven = append(unproven, c.unproven[i])
		}
	}
	slices.Sort(running)
	slices.Sort(unproven)
	switch {
	case len(running) > 1:
		return nil, fmt.Errorf("%w: %s", ErrAmbiguous, strings.Join(running, ", "))
	case len(running) == 1:
		return dirs, nil
	case len(unproven) > 0:
		return nil, fmt.Errorf("%w, but for cgroups that another user or a container may have named, which proves nothing: %s",
			ErrUnknownContainer, strings.Join(unproven, ", "))
	}
	return nil, ErrUnknownContainer
}

// walkContainers adds the cgroups that belong to wanted containers, by id. The error is that the hierarchy cannot be
// read.
func walkContainers(root string, found map[string]*container, wanted func(id string) bool) error {
	around := "" // the container in whose cgroup the walk is
	var trust sys.Trust
	return filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		switch {
		case err != nil && path == root:
			return err
		case err != nil || !entry.IsDir(): // a cgroup that was removed meanwhile, or may not be read
			return nil //nolint:nilerr // the rest can still be searched
		}
		parent := filepath.Base(filepath.Dir(path))
		id := containerID(parent, entry.Name())
		if id == "" && !isOtherContainer(parent, entry.Name()) {
			return nil
		}
		nested := around != "" && strings.HasPrefix(path, around)
		if !nested {
			around = path + "/"
		}
		if id == "" || !wanted(id) {
			return nil
		}
		if found[id] == nil {
			found[id] = &container{}
		}
		if nested || !trust.OnlyTrustedMayMake(root, path) {
			found[id].unproven = append(found[id].unproven, path)
		} else {
			found[id].proven = append(found[id].proven, path)
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
