package call_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// stalked is what attacks on new processes have gained.
type stalked struct {
	Seen, Seized, Taken int
	Caps                uint64 // all that any of them ever had
	peaceful            bool   // it does not trace: a traced process does not end
}

func init() {
	call.RegisterReexec("securebits", func(any) (any, error) {
		return unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	}, nil)
	// "stalker" runs as the root of a target. For the given time it attacks each new process, and prints what succeeded.
	roles["stalker"] = func(args []string) {
		runtime.LockOSThread()
		limit, err := time.ParseDuration(args[0])
		check(err)
		s := stalked{peaceful: len(args) > 1}
		known := map[int]bool{}
		for pid := range 1000 { // those that are there before
			known[pid] = pid > 0 && unix.Kill(pid, 0) == nil || pid == os.Getpid()
		}
		_, _ = os.Stdout.WriteString("ready\n")
		for end := time.Now().Add(limit); time.Now().Before(end); {
			for pid := 1; pid < 1000; pid++ {
				if !known[pid] && unix.Kill(pid, 0) == nil {
					s.attack(pid)
				}
			}
		}
		fmt.Println(s.Seen, s.Seized, s.Taken, s.Caps)
	}
}

func init() {
	// "onlooker" attacks as an ordinary user outside of the target, until its standard input ends.
	roles["onlooker"] = func([]string) {
		runtime.LockOSThread()
		_, _ = os.Stdout.WriteString("ready\n")
		over := make(chan struct{})
		go func() {
			_, _ = os.Stdin.Read(make([]byte, 1))
			close(over)
		}()
		s, last := stalked{}, 0
		for {
			select {
			case <-over:
				fmt.Println(s.Seen, s.Seized, s.Taken, s.Caps)
				return
			default:
			}
			text, err := os.ReadFile("/proc/loadavg") // its last field is the newest PID
			check(err)
			words := strings.Fields(string(text))
			pid, err := strconv.Atoi(words[len(words)-1])
			check(err)
			if pid != last {
				s.watch(pid)
			}
			last = pid
		}
	}
}

// watch tries to get a descriptor of a process until that ends, but not for ever.
func (s *stalked) watch(pid int) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(pidfd) }()
	s.Seen++
	for end := time.Now().Add(10 * time.Millisecond); time.Now().Before(end); {
		fd, err := unix.PidfdGetfd(pidfd, 3, 0)
		if err == nil {
			s.Taken++
			_ = unix.Close(fd)
		}
		if err == nil || errors.Is(err, unix.ESRCH) {
			return
		}
	}
}

func (s *stalked) attack(pid int) {
	s.Seen++
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(pidfd) }()
	for range 20 {
		if text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status"); err == nil {
			_, rest, _ := strings.Cut(string(text), "CapPrm:\t")
			caps, _ := strconv.ParseUint(rest[:min(len(rest), 16)], 16, 64)
			s.Caps |= caps
		}
		if s.peaceful {
			continue
		}
		if fd, err := unix.PidfdGetfd(pidfd, 3, 0); err == nil {
			s.Taken++
			_ = unix.Close(fd)
		}
		if unix.PtraceSeize(pid) == nil {
			s.Seized++
			return
		}
	}
}

// stalk makes calls while a stalker attacks as the target's root, and returns what that has gained.
func stalk(t testing.TB, target *testutil.Target, c func() *call.Call, mode ...string) (s stalked) {
	t.Helper()
	args := []string{"-t", strconv.Itoa(target.PID), "-p", "-m"}
	if target.Types().Has(species.CLONE_NEWUSER) {
		args = append(args, "-U")
	}
	cmd := exec.Command("nsenter", append(append(args, copyOf(t, testBinary(t), 0o755), "1500ms"), mode...)...)
	cmd.Env = append(os.Environ(), roleEnv+"=stalker")
	return watchedBy(t, cmd, func() { require.NoError(t, c().SpawnInNamespaces(nil)) })
}

// watchedBy makes calls for a second while a stalker or onlooker runs, and returns what that has gained.
func watchedBy(t testing.TB, cmd *exec.Cmd, makeCall func()) (s stalked) {
	t.Helper()
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = stdout.Read(make([]byte, 6))
	require.NoError(t, err)
	for start := time.Now(); time.Since(start) < time.Second; {
		makeCall()
	}
	require.NoError(t, stdin.Close())
	_, err = fmt.Fscan(stdout, &s.Seen, &s.Seized, &s.Taken, &s.Caps)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
	return s
}

// setSuidDumpable sets fs.suid_dumpable of the machine for a test. Another process restores it, even if this one is
// killed.
func setSuidDumpable(t testing.TB, value string) {
	t.Helper()
	keeper := exec.Command("sh", "-c", `trap '' INT TERM HUP
		old=$(cat "$1") && echo "$2" >"$1" && echo ready && read -r end
		echo "$old" >"$1"`, "sh", "/proc/sys/fs/suid_dumpable", value)
	stdin, err := keeper.StdinPipe()
	require.NoError(t, err)
	stdout, err := keeper.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, keeper.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = keeper.Wait()
	})
	if _, err := stdout.Read(make([]byte, 6)); err != nil {
		testutil.Skip(t, "needs a writable fs.suid_dumpable")
	}
}

