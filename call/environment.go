package call

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/nsops/nsops/internal/wire"
)

const (
	procsEnv = "GOMAXPROCS"
	depthEnv = "NSOPS_DEPTH" // counts the workers that a process descends from
	maxDepth = 8
)

// depth returns that number, 0 outside of workers and their descendants. Invalid text counts as too deep. The user of a
// set-user-ID program can set it and make its calls fail, but if that were ignored, its recursion would not end.
func depth() int {
	text := os.Getenv(depthEnv)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return maxDepth
	}
	return n
}

// workerEnv returns the environment of a worker with GOMAXPROCS=procs, and marks for applyMarks. With GOMAXPROCS set,
// the Go runtime starts faster and does not watch the limits of a cgroup.
func (c *Call) workerEnv(channel, procs int) (env []string, marks uint32) {
	env = environment(inherited(), c.env, []string{
		wire.ChannelEnv + "=" + strconv.Itoa(channel), depthEnv + "=" + strconv.Itoa(depth()+1),
	})
	if len(without(env, procsEnv)) == len(env) {
		env = append(env, procsEnv+"="+strconv.Itoa(procs))
		marks |= wire.MarkProcs
	}
	return env, marks
}

// argv returns the arguments of a worker. A program may have none: it can set os.Args, and before Linux 5.18 it can be
// started without any.
func argv() []string {
	if len(os.Args) == 0 {
		return []string{""}
	}
	return os.Args[:1]
}

// applyMarks removes what workerEnv has added only for the worker's start.
func applyMarks(marks uint32) {
	if marks&wire.MarkProcs != 0 {
		_ = os.Unsetenv(procsEnv)
	}
}

// without returns the environment without a variable.
func without(env []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(s string) bool { return strings.HasPrefix(s, name+"=") })
}

// environment joins lists of assignments. A later one replaces an earlier one of the same name.
func environment(lists ...[]string) []string {
	var joined []string
	index := map[string]int{}
	for _, list := range lists {
		for _, assignment := range list {
			name, _, _ := strings.Cut(assignment, "=")
			if i, seen := index[name]; seen {
				joined[i] = assignment
				continue
			}
			index[name] = len(joined)
			joined = append(joined, assignment)
		}
	}
	return joined
}
