package handle_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// nodeEnv holds the order of a process of these tests that was started for its namespaces and rights.
const nodeEnv = "NSOPS_TEST_ORDER"

// order starts a process. Its descriptors are the socket to the test, and those of all nodes: eight namespaces in
// listing order and a pidfd each.
type order struct {
	Types   species.Set // that are new
	UIDBase int         // that root of the new user namespace has outside; -1: that of the caller
	UID     int         // to be changed to, if not 0
	Ambient []uintptr
	Judge   *judge // nil for a node, which starts other processes
}

// judge compares MayJoin with setns(2).
type judge struct {
	Drop      []int // capabilities
	Effective bool  // they stay permitted
	Chroot    bool
	Old       bool // before Linux 6.9
	Pairs     []target
}

// target is what is to be joined: a namespace of a node, or with a pidfd several.
type target struct {
	Node  int
	Types species.Set
	Pidfd bool
}

// verdict is what a judge found.
type verdict struct {
	target
	Text           string
	Errno          syscall.Errno // of MayJoin
	NeedsReexec    bool
	Lacks          *species.CapabilityError
	Thread, Single syscall.Errno // of setns(2) in a thread, and in a process with a single thread
	OwnUser        species.NamespaceID
}

const (
	started     = "started"
	socketFD    = 3
	firstFD     = 4
	fdsPerNode  = 9
	errNoFork   = syscall.Errno(200) // after setns(2)
	allCaps     = unix.CAP_LAST_CAP + 1
	errNoPID    = syscall.Errno(201) // the process has no PID in the judge's PID namespace
	orderLength = 1 << 20
)

// node is a process with its namespaces and rights, which starts others with these.
type node struct {
	name   string
	socket int
	fds    []int
}

// send has the node start a process, and returns the socket to that.
func (n *node) send(t testing.TB, o order, fds []int) (socket int, err error) {
	t.Helper()
	ours, theirs := pair(t)
	text, err := json.Marshal(o)
	require.NoError(t, err)
	require.NoError(t, unix.Sendmsg(n.socket, text, unix.UnixRights(append([]int{theirs}, fds...)...), nil, 0))
	require.NoError(t, unix.Close(theirs))
	failure, _, err := receive(n.socket)
	require.NoError(t, err)
	if string(failure) != started {
		return ours, errors.New(string(failure))
	}
	return ours, nil
}

func pair(t testing.TB) (ours, theirs int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Close(fds[0]) })
	require.NoError(t, unix.SetsockoptInt(fds[1], unix.SOL_SOCKET, unix.SO_SNDBUF, orderLength))
	require.NoError(t, unix.SetsockoptTimeval(fds[0], unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 120}))
	return fds[0], fds[1]
}

// receive returns the descriptors that come with a message, and the message.
func receive(socket int) (text []byte, fds []int, err error) {
	text, control := make([]byte, orderLength), make([]byte, unix.CmsgSpace(4*250))
	var n, size int
	err = sys.Retry(func() (err error) {
		n, size, _, _, err = unix.Recvmsg(socket, text, control, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:size])
	if err == nil && len(messages) > 0 {
		fds, err = unix.ParseUnixRights(&messages[0])
	}
	return text[:n], fds, err
}

// startBase starts a process with the namespaces and rights of the test.
func startBase(t testing.TB) *node {
	t.Helper()
	ours, theirs := pair(t)
	cmd := order{}.command([]int{theirs})
	require.NoError(t, cmd.Start())
	require.NoError(t, cmd.ExtraFiles[0].Close())
	t.Cleanup(func() {
		_ = unix.Shutdown(ours, unix.SHUT_RDWR)
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
	})
	return newNode(t, "base", ours)
}

func newNode(t testing.TB, name string, socket int) *node {
	t.Helper()
	_, fds, err := receive(socket)
	require.NoError(t, err, name)
	require.Len(t, fds, fdsPerNode, name)
	t.Cleanup(func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	})
	return &node{name, socket, fds}
}

func (o order) command(fds []int) *exec.Cmd {
	text, _ := json.Marshal(o)
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: []string{"node"}, Env: []string{nodeEnv + "=" + string(text)}, Stderr: os.Stderr}
	for _, fd := range fds {
		cmd.ExtraFiles = append(cmd.ExtraFiles, os.NewFile(uintptr(fd), "inherited"))
	}
	how := &syscall.SysProcAttr{Cloneflags: uintptr(o.Types.Without(species.CLONE_NEWTIME)), AmbientCaps: o.Ambient}
	if o.Types.Has(species.CLONE_NEWTIME) {
		how.Unshareflags = uintptr(species.CLONE_NEWTIME)
	}
	if o.Types.Has(species.CLONE_NEWUSER) {
		outside := []syscall.SysProcIDMap{{HostID: o.UIDBase, Size: 65536}}
		if o.UIDBase < 0 {
			outside[0] = syscall.SysProcIDMap{HostID: os.Geteuid(), Size: 1}
		}
		how.UidMappings, how.GidMappings = outside, []syscall.SysProcIDMap{outside[0]}
		how.Credential = &syscall.Credential{NoSetGroups: true}
		if o.UIDBase < 0 {
			how.GidMappings[0].HostID = os.Getegid()
		}
	}
	if o.UID != 0 {
		how.Credential = &syscall.Credential{Uid: uint32(o.UID), Gid: uint32(o.UID)}
	}
	cmd.SysProcAttr = how
	return cmd
}

