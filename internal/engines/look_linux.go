package engines

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/procfs"
)

// Look returns a process, but for its arguments, and whether these count: it has an executable of a runtime's, is in
// the calling thread's PID namespace, in no container, and if it is root's, in the calling thread's user namespace. It
// requires the right to inspect the process. Of processes of others than root and the caller it reads nothing that they
// can block.
func Look(proc string, pid int) (p Process, ok bool) {
	dir := filepath.Join(proc, strconv.Itoa(pid))
	status, ok := procfs.ParseStatus(ReadFile(dir+"/status"), nil)
	if !ok || !sameNamespace(proc, dir, "pid") || inContainer(dir) || status.UID == 0 && !sameNamespace(proc, dir, "user") {
		return p, false
	}
	var stat procfs.Stat
	p.UID = int(status.UID)
	if trusts(p.UID) {
		if stat, ok = procfs.ParseStat(ReadFile(dir + "/stat")); !ok {
			return p, false
		}
		p.Start = stat.Start
	}
	p.Program = programOf(dir, string(stat.Name))
	p.Dir, _ = os.Readlink(dir + "/cwd")
	return p, slices.ContainsFunc(programs, func(name string) bool { return strings.HasPrefix(p.Program, name) })
}

// programOf returns the name of the executable, or where that has none, as crun and runc run copies of themselves, that
// of the process.
func programOf(dir, comm string) string {
	executable, _ := os.Readlink(dir + "/exe")
	if executable == "/" || strings.HasPrefix(executable, "/memfd:") {
		return comm
	}
	return strings.TrimSuffix(filepath.Base(executable), " (deleted)")
}

// inContainer reports whether the process is in a container in any hierarchy. A supervisor may be in the cgroup of one.
func inContainer(dir string) bool {
	for _, in := range container.ParseMembership(ReadFile(dir + "/cgroup")).In {
		if c := container.Of(in.Path); c != nil && !container.IsSupervisor(path.Base(in.Path)) {
			return true
		}
	}
	return false
}

func sameNamespace(proc, dir, name string) bool {
	ours, err := os.Readlink(filepath.Join(proc, "thread-self/ns", name))
	if err != nil {
		return false
	}
	theirs, err := os.Readlink(filepath.Join(dir, "ns", name))
	return err == nil && ours == theirs
}

// AddProcesses adds those processes of root and the caller that Look accepts. It reads no arguments of others, who can
// block their reader.
func (e *Engines) AddProcesses(proc string) {
	entries, _ := os.ReadDir(proc)
	for _, entry := range entries {
		pid, ok := procfs.PID([]byte(entry.Name()))
		if !ok {
			continue
		}
		dir := filepath.Join(proc, entry.Name())
		if comm := ReadFile(dir + "/comm"); !IsName(strings.TrimSpace(string(comm))) {
			continue
		}
		p, ok := Look(proc, pid)
		if !ok || !trusts(p.UID) {
			continue
		}
		p.Args = strings.Split(strings.TrimSuffix(string(ReadFile(dir+"/cmdline")), "\x00"), "\x00")
		if again, ok := Look(proc, pid); ok && again.Start == p.Start && again.Program == p.Program {
			e.AddProcess(p)
		}
	}
}
