package netconf

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
)

// TestSend: each request has its own answer, also behind one that fails.
func TestSend(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	s := socketIn(t, newNetns(t))
	defer s.close()
	answers := s.send(getLink("none"), getLo(), setUp(99), setUp(loIndex), getLink("lo"), newBridge("lo", newMAC()))
	for i, want := range []error{syscall.ENODEV, nil, syscall.ENODEV, nil, nil, syscall.EEXIST} {
		require.Equal(t, want, answers[i].err, i)
	}
	require.False(t, isUp(answers[1].link))
	require.True(t, isUp(answers[4].link))
	require.Equal(t, "lo", answers[4].link.Attrs().Name)
	require.Equal(t, loIndex, indexOf(answers[4].link))
}

// TestParseLink compares with what package netlink reads.
func TestParseLink(t *testing.T) {
	testutil.NeedRoot(t)
	target := newNetns(t)
	p := newPlace(t, pathOf(target))
	_, err := apply(t, p, simple())
	require.NoError(t, err)
	for _, ns := range []handle.NsHandle{p.Host, target} {
		s := socketIn(t, ns)
		defer s.close()
		links, err := listLinks(s)
		require.NoError(t, err)
		for _, want := range links {
			link := s.send(getLink(want.Attrs().Name))[0].link
			a, b := link.Attrs(), want.Attrs()
			require.Equal(t, want.Type(), link.Type())
			require.Equal(t, isUp(want), isUp(link))
			if b.HardwareAddr != nil { // that of lo is all zeroes
				require.Equal(t, b.HardwareAddr, a.HardwareAddr)
			}
			require.Equal(t, []any{b.Index, b.Name, b.Alias, b.MTU, b.MasterIndex, b.ParentIndex, b.NetNsID, b.Group},
				[]any{a.Index, a.Name, a.Alias, a.MTU, a.MasterIndex, a.ParentIndex, a.NetNsID, a.Group})
		}
	}
}

// TestSendNothing: a message that the kernel does not take has no answers.
func TestSendNothing(t *testing.T) {
	testutil.NeedRoot(t)
	s := socketIn(t, newNetns(t))
	s.close()
	for _, a := range s.send(getLo(), setUp(loIndex)) {
		require.ErrorIs(t, a.err, syscall.EBADF)
	}
}

// TestLostAnswers: without room for the answers nobody knows what was done, so all of it is undone.
func TestLostAnswers(t *testing.T) {
	testutil.NeedRoot(t)
	s := socketIn(t, newNetns(t))
	defer s.close()
	require.NoError(t, syscall.SetsockoptInt(s.fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 1))
	up := s.step("up", func() *nl.NetlinkRequest { return setUp(loIndex) })
	undone := 0
	up.undo = func() error { undone++; return nil }
	err := run(t.Context(), slices.Repeat([]step{up}, maxBatch))
	require.EqualError(t, err, "up: no answer: no buffer space available")
	require.ErrorIs(t, err, syscall.ENOBUFS)
	require.Equal(t, maxBatch, undone)
	require.Equal(t, syscall.ENODEV, s.send(setUp(99))[0].err, "there is room again")
}

// TestLongAnswer: the container may give lo more names than an answer has room for.
func TestLongAnswer(t *testing.T) {
	testutil.NeedRoot(t)
	s := socketIn(t, newNetns(t))
	defer s.close()
	names := nl.NewRtAttr(unix.IFLA_PROP_LIST|unix.NLA_F_NESTED, nil)
	for i := range 100 {
		names.AddRtAttr(unix.IFLA_ALT_IFNAME, nl.ZeroTerminated(fmt.Sprintf("%0100d", i)))
	}
	head := &nl.IfInfomsg{IfInfomsg: unix.IfInfomsg{Index: loIndex}}
	require.NoError(t, s.send(newRequest(unix.RTM_NEWLINKPROP, created, head, []*nl.RtAttr{names}))[0].err)
	require.ErrorIs(t, s.send(getLo())[0].err, syscall.EMSGSIZE)
}

// TestLostLink: a link that was made, but whose making has no answer, is deleted.
func TestLostLink(t *testing.T) {
	testutil.NeedRoot(t)
	for _, what := range []string{"create bridge", "create the pair"} {
		p := newPlace(t, pathOf(newNetns(t)))
		before := listing(t, p)
		err := applyChanged(t.Context(), t, p, simple(), func(b *build, steps []step) []step {
			i := slices.IndexFunc(steps, func(s step) bool { return strings.HasPrefix(s.what, what) })
			return slices.Insert(steps, i, step{what: "fill", do: func() error { return fill(b.outside) }})
		})
		require.ErrorIs(t, err, errUnanswered)
		require.ErrorContains(t, err, what)
		require.Equal(t, before, listing(t, p), what)
	}
}

// fill leaves a socket no room for answers.
func fill(s *socket) error {
	err := syscall.SetsockoptInt(s.fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 1)
	for range maxBatch {
		_, failed := syscall.Write(s.fd, setUp(99).Serialize())
		err = errors.Join(err, failed)
	}
	return err
}

