package container

import (
	"path"
	"strings"
)

// isPod reports whether it is the cgroup of one of podman's pods, which has those of its containers: with cgroupfs
// libpod_parent/ID. With systemd the name of the slice says it, and is no container's.
func isPod(parent, name string) bool { return path.Base(parent) == "libpod_parent" && IsID(name) }

// podOf returns the pod that a container's cgroup is in, "" if it is in none: the UID of a Kubernetes pod, or the ID of
// one of podman's.
func podOf(cgroup string) string {
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
	// of containerd that was told of systemd by one side only, it is in the name of the container's own
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
