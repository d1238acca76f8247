package engines

import (
	"strings"

	"github.com/nsops/nsops/internal/container"
)

// searchRuntimes notes the cgroups of the containers of runc and crun that have an ID of the user's choosing, in the
// folders --root of these.
func (e *Engines) searchRuntimes() {
	for _, root := range e.runc {
		for _, id := range list(root) {
			if !container.IsID(id) {
				e.readRunc(root, id)
			}
		}
	}
	for _, root := range e.crun {
		for _, id := range list(root) {
			if !container.IsID(id) {
				e.readCrun(root, id)
			}
		}
	}
}

// readRunc reads state.json of runc, which has directories of cgroups, by controller.
func (e *Engines) readRunc(root, id string) {
	var state struct {
		ID          string
		CgroupPaths map[string]string `json:"cgroup_paths"`
	}
	if !readJSON(&state, root, id, "state.json") || state.ID != id {
		return
	}
	for _, dir := range state.CgroupPaths {
		if cgroup, ok := container.CgroupAt(e.hierarchies, dir); ok {
			e.put(cgroup, container.Container{ID: id, Runtime: "runc"})
		}
	}
}

// readCrun reads the file status of crun, which has the path of the cgroup, the same in each hierarchy.
func (e *Engines) readCrun(root, id string) {
	var status struct {
		CgroupPath string `json:"cgroup-path"`
	}
	if readJSON(&status, root, id, "status") {
		e.put(strings.TrimSuffix(status.CgroupPath, "/container"), container.Container{ID: id, Runtime: "crun"})
	}
}