// TestForgedAnswer: a process in the container wants to answer first.
func TestForgedAnswer(t *testing.T) {
	testutil.NeedRoot(t)
	ns := newNetns(t)
	s, forger := socketIn(t, ns), rawSocket(t, ns)
	defer s.close()
	request := getLink("none")
	require.Equal(t, syscall.ECONNREFUSED, forge(t, forger, request, s.fd))
	require.Equal(t, syscall.ENODEV, s.send(request)[0].err)
}

// TestForgedEarly: it does so before the socket is connected.
func TestForgedEarly(t *testing.T) {
	testutil.NeedRoot(t)
	ns := newNetns(t)
	s, forger := &socket{ns: ns, fd: rawSocket(t, ns)}, rawSocket(t, ns)
	require.NoError(t, syscall.Bind(s.fd, &syscall.SockaddrNetlink{Family: syscall.AF_NETLINK}))
	request := getLink("none")
	require.NoError(t, forge(t, forger, request, s.fd))
	require.Equal(t, syscall.ENODEV, s.send(request)[0].err)
}

// forge says to a socket that a request was fulfilled.
func forge(t *testing.T, forger int, request *nl.NetlinkRequest, fd int) error {
	t.Helper()
	to, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	forged := nl.NetlinkRequest{NlMsghdr: request.NlMsghdr, RawData: make([]byte, 4)}
	forged.Type = syscall.NLMSG_ERROR
	return syscall.Sendto(forger, forged.Serialize(), 0, to)
}

// rawSocket opens a socket that is not connected.
func rawSocket(t *testing.T, ns handle.NsHandle) (fd int) {
	t.Helper()
	in(t, ns, func() {
		var err error
		fd, err = syscall.Socket(syscall.AF_NETLINK, syscall.SOCK_RAW|syscall.SOCK_CLOEXEC, syscall.NETLINK_ROUTE)
		require.NoError(t, err)
	})
	t.Cleanup(func() { require.NoError(t, syscall.Close(fd)) })
	return fd
}

// TestOpenSocket comes back, also from where it cannot go.
func TestOpenSocket(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := handle.Get()
	require.NoError(t, err)
	defer func() { require.NoError(t, home.Close()) }()
	target := newNetns(t)
	for _, ns := range []handle.NsHandle{target, handle.None()} {
		s, err := openSocket(ns, home)
		require.Equal(t, ns == target, err == nil)
		if err == nil {
			there, err := handle.GetFromSocket(s.fd)
			require.NoError(t, err)
			require.True(t, there.Equal(target))
			require.NoError(t, there.Close())
			s.close()
		}
		here, err := handle.Get()
		require.NoError(t, err)
		require.True(t, here.Equal(home))
		require.NoError(t, here.Close())
	}
}

// TestRollbackMessage: what comes after a failure in the same message is undone, too.
func TestRollbackMessage(t *testing.T) {
	testutil.NeedRoot(t)
	s := socketIn(t, newNetns(t))
	defer s.close()
	before := s.send(getLo())[0].link.Attrs().Flags
	up := s.step("up", func() *nl.NetlinkRequest { return setUp(loIndex) })
	up.undo = func() error { return setLoDown(s) }
	wrong := s.step("wrong", func() *nl.NetlinkRequest { return setUp(99) })
	wrong.undo = func() error { panic("was never made") }
	never := step{what: "never", do: func() error { panic("is not reached") }}
	err := run(t.Context(), []step{wrong, up, wrong, never})
	require.EqualError(t, err, "wrong: no such device")
	require.Equal(t, before, s.send(getLo())[0].link.Attrs().Flags)
}

// TestManyAddresses take more than one message. If the last one fails, all are gone.
func TestManyAddresses(t *testing.T) {
	testutil.NeedRoot(t)
	target := newNetns(t)
	p := newPlace(t, pathOf(target))
	before := listing(t, p)
	c := simple()
	for i := range 3 * maxBatch {
		c.Addresses = append(c.Addresses, Address{Address: fmt.Sprintf("fd00:99::%x/64", i+1)})
	}
	err := applyChanged(t.Context(), t, p, c, func(b *build, steps []step) []step {
		twice := func() *nl.NetlinkRequest {
			return addAddress(indexOf(b.peer), netip.MustParsePrefix("fd00:99::1/64"))
		}
		return append(steps, b.inside.step("add it twice", twice))
	})
	require.EqualError(t, err, "add it twice: file exists")
	require.Equal(t, before, listing(t, p))

	_, err = apply(t, p, c)
	require.NoError(t, err)
	require.Equal(t, 3*maxBatch, strings.Count(ip(t, target, "address"), "fd00:99::"))
	again, err := apply(t, p, c)
	require.NoError(t, err)
	require.False(t, again.Changed)
}

func TestCountTogether(t *testing.T) {
	a, b := &socket{}, &socket{}
	request := func(s *socket) step { return step{to: s} }
	do := step{}
	for want, steps := range map[int][]step{
		1:        {do, do},
		2:        {request(a), request(a), do, request(a)},
		3:        {request(b), request(b), request(b), request(a)},
		4:        slices.Repeat([]step{request(a)}, 4),
		maxBatch: slices.Repeat([]step{request(a)}, maxBatch+1),
	} {
		require.Equal(t, want, countTogether(steps))
	}
}
