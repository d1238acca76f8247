package call_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func init() {
	// "descriptors" returns lines such as "3 socket:[4711]", without that of the folder it reads.
	call.RegisterReexec("descriptors", func(any) (any, error) {
		dir, err := os.Open("/proc/self/fd")
		if err != nil {
			return nil, err
		}
		names, err := dir.Readdirnames(-1)
		var found []string
		for _, name := range names {
			link, _ := os.Readlink("/proc/self/fd/" + name)
			if !strings.HasPrefix(link, "/proc/") {
				found = append(found, name+" "+link)
			}
		}
		slices.Sort(found)
		return found, err
	}, nil)
}

// leak opens descriptors that are not close-on-exec, of every kind, at low and high numbers.
func leak(t testing.TB) {
	t.Helper()
	var fds []int
	open := func(fd int, err error) {
		require.NoError(t, err)
		fds = append(fds, fd)
	}
	for range 6 {
		open(unix.Open("/", unix.O_RDONLY, 0))
	}
	open(unix.Open("/etc/passwd", unix.O_RDONLY, 0))
	open(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0))
	open(unix.MemfdCreate("leaked", 0))
	for _, high := range []int{100, 1023, 4000} {
		require.NoError(t, unix.Dup3(fds[0], high, 0))
		open(high, nil)
	}
	t.Cleanup(func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	})
}

// declared are the descriptors of a worker: stdio, channel and lifeline, and those of the runtime's poller.
var declared = regexp.MustCompile(`^([0-2] (/|pipe:|socket:).*|[345] socket:.*|\d+ anon_inode:\[(eventpoll|eventfd)\]|\d+ /sys/fs/cgroup/.*)$`)

func TestWorkerHasOnlyTheDeclaredDescriptors(t *testing.T) {
	leak(t)
	for name, o := range map[string]testutil.TargetOptions{
		"no pid": {Types: defaultSet}, "pid": {}, "user": {Types: allSet},
	} {
		target := startTarget(t, o)
		for _, drop := range []bool{false, true} {
			r := request{Handler: "descriptors", Pid: target.PID, Types: target.Types(), DropPrivs: drop}
			found := spawn[[]string](t, r.call())
			for _, fd := range found {
				require.Regexp(t, declared, fd, "%s: %s", name, found)
			}
			require.GreaterOrEqual(t, len(found), 5)
		}
	}
}

func TestChildrenOfAWorkerGetStdioOnly(t *testing.T) {
	leak(t)
	target := startTarget(t, testutil.TargetOptions{Types: defaultSet})
	for range 2 {
		text := spawn[string](t, call.NewCall("sh").Arg("echo /proc/self/fd/*").TargetPid(target.PID))
		require.Regexp(t, `^/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2( /proc/self/fd/[3])?\n$`, text)
	}
}

func TestSocketsOfAWorkerAreItsChannelAndItsLifelines(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: defaultSet.With(species.CLONE_NEWPID)})
	found := spawn[[]string](t, call.NewCall("descriptors").TargetPid(target.PID).Namespaces(allTypes))
	sockets := slices.DeleteFunc(found, func(fd string) bool { return !strings.Contains(fd, " socket:") || fd[0] < '3' })
	require.Len(t, sockets, 3)
	for i, socket := range sockets {
		require.NotEqual(t, socket[2:], sockets[(i+1)%3][2:])
	}
}

// The program is executed through a descriptor's path when the worker's descriptors are in place already: whatever
// numbers are free in the caller, none may be put over it.
func TestProgramIsFoundWhateverDescriptorsAreFree(t *testing.T) {
	needBootstrap(t)
	for n := range 24 {
		var held []*os.File
		for range n {
			file, err := os.Open(os.DevNull)
			require.NoError(t, err)
			held = append(held, file)
		}
		err := ours("status").Stderr(os.Stdout).SpawnInNamespaces(nil)
		for _, file := range held {
			require.NoError(t, file.Close())
		}
		require.NoError(t, err, "with %d descriptors more", n)
	}
}
