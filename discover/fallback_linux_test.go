package discover_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// absence is a call, or a request of ioctl(2) or getsockopt(2), that a kernel does not have.
type absence struct {
	call, argument int // argument -1: whatever it is called with
	request        uint32
	errno          unix.Errno
}

const whatever = -1

func ioctls(requests ...uint32) (all []absence) {
	for _, r := range requests {
		all = append(all, absence{unix.SYS_IOCTL, 1, r, unix.ENOTTY})
	}
	return all
}

func calls(errno unix.Errno, numbers ...int) (all []absence) {
	for _, n := range numbers {
		all = append(all, absence{n, whatever, 0, errno})
	}
	return all
}

// olderKernels are what kernels lack, by a word for it.
var olderKernels = map[string][]absence{
	"6.17": append(ioctls(unix.NS_GET_ID), calls(unix.ESTALE, unix.SYS_OPEN_BY_HANDLE_AT)...),
	"no pidfd ioctls": ioctls(unix.PIDFD_GET_CGROUP_NAMESPACE, unix.PIDFD_GET_IPC_NAMESPACE, unix.PIDFD_GET_MNT_NAMESPACE,
		unix.PIDFD_GET_NET_NAMESPACE, unix.PIDFD_GET_PID_NAMESPACE, unix.PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE,
		unix.PIDFD_GET_TIME_NAMESPACE, unix.PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE, unix.PIDFD_GET_USER_NAMESPACE,
		unix.PIDFD_GET_UTS_NAMESPACE),
	"no PIDFD_GET_INFO":  ioctls(unix.PIDFD_GET_INFO),
	"no thread pidfds":   {{unix.SYS_PIDFD_OPEN, 1, unix.PIDFD_THREAD, unix.EINVAL}},
	"no pidfds":          calls(unix.ENOSYS, unix.SYS_PIDFD_OPEN),
	"pidfds forbidden":   calls(unix.EPERM, unix.SYS_PIDFD_OPEN),
	"no getfd":           calls(unix.ENOSYS, unix.SYS_PIDFD_GETFD),
	"no cookies":         {{unix.SYS_GETSOCKOPT, 2, unix.SO_NETNS_COOKIE, unix.ENOPROTOOPT}},
	"no listmount":       calls(unix.ENOSYS, unix.SYS_LISTMOUNT, unix.SYS_STATMOUNT),
	"statmount refused":  calls(unix.EPERM, unix.SYS_STATMOUNT),
	"no mnt ns walk":     ioctls(raw.MountInfoRequest, raw.NextMountNamespaceRequest, raw.PreviousMountNamespaceRequest),
	"no PID translation": ioctls(unix.NS_GET_PID_FROM_PIDNS, unix.NS_GET_TGID_FROM_PIDNS, unix.NS_GET_PID_IN_PIDNS, unix.NS_GET_TGID_IN_PIDNS),
	"no kcmp":            calls(unix.ENOSYS, unix.SYS_KCMP),
	"no MNTNS_ID":        ioctls(unix.NS_GET_ID, unix.NS_GET_MNTNS_ID),
}

// pretend makes the kernel look older to all threads of this process, for good.
func pretend(t *testing.T, all []absence) {
	t.Helper()
	const allow, arguments, fail = unix.SECCOMP_RET_ALLOW, 16, unix.SECCOMP_RET_ERRNO
	var program []unix.SockFilter
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	for _, a := range all {
		result := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: fail | uint32(a.errno)}
		unless := func(value uint32, skip uint8) unix.SockFilter {
			return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: skip, K: value}
		}
		if a.argument == whatever {
			program = append(program, load(0), unless(uint32(a.call), 1), result)
			continue
		}
		program = append(program, load(0), unless(uint32(a.call), 3), load(uint32(arguments+8*a.argument)), unless(a.request, 1), result)
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: allow})
	require.NoError(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	const setFilter, allThreads = unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, setFilter, allThreads, uintptr(unsafe.Pointer(&filter)))
	runtime.KeepAlive(program)
	require.Zero(t, errno)
}

// beyondOlder are the kinds of holders behind which old kernels do not let us look, and what the Problem has for a source.
var beyondOlder = map[string]discover.Sources{"socket": discover.Sockets, "message": discover.Sockets, "tun": discover.TunTap}

