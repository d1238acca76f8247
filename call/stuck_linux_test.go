package call_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// stuck is a descriptor that a hostile worker sends. Hostile processes decide how long close(2) of it takes, or the end
// of the socket in which it is queued.
type stuck struct {
	Socket int    // to which the worker sends it
	Kind   string // "fuse", "tcp", or "path" for an O_PATH descriptor of the first
	Body   bool   // inline, with a result that needs no descriptor
	Many   bool   // ten of them, each with a message of its own
	Result bool   // the handler returns then
}

func init() {
	call.RegisterReexec("stick", func(arg any) (any, error) {
		s := arg.(*stuck)
		fd, err := s.open()
		if err != nil {
			return nil, err
		}
		record := wire.Record{Kind: wire.KindResult, Size: 1 << 20}
		if s.Body {
			record.Size = 4
		}
		message := wire.AppendRecord(nil, record)
		if s.Body {
			message = append(message, "null"...)
		}
		err = unix.Sendmsg(s.Socket, message, unix.UnixRights(fd), nil, 0)
		for range 9 {
			if s.Many {
				_ = unix.Sendmsg(s.Socket, message, unix.UnixRights(fd, fd, fd), nil, 0)
			}
		}
		if s.Result {
			text := "sent"
			if err != nil {
				text = err.Error()
			}
			return text, nil
		}
		return block(nil)
	}, stuck{})
}

func (s *stuck) open() (int, error) {
	switch s.Kind {
	case "tcp":
		return lingering()
	case "path":
		return unix.Open("/mnt/f", unix.O_PATH, 0)
	}
	return unix.Open("/mnt/f", unix.O_RDWR, 0)
}

// lingering returns a connection whose last close(2) waits for 20 s, since nobody reads what it has sent.
func lingering() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return -1, err
	}
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return -1, err
	}
	if err := conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return -1, err
	}
	for err == nil {
		_, err = conn.Write(make([]byte, 1<<20))
	}
	if err := conn.(*net.TCPConn).SetLinger(20); err != nil {
		return -1, err
	}
	file, err := conn.(*net.TCPConn).File()
	if err != nil {
		return -1, err
	}
	return unix.Dup(int(file.Fd()))
}

// eachInbox runs a test on this kernel, and on one that does not refuse descriptors.
func eachInbox(t *testing.T, test func(t *testing.T, refusal string)) {
	ours, theirs, err := sys.Socketpair()
	require.NoError(t, err)
	refused := unix.SetsockoptInt(ours.Int(), unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0) == nil
	_, _ = ours.Close(), theirs.Close()
	if refused {
		t.Run("refused", func(t *testing.T) { test(t, unix.EPERM.Error()) })
	}
	t.Run("looked at first", func(t *testing.T) {
		defer sys.Pretend(sys.RightsRefusal)()
		test(t, sys.ErrDescriptors.Error())
	})
}

func TestHostileDescriptorsBlockNoCaller(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	eachInbox(t, func(t *testing.T, _ string) {
		testutil.CheckLeaks(t)
		target := startFUSE(t).Process.Pid
		call.SetKillTimeout(t, 200*time.Millisecond)
		for _, s := range []stuck{
			{Kind: "path", Socket: channel},
			{Kind: "tcp", Socket: channel}, {Kind: "tcp", Socket: channel, Body: true, Result: true},
			{Kind: "tcp", Socket: channel + 1, Many: true, Result: true},
			{Kind: "fuse", Socket: channel}, {Kind: "fuse", Socket: channel, Body: true, Result: true},
			{Kind: "fuse", Socket: channel, Many: true}, {Kind: "fuse", Socket: channel + 1},
		} {
			start := time.Now()
			err := endure(t, call.NewCall("stick").Arg(s).TargetPid(target).Namespaces(species.CLONE_NEWNS))
			require.Less(t, time.Since(start), 4*time.Second, "%+v", s)
			if !s.Result || s.Kind == "fuse" { // closing the file blocks the worker itself
				require.Error(t, err, "%+v", s)
			}
		}
	})
}

