package call_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

// forgedProc is a script of the target's root. It makes a /proc whose links name the initial namespaces.
const forgedProc = `
mount -t tmpfs none /proc
for dir in 1 self thread-self; do
	mkdir -p /proc/$dir/ns /proc/$dir/fd
	for ns in cgroup ipc mnt net pid user uts time; do ln -s "$ns:[4026531840]" /proc/$dir/ns/$ns; done
	ln -s / /proc/$dir/root
	echo '0 0 4294967295' >/proc/$dir/uid_map
	ln -s /bin/sh /proc/$dir/exe
done`

func TestForgedProcIsNotRead(t *testing.T) {
	for _, o := range []testutil.TargetOptions{
		{Setup: forgedProc, Hostname: "forger"},
		{Setup: forgedProc, Hostname: "forger", OwnRoot: true},
		{Setup: forgedProc, Hostname: "forger", Types: allSet, UserBase: 100000},
	} {
		target := startTarget(t, o)
		for _, types := range []species.NamespaceType{defaultTypes, allTypes} {
			v := spawn[view](t, call.NewCall("look").TargetPid(target.PID).Namespaces(types))
			require.Equal(t, only(links(t, target, types), types), only(v.Namespaces, types))
			require.Equal(t, "forger", v.Host)
		}
	}
}

// fifos is a script that makes FIFOs wherever a worker might open a file: open(2) of one blocks.
var fifos = `
mount -t tmpfs none /proc
mkdir -p /proc/self/fd /proc/self/ns /proc/thread-self/ns /proc/sys/kernel /proc/sys/vm
for file in self/status self/stat self/auxv self/exe self/environ self/fd/0 self/fd/3 \
	self/ns/mnt self/ns/net self/ns/user thread-self/ns/mnt thread-self/ns/net meminfo cpuinfo stat filesystems mounts \
	sys/kernel/ngroups_max sys/kernel/osrelease sys/vm/overcommit_memory; do
	mkfifo /proc/$file
done
mkdir -p /etc
for file in nsswitch.conf ld.so.cache ld.so.preload localtime passwd group hosts resolv.conf locale.alias; do
	rm -f /etc/$file; mkfifo /etc/$file
done`

func TestFIFOsOfTheTargetHangNothing(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{OwnRoot: true, Setup: fifos})
	for _, types := range []species.NamespaceType{defaultTypes, allTypes} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		c := call.NewCall("look").TargetPid(target.PID).Namespaces(types).Context(ctx)
		require.Equal(t, "nsops-target", spawn[view](t, c).Host)
		require.Equal(t, "nsops-target", spawn[view](t, c.DropPrivs()).Host)
	}
}

// The Go runtime opens files of the target by itself: if one blocks, StartTimeout must end the call.
func TestHangOfTheRuntimeIsBounded(t *testing.T) {
	testutil.CheckLeaks(t)
	call.SetStartTimeout(t, 300*time.Millisecond)
	for _, file := range []string{"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "/proc/self/cgroup", "/proc/self/maps"} {
		script := "mount -t tmpfs none " + file[:5] + "; mkdir -p " + filepath.Dir(file) + "; mkfifo " + file
		target := startTarget(t, testutil.TargetOptions{OwnRoot: true, Setup: script})
		for _, types := range []species.NamespaceType{defaultTypes, allTypes} {
			c := call.NewCall("nothing").TargetPid(target.PID).Namespaces(types)
			requireTimeout(t, c, call.StageSpawn)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			requireTimeout(t, c.Context(ctx), call.StageSpawn)
		}
	}
}

func requireTimeout(t testing.TB, c *call.Call, stage call.Stage) {
	t.Helper()
	start := time.Now()
	require.ErrorIs(t, requireError(t, c.SpawnInNamespaces(nil), stage), context.DeadlineExceeded)
	require.Less(t, time.Since(start), 3*time.Second)
}

// runtimeFiles are the files that the Go runtime opens in a worker: we cannot prevent that.
var runtimeFiles = regexp.MustCompile(`^(/proc/self/(cgroup|mountinfo|maps)|/sys/fs/cgroup/.*|` +
	`/sys/kernel/mm/transparent_hugepage/hpage_pmd_size)$`)

func TestNothingOfTheTargetIsOpened(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	for name, r := range map[string]request{
		"default":   {Types: defaultSet},
		"pid":       {Types: allSet},
		"DropPrivs": {Types: allSet, DropPrivs: true},
	} {
		r.Handler, r.Pid = "nothing", target.PID
		joined, files := trace(t, r)
		require.True(t, joined, name)
		for _, file := range files {
			require.Regexp(t, runtimeFiles, file, name)
		}
	}
}

var (
	traceLine = regexp.MustCompile(`^(\d+) +(\w+)\(`)
	resumed   = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>`)
	created   = regexp.MustCompile(`= (\d+)$`)
	quoted    = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)
)

// strace runs a call under strace(1) and returns its output for some system calls.
func strace(t testing.TB, r request, calls string) string {
	t.Helper()
	testutil.NeedCommand(t, "strace")
	log := t.TempDir() + "/log"
	cmd := role(t, "caller", r.json())
	args := append([]string{"-f", "-o", log, "-e", "trace=" + calls, testBinary(t)}, cmd.Args[1:]...)
	traced := exec.Command("strace", args...)
	traced.Env = cmd.Env
	require.Empty(t, callIn(t, traced).Failure)
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	return string(text)
}

// The worker must be hardened before setns(2), so that the target's root never sees it otherwise.
func TestWorkerIsHardenedBeforeItJoins(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{Types: allSet, UserBase: 100000})
	text := strace(t, request{Handler: "nothing", Pid: target.PID, Types: allSet}, "prctl,setgroups,keyctl,setns")
	before, _, joined := strings.Cut(text, "CLONE_NEWUSER|")
	require.True(t, joined, text)
	worker := regexp.MustCompile(`(?m)^(\d+) +setns\([^)]*$`).FindStringSubmatch(before)
	require.Len(t, worker, 2)
	for _, call := range []string{
		`prctl\(PR_SET_DUMPABLE, (0|SUID_DUMP_DISABLE)`, `setgroups\(0, NULL\) += 0`, `keyctl\(KEYCTL_JOIN_SESSION_KEYRING, NULL\)`,
		`prctl\(PR_SET_PDEATHSIG, SIGKILL\)`,
	} {
		require.Regexp(t, `(?m)^`+worker[1]+` +`+call, before)
	}
}

// trace returns the paths that processes have used after the join.
func trace(t testing.TB, r request) (joined bool, files []string) {
	t.Helper()
	text := strace(t, r, "%file,setns,clone,clone3,vfork,fork")
	inside := map[string]bool{}
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		line := lines.Text()
		call := traceLine.FindStringSubmatch(line)
		if call == nil {
			call = resumed.FindStringSubmatch(line)
		}
		switch child := created.FindStringSubmatch(line); {
		case call == nil:
		case call[2] == "setns" && strings.HasSuffix(line, "= 0"):
			inside[call[1]] = true
		case inside[call[1]] && (call[2] == "clone" || call[2] == "clone3") && child != nil:
			inside[child[1]] = true
		case inside[call[1]] && !strings.HasPrefix(call[2], "getcwd") && call[2] != "chdir" && call[2] != "chroot":
			for _, path := range quoted.FindAllStringSubmatch(line, 1) {
				if path[1] != "" { // AT_EMPTY_PATH
					files = append(files, path[1])
				}
			}
		}
	}
	return len(inside) > 0, files
}
