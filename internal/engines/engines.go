package engines

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/procfs"
)

// Engines are the runtimes of a machine: where they keep their state, and what their processes say. It is for one
// goroutine.
type Engines struct {
	root       string // of the file system that has the folders, "" for our own
	docker     []string
	podman     []string // storages
	containerd []string // folders with NAMESPACE/ID
	runc, crun []string // folders with ID

	hierarchies []container.Hierarchy
	served      map[string]bool // mount points of file systems that a program serves

	said    map[claim]container.Container
	cgroups map[string]*container.Container // by the path of their own cgroup
}

// claim is what a process of that user says of the container with that ID.
type claim struct {
	uid int
	id  string
}

// New returns Engines with the folders that runtimes of root's, and the caller's own, have by default, in the file system
// below root, "" for our own. The mountinfo is that of the calling thread.
func New(root string, mountinfo []byte) *Engines {
	root = filepath.Join(root, "/")
	at := func(path string) []string { return []string{filepath.Join(root, path)} }
	e := &Engines{
		root:        root,
		docker:      at("var/lib/docker"),
		podman:      at("var/lib/containers/storage"),
		containerd:  at(filepath.Join("run/containerd", tasks)),
		runc:        at("run/runc"),
		crun:        at("run/crun"),
		hierarchies: container.Hierarchies(mountinfo),
		served:      served(mountinfo),
		said:        map[claim]container.Container{},
	}
	add(&e.containerd, filepath.Join(root, "run/docker", ofDocker))
	if uid := os.Geteuid(); uid != 0 {
		run := filepath.Join(root, "run/user", strconv.Itoa(uid))
		add(&e.runc, filepath.Join(run, "runc"))
		add(&e.crun, filepath.Join(run, "crun"))
		add(&e.containerd, filepath.Join(run, "docker", ofDocker))
		if home, err := os.UserHomeDir(); err == nil {
			add(&e.docker, filepath.Join(root, home, ".local/share/docker"))
			add(&e.podman, filepath.Join(root, home, ".local/share/containers/storage"))
		}
	}
	return e
}

// Where containerd has its containers below the folder of its state, and Docker's below --exec-root.
const (
	tasks    = "io.containerd.runtime.v2.task"
	ofDocker = "containerd/daemon/" + tasks
)

// served returns the mount points of FUSE.
func served(mountinfo []byte) map[string]bool {
	points := map[string]bool{}
	for m, rest, ok := procfs.NextMount(mountinfo); ok; m, rest, ok = procfs.NextMount(rest) {
		if bytes.HasPrefix(m.Type, []byte("fuse")) {
			points[string(procfs.Unescape(nil, m.Point))] = true
		}
	}
	return points
}

// add adds a folder unless it is there.
func add(folders *[]string, folder string) {
	if filepath.IsAbs(folder) && !slices.Contains(*folders, filepath.Clean(folder)) {
		*folders = append(*folders, filepath.Clean(folder))
	}
}

// Search reads which cgroups belong to containers that have an ID of the user's choosing, for At.
func (e *Engines) Search() {
	e.cgroups = map[string]*container.Container{}
	e.searchRuntimes()
	e.searchContainerd()
}

// At is container.At, and after Search knows those containers too whose cgroup has a name that says nothing.
func (e *Engines) At(cgroup string) *container.Container {
	if c := container.At(cgroup); c != nil || e == nil || e.cgroups[cgroup] == nil {
		return c
	}
	found := *e.cgroups[cgroup]
	return &found
}

// put notes the cgroup of a container. The cgroup at the top is nobody's.
func (e *Engines) put(cgroup string, c container.Container) {
	if cgroup = filepath.Clean("/" + cgroup); cgroup != "/" && e.cgroups[cgroup] == nil {
		c.Cgroup = cgroup
		c.Pod = cmp.Or(container.PodOf(cgroup), c.Pod)
		e.cgroups[cgroup] = &c
	}
}

// Describe fills in what is not known of a container whose cgroup is proven: runtime, name and pod.
func (e *Engines) Describe(c *container.Container) {
	if e == nil {
		return
	}
	e.DescribeFor(0, c)
	e.DescribeFor(os.Geteuid(), c)
	if !isName(c.ID) || c.Name != "" {
		return
	}
	if c.Runtime == "docker" || c.Runtime == "" && container.IsID(c.ID) {
		e.describeDocker(c)
	}
	if c.Runtime == "podman" || c.Runtime == "cri-o" {
		e.describeStorage(c)
	}
	if c.Name == "" && (c.Runtime == "docker" || c.Runtime == "containerd" || c.Runtime == "") {
		e.describeContainerd(c)
	}
}

// DescribeFor fills in what the processes of that user say of a container. It reads no file: for one whose cgroup that
// user may have made. Nil knows nothing.
func (e *Engines) DescribeFor(uid int, c *container.Container) {
	if e == nil {
		return
	}
	said, known := e.said[claim{uid, c.ID}]
	if !known || c.Runtime != "" && said.Runtime != "" && c.Runtime != said.Runtime {
		return
	}
	c.Runtime, c.Name = cmp.Or(c.Runtime, said.Runtime), cmp.Or(c.Name, said.Name)
	c.Pod, c.PodName = cmp.Or(c.Pod, said.Pod), cmp.Or(c.PodName, said.PodName)
}
