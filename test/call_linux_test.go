package test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/testutil/runtimes"
	"github.com/nsops/nsops/species"
)

func asItIs(c *call.Call) *call.Call { return c }

// links returns the namespaces of a worker that joined these types of the container.
func (c container) links(types species.Set) map[string]string {
	links := procLinks()
	for t := range types.All() {
		links[t.Name()] = c.NamespaceLink(t)
	}
	return links
}

func TestDefaultNamespaces(t *testing.T) {
	testutil.NeedKernel(t, 6, 11)
	types := species.Set(species.CLONE_NEWNS | species.CLONE_NEWUTS | species.CLONE_NEWIPC | species.CLONE_NEWNET)
	inContainers(t, func(t *testing.T, c container) {
		unchanged(t, c)
		pid := 0
		v := c.look(t, wish{File: runtimes.OnlyHere}, asItIs, func(worker *testutil.Target) {
			pid = worker.PID
			require.Equal(t, c.links(types), worker.NamespaceLinks())
			require.Equal(t, c.MountTable(), worker.MountTable())
		})
		require.Equal(t, c.links(types), v.Links)
		require.Equal(t, c.host, v.Host)
		require.ElementsMatch(t, []string{"lo", "cont0"}, v.Interfaces)
		require.Equal(t, runtimes.OnlyHereText, v.File)
		require.Equal(t, pid, v.PID)
		require.Equal(t, 0, v.UID)
	})
}

func TestAllNamespaces(t *testing.T) {
	testutil.NeedKernel(t, 6, 11)
	inContainers(t, func(t *testing.T, c container) {
		unchanged(t, c)
		build := func(call *call.Call) *call.Call { return call.Namespaces(c.allTypes()...) }
		var seen map[string]string
		before := bootTime()
		v := c.look(t, wish{File: runtimes.OnlyHere}, build, func(worker *testutil.Target) {
			require.Equal(t, c.NamespaceLinks(), worker.NamespaceLinks())
			require.Equal(t, c.MountTable(), worker.MountTable())
			seen = status(text(worker.ProcDir() + "/status"))
		})
		require.Equal(t, c.NamespaceLinks(), v.Links)
		require.Equal(t, c.NamespaceLinks(), v.ProcLinks)
		require.Equal(t, c.Sh("cat /proc/self/mountinfo"), v.Mounts) // cgroups look different from outside
		require.Equal(t, c.host, v.Host)
		require.ElementsMatch(t, []string{"lo", "cont0"}, v.Interfaces)
		require.Equal(t, runtimes.OnlyHereText, v.File)
		nsPIDs := strings.Fields(seen["NSpid"])
		require.Equal(t, nsPIDs[len(nsPIDs)-1], strconv.Itoa(v.PID))
		require.Equal(t, 0, v.UID)
		require.Equal(t, all(c.base, 4), seen["Uid"])
		require.InDelta(t, before+int64(c.boot.Seconds()), v.Boot, 10)
	})
}

// all returns the number in the format of real, effective, saved and file system IDs in /proc/PID/status.
func all(id, times int) string {
	return strings.TrimSpace(strings.Repeat(strconv.Itoa(id)+" ", times))
}

func TestEachTypeAlone(t *testing.T) {
	testutil.NeedKernel(t, 6, 11)
	inContainers(t, func(t *testing.T, c container) {
		for _, one := range c.allTypes() {
			var v view
			require.NoError(t, c.newCall(t, "look").Namespaces(one).Arg(wish{}).SpawnInNamespaces(&v), one)
			require.Equal(t, c.links(species.Set(one)), v.Links, one)
		}
	})
}

func TestErrorsOfTheHandler(t *testing.T) {
	inContainers(t, func(t *testing.T, c container) {
		var content []byte
		require.NoError(t, c.newCall(t, "read file").Arg(runtimes.OnlyHere).SpawnInNamespaces(&content))
		require.Equal(t, runtimes.OnlyHereText, string(content))

		err := c.newCall(t, "read file").Arg("/etc/debian_version").SpawnInNamespaces(&content)
		require.ErrorIs(t, err, fs.ErrNotExist)
		var callError *call.Error
		require.ErrorAs(t, err, &callError)
		require.Equal(t, call.StageHandler, callError.Stage)

		err = c.newCall(t, "fail").Arg(int(unix.EMEDIUMTYPE)).SpawnInNamespaces(nil)
		require.ErrorIs(t, err, unix.EMEDIUMTYPE)
		require.ErrorContains(t, err, "on purpose: ")
	})
}

func TestContainerIsGone(t *testing.T) {
	inContainers(t, func(t *testing.T, c container) {
		gone := c.newCall(t, "look").Arg(wish{})
		c.Stop()
		for _, call := range []*call.Call{gone, c.newCall(t, "look").Arg(wish{})} {
			err := call.SpawnInNamespaces(nil)
			require.ErrorIs(t, err, unix.ESRCH)
		}
	})
}

func TestCallsAtTheSameTime(t *testing.T) {
	testutil.NeedKernel(t, 6, 11)
	inContainers(t, func(t *testing.T, c container) {
		const calls = 8
		want, got := c.NamespaceLinks(), make(chan any, calls)
		for range calls {
			one := c.newCall(t, "look").Namespaces(c.allTypes()...).Arg(wish{})
			go func() {
				var v view
				if err := one.SpawnInNamespaces(&v); err != nil {
					got <- err
				} else {
					got <- v.Links
				}
			}()
		}
		for range calls {
			require.Equal(t, want, <-got)
		}
	})
}

func TestNothingIsWrittenIntoTheContainer(t *testing.T) {
	inContainers(t, func(t *testing.T, c container) {
		before := tree(t, c.Root())
		require.NoError(t, c.newCall(t, "look").Arg(wish{}).SpawnInNamespaces(nil))
		require.NoError(t, c.newCall(t, "look").Namespaces(c.allTypes()...).RemountSys().DropPrivs().Arg(wish{}).SpawnInNamespaces(nil))
		require.Equal(t, before, tree(t, c.Root()))
	})
}

// tree returns names, modes and sizes of all files on the root's file system.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(root+"/", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := filepath.Base(path); d.IsDir() && (name == "proc" || name == "sys" || name == "dev") {
			return fs.SkipDir
		}
		info, err := os.Lstat(path)
		found[path] = info.Mode().String() + " " + strconv.FormatInt(info.Size(), 10)
		return err
	}))
	return found
}
