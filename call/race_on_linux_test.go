//go:build race

package call_test

import (
	"regexp"
	"strings"
)

// raced is true in a build with the race detector. That reads files of /proc before Go starts, so it cannot be tested
// that a worker opens no file of the target. In a PID namespace it also sleeps for a second at its end, since it looks
// for GORACE in that /proc; so some tests do less.
const raced = true

// withoutNoise returns standard error without the race detector's messages about a /proc that does not show it.
func withoutNoise(stderr string) string {
	return regexp.MustCompile(`(?m)^==\d+==WARNING: reading executable name.*\n`).ReplaceAllString(stderr, "")
}

func init() {
	runtimeFiles = regexp.MustCompile(strings.Replace(runtimeFiles.String(), "(cgroup|", "(cgroup|environ|exe|cmdline|", 1))
	fifos = strings.NewReplacer(" self/exe", "", " self/environ", "").Replace(fifos)
}