// With the sysctl, changes of credentials make a process dumpable: a worker must make none once it is visible.
func TestWorkerIsNeverDumpableInsideWhateverTheSysctl(t *testing.T) {
	for _, value := range []string{"0", "1"} {
		for _, drop := range []bool{false, true} {
			target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
			setSuidDumpable(t, value)
			s := stalk(t, target, func() *call.Call {
				c := call.NewCall("nothing").TargetPid(target.PID).Namespaces(allTypes)
				if drop {
					c.DropPrivs()
				}
				return c
			})
			require.Positive(t, s.Seen)
			require.Zero(t, s.Seized+s.Taken, "suid_dumpable %s, %d workers", value, s.Seen)
		}
	}
}

// A process of our own PID namespace sees the worker while it changes credentials.
func TestWorkerThatTheTargetSeesIsRefusedWithTheSysctl(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet.Without(species.CLONE_NEWPID), UserBase: 100000})
	setSuidDumpable(t, "1")
	calls := map[string]*call.Call{
		"user": call.NewCall("nothing").TargetPid(target.PID).Namespaces(allTypes),
		"drop": call.NewCall("nothing").TargetPid(target.PID).DropPrivs(),
		"id":   call.NewCall("nothing").TargetPid(target.PID).User(1234, 1234),
	}
	for name, c := range calls {
		require.Contains(t, requireError(t, c.SpawnInNamespaces(nil), call.StagePrivileges).Error(), "fs.suid_dumpable is 1", name)
	}
	require.NoError(t, call.NewCall("nothing").TargetPid(target.PID).SpawnInNamespaces(nil), "no credentials are changed")
	below := startTarget(t, testutil.TargetOptions{Types: allSet})
	calls["drop, pid"] = call.NewCall("nothing").TargetPid(below.PID).Namespaces(allButUser).DropPrivs()
	err := requireError(t, calls["drop, pid"].SpawnInNamespaces(nil), call.StagePrivileges)
	require.Contains(t, err.Error(), "fs.suid_dumpable is 1", "others have its UID")
	setSuidDumpable(t, "2")
	for name, c := range calls {
		require.NoError(t, c.SpawnInNamespaces(nil), name)
	}
}

// Before the fork into a PID namespace, the worker is visible in ours. The creator of a container's user namespace has
// all rights over the processes in it.
func TestWorkerIsNeverDumpableOutsideWhateverTheSysctl(t *testing.T) {
	pid := startContainerOfUser(t)
	for _, value := range []string{"0", "1"} {
		setSuidDumpable(t, value)
		cmd := asUser(t, nil, request{})
		cmd.Env = append(os.Environ(), roleEnv+"=onlooker")
		s := watchedBy(t, cmd, func() {
			err := call.NewCall("nothing").TargetPid(pid).Namespaces(allTypes).SpawnInNamespaces(nil)
			if value == "0" {
				require.NoError(t, err)
			} else if err != nil {
				require.Contains(t, requireError(t, err, call.StagePrivileges).Error(), "fs.suid_dumpable is 1")
			}
		})
		require.Zero(t, s.Taken, "suid_dumpable %s, %d processes", value, s.Seen)
		require.True(t, s.Seen > 0 || value == "1", "%d processes", s.Seen)
	}
}

// startContainerOfUser starts a target in user and PID namespaces that an ordinary user has made.
func startContainerOfUser(t testing.TB) (pid int) {
	t.Helper()
	needBootstrap(t)
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "unshare")
	cmd := exec.Command("unshare", "--user", "--pid", "--mount", "--fork", "--kill-child", "sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1234, Gid: 1234}}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	waitUntil(t, func() bool { pid = childOf(t, cmd.Process.Pid); return pid != 0 && name(pid) == "sleep" }, "it sleeps")
	for _, file := range []string{"uid_map", "gid_map"} {
		require.NoError(t, os.WriteFile(fmt.Sprintf("/proc/%d/%s", pid, file), []byte("0 100000 65536"), 0))
	}
	return pid
}

