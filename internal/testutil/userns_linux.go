package testutil

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nsops/nsops/species"
)

// usernsEnv holds the name of the test that runs in its own user namespace.
const usernsEnv = "NSOPS_TEST_IN_USERNS"

// usernsOutsideEnv holds the UID that the root of that user namespace has outside.
const usernsOutsideEnv = "NSOPS_TEST_USERNS_OUTSIDE"

// overflowID is shown for IDs that are not mapped; see /proc/sys/kernel/overflowuid.
const overflowID = 65534

// nobodysID is the UID and GID of the unprivileged user as whom InUserns runs tests if its caller is root.
const nobodysID = 64321

// usernsTypes are the types of the namespaces that InUserns creates.
const usernsTypes = species.CLONE_NEWUSER | species.CLONE_NEWNS | species.CLONE_NEWUTS | species.CLONE_NEWIPC |
	species.CLONE_NEWNET

// InUserns runs body in new user, mnt, uts, ipc and net namespaces, as an unprivileged user who is root there; no other
// ID is mapped. A child process of the test binary runs this one test again, with TestMain; so call InUserns first in
// the test. The test passes, fails or skips as the child does. It is skipped where users may not create user
// namespaces; in CI it fails instead.
//
// The PID namespace and /proc are the machine's.
func InUserns(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if os.Getenv(usernsEnv) == t.Name() {
		body(t)
		return
	}
	output, err := usernsCommand(t).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		Skip(t, "needs user namespaces for unprivileged users: "+err.Error())
	case err != nil || !ran(t.Name(), output):
		t.Fatalf("in a user namespace: %v\n%s", err, output)
	case strings.Contains(string(output), "--- SKIP: "+t.Name()+" "):
		Skip(t, "in a user namespace: "+string(output))
	}
}

// OwnerOfUserns returns the UID of the creator of the user namespace of [InUserns], as seen in there.
func OwnerOfUserns() int {
	if os.Getenv(usernsOutsideEnv) == strconv.Itoa(nobodysID) {
		return overflowID
	}
	return 0
}

// usernsCommand runs the calling test again, in the same directory and with the same environment.
func usernsCommand(t *testing.T) *exec.Cmd {
	ctx, limit := t.Context(), 10*time.Minute
	if deadline, ok := t.Deadline(); ok {
		limit = time.Until(deadline) - time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.run="+pattern(t.Name()), "-test.v", "-test.count=1",
		"-test.timeout="+limit.String(), "-test.short="+strconv.FormatBool(testing.Short()))
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: uintptr(usernsTypes)}
	mapNobody(cmd.SysProcAttr)
	outside := strconv.Itoa(cmd.SysProcAttr.UidMappings[0].HostID)
	cmd.Env = append(os.Environ(), usernsEnv+"="+t.Name(), usernsOutsideEnv+"="+outside)
	return cmd
}

// mapNobody makes the child root of its user namespace, and a user without rights outside of it.
func mapNobody(a *syscall.SysProcAttr) {
	mapRoot(a, nobodysID)
	a.UidMappings[0].Size, a.GidMappings[0].Size = 1, 1
	a.GidMappingsEnableSetgroups = false
	a.Credential.NoSetGroups = true
}

// pattern returns the -test.run expression that matches only that test.
func pattern(name string) string {
	levels := strings.Split(name, "/")
	for i, level := range levels {
		levels[i] = "^" + regexp.QuoteMeta(level) + "$"
	}
	return strings.Join(levels, "/")
}

// ran reports whether the test with that name was run: a pattern without a match passes, too.
func ran(name string, output []byte) bool {
	return strings.Contains(string(output), "--- PASS: "+name+" ") ||
		strings.Contains(string(output), "--- SKIP: "+name+" ")
}
