package call

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/nsops/nsops/internal/wire"
)

// depthEnv counts, in workers and what they start, how often a worker started a program that called again.
const (
	depthEnv = "NSOPS_DEPTH"
	maxDepth = 8
)

const procsEnv = "GOMAXPROCS"

// depth returns the count, 0 outside of workers and their descendants. Nonsense counts as too deep. The user of a
// set-user-ID program may set it, and so make its calls fail; ignored, it could not end the recursion of such a program.
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

// workerEnv returns the environment of a worker that starts with procs threads for Go code, and marks for applyMarks.
// With GOMAXPROCS set, the Go runtime starts faster and keeps no watch on the limits of a cgroup.
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

// argv returns the arguments of a worker. A program may have been started without any (before Linux 5.18), or drop them.
func argv() []string {
	if len(os.Args) == 0 {
		return []string{""}
	}
	return os.Args[:1]
}

// applyMarks removes from the worker's environment what was added for its start alone.
func applyMarks(marks uint32) {
	if marks&wire.MarkProcs != 0 {
		_ = os.Unsetenv(procsEnv)
	}
}

// without returns the environment without a variable.
func without(env []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(s string) bool { return strings.HasPrefix(s, name+"=") })
}

// environment joins lists of assignments; of those to the same name the last one counts.
func environment(lists ...[]string) []string {
	var joined []string
	place := map[string]int{}
	for _, list := range lists {
		for _, assignment := range list {
			name, _, _ := strings.Cut(assignment, "=")
			if i, seen := place[name]; seen {
				joined[i] = assignment
				continue
			}
			place[name] = len(joined)
			joined = append(joined, assignment)
		}
	}
	return joined
}