// startTracer starts a target without a user namespace of its own. Its root has CAP_SYS_PTRACE, but not all
// capabilities.
func startTracer(t testing.TB) *testutil.Target {
	t.Helper()
	needBootstrap(t)
	testutil.NeedRoot(t)
	testutil.NeedCommand(t, "setpriv", "nsenter")
	cmd := exec.Command("sh", "-c", "mount --make-rprivate / && mount -t proc proc /proc && "+
		"exec setpriv --bounding-set=-all,+sys_ptrace,+chown --inh-caps=-all sleep 1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: uintptr(species.CLONE_NEWPID | species.CLONE_NEWNS)}
	require.NoError(t, cmd.Start())
	target := testutil.Attach(t, cmd.Process.Pid, func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	waitUntil(t, func() bool { return name(target.PID) == "sleep" }, "it sleeps")
	return target
}

const tracerCaps = 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_CHOWN

// A process with CAP_SYS_PTRACE in our own user namespace can trace every worker it sees. So such a worker must have no
// capability that the target lacks.
func TestTargetCapabilitiesAreNeverExceededInside(t *testing.T) {
	target := startTracer(t)
	const types = species.CLONE_NEWPID
	s := stalk(t, target, func() *call.Call {
		return call.NewCall("nothing").TargetPid(target.PID).Namespaces(types).TargetCapabilities()
	}, "peaceful")
	require.Positive(t, s.Seen)
	require.Zero(t, s.Caps&^tracerCaps, "%x", s.Caps)
	require.Positive(t, s.Caps&tracerCaps)

	target = startTracer(t)
	s = stalk(t, target, func() *call.Call { return call.NewCall("nothing").TargetPid(target.PID).Namespaces(types) }, "peaceful")
	require.Positive(t, s.Caps&^tracerCaps, "what docs/privileges.md says of a call without it")
}

func TestTargetCapabilities(t *testing.T) {
	target := startTracer(t)
	set := fmt.Sprintf("%016x", tracerCaps)
	c := func() *call.Call {
		return call.NewCall("status").TargetPid(target.PID).Namespaces(species.CLONE_NEWNS | species.CLONE_NEWPID).TargetCapabilities()
	}
	status := spawn[map[string][]string](t, c())
	require.NotEmpty(t, status["CapPrm"])
	for i := range status["CapPrm"] {
		require.Equal(t, []string{set, set, set}, []string{status["CapPrm"][i], status["CapEff"][i], status["CapBnd"][i]})
	}
	requireUnprivileged(t, spawn[map[string][]string](t, c().DropPrivs()), "65534 65534 65534 65534")
	o := callIn(t, without(t, "cap_setpcap", request{Handler: "nothing", Pid: target.PID, Bounded: true}))
	require.Equal(t, call.StagePrivileges, o.Stage)
	require.Contains(t, o.Failure, "CAP_SETPCAP is lacking")
}

// without returns the command that makes a call as root without a capability.
func without(t testing.TB, capability string, r request) *exec.Cmd {
	t.Helper()
	testutil.NeedCommand(t, "setpriv")
	path, err := exec.LookPath("setpriv")
	require.NoError(t, err)
	cmd := role(t, "caller", r.json())
	cmd.Args = append([]string{"setpriv", "--bounding-set=-" + capability[4:], "--inh-caps=-" + capability[4:], testBinary(t)}, cmd.Args[1:]...)
	cmd.Path = path
	return cmd
}

// Programs of the container that a worker of UID 0 starts have the caller's bounding set: docs/privileges.md says so.
func TestProgramsOfTheHandlerAreConfinedOnDemand(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	const script = "grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status | tr -d '\\n\\t'"
	c := func() *call.Call { return call.NewCall("sh").Arg(script).TargetPid(target.PID).Namespaces(allButUser) }
	require.Regexp(t, "^CapPrm:0*[1-9a-f]", spawn[string](t, c()))
	require.Equal(t, "CapPrm:"+noCaps+"CapEff:"+noCaps+"CapBnd:"+noCaps, spawn[string](t, c().ConfinePrograms()))
	status := spawn[map[string][]string](t, call.NewCall("status").TargetPid(target.PID).Namespaces(allButUser).ConfinePrograms())
	require.NotEqual(t, noCaps, status["CapEff"][0], "the handler keeps its own")
	const locked = 1<<0 | 1<<1 // SECBIT_NOROOT and SECBIT_NOROOT_LOCKED
	bits := call.NewCall("securebits").TargetPid(target.PID).Namespaces(allButUser).ConfinePrograms()
	require.Equal(t, locked, spawn[int](t, bits)&locked)
	cat, err := exec.LookPath("cat")
	require.NoError(t, err)
	program := copyOf(t, cat, 0o4755)
	gained := spawn[string](t, call.NewCall("gain").Arg(program).TargetPid(target.PID).Namespaces(allButUser).ConfinePrograms())
	require.Contains(t, gained, "CapPrm:\t"+noCaps)
}

// A target has no capabilities outside of its user namespace.
func TestTargetHasNoCapabilitiesOutsideItsUserNamespace(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	c := func() *call.Call { return call.NewCall("status").TargetPid(target.PID).TargetCapabilities() }
	status := spawn[map[string][]string](t, c().Namespaces(allButUser))
	require.NotEmpty(t, status["CapPrm"])
	for i := range status["CapPrm"] {
		require.Equal(t, []string{noCaps, noCaps, noCaps}, []string{status["CapPrm"][i], status["CapEff"][i], status["CapBnd"][i]})
	}
	status = spawn[map[string][]string](t, c().Namespaces(allTypes))
	require.NotEqual(t, noCaps, status["CapPrm"][0])
}

// In /proc/PID/status the line of groups, which may be long, comes before the capabilities.
func TestTargetCapabilitiesOfATargetWithManyGroups(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	groups := make([]uint32, 1000)
	for i := range groups {
		groups[i] = uint32(100000 + i)
	}
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Groups: groups}}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	require.NoError(t, call.NewCall("nothing").TargetPid(cmd.Process.Pid).TargetCapabilities().SpawnInNamespaces(nil))
}
