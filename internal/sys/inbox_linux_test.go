package sys_test

import (
	"errors"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
)

// openInbox returns an inbox and the socket that leads to it.
func openInbox(t testing.TB) (*sys.Inbox, *sys.FD) {
	t.Helper()
	ours, theirs, err := sys.Socketpair()
	require.NoError(t, err)
	inbox, err := sys.NewInbox(ours)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = inbox.Close(), theirs.Close() })
	return inbox, theirs
}

// lingering returns a connection whose last close(2) waits for 20 s, since nobody reads what it has sent.
func lingering(t testing.TB) *sys.FD {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	conn, err := net.Dial("tcp", listener.Addr().String())
	if errors.Is(err, unix.ENETUNREACH) {
		_ = listener.Close()
		testutil.Skip(t, "needs a loopback interface that is up")
	}
	require.NoError(t, err)
	peer, err := listener.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = listener.Close(), peer.Close() })
	require.NoError(t, conn.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
	for err == nil {
		_, err = conn.Write(make([]byte, 1<<20))
	}
	require.NoError(t, conn.(*net.TCPConn).SetLinger(20))
	raw, err := conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	copied := -1
	require.NoError(t, raw.Control(func(fd uintptr) { copied, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) }))
	require.NoError(t, err)
	require.NoError(t, conn.Close(), "not the last")
	return sys.NewFD(copied)
}

// unlinger closes a connection that lingers.
func unlinger(t testing.TB, fd *sys.FD) {
	t.Helper()
	require.NoError(t, unix.SetsockoptLinger(fd.Int(), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	require.NoError(t, fd.Close())
}

// requireSoon fails if f takes longer than what cannot be helped.
func requireSoon(t testing.TB, f func()) {
	t.Helper()
	start := time.Now()
	f()
	require.Less(t, time.Since(start), 5*time.Second)
}

// Where the kernel refuses descriptors, none gets in; elsewhere none is taken, and to close what nobody has taken is
// somebody else's business.
func TestInboxTakesNoDescriptors(t *testing.T) {
	testutil.CheckLeaks(t)
	for _, old := range []bool{false, true} {
		if old {
			defer sys.Pretend(sys.RightsRefusal)()
		}
		for _, looked := range []bool{false, true} {
			inbox, theirs := openInbox(t)
			require.NoError(t, sys.Send(theirs, []byte("plain")))
			file := lingering(t)
			err := sys.Send(theirs, []byte("descriptor"), file.Int())
			if err != nil {
				require.False(t, old)
				unlinger(t, file)
				continue
			}
			require.NoError(t, sys.Send(theirs, nil), "an empty message is not the end")
			require.NoError(t, file.Close(), "not the last")
			buf := make([]byte, 100)
			if looked {
				m, err := inbox.Receive(buf)
				require.NoError(t, err)
				require.Equal(t, "plain", string(buf[:m.Size]))
				_, err = inbox.Receive(buf)
				require.ErrorIs(t, err, sys.ErrDescriptors)
				m, err = inbox.Receive(buf)
				require.NoError(t, err)
				require.Zero(t, m.Size)
				require.False(t, m.End)
				_, err = inbox.Receive(buf)
				require.ErrorIs(t, err, unix.EAGAIN)
			}
			requireSoon(t, func() { require.NoError(t, inbox.Close()) })
		}
	}
}

func TestInboxTellsTheEndFromEmptyMessages(t *testing.T) {
	for _, old := range []bool{false, true} {
		if old {
			defer sys.Pretend(sys.RightsRefusal)()
		}
		inbox, theirs := openInbox(t)
		buf := make([]byte, 10)
		_, err := inbox.Receive(buf)
		require.ErrorIs(t, err, unix.EAGAIN)
		require.NoError(t, sys.Send(theirs, nil))
		require.NoError(t, sys.Send(theirs, make([]byte, 11)))
		require.NoError(t, theirs.Close())
		m, err := inbox.Receive(buf)
		require.NoError(t, err)
		require.False(t, m.End)
		require.Zero(t, m.Size)
		require.Equal(t, unix.Getpid(), m.Sender)
		_, err = inbox.Receive(buf)
		require.ErrorIs(t, err, unix.EMSGSIZE)
		m, err = inbox.Receive(buf)
		if err == nil && m.Size == 1 { // the rest of it, where messages are only looked at
			m, err = inbox.Receive(buf)
		}
		require.NoError(t, err)
		require.True(t, m.End)
	}
}

// Nothing gets in between the last look and the end.
func TestClosedInboxTakesNothing(t *testing.T) {
	defer sys.Pretend(sys.RightsRefusal)()
	inbox, theirs := openInbox(t)
	for range 50 {
		require.NoError(t, sys.Send(theirs, []byte("x")))
	}
	require.NoError(t, inbox.Close())
	require.ErrorIs(t, sys.Send(theirs, []byte("x")), unix.EPIPE)
}

// Children of other threads have copies of all descriptors between fork and exec: none of them must be the last to close.
func TestDiscardedDescriptorsKeepNoOtherChild(t *testing.T) {
	testutil.CheckLeaks(t)
	defer sys.Pretend(sys.RightsRefusal)()
	stop, done := make(chan struct{}), make(chan time.Duration, 2)
	for range cap(done) {
		go func() {
			worst := time.Duration(0)
			for {
				select {
				case <-stop:
					done <- worst
					return
				default:
				}
				start := time.Now()
				_ = exec.Command("/bin/true").Run()
				worst = max(worst, time.Since(start))
			}
		}()
	}
	for range 30 {
		inbox, theirs := openInbox(t)
		file := lingering(t)
		require.NoError(t, sys.Send(theirs, []byte("descriptor"), file.Int()))
		require.NoError(t, file.Close(), "not the last")
		require.NoError(t, inbox.Close())
		require.NoError(t, theirs.Close())
	}
	close(stop)
	for range cap(done) {
		require.Less(t, <-done, 5*time.Second)
	}
}
