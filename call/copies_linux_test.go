package call_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// A worker in a PID namespace runs a copy of the program. There are three kinds of copies; each is forced here.

// copyKinds are the kinds, with the link of /proc/PID/exe and the feature whose lack leads to it.
var copyKinds = []struct {
	name    string
	missing []sys.Feature
	exe     string
}{
	{"sealed", nil, `^/memfd:nsops-worker \(deleted\)$`},
	{"mounted", []sys.Feature{sys.MemoryFiles}, `^/nsops-worker$`},
	{"unlinked", []sys.Feature{sys.MemoryFiles, sys.PrivateMounts}, `^/.*/nsops-\d+ \(deleted\)$`},
}

func init() {
	// "copies" makes two calls whose worker blocks. It tries to write to the executable while the worker runs and when it
	// has ended, and prints the name of the executable and the errors.
	roles["copies"] = func(args []string) {
		call.HandleReexec()
		for _, arg := range args[1:] {
			feature, err := strconv.Atoi(arg)
			check(err)
			sys.Pretend(sys.Feature(feature))
		}
		r := parseRequest(args[0])
		for range 2 {
			fmt.Println(overwrite(r))
		}
		r.Handler, r.Arg = "echo", "right program"
		spawnAndPrint(r)
	}
	// "no memfd" makes a call where memfd_create(2) is forbidden, as by some policies.
	roles["no memfd"] = func(args []string) {
		call.HandleReexec()
		forbidMemfd()
		spawnAndPrint(parseRequest(args[0]))
	}
	// "noexec" makes a call in a PID namespace in which memfds must not be executed.
	roles["noexec"] = func(args []string) {
		call.HandleReexec()
		check(unix.Mount("proc", "/proc", "proc", 0, ""))
		check(os.WriteFile("/proc/sys/vm/memfd_noexec", []byte("2"), 0))
		target := sleeper(unix.CLONE_NEWPID)
		r := parseRequest(args[0])
		r.Pid = target
		spawnAndPrint(r)
	}
}

// sleeper starts a process in new namespaces.
func sleeper(types uintptr) int {
	pid, err := syscall.ForkExec("/bin/sleep", []string{"sleep", "1000"}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{Cloneflags: types, Pdeathsig: unix.SIGKILL},
	})
	check(err)
	return pid
}

// overwrite tries to overwrite the executable of a worker, as a container's root might.
func overwrite(r request) (name string, running, ended error) {
	ctx, cancel := context.WithCancel(context.Background())
	stdout, done := &watched{seen: make(chan struct{})}, make(chan error)
	r.Handler = "block"
	go func() { done <- r.call().Stdout(stdout).Context(ctx).SpawnInNamespaces(nil) }()
	<-stdout.seen
	worker := runningChild()
	exe := fmt.Sprintf("/proc/%d/exe", worker)
	name, err := os.Readlink(exe)
	check(err)
	fd, err := unix.Open(exe, unix.O_PATH, 0)
	check(err)
	running = scribble(exe)
	cancel()
	<-done
	ended = scribble(fmt.Sprintf("/proc/self/fd/%d", fd))
	check(unix.Close(fd))
	return name, running, ended
}

// runningChild returns our only child that runs.
func runningChild() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", unix.Getpid()))
	check(err)
	dirs, err := os.ReadDir("/proc/self/task")
	check(err)
	for _, dir := range dirs {
		more, _ := os.ReadFile("/proc/self/task/" + dir.Name() + "/children")
		text = append(append(text, ' '), more...)
	}
	for _, word := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(word); err == nil && !gone(pid) {
			return pid
		}
	}
	check(errors.New("no child runs"))
	return 0
}

func scribble(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = file.Write(bytes.Repeat([]byte("wrong program\n"), 1000))
		_ = file.Close()
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

func TestHostileWritesReachNoLaterWorker(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	for _, kind := range copyKinds {
		r := request{Pid: target.PID, Types: species.Set(species.CLONE_NEWPID)}
		args := []string{r.json()}
		for _, feature := range kind.missing {
			args = append(args, strconv.Itoa(int(feature)))
		}
		result := run(t, role(t, "copies", args...))
		require.Zero(t, result.Code, result.Stderr)
		lines := strings.Split(result.Stdout, "\n")
		require.Len(t, lines, 4, result.Stdout)
		attempt := regexp.MustCompile(`^(.*) (text file busy|read-only file system|operation not permitted) (<nil>|read-only file system|operation not permitted)$`)
		for _, line := range lines[:2] {
			parts := attempt.FindStringSubmatch(line)
			require.NotNil(t, parts, "%s: %s", kind.name, line)
			require.Regexp(t, kind.exe, parts[1], kind.name)
			require.Equal(t, kind.name == "unlinked", parts[3] == "<nil>", "%s: %s", kind.name, line)
		}
		require.Contains(t, lines[2], "right program", kind.name)
	}
}

func TestWorkersWithoutMemfds(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	long := strings.Repeat("x", 100_000)
	for _, types := range []species.Set{defaultSet, allSet} {
		o := callIn(t, role(t, "no memfd", request{Handler: "echo", Arg: long, Pid: target.PID, Types: types}.json()))
		require.Empty(t, o.Failure)
		require.JSONEq(t, `"`+long+`"`, string(o.Result))
	}
}

func TestWorkersWhereNoMemfdIsExecuted(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	if _, err := os.Stat("/proc/sys/vm/memfd_noexec"); err != nil {
		testutil.Skip(t, "needs Linux 6.3, for vm.memfd_noexec")
	}
	cmd := role(t, "noexec", request{Handler: "echo", Arg: "x", Types: species.Set(species.CLONE_NEWPID)}.json())
	cmd.Path = testBinary(t)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Unshareflags: unix.CLONE_NEWNS}
	o := callIn(t, cmd)
	require.Empty(t, o.Failure)
	require.JSONEq(t, `"x"`, string(o.Result))
}

// forbidMemfd makes memfd_create(2) EPERM in this process, for good.
func forbidMemfd() {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_MEMFD_CREATE},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	check(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		check(errno)
	}
}

func TestProgramOfManyWorkersAtOnceWithoutMemfds(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	testutil.CheckLeaks(t)
	defer sys.Pretend(sys.MemoryFiles)()
	defer sys.Pretend(sys.PrivateMounts)()
	done := make(chan error)
	const calls = 20
	for range calls {
		go func() {
			c := call.NewCall("nothing").TargetPid(target.PID).Namespaces(allTypes)
			done <- c.SpawnInNamespaces(nil)
		}()
	}
	for range calls {
		require.NoError(t, <-done)
	}
}
