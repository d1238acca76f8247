//go:build race

package call_test

import (
	"regexp"
	"strings"
)

// raced says that this is a build with the race detector, which looks around in /proc before it lets Go start: it
// cannot be tested for leaving the target's files alone. In a PID namespace it also sleeps for a second in the end,
// since it looks for GORACE there, so some tests do less.
const raced = true

// withoutNoise returns standard error without what the race detector says of a foreign /proc.
func withoutNoise(stderr string) string {
	return regexp.MustCompile(`(?m)^==\d+==WARNING: reading executable name.*\n`).ReplaceAllString(stderr, "")
}

func init() {
	runtimeFiles = regexp.MustCompile(strings.Replace(runtimeFiles.String(), "(cgroup|", "(cgroup|environ|exe|cmdline|", 1))
	fifos = strings.NewReplacer(" self/exe", "", " self/environ", "").Replace(fifos)
}
