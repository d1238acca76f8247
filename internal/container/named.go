package container

import (
	"path"
	"strings"
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

// ofLXC is for lxc.payload.NAME, and /lxc/NAME of older versions. What is in lxc.monitor watches over it.
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
//	kubepods-podUID.slice:cri-containerd:ID   containerd told of systemd by one side only
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

// isIdentifier reports whether it may be an ID of containerd's: words of letters and digits with . _ or - between them. A
// unit of systemd's is none.
func isIdentifier(s string) bool {
	const longest = 76
	for _, unit := range [...]string{".scope", ".slice", ".service", ".mount", ".socket", ".swap"} {
		if strings.HasSuffix(s, unit) {
			return false
		}
	}
	words := strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '_' || r == '-' })
	length := max(len(words)-1, 0)
	for _, word := range words {
		length += len(word)
		if strings.ContainsFunc(word, func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}) {
			return false
		}
	}
	return len(words) > 0 && length == len(s) && len(s) <= longest
}