// TestOlderKernels has the same found where newer calls are missing, one by one and all together.
func TestOlderKernels(t *testing.T) {
	const older = "NSOPS_TEST_OLDER"
	if which := os.Getenv(older); which != "" {
		var absent []absence
		if which != "nothing" {
			absent = calls(unix.EPERM, unix.SYS_BPF) // a snapshot would need none of the others
		}
		for name, a := range olderKernels {
			if name == which || which == "all" && name != "pidfds forbidden" && name != "statmount refused" {
				absent = append(absent, a...)
			}
		}
		pretend(t, absent)
		r, err := discover.Discover(t.Context(), discover.Options{Sources: discover.Full, Workers: 3})
		require.NoError(t, err)
		text, err := json.Marshal(r)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(os.Getenv(older+"_FILE"), text, 0o600))
		return
	}
	testutil.NeedRoot(t)
	all := inThisProcess(t)
	all = append(all, tunTap(t))
	all = append(all, pinned(t)...)
	all = append(all, processLess(t)...)
	processes := []int{nested(t)}
	for _, o := range []testutil.TargetOptions{{Types: species.Set(species.AllNS), UserBase: 100000},
		{Setup: "unshare --pid --fork sh -c 'sleep 1000; true' & sleep 0.1"}} {
		target := testutil.StartTarget(t, o)
		processes = append(processes, target.PID)
	}
	want := full(t)
	for _, p := range want.Processes { // those in there too
		if p.Parent != nil && slices.Contains(processes, p.Parent.PID) {
			processes = append(processes, p.PID)
		}
	}
	for _, name := range append([]string{"all", "nothing"}, keys(olderKernels)...) {
		t.Run(name, func(t *testing.T) {
			file := t.TempDir() + "/result"
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestOlderKernels$", "-test.v")
			cmd.Env = append(os.Environ(), older+"="+name, older+"_FILE="+file)
			output, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", output)
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			got := &discover.Result{}
			require.NoError(t, json.Unmarshal(text, got))
			requireTruthOfOlder(t, got, all)
			requireSame(t, want, got, processes)
		})
	}
}

func keys[V any](m map[string]V) (all []string) {
	for k := range m {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// requireTruthOfOlder requires that what was made is found, or that something is said of it.
func requireTruthOfOlder(t *testing.T, r *discover.Result, all []truth) {
	t.Helper()
	for _, want := range all {
		n := r.Namespace(species.NamespaceIDFromInode(want.ino))
		if source := beyondOlder[want.what]; n == nil && source != 0 {
			require.True(t, slices.ContainsFunc(r.Problems, func(p discover.Problem) bool { return p.Source == source && p.PID == pid() }),
				"of %v nothing is said: %v", want, r.Problems)
			continue
		}
		require.NotNil(t, n, "%v: %v", want, r.Problems)
		require.Equal(t, want.t, n.Type)
	}
}

// requireSame requires that two results say the same of processes and of all that is above their namespaces.
func requireSame(t *testing.T, want, got *discover.Result, processes []int) {
	t.Helper()
	require.NotEmpty(t, processes)
	for _, pid := range processes {
		p, other := want.Process(pid), got.Process(pid)
		require.NotNil(t, other)
		require.Equal(t, []any{p.UID, p.GID, p.PIDs, p.Name, p.Cmdline, p.Cgroup, p.Start},
			[]any{other.UID, other.GID, other.PIDs, other.Name, other.Cmdline, other.Cgroup, other.Start})
		for i := range p.Namespaces {
			for n, m := p.Namespaces[i], other.Namespaces[i]; n != nil; n, m = n.Owner, m.Owner {
				require.Equal(t, []any{n.String(), n.Initial, n.OwnerUID, n.OwnerName, n.OwnerHidden, n.Parent.String(), n.ParentHidden},
					[]any{m.String(), m.Initial, m.OwnerUID, m.OwnerName, m.OwnerHidden, m.Parent.String(), m.ParentHidden})
			}
		}
	}
}

// TestThreadsThatCannotBeHad has threads of which only the last is in a namespace that cannot be opened by its file
// handle, so that the process is looked at in /proc after all.
func TestThreadsThatCannotBeHad(t *testing.T) {
	testutil.NeedRoot(t)
	full(t)
	onThread(t, func() { require.NoError(t, unix.Unshare(unix.CLONE_NEWPID)) })
	defer sys.Pretend(sys.NamespaceHandles)()
	p := full(t).Process(pid())
	require.NotEmpty(t, p.Tasks)
	for _, task := range p.Tasks {
		require.Equal(t, task.TID, task.TIDs[0])
	}
}
