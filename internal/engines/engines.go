package engines

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/nsops/nsops/internal/container"
)

// Engines are the runtimes of a machine: their state folders, and the arguments of their processes. It is for one
// goroutine.
type Engines struct {
	root       string // of the file system that has the folders, "" for our own
	docker     []string
	podman     []string // storages
	containerd []string // folders with NAMESPACE/ID
	runc, crun []string // folders with ID

	hierarchies []container.Hierarchy
	mountinfo   []byte

	said    map[claim]container.Container
	cgroups map[string]*container.Container // by the path of their own cgroup
}

// claim is the container with that ID in the arguments of a process of that user.
type claim struct {
	uid int
	id  string
}

// New returns Engines with the folders that runtimes of root's, and the caller's own, have by default, in the file
// system below root, "" for our own. hierarchies and mountinfo are those of the calling thread.
func New(root string, hierarchies []container.Hierarchy, mountinfo []byte) *Engines {
	e := &Engines{
		root:        root,
		docker:      []string{"/var/lib/docker"},
		podman:      []string{"/var/lib/containers/storage"},
		containerd:  []string{"/run/containerd/" + tasks, "/run/docker/" + ofDocker},
		runc:        []string{"/run/runc"},
		crun:        []string{"/run/crun"},
		hierarchies: hierarchies,
		mountinfo:   mountinfo,
	}
	if uid := os.Geteuid(); uid != 0 {
		run := "/run/user/" + strconv.Itoa(uid)
		add(&e.runc, run+"/runc")
		add(&e.crun, run+"/crun")
		add(&e.containerd, run+"/docker/"+ofDocker)
		if home, err := os.UserHomeDir(); err == nil {
			add(&e.docker, filepath.Join(home, ".local/share/docker"))
			add(&e.podman, filepath.Join(home, ".local/share/containers/storage"))
		}
	}
	if root != "" {
		for _, folders := range [][]string{e.docker, e.podman, e.containerd, e.runc, e.crun} {
			for i := range folders {
				folders[i] = filepath.Join(root, folders[i])
			}
		}
	}
	return e
}

// Exist reports whether there is any of the folders that Search reads.
func Exist() bool {
	e := New("", nil, nil)
	var stat syscall.Stat_t
	for _, folder := range slices.Concat(e.runc, e.crun, e.containerd) {
		if syscall.Lstat(folder, &stat) == nil {
			return true
		}
	}
	return false
}

// Where containerd has its containers below the folder of its state, and Docker's below --exec-root.
const (
	tasks    = "io.containerd.runtime.v2.task"
	ofDocker = "containerd/daemon/" + tasks
)

// add adds a folder unless it is there.
func add(folders *[]string, folder string) {
	if filepath.IsAbs(folder) && !slices.Contains(*folders, filepath.Clean(folder)) {
		*folders = append(*folders, filepath.Clean(folder))
	}
}

// At is container.At, and after Search also finds containers by their state where the name of the cgroup says nothing.
func (e *Engines) At(cgroup string) *container.Container {
	if c := container.At(cgroup); c != nil || e == nil || e.cgroups[cgroup] == nil {
		return c
	}
	found := *e.cgroups[cgroup]
	return &found
}

// put notes the cgroup of a container. The cgroup at the top is that of none.
func (e *Engines) put(cgroup string, c container.Container) {
	if cgroup = filepath.Clean("/" + cgroup); cgroup != "/" && e.cgroups[cgroup] == nil {
		c.Cgroup = cgroup
		c.Pod = cmp.Or(container.PodOf(cgroup), c.Pod)
		if e.cgroups == nil {
			e.cgroups = map[string]*container.Container{}
		}
		e.cgroups[cgroup] = &c
	}
}

// Describe fills in the runtime, name and pod of a container whose cgroup is proven.
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

// DescribeFor fills in what the arguments of that user's processes say of a container, for one whose cgroup that user
// may have made. It reads no file. Nil knows nothing.
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