// runNode is what such a process does.
func runNode() {
	var o order
	try(json.Unmarshal([]byte(os.Getenv(nodeEnv)), &o))
	unix.CloseOnExec(socketFD)
	if o.Judge != nil {
		text, err := json.Marshal(o.Judge.run())
		try(err)
		try(unix.Sendmsg(socketFD, text, nil, nil, 0))
		return
	}
	if o.Types.Has(species.CLONE_NEWNS | species.CLONE_NEWPID) { // to find the children, whose IDs are to be mapped
		try(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
		_ = unix.Mount("proc", "/proc", "proc", 0, "") // refused where parts of /proc are hidden
	}
	sendOwn()
	var children []*exec.Cmd
	for {
		text, fds, err := receive(socketFD)
		try(err)
		if len(text) == 0 {
			break
		}
		try(json.Unmarshal(text, &o))
		cmd := o.command(fds)
		o = order{}
		answer := started
		if err := cmd.Start(); err != nil {
			answer = "start: " + err.Error()
		} else {
			children = append(children, cmd)
		}
		for _, f := range cmd.ExtraFiles {
			_ = f.Close()
		}
		try(unix.Sendmsg(socketFD, []byte(answer), nil, nil, 0))
	}
	for _, cmd := range children {
		_ = cmd.Wait()
	}
}

func try(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// sendOwn sends the descriptors of this process.
func sendOwn() {
	var fds []int
	for t := range species.Set(species.AllNS).All() {
		fd, err := unix.Open("/proc/self/ns/"+t.Name(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		try(err)
		fds = append(fds, fd)
	}
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	try(err)
	try(unix.Sendmsg(socketFD, []byte(started), unix.UnixRights(append(fds, fd)...), nil, 0))
}

func (j *judge) run() (found []verdict) {
	runtime.LockOSThread()
	if j.Old {
		for _, feature := range []sys.Feature{sys.SetnsPidfd, sys.PidfdNamespaces, sys.PidfdThread, sys.PidfdInode} {
			sys.Pretend(feature)
		}
	}
	own, err := handle.Of(species.CLONE_NEWUSER).Get()
	try(err)
	user, err := own.ID()
	try(err)
	j.apply()
	for _, p := range j.Pairs {
		fd, refs, ok := p.refs()
		if !ok {
			found = append(found, verdict{target: p, Errno: errNoPID})
			continue
		}
		v := verdict{target: p, OwnUser: user}
		v.set(handle.MayJoin(refs...))
		v.Single = forked(fd, uintptr(p.Types))
		v.Thread = j.onThread(fd, p.Types)
		found = append(found, v)
	}
	return found
}

// apply gives the calling thread its rights.
func (j *judge) apply() {
	if j.Chroot {
		try(unix.Unshare(unix.CLONE_FS))
		try(unix.Chroot("/usr"))
		try(unix.Chdir("/"))
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	try(unix.Capget(&header, &sets[0]))
	for _, c := range j.Drop {
		sets[c/32].Effective &^= 1 << (c % 32)
		if !j.Effective {
			sets[c/32].Permitted &^= 1 << (c % 32)
		}
	}
	if len(j.Drop) > 0 {
		try(unix.Capset(&header, &sets[0]))
	}
}

// refs returns the descriptor for setns(2), and the same for MayJoin. A process without a PID here cannot be named.
func (g target) refs() (fd int, refs []handle.Relation, ok bool) {
	fd = firstFD + g.Node*fdsPerNode
	i := 0
	for t := range species.Set(species.AllNS).All() {
		if !g.Pidfd && g.Types.Has(t) {
			return fd + i, []handle.Relation{handle.NamespaceFd(fd + i)}, true
		}
		i++
	}
	fd += fdsPerNode - 1
	var info raw.ProcessInfo
	if raw.PidfdInfo(fd, &info) != 0 {
		return fd, nil, false
	}
	process, err := handle.OpenProcess(info.TGID)
	try(err)
	for t := range g.Types.All() {
		refs = append(refs, process.Namespace(t))
	}
	return fd, refs, true
}

func (v *verdict) set(err error) {
	if err == nil {
		return
	}
	v.Text = err.Error()
	var e *handle.Error
	if !errors.As(err, &e) || !errors.As(err, &v.Errno) {
		v.Text = "not an *Error with an errno: " + v.Text
	}
	_ = errors.As(err, &v.Lacks)
	v.NeedsReexec = errors.Is(err, handle.ErrNeedsReexec)
}

// onThread joins with a thread that ends with it.
func (j *judge) onThread(fd int, types species.Set) syscall.Errno {
	result := make(chan syscall.Errno)
	go func() {
		runtime.LockOSThread()
		j.apply()
		try(unix.Unshare(unix.CLONE_FS))
		result <- raw.Setns(fd, species.NamespaceType(types))
	}()
	return <-result
}

// forked joins with a child that has a single thread, whose status is the errno. It makes system calls only.
func forked(fd int, types uintptr) syscall.Errno {
	pid := fork(fd, types)
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
			break
		}
	}
	if !status.Exited() {
		return syscall.Errno(255)
	}
	return syscall.Errno(status.ExitStatus())
}

//go:norace
//go:nosplit
func fork(fd int, types uintptr) int {
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		return int(pid)
	}
	_, _, errno = syscall.RawSyscall(unix.SYS_SETNS, uintptr(fd), types, 0)
	if errno == 0 {
		pid, _, errno = syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			errno = errNoFork
		} else if pid != 0 {
			_, _, errno = syscall.RawSyscall6(syscall.SYS_WAIT4, pid, 0, 0, 0, 0, 0)
		}
	}
	for {
		_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, uintptr(errno), 0, 0)
	}
}

// says is what a verdict is about, for messages.
func (v *verdict) says(judge string, nodes []*node) string {
	how := "fd"
	if v.Pidfd {
		how = "pidfd"
	}
	return strings.Join([]string{judge, "→", how, v.Types.String(), "of", nodes[v.Node].name + ":", v.Text}, " ")
}
