package discover_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// TestExhausted has descriptors run out at each place where a discovery opens one, and other things that all processes
// share: what is missing for it is named by a Problem, and afterwards all is found again.
func TestExhausted(t *testing.T) {
	const marker = "NSOPS_TEST_EXHAUSTED"
	if how := os.Getenv(marker); how != "" {
		exhaust(t, how, os.Getenv(marker+"_FILE"))
		return
	}
	testutil.NeedRoot(t)
	inThisProcess(t)
	hidden := holders(t)
	pinned(t)
	processLess(t)
	pinnedMounts(t)
	nested(t)
	inCgroup(t, unifiedHierarchy(t)+"/docker-"+fmt.Sprintf("%064x", os.Getpid())+".scope")
	testutil.StartTarget(t, testutil.TargetOptions{Types: species.Set(species.AllNS), UserBase: 100000})
	text, err := json.Marshal(full(t))
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "all")
	require.NoError(t, os.WriteFile(file, text, 0o600))
	for _, how := range []string{"snapshot", "first", "walk", "links", "joining", "ENFILE", "ENOMEM"} {
		t.Run(how, func(t *testing.T) {
			self, err := os.Executable()
			require.NoError(t, err)
			cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestExhausted$", "-test.timeout=2m")
			cmd.Env = append(os.Environ(), marker+"="+how, marker+"_FILE="+file, fmt.Sprint(hiddenMounts, "=", hidden))
			output, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", output)
		})
	}
}

// hiddenMounts is the variable with the inode number of what holders returns.
const hiddenMounts = "NSOPS_TEST_HIDDEN_MOUNTS"

// holders starts processes, each of which holds a network namespace in another way and nothing else. It returns a mount
// namespace whose descriptor waits behind another one, so that only the kernel shows it.
func holders(t *testing.T) (hidden uint64) {
	t.Helper()
	for _, hold := range []func(network func() int) []int{
		func(network func() int) []int { return []int{network()} },
		func(network func() int) []int {
			require.NoError(t, unix.Close(network()))
			socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			require.NoError(t, err)
			return []int{socket}
		},
		func(network func() int) []int {
			pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			require.NoError(t, err)
			require.NoError(t, unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS))
			fd := network()
			require.NoError(t, unix.Sendmsg(pair[0], []byte{1}, unix.UnixRights(fd), nil, 0))
			require.NoError(t, unix.Close(fd))
			mounts, err := unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			require.NoError(t, err)
			hidden = inodeOfFD(t, mounts)
			require.NoError(t, unix.Sendmsg(pair[0], []byte{1}, unix.UnixRights(mounts), nil, 0))
			require.NoError(t, unix.Close(mounts))
			return pair[:]
		},
		func(network func() int) []int {
			require.NoError(t, unix.Close(network()))
			tap, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
			require.NoError(t, err)
			request, err := unix.NewIfreq("nsops0")
			require.NoError(t, err)
			request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
			require.NoError(t, unix.IoctlIfreq(tap, unix.TUNSETIFF, request))
			return []int{tap}
		},
	} {
		var files []*os.File
		briefly(t, func() {
			for _, fd := range hold(func() int { return newNetwork(t) }) {
				files = append(files, os.NewFile(uintptr(fd), "held"))
			}
		})
		start(t, files, "cat")
		for _, f := range files {
			require.NoError(t, f.Close())
		}
	}
	return hidden
}

