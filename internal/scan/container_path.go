package scan

import (
	"path"
	"strconv"
	"strings"
)

// Container is one, as its cgroup tells; package discover has the same, with the words for it.
type Container struct{ ID, Runtime, Name, Pod, Cgroup string }

// runtimes are the beginnings of names that runtimes give to cgroups of containers, before the id and ".scope".
var runtimes = []struct{ prefix, runtime string }{
	{"docker-", "docker"},
	{"cri-containerd-", "containerd"},
	{"nerdctl-", "containerd"},
	{"crio-", "cri-o"},
	{"libpod-", "podman"},
	{"runc-", "runc"},
	{"crun-", "crun"},
}

// homes are cgroups in which runtimes keep those of containers, by any name.
var homes = map[string]string{"docker": "docker", "lxc": "lxc", "lxc.payload": "lxc", "machine": "nspawn"}

// containerOf returns the innermost container that a cgroup with that path belongs to, nil if it is of none.
func containerOf(cgroup string) *Container {
	for dir := path.Clean(cgroup); len(dir) > 1; dir = path.Dir(dir) {
		name, parent := path.Base(dir), path.Base(path.Dir(dir))
		if c := containerNamed(name, parent); c != nil {
			c.Cgroup = dir
			c.Pod = podOf(dir)
			return c
		}
	}
	return nil
}

// containerNamed returns the container of a cgroup with that name, in one with the name parent.
func containerNamed(name, parent string) *Container {
	if rest, ok := strings.CutPrefix(name, "lxc.payload."); ok && rest != "" {
		return &Container{ID: rest, Name: rest, Runtime: "lxc"}
	}
	if rest, ok := strings.CutPrefix(name, "systemd-nspawn@"); ok {
		return nspawn(strings.TrimSuffix(rest, ".service"))
	}
	if rest, ok := strings.CutPrefix(name, "machine-"); ok && parent == "machine.slice" && !ofLibvirt(rest) {
		return nspawn(strings.TrimSuffix(rest, ".scope"))
	}
	scope := strings.TrimSuffix(name, ".scope")
	if at := strings.LastIndexByte(scope, ':'); at >= 0 { // kubepods-….slice:cri-containerd:ID
		scope = scope[strings.LastIndexByte(scope[:at], ':')+1:at] + "-" + scope[at+1:]
	}
	for _, r := range runtimes {
		if id, ok := strings.CutPrefix(scope, r.prefix); ok && isID(id) {
			return &Container{ID: id, Runtime: r.runtime}
		}
	}
	if isID(scope) {
		return &Container{ID: scope, Runtime: homes[parent]}
	}
	if runtime := homes[parent]; runtime == "lxc" && !strings.HasPrefix(name, "lxc.") {
		return &Container{ID: name, Name: name, Runtime: runtime}
	}
	return nil
}

// nspawn returns the container with that name, as it is in a unit of systemd's.
func nspawn(escaped string) *Container {
	name := unescapeUnit(escaped)
	if name == "" {
		return nil
	}
	return &Container{ID: name, Name: name, Runtime: "nspawn"}
}

// ofLibvirt says whether a machine is one of libvirt's, which are mostly no containers.
func ofLibvirt(escaped string) bool {
	return strings.HasPrefix(escaped, `qemu\x2d`) || strings.HasPrefix(escaped, `lxc\x2d`)
}

// podOf returns the UID of the Kubernetes pod that a cgroup is of, "" if it is of none.
func podOf(cgroup string) string {
	if !strings.Contains(cgroup, "kubepods") {
		return ""
	}
	for dir := cgroup; len(dir) > 1; dir = path.Dir(dir) {
		name := strings.TrimSuffix(path.Base(dir), ".slice")
		if at := strings.LastIndex(name, "-pod"); at >= 0 {
			return strings.ReplaceAll(name[at+len("-pod"):], "_", "-")
		}
		if rest, ok := strings.CutPrefix(name, "pod"); ok {
			return rest
		}
	}
	return ""
}

// isID says whether it is what runtimes that do not ask for a name make up: 64 hexadecimal digits.
func isID(s string) bool {
	const digits = 64
	return len(s) == digits && strings.Trim(s, "0123456789abcdef") == ""
}

// unescapeUnit undoes what systemd.unit(5) does to a name.
func unescapeUnit(s string) string {
	var b strings.Builder
	for at := 0; at < len(s); at++ {
		if at+4 <= len(s) && s[at:at+2] == `\x` {
			if c, err := strconv.ParseUint(s[at+2:at+4], 16, 8); err == nil {
				b.WriteByte(byte(c))
				at += 3
				continue
			}
		}
		b.WriteByte(s[at])
	}
	return b.String()
}
