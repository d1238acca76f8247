package testutil

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// state is what a test must leave as it was. Each part is a set of facts as text.
type state struct {
	fds, mounts, children map[string]int
	threads               map[string]string // thread ID to its namespaces
	home                  string            // the namespaces of all threads at the start
}

func readState() state {
	return state{
		fds:      openFDs(),
		mounts:   mounts(),
		children: children(),
		threads:  threads(),
		home:     namespaces("/proc/thread-self/ns"),
	}
}

// openFDs returns "3 -> /dev/null" for each open descriptor.
func openFDs() map[string]int {
	found := map[string]int{}
	for _, fd := range list("/proc/self/fd") {
		if link, err := os.Readlink("/proc/self/fd/" + fd); err == nil {
			found[fd+" -> "+link]++
		}
	}
	return found
}

// mounts returns the lines of mountinfo.
func mounts() map[string]int {
	found := map[string]int{}
	text, _ := os.ReadFile("/proc/thread-self/mountinfo")
	for line := range strings.Lines(string(text)) {
		found[strings.TrimSpace(line)]++
	}
	return found
}

// children returns the PID of each child, zombies included.
func children() map[string]int {
	found := map[string]int{}
	for pid := range ownChildren() {
		found[strconv.Itoa(pid)]++
	}
	return found
}

// Children returns the PIDs of the children of this process, zombies included, in ascending order.
func Children() []int { return slices.Sorted(maps.Keys(ownChildren())) }

func ownChildren() map[int]process {
	found := map[int]process{}
	own := strconv.Itoa(os.Getpid())
	for _, entry := range list("/proc") {
		pid, err := strconv.Atoi(entry)
		if err != nil {
			continue
		}
		if p := readProcess(entry); p.parent == own {
			found[pid] = p
		}
	}
	return found
}

type process struct{ name, state, parent string }

// readProcess returns the zero process if there is none with that PID.
func readProcess(pid string) process {
	text, _ := os.ReadFile("/proc/" + pid + "/stat")
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return process{}
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 2 {
		return process{}
	}
	return process{name: string(text[open+1 : end]), state: fields[0], parent: fields[1]}
}

// threads returns the namespaces of each thread of this process.
func threads() map[string]string {
	found := map[string]string{}
	for _, tid := range list("/proc/self/task") {
		if links := namespaces("/proc/self/task/" + tid + "/ns"); links != "" {
			found[tid] = links
		}
	}
	return found
}

// namespaces returns the links in a ns directory, "" if the thread has ended meanwhile. The link pid_for_children is
// missing if no child is in that namespace yet.
func namespaces(dir string) string {
	var links []string
	for _, name := range list(dir) {
		if link, err := os.Readlink(filepath.Join(dir, name)); err == nil {
			links = append(links, name+"="+link)
		}
	}
	slices.Sort(links)
	return strings.Join(links, " ")
}

func list(dir string) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	names, _ := f.Readdirnames(-1)
	return names
}