// A message with descriptors is not accepted, and none of its descriptors gets into this process.
func TestHostileDescriptorsAreNotTaken(t *testing.T) {
	needBootstrap(t)
	eachInbox(t, func(t *testing.T, refusal string) {
		testutil.CheckLeaks(t)
		f := forgery{Record: wire.Record{Kind: wire.KindResult, Size: 4}, Body: "null", File: os.Args[0], Return: true}
		require.ErrorContains(t, endureFor(t, 5*time.Second, ours("forge").Arg(f)), refusal)
	})
}

func init() {
	// "undying" has a descriptor whose close(2) never returns: the kernel closes it when the worker is killed.
	call.RegisterReexec("undying", func(arg any) (any, error) {
		if _, err := (&stuck{Kind: "fuse"}).open(); err != nil {
			return nil, err
		}
		if *arg.(*bool) {
			return "done", nil
		}
		return block(nil)
	}, true)
}

// SIGKILL does not end a worker that is blocked in the kernel. Its call must return soon after its deadline, no thread
// of the caller may wait, and the worker is reaped when it ends.
func TestHostileWorkerThatDoesNotDie(t *testing.T) {
	needBootstrap(t)
	testutil.CheckLeaks(t)
	target := startFUSE(t).Process.Pid
	for _, back := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		c := call.NewCall("undying").Arg(back).TargetPid(target).Namespaces(species.CLONE_NEWNS).Context(ctx)
		err := c.Stdout(new(bytes.Buffer)).SpawnInNamespaces(nil)
		require.ErrorIs(t, requireError(t, err, call.StageHandler), context.DeadlineExceeded)
		require.Less(t, time.Since(start), time.Second+call.KillTimeout+2*time.Second)
	}
	require.Len(t, childrenOf(t, os.Getpid()), 3, "the target and both workers")
}

func init() {
	// "splice" puts a page of a FUSE file into its standard output that cannot be read before the server answers a write.
	call.RegisterReexec("splice", func(any) (any, error) {
		file, err := unix.Open("/mnt/f", unix.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		if _, err := unix.Pread(file, make([]byte, fuseSize), 0); err != nil {
			return nil, err
		}
		if _, err := unix.Splice(file, nil, unix.Stdout, nil, fuseSize, 0); err != nil {
			fmt.Println("splice:", err)
		}
		_, _ = unix.Pwrite(file, []byte("spoilt"), 0)
		go func() { _, _ = unix.Pwrite(file, []byte("locked"), 1) }()
		return block(nil)
	}, nil)
	// "output with descriptors" sends a descriptor with its output.
	call.RegisterReexec("output with descriptors", func(arg any) (any, error) {
		fd, err := (&stuck{Kind: *arg.(*string)}).open()
		if err != nil {
			return nil, err
		}
		err = unix.Sendmsg(unix.Stdout, []byte("hello"), unix.UnixRights(fd), nil, 0)
		fmt.Println("printed", err)
		return block(nil)
	}, "")
}

// waits reports whether a thread of ours is in a sleep that no signal ends.
func waits(t testing.TB) bool {
	t.Helper()
	dirs, err := os.ReadDir("/proc/self/task")
	require.NoError(t, err)
	for _, dir := range dirs {
		text, _ := os.ReadFile("/proc/self/task/" + dir.Name() + "/wchan")
		if strings.Contains(string(text), "folio_lock") {
			return true
		}
	}
	return false
}

func TestHostileOutputBlocksNoCaller(t *testing.T) {
	needBootstrap(t)
	testutil.NeedRoot(t)
	call.SetKillTimeout(t, 200*time.Millisecond)
	eachInbox(t, func(t *testing.T, _ string) {
		testutil.CheckLeaks(t)
		target := startFUSE(t).Process.Pid
		for _, c := range []*call.Call{
			call.NewCall("splice"), call.NewCall("output with descriptors").Arg("tcp"),
			call.NewCall("output with descriptors").Arg("fuse"),
		} {
			start := time.Now()
			require.Error(t, endure(t, c.TargetPid(target).Namespaces(species.CLONE_NEWNS)))
			require.Less(t, time.Since(start), 3*time.Second)
			require.False(t, waits(t))
		}
	})
}
