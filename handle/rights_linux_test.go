package handle_test

import (
	"net"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// without runs body on a thread that lacks a capability and ends with it.
func without(t *testing.T, capability int, body func()) {
	t.Helper()
	onThrowAwayThread(t, func() {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var sets [2]unix.CapUserData
		require.NoError(t, unix.Capget(&header, &sets[0]))
		sets[capability/32].Effective &^= 1 << (capability % 32)
		require.NoError(t, unix.Capset(&header, &sets[0]))
		body()
	})
}

// refusing runs body on a thread whose seccomp filter answers EPERM to a system call, and ends with it.
func refusing(t *testing.T, call uint32, body func()) {
	t.Helper()
	onThrowAwayThread(t, func() {
		filter := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: call},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		require.NoError(t, unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		require.NoError(t, unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0))
		body()
	})
}

// requireDenied checks that an error says what is lacking, and is what the kernel said.
func requireDenied(t *testing.T, err, cause error, texts ...string) {
	t.Helper()
	require.ErrorIs(t, err, cause)
	for _, text := range texts {
		require.ErrorContains(t, err, text)
	}
}

const own = " is lacking in the caller's own user namespace"

func TestDeniedForLackOfACapability(t *testing.T) {
	testutil.CheckLeaks(t)
	ns := create(t, species.CLONE_NEWNS, species.CLONE_NEWNET, species.CLONE_NEWUTS)
	mnt, err := ns[0].Handle()
	require.NoError(t, err)
	defer func() { _ = mnt.Close() }()
	network, err := ns[1].Handle()
	require.NoError(t, err)
	defer func() { _ = network.Close() }()
	without(t, unix.CAP_SYS_CHROOT, func() {
		requireDenied(t, handle.Of(species.CLONE_NEWNS).Set(mnt), syscall.EPERM, "CAP_SYS_CHROOT"+own)
		require.NoError(t, handle.Set(network))
	})
	without(t, unix.CAP_SYS_ADMIN, func() {
		for _, err := range []error{
			handle.Of(species.CLONE_NEWNS).Set(mnt),
			handle.Set(network),
			handle.Setns(network, 0),
			handle.Of(species.CLONE_NEWUTS).Set(handle.NsHandle(ns[2].Fd())),
			handle.Visit(func() {}, ns[2]),
			second(handle.New()),
			second(handle.Of(species.CLONE_NEWUTS).New()),
			handle.Of(species.CLONE_NEWUTS).Pin("x", ns[2]),
		} {
			requireDenied(t, err, syscall.EPERM, "CAP_SYS_ADMIN"+own)
		}
	})
	_, err = handle.Create(species.CLONE_NEWUTS)
	require.NoError(t, err, "it was another thread")
}

func TestDeniedAlthoughCapabilitiesSuffice(t *testing.T) {
	testutil.CheckLeaks(t)
	network := newNetwork(t)
	refusing(t, unix.SYS_SETNS, func() {
		requireDenied(t, handle.Set(network), syscall.EPERM, "capabilities suffice", "seccomp")
	})
	refusing(t, unix.SYS_PIDFD_OPEN, func() {
		_, err := handle.GetFromPid(os.Getpid())
		requireDenied(t, err, syscall.EPERM, "pidfd_open(2)", "seccomp")
		_, err = handle.OpenProcess(os.Getpid())
		requireDenied(t, err, syscall.EPERM, "pidfd_open(2)", "seccomp")
	})
}

func TestDeniedToInspect(t *testing.T) {
	unprivileged(t, func(t *testing.T) {
		const text = "CAP_SYS_PTRACE is lacking"
		process, err := handle.OpenProcess(os.Getppid())
		require.NoError(t, err)
		defer func() { _ = process.Close() }()
		for _, err := range []error{
			second(handle.GetFromPid(os.Getppid())),
			second(handle.GetFromThread(os.Getppid(), os.Getppid())),
			second(handle.GetFromPath("/proc/1/ns/net")),
			second(handle.NamespacePath("/proc/1/ns/net").ID()),
			second(process.Namespace(species.CLONE_NEWUTS).ID()),
		} {
			requireDenied(t, err, syscall.EACCES, text)
		}
		requireDenied(t, handle.Visit(func() {}, process.Namespaces(species.CLONE_NEWUTS, species.CLONE_NEWNET)...), syscall.EACCES, text)
		if network, err := net.Listen("unix", ""); err == nil {
			_, err := handle.GetFromConn(network.(*net.UnixListener))
			requireDenied(t, err, syscall.EPERM, "CAP_NET_ADMIN is lacking")
			_ = network.Close()
		}
	})
}

// Root of a user namespace below has no rights over what belongs to one above.
func TestDeniedByTheOwner(t *testing.T) {
	testutil.InUserns(t, func(t *testing.T) {
		lock(t)
		cgroup, err := handle.Of(species.CLONE_NEWCGROUP).Get() // which is the only one that is not new
		require.NoError(t, err)
		defer func() { _ = cgroup.Close() }()
		err = handle.Of(species.CLONE_NEWCGROUP).Set(cgroup)
		requireDenied(t, err, syscall.EPERM, "CAP_SYS_ADMIN is lacking in the user namespace that owns the cgroup namespace")
		_, err = cgroup.User()
		requireDenied(t, err, syscall.EPERM, "nor below")
	})
}
