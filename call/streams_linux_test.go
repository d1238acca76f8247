package call_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
)

func init() {
	call.RegisterReexec("flood", func(arg any) (any, error) {
		n := *arg.(*int)
		_, err := io.CopyN(os.Stdout, neverending('x'), int64(n))
		return n, err
	}, 0)
	call.RegisterReexec("copy stdin", func(any) (any, error) {
		text, err := io.ReadAll(os.Stdin)
		return string(text), err
	}, nil)
	// "leave behind" starts a command that keeps stdout open and outlives the worker, and returns its PID.
	call.RegisterReexec("leave behind", func(arg any) (any, error) {
		words := *arg.(*[]string)
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Stdout, cmd.SysProcAttr = os.Stdout, &syscall.SysProcAttr{Setsid: true}
		err := cmd.Start()
		fmt.Println("left behind")
		return cmd.Process.Pid, err
	}, []string{})
	call.RegisterReexec("terminals", func(any) (any, error) { return terminals(), nil }, nil)
	call.RegisterReexec("read line", func(any) (any, error) {
		line, err := bufio.NewReader(os.Stdin).ReadString('\n')
		fmt.Print("read: ", line, "terminals: ", terminals(), "\n")
		return nil, err
	}, nil)
	roles["passes its terminal on"] = func([]string) {
		call.HandleReexec()
		check(ours("read line").Stdin(os.Stdin).Stdout(os.Stdout).Stderr(os.Stderr).SpawnInNamespaces(nil))
	}
}

// terminals returns the descriptors of a worker that are terminals.
func terminals() (found []string) {
	for fd, file := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if sys.IsTerminal(file) {
			found = append(found, fmt.Sprint("descriptor ", fd))
		}
	}
	if tty, err := os.Open("/dev/tty"); err == nil {
		found = append(found, "controlling terminal")
		_ = tty.Close()
	}
	return found
}

// neverending is a reader of one byte, again and again.
type neverending byte

func (b neverending) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func ours(handler string) *call.Call { return call.NewCall(handler).TargetPid(os.Getpid()) }

func TestOutputAndResultDoNotMix(t *testing.T) {
	needBootstrap(t)
	var stdout, stderr bytes.Buffer
	require.Equal(t, 1<<20, spawn[int](t, ours("flood").Arg(1<<20).Stdout(&stdout)))
	require.Equal(t, strings.Repeat("x", 1<<20), stdout.String())
	stdout.Reset()
	require.Equal(t, 5, spawn[int](t, ours("print").Arg("hello").Stdout(&stdout).Stderr(&stderr)))
	require.Equal(t, []string{"hello\n", "stderr: hello\n"}, []string{stdout.String(), stderr.String()})
	stdout.Reset()
	require.Equal(t, 5, spawn[int](t, ours("print").Arg("again").Stdout(&stdout).Stderr(&stdout)))
	require.Equal(t, "again\nstderr: again\n", stdout.String())
}

func TestOutputIsTheCallersUnlessSet(t *testing.T) {
	needBootstrap(t)
	r := run(t, role(t, "caller", request{Handler: "print", Arg: "to the caller", Pid: os.Getpid()}.json()))
	require.Regexp(t, "^to the caller\n\\{", r.Stdout)
	require.Equal(t, "stderr: to the caller\n", r.Stderr)
}

func TestOutputToAFile(t *testing.T) {
	needBootstrap(t)
	f, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	require.Equal(t, 5, spawn[int](t, ours("print").Arg("hello").Stdout(f)))
	text, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(text))
	require.NoError(t, f.Close(), "it is still ours")
}

// If a writer fails, output is lost and the call fails, but the worker must not block: it runs to its end.
func TestFailingWriterFailsTheCall(t *testing.T) {
	needBootstrap(t)
	testutil.CheckLeaks(t)
	for _, cause := range []error{io.ErrClosedPipe, os.ErrDeadlineExceeded} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := ours("flood").Arg(1 << 20).Stdout(brokenWriter{cause}).Context(ctx).SpawnInNamespaces(nil)
		require.ErrorIs(t, err, cause)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		err = ours("errors").Arg("EPERM").Stderr(brokenWriter{cause}).SpawnInNamespaces(nil)
		require.ErrorIs(t, requireError(t, err, call.StageHandler), unix.EPERM, "nothing was written")
		err = ours("die").Arg("goroutine").Stderr(brokenWriter{cause}).SpawnInNamespaces(nil)
		var exit *call.ExitError
		require.ErrorAs(t, err, &exit, "the failure of the handler comes first")
	}
}

// brokenWriter fails.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestBlockingWriterDoesNotBlockTheCall(t *testing.T) {
	needBootstrap(t)
	testutil.CheckLeaks(t)
	call.SetExitTimeout(t, 200*time.Millisecond)
	reader, writer := io.Pipe()
	defer func() { _ = reader.Close() }()
	start, done := time.Now(), make(chan error, 1)
	go func() { done <- ours("print").Arg("hello").Stdout(writer).Stderr(io.Discard).SpawnInNamespaces(nil) }()
	select {
	case err := <-done:
		var e *call.Error
		require.ErrorAs(t, err, &e)
		require.Less(t, time.Since(start), 4*time.Second)
	case <-time.After(8 * time.Second):
		require.Fail(t, "the writer blocks the call")
	}
}

