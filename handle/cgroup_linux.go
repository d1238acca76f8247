package handle

import (
	"slices"
	"strings"
)

// cgroupMounts returns the mount points of the cgroup hierarchies in a mountinfo: proc_pid_mountinfo(5). A hierarchy
// that is mounted several times appears once.
func cgroupMounts(mountinfo []byte) []string {
	var found []string
	seen := map[string]bool{}
	for line := range strings.Lines(string(mountinfo)) {
		before, after, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		fields, kind := strings.Split(before, " "), strings.Split(after, " ")
		if !ok || len(fields) < 6 || kind[0] != "cgroup" && kind[0] != "cgroup2" {
			continue
		}
		// device and root say what is mounted
		if mounted := fields[2] + " " + fields[3]; !seen[mounted] {
			seen[mounted] = true
			found = append(found, unescape(fields[4]))
		}
	}
	return found
}

// unescape undoes what the kernel makes of space, tab, newline and backslash: three octal digits.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && len(s) >= i+4 && isOctal(s[i+1:i+4]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isOctal(s string) bool {
	return s[0] <= '3' && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '7' })
}

// containerID returns the id of the container to which a cgroup of that name belongs, "" if it is none. parent is the
// name of the cgroup that it is in.
//
//	ID                                    docker, containerd, CRI with cgroupfs
//	docker-ID.scope                       docker with systemd; so cri-containerd-, crio-, nerdctl-, libpod-
//	libpod-ID                             podman with cgroupfs
//	kubepods-podUID.slice:cri-containerd:ID   containerd told of systemd by one side only
//
// ID is 64 hexadecimal digits. A conmon beside a container is not the container. In the places where ctr, nerdctl and
// others put containers, names are ids too.
func containerID(parent, name string) string {
	if slices.Contains(namedContainers, parent) && !strings.Contains(name, ".") && !isHex(name) {
		return name
	}
	name = strings.TrimSuffix(name, ".scope")
	prefix, id := "", name
	if i := strings.LastIndexAny(name, "-:"); i >= 0 {
		prefix, id = name[:i], name[i+1:]
	}
	if !isHex(id) || strings.HasSuffix(prefix, "conmon") {
		return ""
	}
	return id
}

// isOtherContainer says whether a cgroup is that of a container which has no id: of LXC, systemd-nspawn or libvirt.
func isOtherContainer(parent, name string) bool {
	return strings.HasPrefix(name, "lxc.payload") || strings.HasPrefix(name, "systemd-nspawn@") ||
		parent == "machine.slice" && strings.HasPrefix(name, "machine-")
}

// namedContainers are cgroups whose children are containers, named by whoever made them.
var namedContainers = []string{"default", "docker", "finch", "k8s.io", "lxc", "moby", "nerdctl"}

// isHex says whether it is the complete id of a container.
func isHex(s string) bool {
	const digits = 64
	return len(s) == digits &&
		!strings.ContainsFunc(s, func(r rune) bool { return !strings.ContainsRune("0123456789abcdef", r) })
}
