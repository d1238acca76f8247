package call_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/nsenter"
	"github.com/nsops/nsops/species"
)

// roleEnv names what the test binary is when it is run again, other than a worker.
const roleEnv = "NSOPS_TEST_ROLE"

// roles are programs. Each calls HandleReexec itself, or does not.
var roles = map[string]func(args []string){}

func TestMain(m *testing.M) {
	if os.Getenv("GORACE") == "" { // with the race detector, each worker would sleep for a second when it ends
		_ = os.Setenv("GORACE", "atexit_sleep_ms=0")
	}
	if role, ok := roles[os.Getenv(roleEnv)]; ok {
		role(os.Args[1:])
		os.Exit(0)
	}
	endIfSwitched()
	call.HandleReexec()
	_ = os.Setenv(testsEnv, "1")
	os.Exit(testutil.Run(m))
}

// testsEnv is set in the process that runs the tests, and in its workers.
const testsEnv = "NSOPS_TEST_TESTS"

// endIfSwitched fails the tests if a switch has replaced them that should have failed: its handler would end them with
// status 0, as if all had passed.
func endIfSwitched() {
	if w, ok := nsenter.Current(); ok && !w.Spawned && os.Getenv(testsEnv) != "" {
		fmt.Fprintln(os.Stderr, "a call of SwitchToNamespaces that should have failed has replaced the tests")
		os.Exit(1)
	}
}

// role returns the command that runs this program in a role.
func role(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	require.Contains(t, roles, name)
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), roleEnv+"="+name, testsEnv+"=")
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// result is how a command ended.
type result struct {
	Code           int
	Signal         syscall.Signal
	Stdout, Stderr string
}

func run(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Start())
	timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	timer.Stop()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	r := result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: withoutNoise(stderr.String())}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		r.Signal = status.Signal()
	}
	return r
}

// request is a call that a program in the role "caller" makes.
type request struct {
	Handler   string
	Arg       any
	Pid       int
	Types     species.Set // 0: those of NewCall
	DropPrivs bool
	Sys       bool
	User      []int // UID and GID
	Bounded   bool  // TargetCapabilities
	Preload   string
	Timeout   time.Duration
}

// ourselves, as the PID of a request, is the program that makes the call.
const ourselves = -1

// outcome is what that program prints.
type outcome struct {
	Result  json.RawMessage
	Failure string
	Stage   call.Stage
}

func (r request) call() *call.Call {
	c := call.NewCall(r.Handler).Arg(r.Arg).Env("GORACE=" + os.Getenv("GORACE")) // also where it is not inherited
	switch r.Pid {
	case 0:
	case ourselves:
		c.TargetPid(os.Getpid())
	default:
		c.TargetPid(r.Pid)
	}
	if r.Types != 0 {
		c.Namespaces(species.NamespaceType(r.Types))
	}
	if r.DropPrivs {
		c.DropPrivs()
	}
	if r.Sys {
		c.RemountSys()
	}
	if len(r.User) == 2 {
		c.User(r.User[0], r.User[1])
	}
	if r.Preload != "" {
		c.Env("LD_PRELOAD=" + r.Preload)
	}
	if r.Bounded {
		c.TargetCapabilities()
	}
	return c
}

func (r request) json() string {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func parseRequest(text string) (r request) {
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		panic(err)
	}
	return r
}

func init() {
	roles["caller"] = func(args []string) {
		call.HandleReexec()
		spawnAndPrint(parseRequest(args[0]))
	}
	roles["switcher"] = func(args []string) {
		call.HandleReexec()
		check(parseRequest(args[0]).call().SwitchToNamespaces())
	}
}

func spawnAndPrint(r request) {
	var o outcome
	if err := r.call().SpawnInNamespaces(&o.Result); err != nil {
		o.Failure = err.Error()
		var e *call.Error
		if errors.As(err, &e) {
			o.Stage = e.Stage
		}
	}
	check(json.NewEncoder(os.Stdout).Encode(o))
}

// check ends a program that has failed.
func check(err error) {
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(3)
	}
}

// callIn makes a call in another process, which cmd runs in the role "caller".
func callIn(t testing.TB, cmd *exec.Cmd) outcome {
	t.Helper()
	r := run(t, cmd)
	require.Zero(t, r.Code, r.Stderr)
	var o outcome
	require.NoError(t, json.Unmarshal([]byte(r.Stdout), &o), r.Stdout)
	return o
}