func TestInput(t *testing.T) {
	needBootstrap(t)
	testutil.CheckLeaks(t)
	require.Empty(t, spawn[string](t, ours("copy stdin")))
	require.Equal(t, "some text", spawn[string](t, ours("copy stdin").Stdin(strings.NewReader("some text"))))
	reader, writer := io.Pipe()
	defer func() { _ = writer.Close() }()
	start := time.Now()
	require.NoError(t, ours("nothing").Stdin(reader).SpawnInNamespaces(nil), "a reader that blocks")
	require.NoError(t, ours("nothing").Stdin(neverending('x')).SpawnInNamespaces(nil))
	require.Less(t, time.Since(start), 2*time.Second)
}

func TestGrandchildThatHoldsStdoutDoesNotBlock(t *testing.T) {
	needBootstrap(t)
	for _, command := range [][]string{{"sleep", "1000"}, {"yes"}} {
		start := time.Now()
		stdout := slowBuffer{until: start.Add(4 * time.Second)}
		pid := spawn[int](t, ours("leave behind").Arg(command).Stdout(&stdout))
		took := time.Since(start)
		defer func() { _ = unix.Kill(pid, unix.SIGKILL) }()
		require.Less(t, took, 3*time.Second, command)
		require.Contains(t, stdout.text.String(), "left behind\n")
	}
}

// slowBuffer is slower than the worker, and fails after some time.
type slowBuffer struct {
	text  bytes.Buffer
	until time.Time
}

func (b *slowBuffer) Write(p []byte) (int, error) {
	if time.Now().After(b.until) {
		return 0, io.ErrShortWrite
	}
	time.Sleep(5 * time.Millisecond)
	return b.text.Write(p)
}

func TestTenMegabytes(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	text := strings.Repeat("0123456789", 1<<20)
	for name, c := range map[string]*call.Call{
		"ours":      ours("echo"),
		"default":   call.NewCall("echo").TargetPid(target.PID),
		"DropPrivs": call.NewCall("echo").TargetPid(target.PID).DropPrivs(),
		"user":      call.NewCall("echo").TargetPid(target.PID).Namespaces(allTypes),
		"both":      call.NewCall("echo").TargetPid(target.PID).Namespaces(allTypes).DropPrivs(),
	} {
		if raced && name != "both" {
			continue
		}
		require.True(t, text == spawn[string](t, c.Arg(text)), name)
	}
}

func TestResultOfEverySizeAroundTheMessages(t *testing.T) {
	needBootstrap(t)
	for n := 32<<10 - 42; n < 32<<10+3; n += 3 {
		text := strings.Repeat("x", n)
		require.Equal(t, text, spawn[string](t, ours("echo").Arg(text)))
	}
}

func TestMaxResult(t *testing.T) {
	needBootstrap(t)
	testutil.CheckLeaks(t)
	for _, size := range []int{10, 1 << 20} {
		text := strings.Repeat("x", size)
		require.Equal(t, text, spawn[string](t, ours("echo").Arg(text).MaxResult(uint64(size+2))))
		err := ours("echo").Arg(text).MaxResult(uint64(size + 1)).SpawnInNamespaces(&text)
		require.ErrorContains(t, requireError(t, err, call.StageProtocol), "too large")
	}
}

// The limit is for results: a failure must arrive whatever the limit is.
func TestMaxResultLimitsNoFailure(t *testing.T) {
	needBootstrap(t)
	for _, limit := range []uint64{0, 16, 1000} {
		require.ErrorIs(t, ours("errors").Arg("stat").MaxResult(limit).SpawnInNamespaces(nil), unix.ENOENT)
		var p *call.PanicError
		require.ErrorAs(t, ours("die").Arg("panic").MaxResult(limit).SpawnInNamespaces(nil), &p)
		require.Equal(t, "the value", p.Value)
	}
	err := ours("nothing").MaxResult(3).SpawnInNamespaces(nil) // null
	require.ErrorContains(t, requireError(t, err, call.StageProtocol), "too large")
}

func TestWorkerHoldsNoTerminal(t *testing.T) {
	needBootstrap(t)
	master, slave := openTerminal(t)
	cmd := role(t, "caller", request{Handler: "terminals", Pid: os.Getpid()}.json())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Run())
	text := make([]byte, 4096)
	n, err := master.Read(text)
	require.NoError(t, err)
	require.Contains(t, string(text[:n]), `"Result":null,"Failure":""`)
}

// The input and output of a terminal that is passed on are copied.
func TestTerminalThatIsPassedOnIsCopied(t *testing.T) {
	needBootstrap(t)
	master, slave := openTerminal(t)
	_, err := master.WriteString("typed\n")
	require.NoError(t, err)
	var stdout bytes.Buffer
	cmd := role(t, "passes its terminal on")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, cmd.Start())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&stdout, io.LimitReader(master, 4096)) // ends with EIO, when nobody has the slave any more
	}()
	require.NoError(t, slave.Close())
	require.NoError(t, cmd.Wait())
	<-done
	require.Contains(t, stdout.String(), "read: typed\r\n")
	require.Contains(t, stdout.String(), "terminals: []\r\n")
}

func openTerminal(t testing.TB) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}
