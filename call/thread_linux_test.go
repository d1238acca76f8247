package call_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// onNewThread runs f on a thread that ends with it.
func onNewThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() { // would not end
			onNewThread(f)
			runtime.UnlockOSThread()
			return
		}
		f()
	}()
	<-done
}

// A thread may be in one PID or time namespace, and its children start in another. To reach a target in the thread's own
// namespace, the worker must then join that; a PID namespace above its own it cannot join.
func TestWorkerStartsWhereTheThreadsChildrenDo(t *testing.T) {
	testutil.CheckLeaks(t)
	target := startTarget(t, testutil.TargetOptions{Types: species.Set(species.CLONE_NEWUTS | species.CLONE_NEWNET)})
	theirs := links(t, target, allTypes)
	for _, fallback := range []bool{false, true} {
		if fallback {
			defer sys.Pretend(sys.PidfdNamespaces)()
		}
		for _, ns := range []species.NamespaceType{species.CLONE_NEWPID, species.CLONE_NEWTIME} {
			var v view
			var unshared, err error
			onNewThread(func() {
				if unshared = sys.Unshare(int(ns)); unshared == nil {
					err = call.NewCall("look").TargetPid(target.PID).Namespaces(allTypes).SpawnInNamespaces(&v)
				}
			})
			require.NoError(t, unshared, ns)
			if ns == species.CLONE_NEWPID {
				require.Error(t, err)
			}
			if err == nil {
				require.Equal(t, theirs, v.Namespaces, ns)
			}
			if err != nil {
				require.Zero(t, v, "no handler has run")
			}
		}
	}
}

func init() {
	const name = "main thread elsewhere"
	if os.Getenv(roleEnv) == name {
		runtime.LockOSThread() // the main goroutine, to the main thread
	}
	roles[name] = func([]string) {
		call.HandleReexec()
		check(sys.Unshare(unix.CLONE_NEWUTS))
		before := hosts()
		for f := range sys.TaskIterators + 1 {
			sys.Have(f)
		}
		fmt.Println("asked")
		for range 100 { // a thread that is discarded takes its time to end
			if strays := moved(before, hosts()); len(strays) == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Println("moved:", moved(before, hosts()))
	}
}

// hosts returns the UTS namespaces of all threads.
func hosts() map[string]string {
	found := map[string]string{}
	paths, err := filepath.Glob("/proc/self/task/*/ns/uts")
	check(err)
	for _, path := range paths {
		if link, err := os.Readlink(path); err == nil {
			found[path] = link
		}
	}
	return found
}

// moved returns the threads whose namespace has changed.
func moved(before, after map[string]string) (found []string) {
	main := fmt.Sprintf("/proc/self/task/%d/ns/uts", os.Getpid())
	for path, link := range after {
		if old, known := before[path]; known && link != old || path != main && link == after[main] {
			found = append(found, path)
		}
	}
	return found
}

// Probing the kernel for a feature must not move the thread on which it runs.
func TestProbeMovesNoThread(t *testing.T) {
	testutil.NeedRoot(t)
	r := run(t, role(t, "main thread elsewhere"))
	require.Equal(t, result{Stdout: "asked\n"}, r)
}
