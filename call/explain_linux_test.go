package call_test

import (
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func init() {
	// "filtered" calls under a seccomp filter that answers EPERM to setns(2).
	roles["filtered"] = func(args []string) {
		call.HandleReexec()
		runtime.LockOSThread()
		filter := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_SETNS},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		check(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		check(unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0))
		spawnAndPrint(parseRequest(args[0]))
	}
	// "tied" must not make its capabilities ambient, and "bounded" has none in its bounding set.
	roles["tied"] = func(args []string) {
		runtime.LockOSThread()
		check(unix.Prctl(unix.PR_SET_SECUREBITS, 1<<6, 0, 0, 0)) // SECBIT_NO_CAP_AMBIENT_RAISE
		callAsKeeper(args)
	}
	roles["bounded"] = func(args []string) {
		runtime.LockOSThread()
		for n := range uintptr(unix.CAP_LAST_CAP + 1) {
			check(unix.Prctl(unix.PR_CAPBSET_DROP, n, 0, 0, 0))
		}
		callAsKeeper(args)
	}
}

func callAsKeeper(args []string) {
	call.HandleReexec()
	becomeKeeper()
	spawnAndPrint(parseRequest(args[0]))
}

const ofOurOwn = " is lacking in the caller's own user namespace: operation not permitted"

func TestErrorsNameTheRightThatIsLacking(t *testing.T) {
	inner := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	plain := startTarget(t, testutil.TargetOptions{})
	const ptrace, admin = unix.CAP_SYS_PTRACE, unix.CAP_SYS_ADMIN
	net, mnt := species.Set(species.CLONE_NEWNET), species.Set(species.CLONE_NEWNS)
	for name, test := range map[string]struct {
		role  string
		caps  []uintptr
		r     request
		stage call.Stage
		text  string
	}{
		"inspect":  {"caller", nil, request{Pid: inner.PID}, call.StageTarget, "CAP_SYS_PTRACE is lacking"},
		"join":     {"caller", []uintptr{ptrace}, request{Pid: plain.PID, Types: net}, call.StageJoin, "setns net: CAP_SYS_ADMIN" + ofOurOwn},
		"join mnt": {"caller", []uintptr{ptrace, admin}, request{Pid: plain.PID}, call.StageJoin, "setns mnt: CAP_SYS_CHROOT" + ofOurOwn},
		"without user": {"caller", []uintptr{ptrace}, request{Pid: inner.PID, Types: net}, call.StageJoin,
			"setns net: must its user namespace be joined, too? CAP_SYS_ADMIN" + ofOurOwn},
		"join user": {"caller", []uintptr{ptrace}, request{Pid: inner.PID, Types: allSet}, call.StageJoin,
			"setns user: CAP_SYS_ADMIN is lacking in the user namespace: only root of one above"},
		"without features": {"caller without features", []uintptr{ptrace}, request{Pid: plain.PID, Types: net}, call.StageJoin, "setns net: CAP_SYS_ADMIN" + ofOurOwn},
		"sys":              {"caller", nil, request{Pid: ourselves, Types: mnt, Sys: true}, call.StageMounts, "CAP_SYS_ADMIN is lacking in a user namespace that owns"},
		"seccomp":          {"filtered", []uintptr{ptrace, admin}, request{Pid: plain.PID, Types: net}, call.StageJoin, "capabilities suffice, so the seccomp filter or"},
		"tied":             {"tied", nil, request{Pid: plain.PID, Types: net}, call.StageJoin, "securebits or bounding set keep its capabilities from the worker"},
		"bounded":          {"bounded", nil, request{Pid: plain.PID, Types: net}, call.StageJoin, "securebits or bounding set keep its capabilities from the worker"},
	} {
		test.r.Handler = "nothing"
		cmd := role(t, test.role, test.r.json())
		cmd.Path = copyOf(t, testBinary(t), 0o755)
		if test.role != "tied" && test.role != "bounded" {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1234}, AmbientCaps: test.caps}
		}
		o := callIn(t, cmd)
		require.Equal(t, test.stage, o.Stage, "%s: %s", name, o.Failure)
		require.Contains(t, o.Failure, test.text, name)
	}
}

func TestTargetThatIsGoneDoesNotExist(t *testing.T) {
	needBootstrap(t)
	err := call.NewCall("nothing").TargetPid(nobody(t)).SpawnInNamespaces(nil)
	require.ErrorIs(t, err, unix.ESRCH)
	require.ErrorIs(t, err, os.ErrNotExist)
	err = ours("errors").Arg("ESRCH").SpawnInNamespaces(nil)
	require.ErrorIs(t, err, unix.ESRCH)
	require.NotErrorIs(t, err, os.ErrNotExist, "not for errors of a handler")
}
