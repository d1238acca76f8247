package call_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func init() {
	roles["attacker"] = func(args []string) { attack(args[0]) }
	call.RegisterReexec("name", func(any) (any, error) {
		text, err := os.ReadFile("/proc/self/comm")
		return string(text), err
	}, nil)
	call.RegisterReexec("key", func(arg any) (any, error) {
		buf := make([]byte, 100)
		n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, *arg.(*int), buf, 0)
		return string(buf[:max(0, n)]), err
	}, 0)
}

// attack does what a hostile root of the target might do to the worker, and prints what succeeds.
func attack(pid string) {
	number, err := strconv.Atoi(pid)
	check(err)
	runtime.LockOSThread()
	attempts := map[string]func() error{
		"seize": func() error { return unix.PtraceSeize(number) },
		"getfd": func() error {
			pidfd, err := unix.PidfdOpen(number, 0)
			if err == nil {
				_, err = unix.PidfdGetfd(pidfd, 0, 0)
			}
			return err
		},
		"process_vm_readv": func() error {
			buf := make([]byte, 8)
			_, err := unix.ProcessVMReadv(number, []unix.Iovec{{Base: &buf[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
			if errors.Is(err, unix.EFAULT) {
				return nil
			}
			return err
		},
	}
	for _, link := range []string{"exe", "root", "cwd", "ns/net", "fd/0"} {
		attempts[link] = func() error { _, err := os.Readlink("/proc/" + pid + "/" + link); return err }
	}
	for _, file := range []string{"exe", "mem", "environ", "maps", "auxv", "stack", "syscall", "root/etc/passwd"} {
		attempts["open "+file] = func() error {
			text, err := os.Open("/proc/" + pid + "/" + file)
			if err == nil {
				_, err = text.Read(make([]byte, 1))
			}
			return err
		}
	}
	attempts["list map_files"] = func() error { _, err := os.ReadDir("/proc/" + pid + "/map_files"); return err }
	_, err = os.Stat("/proc/" + pid + "/status")
	fmt.Println("visible:", err == nil)
	for name, attempt := range attempts {
		if err := attempt(); err == nil {
			fmt.Println("succeeds:", name)
		}
	}
}

// blocked starts a worker that blocks in its handler until the test ends, and returns its PID, ours and its own.
func blocked(t testing.TB, r request) (outside, inside int) {
	t.Helper()
	r.Handler = "block"
	_, outside = orphan(t, "caller", r)
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", outside))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(text), "\nNSpid:")
	line, _, _ := strings.Cut(rest, "\n")
	pids := strings.Fields(line)
	inside, err = strconv.Atoi(pids[len(pids)-1])
	require.NoError(t, err)
	return outside, inside
}

// attackFromInside runs this program in all namespaces of the target, as its root.
func attackFromInside(t testing.TB, target *testutil.Target, pid int) string {
	t.Helper()
	program := copyOf(t, testBinary(t), 0o755)
	return target.Sh(roleEnv + "=attacker " + program + " " + strconv.Itoa(pid))
}

func TestTargetsRootCannotAttackAWorker(t *testing.T) {
	for _, base := range []int{0, 100000} {
		for _, types := range []species.Set{allSet, defaultSet.With(species.CLONE_NEWPID | species.CLONE_NEWUSER)} {
			for _, drop := range []bool{false, true} {
				if raced && types != allSet {
					continue
				}
				t.Run(fmt.Sprintf("%s base %d drop %t", types, base, drop), func(t *testing.T) {
					testutil.CheckLeaks(t)
					target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: base})
					_, inside := blocked(t, request{Pid: target.PID, Types: types, DropPrivs: drop})
					require.Equal(t, "visible: true\n", attackFromInside(t, target, inside))
				})
			}
		}
	}
}

// Shows that the attacks of the test above work on another process.
func TestTargetsRootCanAttackItsOwnProcesses(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	found := attackFromInside(t, target, 1)
	for _, name := range []string{"seize", "getfd", "exe", "root", "open exe", "open environ", "fd/0"} {
		require.Contains(t, found, "succeeds: "+name+"\n")
	}
}

func TestExecutableOfAVisibleWorkerIsSealed(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet})
	outside, _ := blocked(t, request{Pid: target.PID, Types: allSet})
	exe := fmt.Sprintf("/proc/%d/exe", outside)
	link, err := os.Readlink(exe)
	require.NoError(t, err)
	require.Regexp(t, `^/memfd:nsops-worker \(deleted\)$`, link)
	_, err = os.OpenFile(exe, os.O_WRONLY, 0)
	require.ErrorIs(t, err, unix.ETXTBSY)
	held, err := unix.Open(exe, unix.O_PATH, 0)
	require.NoError(t, err)
	defer func() { _ = unix.Close(held) }()
	require.NoError(t, unix.Kill(outside, unix.SIGKILL))
	waitUntil(t, func() bool { return gone(outside) }, "the worker ends")
	path := fmt.Sprintf("/proc/self/fd/%d", held)
	var file *os.File
	waitUntil(t, func() bool {
		file, err = os.OpenFile(path, os.O_RDWR, 0)
		return !errors.Is(err, unix.ETXTBSY)
	}, "nobody executes it any more")
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	_, err = file.WriteAt([]byte("#!"), 0)
	require.ErrorIs(t, err, unix.EPERM, "sealed")
	require.Error(t, file.Truncate(0))
}

func TestSessionKeyringIsFresh(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	done := make(chan error)
	results := map[string]error{}
	var own string
	go func() {
		defer close(done)
		runtime.LockOSThread() // the thread has the keyring, and ends with the goroutine
		_, err := unix.KeyctlJoinSessionKeyring("nsops-test")
		if err == nil {
			var key int
			key, err = unix.AddKey("user", "nsops-test", []byte("secret"), unix.KEY_SPEC_SESSION_KEYRING)
			buf := make([]byte, 10)
			n, _ := unix.KeyctlBuffer(unix.KEYCTL_READ, key, buf, 0)
			own = string(buf[:max(0, n)])
			for name, c := range map[string]*call.Call{
				"ours": ours("key"), "default": call.NewCall("key").TargetPid(target.PID),
				"user": call.NewCall("key").TargetPid(target.PID).Namespaces(allTypes),
				"drop": call.NewCall("key").TargetPid(target.PID).DropPrivs(),
			} {
				results[name] = c.Arg(key).SpawnInNamespaces(nil)
			}
		}
		done <- err
	}()
	require.NoError(t, <-done)
	<-done
	require.Equal(t, "secret", own)
	for name, err := range results {
		require.Error(t, err, name)
		require.True(t, errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOKEY), "%s: %v", name, err)
	}
}

func TestWorkerIsInASessionOfItsOwn(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	for _, types := range []species.NamespaceType{defaultTypes, allTypes} {
		v := spawn[view](t, call.NewCall("look").TargetPid(target.PID).Namespaces(types))
		require.Equal(t, v.PID, v.SID)
	}
}

// execveat(2) names a process after the number of the descriptor.
func TestWorkerHasTheNameOfItsProgram(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet})
	own, err := os.ReadFile("/proc/self/comm")
	require.NoError(t, err)
	require.Equal(t, string(own), spawn[string](t, ours("name")))
	require.Equal(t, string(own), spawn[string](t, call.NewCall("name").TargetPid(target.PID).Namespaces(allTypes)))
}
