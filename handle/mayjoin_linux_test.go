package handle_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

const (
	ordinary              = 64321 // UID
	admin, chroot, ptrace = unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT, unix.CAP_SYS_PTRACE
)

// MayJoin is what setns(2) then does: in a thread of a Go program, and but for the threads in a process that has one.
func TestMayJoinIsWhatSetnsDoes(t *testing.T) {
	testutil.NeedKernel(t, 6, 3) // no Go program runs in a child of a new time namespace before
	t.Run("root", func(t *testing.T) {
		testutil.NeedRoot(t)
		testutil.CheckLeaks(t)
		compare(t, true)
	})
	t.Run("userns", func(t *testing.T) {
		testutil.InUserns(t, func(t *testing.T) { compare(t, false) })
	})
	t.Run("user", func(t *testing.T) {
		if os.Geteuid() != 0 {
			compare(t, false)
			return
		}
		unprivileged(t, func(t *testing.T) { compare(t, false) })
	})
}

func compare(t *testing.T, root bool) {
	nodes := startNodes(t, root)
	pairs, invisible, permitted := 0, 0, 0
	for seed, n := range nodes {
		tried := targets(len(nodes), uint64(seed))
		asItIs := n.judge(t, nodes, order{Judge: &judge{}}, tried)
		for name, o := range judges(n.name, root) {
			for i, v := range n.judge(t, nodes, o, tried) {
				if v.Errno == errNoPID {
					invisible++
					continue
				}
				pairs++
				if v.Single == 0 {
					permitted++
				}
				v.check(t, n.name+" "+name, nodes)
				if drop := o.Judge.Drop; len(drop) == 1 && asItIs[i].Single == 0 && v.Single != 0 {
					v.checkLack(t, drop[0], n.name+" "+name, nodes)
				}
			}
		}
	}
	t.Logf("%d pairs, of which %d are permitted; %d processes without a PID there", pairs, permitted, invisible)
}

// judge has a process with the namespaces of a node compare MayJoin with setns(2), for targets on all nodes.
func (n *node) judge(t *testing.T, nodes []*node, o order, tried []target) (found []verdict) {
	t.Helper()
	var fds []int
	for _, n := range nodes {
		fds = append(fds, n.fds...)
	}
	o.Judge.Pairs = tried
	socket, err := n.send(t, o, fds)
	require.NoError(t, err, n.name)
	text, _, err := receive(socket)
	require.NoError(t, err, n.name)
	require.NoError(t, json.Unmarshal(text, &found), "%s: %s", n.name, text)
	return found
}

// checkLack is for who only lacks that one capability.
func (v *verdict) checkLack(t *testing.T, capability int, judge string, nodes []*node) {
	t.Helper()
	names := map[int]string{admin: "CAP_SYS_ADMIN", chroot: "CAP_SYS_CHROOT", ptrace: "CAP_SYS_PTRACE"}
	ok := v.Lacks != nil && v.Lacks.Capability == names[capability]
	if ok && v.Lacks.Of == species.NaNS {
		ok = v.Lacks.User == v.OwnUser
	}
	if !ok {
		t.Errorf("%s: lacks %v", v.says(judge, nodes), v.Lacks)
	}
}

func (v *verdict) check(t *testing.T, judge string, nodes []*node) {
	t.Helper()
	text := v.says(judge, nodes)
	if v.Errno != v.Thread {
		t.Errorf("%s: %d, but setns(2) in a thread: %v", text, v.Errno, v.Thread)
	}
	refused := v.Errno != 0 && (!v.NeedsReexec || v.Lacks != nil)
	if refused != (v.Single != 0) || !v.NeedsReexec && v.Errno != v.Single {
		t.Errorf("%s: but setns(2) in a process with a single thread: %v", text, v.Single)
	}
	if (v.Single == syscall.EPERM) != (v.Lacks != nil) {
		t.Errorf("%s: lacks %v", text, v.Lacks)
	}
}

