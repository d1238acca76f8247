package testutil

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// patience is how long the checks wait for the end of a thread or a child, or of a mount that is removed in the
// background.
const patience = 5 * time.Second

// Run runs the tests of a package, for TestMain: os.Exit(testutil.Run(m)). It prints what they have left behind, and
// then returns 1 even if all of them have passed.
func Run(m *testing.M) int {
	if os.Getenv("GORACE") == "" { // with -race, every child would sleep for a second at its end
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	allowAll()
	openKept()
	start := readState()
	code := m.Run()
	leaks := start.leaks(patience)
	for _, leak := range leaks {
		fmt.Fprintln(os.Stderr, "LEAK after all tests:", leak)
	}
	if len(leaks) > 0 && code == 0 {
		return 1
	}
	return code
}

// openKept opens what package sys otherwise opens when it is first needed, and keeps.
func openKept() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if fd, err := sys.OpenCurrentNet(raw.OwnTID()); err == nil {
		raw.CloseNoWait(fd)
	}
	if fd, err := sys.OpenCurrent(species.CLONE_NEWUTS); err == nil { // through /proc
		raw.CloseNoWait(fd)
	}
}

// allowAll lets other users execute the test binary, which some tests need: with a strict umask only its owner may. A
// user who may not change its mode cannot run these tests anyway.
func allowAll() {
	const self, all = "/proc/self/exe", fs.FileMode(0o755)
	if info, err := os.Stat(self); err == nil && info.Mode().Perm()&all != all {
		_ = os.Chmod(self, all)
	}
}

// CheckLeaks fails the test if it leaves something behind. Call it first: it checks after all other clean-up functions
// have run. Do not use it in parallel tests.
func CheckLeaks(t testing.TB) {
	t.Helper()
	start := readState()
	t.Cleanup(func() {
		t.Helper()
		for _, leak := range start.leaks(patience) {
			t.Errorf("LEAK: %s", leak)
		}
	})
}

// leaks returns the differences between then and now, and waits until there are none.
func (s state) leaks(patience time.Duration) []string {
	deadline := time.Now().Add(patience)
	for {
		leaks := s.compare(readState())
		if len(leaks) == 0 || time.Now().After(deadline) {
			return leaks
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s state) compare(now state) []string {
	return slices.Concat(
		added("descriptor left open", s.fds, withoutKept(s.fds, now.fds)),
		added("descriptor closed that was open before", now.fds, s.fds),
		named(added("child left", s.children, now.children)),
		added("mount left", s.mounts, now.mounts),
		added("mount gone", now.mounts, s.mounts),
		strays(s.home, now.threads),
	)
}

// added returns the facts that occur more often after than before.
func added(what string, before, after map[string]int) []string {
	var found []string
	for _, fact := range slices.Sorted(maps.Keys(after)) {
		if after[fact] > before[fact] {
			found = append(found, what+": "+fact)
		}
	}
	return found
}

// named adds the names and states of the children.
func named(found []string) []string {
	for i, leak := range found {
		p := readProcess(leak[strings.LastIndexByte(leak, ' ')+1:])
		found[i] = fmt.Sprintf("%s (%s) in state %s", leak, p.name, p.state)
	}
	return found
}

// keptOnce are the suffixes of descriptors that a process may open once and keep: the network poller of the Go runtime,
// and the copy of the program that workers of package call execute.
var keptOnce = []string{
	" -> anon_inode:[eventpoll]", " -> anon_inode:[eventfd]", " -> /memfd:nsops-worker (deleted)", " -> /nsops-worker",
}

// keptPrograms is the suffix of the descriptors that package taskiter keeps.
const keptPrograms = " -> anon_inode:bpf_link"

// withoutKept returns the descriptors without the new ones that the process may keep.
func withoutKept(before, after map[string]int) map[string]int {
	after = maps.Clone(after)
	maps.DeleteFunc(after, func(fact string, _ int) bool { return before[fact] == 0 && strings.HasSuffix(fact, keptPrograms) })
	for _, suffix := range keptOnce {
		kept := func(fact string) bool { return strings.HasSuffix(fact, suffix) }
		if slices.ContainsFunc(slices.Collect(maps.Keys(before)), kept) {
			continue
		}
		if fds := slices.Sorted(maps.Keys(after)); slices.ContainsFunc(fds, kept) {
			delete(after, fds[slices.IndexFunc(fds, kept)])
		}
	}
	return after
}

// strays returns the threads that are in other namespaces than home, and the differences.
func strays(home string, threads map[string]string) []string {
	var found []string
	for _, tid := range slices.Sorted(maps.Keys(threads)) {
		if threads[tid] == home {
			continue
		}
		found = append(found, fmt.Sprintf("thread %s in other namespaces: has %s, lacks %s",
			tid, without(threads[tid], home), without(home, threads[tid])))
	}
	return found
}

// without returns the words of a that are not in b.
func without(a, b string) []string {
	others := strings.Fields(b)
	return slices.DeleteFunc(strings.Fields(a), func(word string) bool { return slices.Contains(others, word) })
}
