package container

import (
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// prefixes are what runtimes put before the ID in the name of a container's cgroup.
var prefixes = map[string]string{
	"docker":         "docker",
	"cri-containerd": "containerd",
	"nerdctl":        "containerd",
	"crio":           "cri-o",
	"libpod":         "podman",
	"libpod-payload": "podman", // podman --cgroups=split
	"runc":           "runc",
	"crun":           "crun",
}

// homes are cgroups in which runtimes keep those of containers, which have an ID for a name.
var homes = map[string]string{
	"docker": "docker",
	"moby":   "docker", // the namespace that Docker has in containerd
}

// namespaces are those of containerd in which users choose the IDs: ctr has /NAMESPACE/ID.
var namespaces = map[string]bool{"default": true, "finch": true, "k8s.io": true, "nerdctl": true}

// named returns the container whose cgroup has that name, and is in the cgroup parent.
func named(parent, name string) *Container {
	for _, rule := range []func(parent, name string) *Container{ofLXC, ofMachine, ofRuntime, ofNamespace} {
		if c := rule(parent, name); c != nil {
			return c
		}
	}
	return nil
}

// ofLXC is for lxc.payload.NAME, and /lxc/NAME of older versions. lxc.monitor.NAME has the supervisor.
func ofLXC(parent, name string) *Container {
	id, ok := strings.CutPrefix(name, "lxc.payload.")
	if home := path.Base(parent); home == "lxc" || home == "lxc.payload" {
		id, ok = name, !strings.HasPrefix(name, "lxc.") && !IsID(name)
	}
	if !ok || id == "" {
		return nil
	}
	return &Container{ID: id, Name: id, Runtime: "lxc"}
}

// ofRuntime is for IDs of 64 hexadecimal digits, with or without a prefix:
//
//	ID                                        docker, containerd, CRI with cgroupfs
//	docker-ID.scope                           docker with systemd; so cri-containerd-, crio-, nerdctl-, libpod-
//	libpod-ID                                 podman with cgroupfs
//	kubepods-podUID.slice:cri-containerd:ID   containerd with systemd on one side only
//
// and for what runc and crun name by themselves, runc-NAME.scope. A conmon beside a container is not the container.
func ofRuntime(parent, name string) *Container {
	scope, isScope := strings.CutSuffix(name, ".scope")
	prefix, id := "", scope
	if at := strings.LastIndexAny(scope, "-:"); at >= 0 {
		prefix, id = scope[strings.LastIndexByte(scope[:at], ':')+1:at], scope[at+1:]
	}
	switch {
	case strings.HasSuffix(prefix, "conmon"):
		return nil
	case IsID(id) && prefix == "":
		return &Container{ID: id, Runtime: homes[path.Base(parent)]}
	case IsID(id):
		return &Container{ID: id, Runtime: prefixes[prefix]}
	}
	for _, runtime := range [...]string{"runc", "crun"} {
		if id, ok := strings.CutPrefix(scope, runtime+"-"); ok && isScope && id != "" {
			return &Container{ID: id, Runtime: runtime}
		}
	}
	return nil
}

// ofNamespace is for /NAMESPACE/ID of ctr, at the top or right inside another container.
func ofNamespace(parent, name string) *Container {
	above := path.Dir(parent)
	if !namespaces[path.Base(parent)] || !isIdentifier(name) || above != "/" && At(above) == nil {
		return nil
	}
	return &Container{ID: name, Runtime: "containerd"}
}

// IsID reports whether it is what runtimes make up that do not ask for a name: 64 hexadecimal digits.
func IsID(s string) bool {
	const digits = 64
	return len(s) == digits && strings.Trim(s, "0123456789abcdef") == ""
}

// isIdentifier reports whether it may be an ID of containerd's. A unit of systemd's is none.
func isIdentifier(s string) bool {
	const longest = 76
	for _, unit := range [...]string{".scope", ".slice", ".service", ".mount", ".socket", ".swap"} {
		if strings.HasSuffix(s, unit) {
			return false
		}
	}
	return len(s) <= longest && identifier().MatchString(s)
}

var identifier = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$`)
})

// ofMachine is for what systemd-machined keeps: machine-NAME.scope and systemd-nspawn@NAME.service. Those of libvirt
// are virtual machines, which have no processes of their own here, or containers.
func ofMachine(parent, name string) *Container {
	if rest, ok := strings.CutPrefix(name, "systemd-nspawn@"); ok {
		return nspawn(strings.TrimSuffix(rest, ".service"))
	}
	rest, ok := strings.CutPrefix(name, "machine-")
	rest, isScope := strings.CutSuffix(rest, ".scope")
	if !ok || !isScope || path.Base(parent) != "machine.slice" {
		return nil
	}
	switch {
	case strings.HasPrefix(rest, `qemu\x2d`):
		return nil
	case strings.HasPrefix(rest, `lxc\x2d`): // lxc-PID-NAME
		id := unescapeUnit(rest)
		_, name, _ := strings.Cut(strings.TrimPrefix(id, "lxc-"), "-")
		return &Container{ID: id, Name: name, Runtime: "libvirt"}
	}
	return nspawn(rest)
}

// nspawn returns the container with that name, as it is in a unit of systemd's.
func nspawn(escaped string) *Container {
	name := unescapeUnit(escaped)
	if name == "" {
		return nil
	}
	return &Container{ID: name, Name: name, Runtime: "nspawn"}
}

// unescapeUnit undoes what systemd.unit(5) does to a name.
func unescapeUnit(s string) string {
	return unitEscape().ReplaceAllStringFunc(s, func(escape string) string {
		c, _ := strconv.ParseUint(escape[len(`\x`):], 16, 8)
		return string([]byte{byte(c)})
	})
}

var unitEscape = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\\x[0-9A-Fa-f]{2}`) })

// isPod reports whether it is the cgroup of one of podman's pods, which has those of its containers: with cgroupfs
// libpod_parent/ID. With systemd the name of the slice says it, and is no container's.
func isPod(parent, name string) bool { return path.Base(parent) == "libpod_parent" && IsID(name) }

// PodOf returns the pod that a container's cgroup is in, "" if it is in none: the UID of a Kubernetes pod, or the ID of
// one of podman's.
func PodOf(cgroup string) string {
	kubernetes := strings.Contains(cgroup, "kubepods")
	for dir := path.Dir(cgroup); ; dir = path.Dir(dir) {
		name := path.Base(dir)
		if isPod(path.Dir(dir), name) {
			return name
		}
		if _, id, ok := strings.Cut(strings.TrimSuffix(name, ".slice"), "libpod_pod_"); ok && IsID(id) {
			return id
		}
		if uid := kubernetesPod(name); kubernetes && uid != "" {
			return uid
		}
		if dir == "/" {
			break
		}
	}
	// containerd with systemd on one side only has it in the name of the container's own cgroup
	slice, _, ok := strings.Cut(path.Base(cgroup), ":")
	if ok && kubernetes {
		return kubernetesPod(slice)
	}
	return ""
}

// kubernetesPod returns the UID in the name of a pod's cgroup: podUID, or kubepods-besteffort-podUID.slice.
func kubernetesPod(name string) string {
	if slice, ok := strings.CutSuffix(name, ".slice"); ok {
		if at := strings.LastIndex(slice, "-pod"); at >= 0 {
			return strings.ReplaceAll(slice[at+len("-pod"):], "_", "-")
		}
	}
	uid, _ := strings.CutPrefix(name, "pod")
	if uid == name {
		return ""
	}
	return uid
}