// startNodes starts processes with their own namespaces, above, below and beside each other.
func startNodes(t *testing.T, root bool) []*node {
	const user, all = species.Set(species.CLONE_NEWUSER), species.Set(species.AllNS)
	nodes := []*node{startBase(t)}
	for _, n := range []struct {
		name, above string
		o           order
		root        bool
	}{
		{"plain", "base", order{Types: all &^ user}, true},
		{"ordinary", "base", order{UID: ordinary}, true},
		{"mapped", "base", order{Types: all, UIDBase: 100000}, true},
		{"below mapped", "mapped", order{Types: all, UIDBase: -1}, true},
		{"child", "base", order{Types: all, UIDBase: -1}, false},
		{"sibling", "base", order{Types: user.With(species.CLONE_NEWUTS, species.CLONE_NEWNET), UIDBase: -1}, false},
		{"grandchild", "child", order{Types: all, UIDBase: -1}, false},
		{"inner", "sibling", order{Types: all &^ user &^ species.Set(species.CLONE_NEWPID)}, false},
		{"users", "ordinary", order{Types: all &^ species.Set(species.CLONE_NEWPID), UIDBase: -1}, true},
		{"below users", "users", order{Types: user.With(species.CLONE_NEWIPC), UIDBase: -1}, true},
	} {
		if n.root && !root {
			continue
		}
		for _, above := range nodes {
			if above.name == n.above {
				socket, err := above.send(t, n.o, nil)
				if err != nil && !root {
					testutil.Skip(t, "needs user namespaces for unprivileged users: "+err.Error())
				}
				require.NoError(t, err, n.name)
				nodes = append(nodes, newNode(t, n.name, socket))
			}
		}
	}
	return nodes
}

// judges returns with which rights a node tries.
func judges(node string, root bool) map[string]order {
	found := map[string]order{"as it is": {Judge: &judge{}}}
	if node == "ordinary" || node == "base" && os.Geteuid() != 0 {
		return found
	}
	var all []int
	for c := range allCaps {
		all = append(all, c)
	}
	for name, j := range map[string]judge{
		"without CAP_SYS_ADMIN":  {Drop: []int{admin}},
		"without CAP_SYS_CHROOT": {Drop: []int{chroot}},
		"without CAP_SYS_PTRACE": {Drop: []int{ptrace}},
		"without capabilities":   {Drop: all},
		"with idle capabilities": {Drop: []int{admin}, Effective: true},
		"in a chroot":            {Chroot: true},
		"before Linux 6.9":       {Old: true},
	} {
		found[name] = order{Judge: &j}
	}
	if node == "base" && root {
		for _, kept := range [][]uintptr{{admin}, {ptrace}, {admin, ptrace}, {admin, chroot}, {admin, chroot, ptrace}} {
			name := "ordinary with"
			for _, c := range kept {
				name += " " + strconv.Itoa(int(c))
			}
			found[name] = order{UID: ordinary, Ambient: kept, Judge: &judge{}}
		}
	}
	return found
}

// targets returns namespaces of the nodes, and some masks for their pidfds: one of three, or for a quick run one of thirty.
func targets(nodes int, seed uint64) (found []target) {
	const fixed = species.CLONE_NEWNET | species.CLONE_NEWTIME // different errnos, if the order is not the kernel's
	random, user := rand.New(rand.NewPCG(seed, 11)), species.Set(species.CLONE_NEWUSER)
	for node := range nodes {
		for ns := range species.Set(species.AllNS).All() {
			found = append(found, target{node, species.Set(ns), false}, target{node, species.Set(ns), true})
		}
		found = append(found, target{node, species.Set(fixed), true}, target{node, species.Set(species.AllNS), true})
		for range 3 {
			mask := species.Set(fixed)
			for ns := range species.Set(species.AllNS).All() {
				if random.IntN(2) == 0 {
					mask ^= species.Set(ns)
				}
			}
			found = append(found, target{node, mask | user, true})
			if mask &^= user; mask != 0 {
				found = append(found, target{node, mask, true})
			}
		}
	}
	every := 3
	if testing.Short() {
		every = 30
	}
	return slices.DeleteFunc(found, func(target) bool { return random.IntN(every) != 0 })
}

