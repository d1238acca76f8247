package call_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// refusal is the answer of a seccomp filter to one system call; if First is not 0, only with that first argument.
type refusal struct{ number, first, errno int }

func init() {
	// "refused" installs a filter and makes a call.
	roles["refused"] = func(args []string) {
		call.HandleReexec()
		var r refusal
		_, err := fmt.Sscan(args[1], &r.number, &r.first, &r.errno)
		check(err)
		check(r.install())
		spawnAndPrint(parseRequest(args[0]))
	}
}

// install installs the filter for all threads.
func (r refusal) install() error {
	const number, firstArg = 0, 16 // in struct seccomp_data, little-endian
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(r.number), Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: firstArg},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(r.first), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(r.errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	if r.first == 0 {
		code[1].Jf, code[1].Jt = 3, 2
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}

// A filter may refuse a call that drops privileges, or report success without making it.
func TestWorkerThatCannotDropPrivilegesDoesNotStart(t *testing.T) {
	pid := startTracer(t).PID
	for what, r := range map[string]refusal{
		"bounding set":       {unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, int(unix.EPERM)},
		"bounding set, read": {unix.SYS_PRCTL, unix.PR_CAPBSET_READ, int(unix.EPERM)},
		"bounding set, done": {unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, 0},
		"capset":             {unix.SYS_CAPSET, 0, int(unix.ENOSYS)},
		"capset, done":       {unix.SYS_CAPSET, 0, 0},
		"dumpable":           {unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, int(unix.EPERM)},
		"dumpable, done":     {unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0},
		"verify ids, no UID": {unix.SYS_SETRESUID, 0, 0},
		"verify ids, no GID": {unix.SYS_SETRESGID, 0, 0},
		"setgroups":          {unix.SYS_SETGROUPS, 0, int(unix.EPERM)},
		"setgroups, done":    {unix.SYS_SETGROUPS, 0, 0},
		"no_new_privs":       {unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, int(unix.EPERM)},
	} {
		req := request{Handler: "status", Pid: pid, Types: species.Set(species.CLONE_NEWNS), User: []int{3, 4}, Bounded: true, DropPrivs: true}
		step, _, _ := strings.Cut(what, ",")
		if strings.HasPrefix(what, "capset") { // setresuid(2) would clear the capabilities
			req.User, req.DropPrivs = nil, false
		}
		cmd := role(t, "refused", req.json(), fmt.Sprint(r.number, r.first, r.errno))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{4, 27}}}
		o := callIn(t, cmd)
		require.Equal(t, call.StagePrivileges, o.Stage, "%s: %s", what, o.Failure)
		require.Contains(t, o.Failure, ": "+step+": ", what)
	}
}

// Without unshare(2), the bootstrap must count its threads in another way.
func TestThreadIsNotLeftOutsideByAFilter(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	r := refusal{unix.SYS_UNSHARE, 0, int(unix.EPERM)}
	for preload, want := range map[string]string{"": "", library(t, threaded): "started a thread before the bootstrap ran"} {
		req := request{Handler: "nothing", Pid: target.PID, Preload: preload}
		o := callIn(t, role(t, "refused", req.json(), fmt.Sprint(r.number, r.first, r.errno)))
		if want == "" {
			require.Empty(t, o.Failure)
		}
		require.Contains(t, o.Failure, want)
	}
}
