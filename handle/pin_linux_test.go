package handle_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func TestPinsAreThoseOfIP(t *testing.T) {
	both(t, species.CLONE_NEWNET, func(t *testing.T) {
		lock(t)
		home, err := handle.Get()
		require.NoError(t, err)
		defer func() { _ = home.Close() }()

		ours, err := handle.NewNamed("ours")
		require.NoError(t, err)
		defer func() { _ = ours.Close() }()
		require.Equal(t, id(t, ours), here(t, species.CLONE_NEWNET), "NewNamed switches")
		require.NoError(t, handle.Set(home))
		run(t, "ip", "netns", "add", "theirs")

		names, err := handle.List()
		require.NoError(t, err)
		require.Equal(t, []string{"ours", "theirs"}, names)
		require.ElementsMatch(t, names, strings.Fields(run(t, "ip", "netns", "list")))
		theirs, err := handle.GetFromName("theirs")
		require.NoError(t, err)
		defer func() { _ = theirs.Close() }()
		require.Equal(t, id(t, theirs).LinkText(species.CLONE_NEWNET),
			run(t, "ip", "netns", "exec", "theirs", "readlink", "/proc/self/ns/net"))
		require.Equal(t, id(t, ours).LinkText(species.CLONE_NEWNET),
			run(t, "ip", "netns", "exec", "ours", "readlink", "/proc/self/ns/net"))

		run(t, "ip", "netns", "delete", "ours")
		_, err = handle.GetFromName("ours")
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NoError(t, handle.DeleteNamed("theirs"))
		require.Empty(t, run(t, "ip", "netns", "list"))
		require.ErrorIs(t, handle.DeleteNamed("theirs"), fs.ErrNotExist)
		checkUnpinned(t)
	})
}

// checkUnpinned fails the test if a file or a mount is left in the directory of the pins.
func checkUnpinned(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir("/run/netns")
	require.NoError(t, err)
	require.Empty(t, entries)
	for _, point := range mountsInRun(t) {
		require.NotContains(t, point, "/run/netns/")
	}
}

// mountsInRun returns the mount points below the test's own /run, not those that it hides: the machine's pins are still
// in the table of mounts.
func mountsInRun(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	within := map[string]bool{mountID(t, "/run"): true}
	var points []string
	for changed := true; changed; { // the order of the lines is not said
		changed = false
		for _, line := range lines {
			fields := strings.Fields(line) // man 5 proc_pid_mountinfo
			if id, parent, point := fields[0], fields[1], fields[4]; within[parent] && !within[id] {
				within[id], changed = true, true
				points = append(points, point)
			}
		}
	}
	return points
}

// mountID returns the number of the mount that is seen at the path.
func mountID(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	text, err := os.ReadFile("/proc/self/fdinfo/" + itoa(int(f.Fd())))
	require.NoError(t, err)
	_, after, found := strings.Cut(string(text), "mnt_id:")
	require.True(t, found)
	return strings.Fields(after)[0]
}

// A mount namespace that was made earlier sees a later pin, since the directory is a shared mount from the first one on.
func TestPinsShowInOtherMountNamespaces(t *testing.T) {
	both(t, species.CLONE_NEWNET, func(t *testing.T) {
		lock(t)
		home, err := handle.Get()
		require.NoError(t, err)
		defer func() { _ = home.Close() }()
		first, err := handle.NewNamed("first")
		require.NoError(t, err)
		defer func() { _ = first.Close() }()
		require.NoError(t, handle.Set(home))

		testutil.NeedCommand(t, "ip")
		inside := exec.Command("ip", "netns", "exec", "first", "sleep", "1000")
		require.NoError(t, inside.Start())
		defer func() {
			_ = inside.Process.Kill()
			_ = inside.Wait()
		}()
		require.Eventually(t, func() bool {
			name, err := os.ReadFile("/proc/" + itoa(inside.Process.Pid) + "/comm")
			return err == nil && string(name) == "sleep\n"
		}, 10*time.Second, time.Millisecond)

		second, err := handle.NewNamed("second")
		require.NoError(t, err)
		defer func() { _ = second.Close() }()
		require.NoError(t, handle.Set(home))
		seen, err := os.Stat("/proc/" + itoa(inside.Process.Pid) + "/root/run/netns/second")
		require.NoError(t, err)
		require.Equal(t, id(t, second).Ino, seen.Sys().(*syscall.Stat_t).Ino)
		require.NoError(t, handle.DeleteNamed("second"))
		require.NoError(t, handle.DeleteNamed("first"), "while in use")
		checkUnpinned(t)
	})
}

