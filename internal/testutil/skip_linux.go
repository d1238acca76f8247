package testutil

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/nsops/nsops/species"
)

// NeedRoot skips the test unless it runs as root of the initial user namespace. In CI the test fails instead.
func NeedRoot(t testing.TB) {
	t.Helper()
	if !isRoot() {
		Skip(t, "needs root of the initial user namespace")
	}
}

// NeedCommand skips the test if one of the commands is not installed. In CI the test fails instead.
func NeedCommand(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			Skip(t, "needs the command "+name)
		}
	}
}

// NeedKernel skips the test on kernels before major.minor, also in CI.
func NeedKernel(t testing.TB, major, minor int) {
	t.Helper()
	if release := kernelRelease(); before(release, major, minor) {
		t.Skipf("needs Linux %d.%d, this is %s", major, minor, release)
	}
}

// NeedFeature skips the test if err, the result of trying a feature of Linux major.minor, is not nil. In CI the test
// fails instead, unless the kernel is older.
func NeedFeature(t testing.TB, feature string, major, minor int, err error) {
	t.Helper()
	if err == nil {
		return
	}
	NeedKernel(t, major, minor)
	Skip(t, fmt.Sprintf("needs %s: %v", feature, err))
}

// Skip skips the test for that reason. In CI the test fails instead.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if required() {
		t.Fatalf("must not be skipped, CI or NSOPS_REQUIRE is set: %s", reason)
	}
	t.Skip(reason)
}

func required() bool {
	ci, _ := strconv.ParseBool(os.Getenv("CI"))
	require, _ := strconv.ParseBool(os.Getenv("NSOPS_REQUIRE"))
	return ci || require
}

// isRoot reports whether the process is root of the initial user namespace.
func isRoot() bool {
	link, _ := os.Readlink("/proc/self/ns/user")
	id, _ := species.IDwithType(link)
	return os.Geteuid() == 0 && id.Ino == species.InitialInode(species.CLONE_NEWUSER)
}

func kernelRelease() string {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return err.Error()
	}
	release := make([]byte, 0, len(u.Release))
	for _, c := range u.Release {
		release = append(release, byte(c))
	}
	text, _, _ := bytes.Cut(release, []byte{0})
	return string(text)
}

// before compares a release such as 6.18.44-generic, or 6.1-rc2.
func before(release string, major, minor int) bool {
	numbers := strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' })
	if len(numbers) < 2 {
		return false
	}
	haveMajor, _ := strconv.Atoi(numbers[0])
	haveMinor, _ := strconv.Atoi(numbers[1])
	return haveMajor < major || haveMajor == major && haveMinor < minor
}
