package test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// forge is a script that puts forged files and FIFOs where a worker might look for itself.
const forge = `
mount -t tmpfs none /proc
mkdir -p /proc/self/ns /proc/self/fd /proc/self/task /proc/1/ns /proc/sys/kernel
for t in mnt uts ipc net pid user cgroup time; do echo forged >/proc/1/ns/$t; mkfifo /proc/self/ns/$t; done
echo forged >/proc/sys/kernel/hostname
ln -s /proc/1 /proc/thread-self
`

func TestForgedProc(t *testing.T) {
	testutil.NeedKernel(t, 6, 11)
	inContainers(t, func(t *testing.T, c container) {
		c.Sh(forge)
		for name, build := range map[string]func(*call.Call) *call.Call{
			"default": asItIs,
			"all":     func(call *call.Call) *call.Call { return call.Namespaces(c.allTypes()...) },
			"drop":    func(call *call.Call) *call.Call { return call.Namespaces(c.allTypes()...).DropPrivs().RemountSys() },
		} {
			var v view
			require.NoError(t, build(c.newCall(t, "read file")).Arg("/proc/1/ns/net").SpawnInNamespaces(nil), name)
			require.NoError(t, build(c.newCall(t, "look")).Arg(wish{}).SpawnInNamespaces(&v), name)
			for _, one := range []species.NamespaceType{species.CLONE_NEWUTS, species.CLONE_NEWIPC, species.CLONE_NEWNET} {
				require.Equal(t, c.NamespaceLink(one), v.Links[one.Name()], name)
			}
			require.ElementsMatch(t, []string{"lo", "cont0"}, v.Interfaces, name)
		}
	})
}

// TestTrapForTheGoRuntime puts a FIFO where the Go runtime reads a file at its start, before any code of ours runs.
func TestTrapForTheGoRuntime(t *testing.T) {
	inContainers(t, func(t *testing.T, c container) {
		c.Sh("mount -t tmpfs none /sys; mkdir -p /sys/kernel/mm/transparent_hugepage; mkfifo /sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
		for _, types := range [][]species.NamespaceType{{species.CLONE_NEWNS}, c.allTypes()} {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			start := time.Now()
			err := call.NewCall("look").TargetPid(c.PID).Namespaces(types...).Arg(wish{}).Context(ctx).SpawnInNamespaces(nil)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Less(t, time.Since(start), 5*time.Second)
		}
	})
}

// attack is a script that tries to inspect the process $p. Each attempt requires the right to inspect it.
const attack = `
for f in environ mem maps auxv fd; do (: <$p/$f) 2>/dev/null && echo got $f; done
for f in exe root cwd ns/net; do readlink $p/$f >/dev/null 2>&1 && echo got $f; done
true`

// TestContainerCannotInspectTheWorker attacks a worker in the container's PID namespace as the container's root.
func TestContainerCannotInspectTheWorker(t *testing.T) {
	inContainers(t, func(t *testing.T, c container) {
		everything := c.Sh("sleep 1000 >/dev/null 2>&1 & p=/proc/$!;" + attack + "; kill $!")
		require.Equal(t, "environ mem maps auxv fd exe root cwd ns/net", strings.Join(strings.Fields(strings.ReplaceAll(everything, "got ", "")), " "))
		build := func(call *call.Call) *call.Call { return call.Namespaces(c.allTypes()...) }
		c.look(t, wish{}, build, func(worker *testutil.Target) {
			pids := strings.Fields(status(text(worker.ProcDir() + "/status"))["NSpid"])
			found := c.Sh("p=/proc/" + pids[len(pids)-1] + "; cat $p/comm >&2;" + attack)
			if c.base != 0 { // otherwise it is root of the machine
				require.Empty(t, found)
			}
		})
	})
}