func TestNewNamedThatFailsChangesNothing(t *testing.T) {
	both(t, species.CLONE_NEWNET, func(t *testing.T) {
		lock(t)
		before := here(t, species.CLONE_NEWNET)
		require.NoError(t, os.MkdirAll("/run/netns", 0o755))
		require.NoError(t, os.WriteFile("/run/netns/taken", nil, 0o600))
		require.NoError(t, os.Symlink("/run/elsewhere", "/run/netns/link"))
		for _, name := range []string{"taken", "link"} {
			_, err := handle.NewNamed(name)
			require.ErrorIs(t, err, fs.ErrExist)
			require.ErrorContains(t, err, "/run/netns/"+name)
		}
		require.NoFileExists(t, "/run/elsewhere")
		for _, name := range []string{"", ".", "..", "../x", "a/b", "/x", "x\x00y", strings.Repeat("n", 256)} {
			_, err := handle.NewNamed(name)
			require.ErrorIs(t, err, syscall.EINVAL, "%q", name)
			_, err = handle.GetFromName(name)
			require.ErrorIs(t, err, syscall.EINVAL, "%q", name)
			require.ErrorIs(t, handle.DeleteNamed(name), syscall.EINVAL, "%q", name)
		}
		require.Equal(t, before, here(t, species.CLONE_NEWNET))
		entries, err := os.ReadDir("/run/netns")
		require.NoError(t, err)
		require.Len(t, entries, 2)

		names, err := handle.List()
		require.NoError(t, err)
		require.Empty(t, names, "stale files are no pins")
		_, err = handle.GetFromName("taken")
		require.ErrorIs(t, err, syscall.EINVAL)
		require.NoError(t, handle.DeleteNamed("taken"), "a stale file")
		require.ErrorIs(t, handle.DeleteNamed("link"), syscall.EINVAL, "not ours to delete")
		require.NoError(t, os.WriteFile("/run/netns/full", []byte("text"), 0o600))
		require.ErrorIs(t, handle.DeleteNamed("full"), syscall.EINVAL, "somebody's file")
	})
}

func TestDeleteNamedOfBusyAndHalfDeletedPins(t *testing.T) {
	both(t, species.CLONE_NEWNET, func(t *testing.T) {
		network := handle.Of(species.CLONE_NEWNET)
		ns := newNetwork(t)
		pin := filepath.Join("/run/netns", "x")
		require.NoError(t, network.Pin("x", ns))
		require.ErrorIs(t, network.Pin("x", ns), fs.ErrExist)
		held, err := os.Open(pin)
		require.NoError(t, err)
		defer func() { _ = held.Close() }()
		require.NoError(t, syscall.Mount(pin, pin, "", syscall.MS_BIND, ""), "a second layer")
		require.NoError(t, handle.DeleteNamed("x"))
		checkUnpinned(t)

		require.NoError(t, network.Pin("x", ns))
		require.NoError(t, syscall.Unmount(pin, 0))
		require.NoError(t, handle.DeleteNamed("x"), "its mount is gone already")
		checkUnpinned(t)
	})
}

// A mount that fails leaves no file: a mount namespace cannot be mounted in itself.
func TestFailedPinLeavesNoFile(t *testing.T) {
	both(t, species.CLONE_NEWNET, func(t *testing.T) {
		lock(t)
		mnt := handle.Of(species.CLONE_NEWNS)
		self, err := mnt.Get()
		require.NoError(t, err)
		defer func() { _ = self.Close() }()
		err = mnt.Pin("self", self)
		require.ErrorIs(t, err, syscall.EINVAL)
		require.ErrorContains(t, err, "/run/nsops/mnt/self")
		entries, err := os.ReadDir("/run/nsops/mnt")
		require.NoError(t, err)
		require.Empty(t, entries)
		require.ErrorIs(t, handle.Of(species.CLONE_NEWUTS).Pin("self", self), syscall.EINVAL)
		require.NoDirExists(t, "/run/nsops/uts")
	})
}

