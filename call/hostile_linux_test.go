package call_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/species"
)

// These workers are controlled by a hostile target: they write to the channel themselves. No record of theirs may harm
// the caller or block it.

// channel is a worker's descriptor.
const channel = 3

// forgery is a message of such a worker.
type forgery struct {
	Record wire.Record
	Body   string
	Raw    bool   // the message is the body alone
	File   string // path of a file whose descriptor is sent with it
	Flood  bool   // send it in a loop
	Return bool   // the handler then returns without an error
}

func init() {
	call.RegisterReexec("forge", func(arg any) (any, error) {
		f := arg.(*forgery)
		message := append(wire.AppendRecord(nil, f.Record), f.Body...)
		if f.Raw {
			message = []byte(f.Body)
		}
		var rights []byte
		if f.File != "" {
			fd, err := unix.Open(f.File, unix.O_RDWR|unix.O_NONBLOCK, 0)
			if err != nil {
				fd, err = unix.Open(f.File, unix.O_RDONLY, 0)
			}
			if err != nil {
				return nil, err
			}
			rights = unix.UnixRights(fd)
		}
		if err := unix.Sendmsg(channel, message, rights, nil, 0); err != nil {
			return nil, err
		}
		for f.Flood {
			_ = unix.Sendmsg(channel, message, nil, nil, 0)
		}
		if f.Return {
			return "returned", nil
		}
		return block(nil)
	}, forgery{})
	call.RegisterReexec("fuse", func(any) (any, error) { return nil, sendFUSE() }, nil)
}

// sendFUSE sends as its result a file of a file system that never answers.
func sendFUSE() error {
	fuse, err := unix.Open("/dev/fuse", unix.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := unix.Mount("fuse", "/mnt", "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse)); err != nil {
		return err
	}
	root, err := unix.Open("/mnt", unix.O_PATH, 0)
	if err != nil {
		return err
	}
	message := wire.AppendRecord(nil, wire.Record{Kind: wire.KindResult, Size: 1 << 20})
	if err := unix.Sendmsg(channel, message, unix.UnixRights(root), nil, 0); err != nil {
		return err
	}
	_, err = block(nil)
	return err
}

// endure makes a call with a hostile worker. The call must end soon.
func endure(t testing.TB, c *call.Call) error {
	t.Helper()
	return endureFor(t, 300*time.Millisecond, c)
}

// endureFor does so with another time limit, for workers that end by themselves or must start their handler.
func endureFor(t testing.TB, d time.Duration, c *call.Call) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- c.Context(ctx).Stdout(new(bytes.Buffer)).SpawnInNamespaces(new(any)) }()
	select {
	case err := <-done:
		return err
	case <-time.After(8 * time.Second):
		t.Error("the worker blocks its caller")
		return nil
	}
}

func TestWorkerCannotNameAVictim(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	for _, types := range []species.NamespaceType{defaultTypes, allTypes} {
		for _, back := range []bool{false, true} {
			child, stranger := exec.Command("sleep", "1000"), 0
			require.NoError(t, child.Start())
			text, err := exec.Command("setsid", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!").Output()
			require.NoError(t, err)
			stranger, err = strconv.Atoi(strings.TrimSpace(string(text)))
			require.NoError(t, err)
			for _, victim := range []int{child.Process.Pid, stranger} {
				f := forgery{Record: wire.Record{Kind: wire.KindForked, Pid: int32(victim)}, Return: back}
				_ = endure(t, call.NewCall("forge").Arg(f).TargetPid(target.PID).Namespaces(types))
				require.False(t, gone(victim), "killed by the caller, joined %v", types)
			}
			require.NoError(t, child.Process.Kill())
			require.Error(t, child.Wait(), "and it is still ours to wait for")
			require.NoError(t, unix.Kill(stranger, unix.SIGKILL))
		}
	}
}

func TestWorkerThatFloodsIsBounded(t *testing.T) {
	needBootstrap(t)
	testutil.CheckLeaks(t)
	for _, kind := range []uint16{wire.KindReady, wire.KindJoined, wire.KindForked, wire.KindCall} {
		f := forgery{Record: wire.Record{Kind: kind, Pid: 1}, Flood: true}
		require.Error(t, endure(t, ours("forge").Arg(f)), "kind %d", kind)
	}
}

func TestFileThatNeverAnswersIsNotRead(t *testing.T) {
	target := startTarget(t, testutil.TargetOptions{})
	if _, err := os.Stat("/dev/fuse"); err != nil {
		testutil.Skip(t, "needs /dev/fuse")
	}
	testutil.CheckLeaks(t)
	require.Error(t, endure(t, call.NewCall("fuse").TargetPid(target.PID)))
}

func TestForgedMessagesAreErrors(t *testing.T) {
	needBootstrap(t)
	testutil.CheckLeaks(t)
	call.SetExitTimeout(t, 200*time.Millisecond)
	result := wire.Record{Kind: wire.KindResult}
	sized := func(size uint64) wire.Record { return wire.Record{Kind: wire.KindResult, Size: size} }
	fifo := t.TempDir() + "/fifo"
	require.NoError(t, unix.Mkfifo(fifo, 0o600))
	forgeries := map[string]forgery{
		"empty message":      {Raw: true},
		"garbage":            {Raw: true, Body: "garbage"},
		"zeros":              {Raw: true, Body: string(make([]byte, wire.RecordSize))},
		"record too long":    {Raw: true, Body: strings.Repeat("x", wire.MaxMessage+1)},
		"unknown kind":       {Record: wire.Record{Kind: 99}},
		"result of nothing":  {Record: result, Return: true},
		"result too short":   {Record: sized(10), Body: "12345"},
		"result too long":    {Record: sized(1), Body: "12345"},
		"result too large":   {Record: sized(1 << 62)},
		"result not JSON":    {Record: sized(5), Body: "{nope", Return: true},
		"failure of nothing": {Record: wire.Record{Kind: wire.KindResult, Stage: wire.OutcomeFailure}},
		"unknown outcome":    {Record: wire.Record{Kind: wire.KindResult, Stage: 77}},
		"FIFO":               {Record: sized(1 << 20), File: fifo},
		"device":             {Record: sized(1 << 20), File: "/dev/zero"},
		"folder":             {Record: sized(1 << 20), File: "/"},
		"file too short":     {Record: sized(1 << 40), File: "/etc/passwd"},
		"file of proc":       {Record: sized(1 << 20), File: "/proc/self/mem"},
		"file and body":      {Record: sized(5), Body: "12345", File: "/etc/passwd"},
		"failed":             {Record: wire.Record{Kind: wire.KindFailed, Stage: 99, Type: 0xffffffff, Errno: -1}},
	}
	type end struct {
		name  string
		start time.Time
		err   error
	}
	ends := make(chan end)
	for name, f := range forgeries {
		start := time.Now()
		go func() { ends <- end{name, start, endure(t, ours("forge").Arg(f))} }()
	}
	for range len(forgeries) {
		e := <-ends
		var err *call.Error
		require.ErrorAs(t, e.err, &err, e.name)
		require.NotEmpty(t, err.Error())
		require.Less(t, time.Since(e.start), 6*time.Second, e.name)
	}
}
