package engines

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nsops/nsops/internal/container"
)

// Process is a process of a runtime.
type Process struct {
	UID     int
	Start   uint64 // clock ticks after boot; 0 of a process of others than root and the caller
	Program string // the name of its executable
	Args    []string
	Dir     string // its working directory
}

// programs are those whose arguments are read. The kernel keeps 15 bytes of their names.
var programs = []string{"conmon", "containerd", "containerd-shim", "containerd-shim-runc-v2", "crun", "dockerd", "runc"}

// IsName reports whether it may be the name of a runtime's process, as the kernel keeps it.
func IsName(comm string) bool {
	const kept = 15
	return slices.ContainsFunc(programs, func(p string) bool { return comm == p[:min(kept, len(p))] })
}

// AddProcess takes folders and containers from the arguments of a process. Folders are taken only from processes of
// root and the caller, and only where others cannot write. The arguments of another user's process count only for
// containers that this user could have made: see DescribeFor. The caller of AddProcess makes sure that the process has
// that user and executable, and is in no container; see Look.
func (e *Engines) AddProcess(p Process) {
	args := arguments(p.Args)
	said := container.Container{}
	switch {
	case p.Program == "conmon":
		said = conmon(args)
		e.addFolder(&e.runc, p.UID, args.ofRuntime("runc"))
		e.addFolder(&e.crun, p.UID, args.ofRuntime("crun"))
	case strings.HasPrefix(p.Program, "containerd-shim"):
		namespace, id := args.value("namespace"), args.value("id")
		said = container.Container{ID: id, Runtime: runtimeIn(namespace)}
		if filepath.Base(p.Dir) == id && filepath.Base(filepath.Dir(p.Dir)) == namespace {
			e.addFolder(&e.containerd, p.UID, filepath.Dir(filepath.Dir(p.Dir)))
		}
	case p.Program == "dockerd":
		e.addDocker(p.UID, args)
	case p.Program == "containerd":
		e.addFolder(&e.containerd, p.UID, filepath.Join(args.value("state", "s"), tasks))
	case p.Program == "runc":
		e.addFolder(&e.runc, p.UID, args.value("root"))
	case p.Program == "crun":
		e.addFolder(&e.crun, p.UID, args.value("root"))
	}
	if said.ID != "" {
		if e.said == nil {
			e.said = map[claim]container.Container{}
		}
		e.said[claim{p.UID, said.ID}] = said
	}
}

// conmon returns the container of podman's or cri-o's that a conmon supervises. Its arguments have ID and name.
func conmon(args arguments) container.Container {
	name := args.value("n", "name")
	c := container.Container{ID: args.value("c", "cid"), Runtime: "podman"}
	if strings.HasPrefix(name, "k8s_") || strings.Contains(args.value("exit-dir"), "crio") {
		c.Runtime = "cri-o"
	}
	setName(&c, name)
	return c
}

// addDocker takes the data root of a dockerd, which may be in its configuration instead of its arguments.
func (e *Engines) addDocker(uid int, args arguments) {
	root := args.value("data-root", "graph", "g")
	if root == "" && trusts(uid) {
		file := args.value("config-file")
		if file == "" {
			file = filepath.Join(e.root, "etc/docker/daemon.json")
		}
		var config struct {
			DataRoot string `json:"data-root"`
		}
		if file = e.resolve(file); file != "" && readJSON(&config, file) {
			root = config.DataRoot
		}
	}
	e.addFolder(&e.docker, uid, root)
	e.addFolder(&e.containerd, uid, filepath.Join(args.value("exec-root"), ofDocker))
}

// addFolder adds a folder from the arguments of that user's process, unless it is empty or relative.
func (e *Engines) addFolder(folders *[]string, uid int, folder string) {
	if folder == "" || !trusts(uid) {
		return
	}
	if folder = e.resolve(folder); folder != "" {
		add(folders, folder)
	}
}

// trusts reports whether the user is root or the caller.
func trusts(uid int) bool { return uid == 0 || uid == os.Geteuid() }

// arguments are those of a process, its name first.
type arguments []string

// value returns the value of the first option with one of these names: -n VALUE, --name VALUE or --name=VALUE.
func (args arguments) value(names ...string) string {
	for i, arg := range args {
		option, value, has := strings.Cut(arg, "=")
		if i == 0 || !strings.HasPrefix(option, "-") || !slices.Contains(names, strings.TrimLeft(option, "-")) {
			continue
		}
		if !has && i+1 < len(args) {
			value = args[i+1]
		}
		return value
	}
	return ""
}

// ofRuntime returns the --root that conmon passes to that runtime: --runtime-arg --root=FOLDER, for instance.
func (args arguments) ofRuntime(program string) string {
	if filepath.Base(args.value("r", "runtime")) != program {
		return ""
	}
	var handed arguments
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--runtime-arg="); ok {
			handed = append(handed, value)
		} else if arg == "--runtime-arg" && i+1 < len(args) {
			handed = append(handed, args[i+1])
		}
	}
	return append(arguments{program}, handed...).value("root")
}