func TestPinsOfEveryType(t *testing.T) {
	both(t, 0, func(t *testing.T) {
		pinToOneCPU(t) // the kernel wants a pinned mount namespace to be younger, by numbers that are given out per CPU
		onThrowAwayThread(t, func() {
			outer, err := handle.Of(species.CLONE_NEWNS).New()
			require.NoError(t, err)
			defer func() { _ = outer.Close() }()
			for of := range species.Set(species.AllNS).All() {
				checkPin(t, of)
			}
		})
		onThrowAwayThread(t, func() {
			ns, err := handle.Of(species.CLONE_NEWUTS).NewNamed("new")
			require.NoError(t, err)
			require.Equal(t, id(t, ns), here(t, species.CLONE_NEWUTS))
			require.NoError(t, ns.Close())
			require.NoError(t, handle.Of(species.CLONE_NEWUTS).DeleteNamed("new"))
		})
		for _, of := range []handle.Of{handle.CLONE_NEWUSER, handle.CLONE_NEWPID, handle.Of(species.CLONE_NEWTIME)} {
			_, err := of.NewNamed("new")
			require.ErrorIs(t, err, handle.ErrNeedsReexec)
		}
	})
}

// The fallback of look-ups: on systems where /var/run is no link to /run.
func TestPinsInVarRun(t *testing.T) {
	both(t, species.CLONE_NEWNET, func(t *testing.T) {
		run(t, "mount", "-t", "tmpfs", "none", "/var")
		t.Cleanup(func() { _ = syscall.Unmount("/var", syscall.MNT_DETACH) })
		require.NoError(t, os.MkdirAll("/var/run/netns", 0o755))
		require.NoError(t, os.WriteFile("/var/run/netns/old", nil, 0o444))
		require.NoError(t, syscall.Mount("/proc/self/ns/net", "/var/run/netns/old", "", syscall.MS_BIND, ""))
		ns, err := handle.GetFromName("old")
		require.NoError(t, err)
		require.NoError(t, ns.Close())
		names, err := handle.List()
		require.NoError(t, err)
		require.Equal(t, []string{"old"}, names)
		require.NoError(t, handle.DeleteNamed("old"))
	})
}

// New pins go where a container has the directory of its host, if it has no other.
func TestNewPinsInVarRun(t *testing.T) {
	both(t, species.CLONE_NEWNET, func(t *testing.T) {
		lock(t)
		run(t, "mount", "-t", "tmpfs", "none", "/var")
		t.Cleanup(func() { _ = syscall.Unmount("/var", syscall.MNT_DETACH) })
		require.NoError(t, os.MkdirAll("/var/run/netns", 0o755))
		home, err := handle.Get()
		require.NoError(t, err)
		defer func() { _ = home.Close() }()
		ns, err := handle.NewNamed("new")
		require.NoError(t, err)
		require.NoError(t, handle.Set(home))
		defer func() { _ = ns.Close() }()
		require.Equal(t, id(t, ns), id(t, handle.NamespacePath("/var/run/netns/new")))
		require.NoFileExists(t, "/run/netns/new")
		names, err := handle.List()
		require.NoError(t, err)
		require.Equal(t, []string{"new"}, names)

		require.NoError(t, os.Mkdir("/run/netns", 0o755))
		require.NoError(t, handle.Of(species.CLONE_NEWNET).Pin("run", ns))
		require.Equal(t, id(t, ns), id(t, handle.NamespacePath("/run/netns/run")), "as soon as there is the other")
		require.NoError(t, handle.DeleteNamed("run"))
		require.NoError(t, handle.DeleteNamed("new"))
		require.NoError(t, syscall.Unmount("/run/netns", syscall.MNT_DETACH))
	})
}