// exhaust discovers what the result in a file has, in the process that tests.
func exhaust(t *testing.T, how, file string) {
	testutil.CheckLeaks(t)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var all discover.Result
	require.NoError(t, json.Unmarshal(text, &all))
	own := holdOne(t, &all)
	want := worldOf(t, &all)
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", own.Fd()))
	require.NoError(t, err)
	want.add(waysTo(discover.FDs, os.Getpid()), "%s is held by fd %d of process %d", link, own.Fd(), os.Getpid())
	opts := discover.Options{Sources: discover.Full, NoSnapshot: how != "snapshot" && how != "first", Patience: time.Minute}
	switch how {
	case "links": // to namespaces, without pidfds
		pretend(t, calls(unix.ENOSYS, unix.SYS_PIDFD_OPEN))
		runOut(t, opts, worldOf(t, full(t)))
	case "joining": // mount namespaces, to see what is mounted there
		pretend(t, calls(unix.ENOSYS, unix.SYS_LISTMOUNT, unix.SYS_STATMOUNT))
		runOut(t, opts, worldOf(t, full(t)))
	case "ENFILE":
		refuse(t, opts, want, unix.ENFILE)
	case "ENOMEM":
		refuse(t, opts, want, unix.ENOMEM)
	case "first": // nothing is known yet of the kernel
		runOut(t, opts, want)
	default:
		for range 2 {
			_, err := discover.Discover(t.Context(), opts)
			require.NoError(t, err)
		}
		runOut(t, opts, want)
	}
}

// runOut discovers with room for no descriptor, for one, and so on, until there are enough.
func runOut(t *testing.T, opts discover.Options, want *facts) {
	var old unix.Rlimit
	require.NoError(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &old))
	none := lowestFree(t)
	failed, lacked, enough := 0, 0, 0
	for limit := none; enough < 3; limit++ {
		require.Less(t, limit, none+1000, "it does not recover")
		require.NoError(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(limit), Max: old.Max}, nil))
		begin := time.Now()
		r, err := discover.Discover(t.Context(), opts)
		took := time.Since(begin)
		require.NoError(t, unix.Prlimit(0, unix.RLIMIT_NOFILE, &old, nil))
		require.Less(t, took, patience)
		if err != nil {
			var own *discover.Error
			require.ErrorAs(t, err, &own)
			require.ErrorIs(t, err, unix.EMFILE)
			failed++
			continue
		}
		missing := requireExplained(t, r, want, fmt.Sprintf("with room for %d", limit-none))
		switch {
		case slices.ContainsFunc(r.Problems, exhausted):
			lacked++
		case missing == 0:
			enough++
		}
	}
	require.Positive(t, failed)
	require.Positive(t, lacked)
}

// refuse discovers where what it takes to look into processes and for owners fails.
func refuse(t *testing.T, opts discover.Options, want *facts, errno unix.Errno) {
	pretend(t, append(calls(errno, unix.SYS_PIDFD_OPEN), absence{unix.SYS_IOCTL, 1, unix.NS_GET_USERNS, errno}))
	r, err := discover.Discover(t.Context(), opts)
	require.NoError(t, err)
	require.Positive(t, requireExplained(t, r, want, errno.Error()))
}

// requireExplained requires a Problem for each fact that is missing, and returns their number.
func requireExplained(t *testing.T, r *discover.Result, want *facts, when string) (missing int) {
	t.Helper()
	got := factsOf(r, os.Getppid(), want.namespaces()).all
	for _, fact := range slices.Sorted(maps.Keys(want.all)) {
		if got[fact] == nil {
			missing++
			require.True(t, want.all[fact].explain(r), "%s it is missing that %s: %v", when, fact, r.Problems)
		}
	}
	return missing
}

// lowestFree returns the lowest descriptor that is not used.
func lowestFree(t *testing.T) int {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Close(fd))
	return fd
}

func worldOf(t *testing.T, r *discover.Result) *facts {
	hidden, err := strconv.ParseUint(os.Getenv(hiddenMounts), 10, 64)
	require.NoError(t, err)
	return factsOf(r, os.Getppid(), []species.NamespaceID{species.NamespaceIDFromInode(hidden)})
}

// holdOne returns a descriptor of our own of a namespace that a process below our parent is in.
func holdOne(t *testing.T, r *discover.Result) *os.File {
	for _, p := range r.Process(os.Getppid()).Children {
		if n := p.Namespaces.Of(species.CLONE_NEWNET); n != nil && !n.Initial {
			f, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", p.PID))
			require.NoError(t, err)
			t.Cleanup(func() { _ = f.Close() })
			return f
		}
	}
	require.Fail(t, "there is none")
	return nil
}
