package discover_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// asNobody runs the test again as a user without rights, with these words in its environment, and is true there. The
// command goes before that of the test.
func asNobody(t *testing.T, environment []string, before ...string) bool {
	t.Helper()
	const nobody, marker = 64321, "NSOPS_TEST_AS_NOBODY"
	if os.Getenv(marker) == t.Name() {
		require.NoError(t, syscall.Setgroups(nil))
		require.NoError(t, syscall.Setgid(nobody))
		require.NoError(t, syscall.Setuid(nobody))
		require.NoError(t, unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0))
		return true
	}
	testutil.NeedRoot(t)
	self, err := os.Executable()
	require.NoError(t, err)
	args := append(before, self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(append(os.Environ(), marker+"="+t.Name()), environment...)
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "--- PASS: "+t.Name(), "%s", output)
	return false
}

// TestHiddenProcesses has a /proc in which the processes of others are not to be seen, or not to be looked into.
func TestHiddenProcesses(t *testing.T) {
	for _, hidepid := range []string{"1", "2", "4"} {
		t.Run(hidepid, func(t *testing.T) {
			if !asNobody(t, nil, "unshare", "-m", "sh", "-c", "mount -t proc -o hidepid="+hidepid+" proc /proc; exec \"$@\"", "sh") {
				return
			}
			r := full(t)
			own := r.Process(os.Getpid())
			require.NotNil(t, own)
			require.Equal(t, 64321, own.UID)
			for kind := range species.Set(species.AllNS).All() {
				link, err := os.Readlink("/proc/self/ns/" + kind.Name())
				require.NoError(t, err)
				require.Equal(t, link, own.Namespaces.Of(kind).String())
			}
			said := slices.ContainsFunc(r.Problems, func(p discover.Problem) bool { return p.PID == 2 && p.Errno == unix.EPERM })
			require.Equal(t, hidepid == "1", said, "%v", r.Problems)
		})
	}
}

// TestUnprivileged requires that one's own is complete and the rest is told to be out of sight.
func TestUnprivileged(t *testing.T) {
	if !asNobody(t, nil) {
		return
	}
	sleeper := start(t, nil, "sh", "-c", "exec sleep 1000")
	require.Eventually(t, func() bool {
		name, _ := os.ReadFile("/proc/" + strconv.Itoa(sleeper.Process.Pid) + "/comm")
		return string(name) == "sleep\n"
	}, patience, tick, "while it executes that, it has no command line")
	r := full(t)
	for _, p := range []*discover.Process{r.Process(os.Getpid()), r.Process(sleeper.Process.Pid)} {
		require.NotNil(t, p)
		for i, n := range p.Namespaces {
			require.NotNil(t, n, "%d", i)
			require.True(t, n.Owner != nil || n.OwnerHidden || n.Initial && n.Type == species.CLONE_NEWUSER, "%v", n)
		}
		require.NotEmpty(t, p.Cmdline)
		require.NotEmpty(t, p.PIDs)
	}
	kthreadd := r.Process(2)
	require.Equal(t, []any{"kthreadd", 0}, []any{kthreadd.Name, kthreadd.UID})
	require.True(t, slices.ContainsFunc(r.Problems, func(p discover.Problem) bool { return p.PID == 2 && p.Errno == unix.EACCES }))
	_, err := r.MarshalJSON()
	require.NoError(t, err)
}

// allPIDs returns the PIDs of all processes that there are.
func allPIDs(t *testing.T) (pids []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestFewDescriptors runs out of descriptors, which must not pass for there being nothing.
func TestFewDescriptors(t *testing.T) {
	const marker = "NSOPS_TEST_FEW"
	if few := os.Getenv(marker); few != "" {
		n, err := strconv.ParseUint(few, 10, 64)
		require.NoError(t, err)
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: n}))
		before := allPIDs(t)
		r := full(t)
		after := allPIDs(t)
		for _, pid := range before {
			said := slices.ContainsFunc(r.Problems, func(p discover.Problem) bool { return p.PID == pid && p.Errno == unix.EMFILE })
			_, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net")
			ending := errors.Is(err, fs.ErrNotExist) // has no namespaces any more
			require.True(t, said || ending || r.Process(pid) != nil || !slices.Contains(after, pid), "process %d is missing: %v", pid, r.Problems)
		}
		for _, ino := range strings.Split(os.Getenv(marker+"_INODES"), ",") {
			want, err := strconv.ParseUint(ino, 10, 64)
			require.NoError(t, err)
			said := slices.ContainsFunc(r.Problems, func(p discover.Problem) bool { return p.PID != 0 && p.Errno == unix.EMFILE })
			require.True(t, said || r.Namespace(species.NamespaceIDFromInode(want)) != nil, "%v", r.Problems)
		}
		seen := map[uint64]bool{}
		for _, n := range r.Namespaces {
			require.False(t, seen[n.ID.Ino], "%v is there twice", n)
			seen[n.ID.Ino] = true
		}
		return
	}
	testutil.NeedRoot(t)
	var inodes []string
	for range 12 {
		target := testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000})
		for kind := range species.Set(species.AllNS).All() {
			id, _ := species.IDwithType(target.NamespaceLink(kind))
			inodes = append(inodes, strconv.FormatUint(id.Ino, 10))
		}
	}
	for _, few := range []string{"20", "40", "100"} {
		t.Run(few, func(t *testing.T) {
			self, err := os.Executable()
			require.NoError(t, err)
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestFewDescriptors$", "-test.v")
			cmd.Env = append(os.Environ(), marker+"="+few, marker+"_INODES="+strings.Join(inodes, ","))
			output, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", output)
		})
	}
}

// TestWithoutProc has no proc file system at all.
func TestWithoutProc(t *testing.T) {
	if os.Getenv("NSOPS_TEST_NO_PROC") != "" {
		_, err := discover.Discover(t.Context(), discover.Options{})
		var own *discover.Error
		require.ErrorAs(t, err, &own)
		return
	}
	testutil.NeedRoot(t)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", `umount -l /proc; exec "$@"`, "sh", self, "-test.run=^TestWithoutProc$", "-test.v")
	cmd.Env = append(os.Environ(), "NSOPS_TEST_NO_PROC=1")
	output, _ := cmd.CombinedOutput() // the checks for leaks need /proc
	require.Contains(t, string(output), "--- PASS: TestWithoutProc", "%s", output)
}