// Any user may hold the lock of the directory, for ever.
func TestPinsWhoseLockIsHeld(t *testing.T) {
	alone(t, species.CLONE_NEWNET, func(t *testing.T) {
		lock(t)
		defer handle.SetPinPatience(100 * time.Millisecond)()
		home := here(t, species.CLONE_NEWNET)
		ns := newNetwork(t)
		hold := func(dir string) *os.File {
			require.NoError(t, os.MkdirAll(dir, 0o755))
			f, err := os.Open(dir)
			require.NoError(t, err)
			require.NoError(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
			return f
		}
		for of, dir := range map[species.NamespaceType]string{species.CLONE_NEWNET: "/run/netns", species.CLONE_NEWUTS: "/run/nsops/uts"} {
			holder := hold(dir)
			done := make(chan error, 1)
			go func() {
				got, err := handle.Execute(func() error { return second(handle.Of(of).NewNamed("held")) })
				done <- errors.Join(got, err)
			}()
			select {
			case err := <-done:
				require.ErrorIs(t, err, syscall.ETIMEDOUT)
				require.ErrorContains(t, err, "lock "+dir)
				require.ErrorContains(t, err, "process "+itoa(os.Getpid())+" has held it")
			case <-time.After(10 * time.Second):
				t.Fatal("it waits for ever")
			}
			require.Equal(t, home, here(t, species.CLONE_NEWNET))
			require.NoFileExists(t, dir+"/held")
			require.NoError(t, holder.Close())
		}
		require.NoError(t, handle.Of(species.CLONE_NEWNET).Pin("first", ns))
		holder := hold("/run/netns") // of the directory that is mounted by now
		require.NoError(t, handle.Of(species.CLONE_NEWNET).Pin("second", ns), "there is nothing to lock any more")
		require.NoError(t, holder.Close())
		require.NoError(t, handle.DeleteNamed("first"))
		require.NoError(t, handle.DeleteNamed("second"))
	})
}

// However many start at once, with those of ip among them, the directory is mounted once.
func TestPinsAtOnce(t *testing.T) {
	alone(t, species.CLONE_NEWNET, func(t *testing.T) {
		testutil.NeedCommand(t, "ip")
		var all sync.WaitGroup
		errs := make(chan error, 32)
		for i := range cap(errs) {
			all.Go(func() {
				if i%4 == 0 {
					errs <- exec.CommandContext(t.Context(), "ip", "netns", "add", "ip"+itoa(i)).Run()
					return
				}
				_, err := handle.Execute(func() error {
					ns, err := handle.NewNamed("x" + itoa(i))
					_ = ns.Close()
					errs <- err
					return nil
				})
				if err != nil {
					errs <- err
				}
			})
		}
		all.Wait()
		close(errs)
		for err := range errs {
			require.NoError(t, err)
		}
		directories := slices.DeleteFunc(mountsInRun(t), func(point string) bool { return point != "/run/netns" })
		require.Len(t, directories, 1)
		names, err := handle.List()
		require.NoError(t, err)
		require.Len(t, names, cap(errs))
		for _, name := range names {
			require.NoError(t, handle.DeleteNamed(name))
		}
		checkUnpinned(t)
	})
}

func checkPin(t *testing.T, of species.NamespaceType) {
	t.Helper()
	name := "pin-" + of.Name()
	created, err := handle.Create(of)
	require.NoError(t, err, of)
	require.NoError(t, handle.Of(of).Pin(name, created[0]), of)
	names, err := handle.Of(of).List()
	require.NoError(t, err)
	require.Equal(t, []string{name}, names)
	ns, err := handle.Of(of).GetFromName(name)
	require.NoError(t, err)
	require.Equal(t, id(t, created[0]), id(t, ns))
	require.NoError(t, ns.Close())
	require.NoError(t, created[0].Close())
	require.NoError(t, handle.Of(of).DeleteNamed(name))
	names, err = handle.Of(of).List()
	require.NoError(t, err)
	require.Empty(t, names)
}