// startTarget starts a target. The test needs root and the bootstrap for it.
func startTarget(t testing.TB, o testutil.TargetOptions) *testutil.Target {
	t.Helper()
	needBootstrap(t)
	testutil.NeedRoot(t)
	return testutil.StartTarget(t, o)
}

func needBootstrap(t testing.TB) {
	t.Helper()
	if !nsenter.Linked {
		testutil.Skip(t, "needs cgo")
	}
}

// spawn makes a call that must succeed.
func spawn[T any](t testing.TB, c *call.Call) (result T) {
	t.Helper()
	require.NoError(t, c.SpawnInNamespaces(&result))
	return result
}

// requireError asks for an *Error of that stage.
func requireError(t testing.TB, err error, stage call.Stage) *call.Error {
	t.Helper()
	var e *call.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, stage, e.Stage, "%v", err)
	return e
}

// defaultTypes are joined without Namespaces, allTypes are all.
const (
	defaultTypes = species.CLONE_NEWNS | species.CLONE_NEWUTS | species.CLONE_NEWIPC | species.CLONE_NEWNET
	allTypes     = species.AllNS
	allButUser   = allTypes &^ species.CLONE_NEWUSER
	defaultSet   = species.Set(defaultTypes) // for targets and requests
	allSet       = species.Set(allTypes)
)

// requireNothingStarted fails if f creates a process: the kernel counts them.
func requireNothingStarted(t testing.TB, f func()) {
	t.Helper()
	before, start := forks(t), time.Now()
	f()
	require.Less(t, time.Since(start), time.Second)
	if forks(t) == before {
		return
	}
	// Another program may have created one, and the Go runtime a thread.
	for range 20 {
		before = forks(t)
		if f(); forks(t) == before {
			return
		}
	}
	require.Fail(t, "a process is created")
}

// forks returns how many processes and threads the machine has created so far.
func forks(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "\nprocesses ")
	require.True(t, found)
	count, _, _ := strings.Cut(rest, "\n")
	return count
}

// links returns the inode numbers of namespaces by name, from links such as net:[4026531840].
func links(t testing.TB, target *testutil.Target, types species.NamespaceType) map[string]uint64 {
	t.Helper()
	inodes := map[string]uint64{}
	for ns := range species.Set(types).All() {
		id, typ := species.IDwithType(target.NamespaceLink(ns))
		require.Equal(t, ns, typ)
		inodes[ns.Name()] = id.Ino
	}
	return inodes
}

// only returns the entries with the names of those types.
func only(inodes map[string]uint64, types species.NamespaceType) map[string]uint64 {
	kept := map[string]uint64{}
	for ns := range species.Set(types).All() {
		kept[ns.Name()] = inodes[ns.Name()]
	}
	return kept
}

// unmarshal decodes JSON.
func unmarshal(text []byte, into any) error { return json.Unmarshal(text, into) }

// testBinary returns the path of this program.
func testBinary(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	return path
}

// copyOf returns a copy of a program, in a folder that everybody may enter.
func copyOf(t testing.TB, path string, mode os.FileMode) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nsops-call")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	program := filepath.Join(dir, filepath.Base(path))
	require.NoError(t, os.WriteFile(program, text, 0o755))
	require.NoError(t, unix.Chmod(program, uint32(mode)))
	return program
}

// waitUntil waits until the condition holds, and fails the test if that takes long.
func waitUntil(t testing.TB, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, 10*time.Second, 2*time.Millisecond, what)
}

// stat returns the state of a process and its parent, "" if there is no such process.
func stat(pid int) (state string, parent int) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", 0
	}
	_, err = fmt.Sscan(string(text[bytes.LastIndexByte(text, ')')+1:]), &state, &parent)
	if err != nil {
		return "", 0
	}
	return state, parent
}

// name returns the name of a process.
func name(pid int) string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	return strings.TrimSpace(string(text))
}

// gone reports whether there is no such process, or only its zombie.
func gone(pid int) bool {
	state, _ := stat(pid)
	return state == "" || state == "Z" || state == "X"
}

func parentOf(pid int) int {
	_, parent := stat(pid)
	return parent
}