// setns(2) joins a PID namespace without a first process, and then no process can be started there, unless it is new.
func TestMayJoinPIDNamespaceWithoutProcesses(t *testing.T) {
	testutil.NeedRoot(t)
	testutil.CheckLeaks(t)
	dead := create(t, species.CLONE_NEWPID)[0]
	err := handle.MayJoin(dead)
	require.ErrorIs(t, err, syscall.ENOMEM)
	require.ErrorContains(t, err, "first process of that PID namespace has ended")
	onThrowAwayThread(t, func() {
		require.NoError(t, handle.Setns(handle.NsHandle(dead.Fd()), 0))
		require.ErrorIs(t, exec.Command("sleep", "0").Run(), syscall.ENOMEM)
	})

	first := exec.Command("sleep", "1000")
	first.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	require.NoError(t, first.Start())
	ns, err := handle.Of(species.CLONE_NEWPID).GetFromPid(first.Process.Pid)
	require.NoError(t, err)
	defer func() { _ = ns.Close() }()
	require.NoError(t, handle.MayJoin(ns))
	require.NoError(t, first.Process.Kill())
	require.Eventually(t, func() bool { return errors.Is(handle.MayJoin(ns), syscall.ENOMEM) }, 5*time.Second, time.Millisecond,
		"it is a zombie")
	_ = first.Wait()
	require.ErrorIs(t, handle.MayJoin(ns), syscall.ENOMEM)

	onThrowAwayThread(t, func() {
		require.NoError(t, unix.Unshare(unix.CLONE_NEWPID))
		unborn, err := sys.OpenThreadNamespace(raw.PIDForChildren)
		testutil.NeedFeature(t, "PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE", 6, 11, err)
		defer func() { _ = unborn.Close() }()
		require.NoError(t, handle.MayJoin(handle.NamespaceFd(unborn.Int())))
	})
}

func TestMayJoinRefuses(t *testing.T) {
	testutil.CheckLeaks(t)
	net, uts := handle.NamespacePath("/proc/self/ns/net"), handle.NamespacePath("/proc/self/ns/uts")
	for _, refs := range [][]handle.Relation{nil, {net, uts}, {nil}, {handle.NamespacePath("/proc/self")}} {
		err := handle.MayJoin(refs...)
		var e *handle.Error
		require.ErrorAs(t, err, &e)
		require.ErrorIs(t, err, syscall.EINVAL)
	}
	sleep := exec.Command("sleep", "1000")
	require.NoError(t, sleep.Start())
	process, err := handle.OpenProcess(sleep.Process.Pid)
	require.NoError(t, err)
	defer func() { _ = process.Close() }()
	require.NoError(t, sleep.Process.Kill())
	_ = sleep.Wait()
	err = handle.MayJoin(process.Namespaces(species.CLONE_NEWNET, species.CLONE_NEWUTS)...)
	require.ErrorIs(t, err, syscall.ESRCH)
	require.ErrorIs(t, err, handle.ErrStale)
}

// Joining explains the same.
func TestDeniedToJoinAPIDNamespaceAbove(t *testing.T) {
	const outside = "NSOPS_TEST_PID_OUTSIDE"
	if os.Getenv(outside) == "" {
		t.Setenv(outside, strconv.Itoa(os.Getpid()))
	}
	alone(t, species.CLONE_NEWPID, func(t *testing.T) {
		above := handle.NamespacePath("/proc/" + os.Getenv(outside) + "/ns/pid") // that /proc is of the namespace above
		const text = "neither the caller's own, nor below it"
		requireDenied(t, handle.MayJoin(above), syscall.EINVAL, text)
		requireDenied(t, handle.Visit(func() {}, above), syscall.EINVAL, text)
	})
}
