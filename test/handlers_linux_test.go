package test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/testutil"
	"github.com/nsops/nsops/species"
)

func init() {
	call.RegisterReexec("look", look, wish{})
	call.RegisterReexec("read file", readFile, "")
	call.RegisterReexec("fail", fail, 0)
}

func TestMain(m *testing.M) {
	call.HandleReexec()
	os.Exit(testutil.Run(m))
}

// wish says what the handler look does besides looking.
type wish struct {
	Wait bool   // until standard input ends, after a line on standard output
	File string // to be read
}

// view is what a handler sees from where it runs.
type view struct {
	Host       string
	Interfaces []string
	Sys        []string // interfaces in /sys/class/net
	File       string
	Links      map[string]string // from a pidfd, so independent of /proc
	ProcLinks  map[string]string // from /proc/self/ns
	Mounts     string            // from /proc/self/mountinfo
	Status     map[string]string // from /proc/self/status
	PID, UID   int
	Boot       int64 // seconds on the clock CLOCK_BOOTTIME
}

func look(arg any) (any, error) {
	w := arg.(*wish)
	if w.Wait {
		fmt.Println("there")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	v := view{PID: os.Getpid(), UID: os.Getuid(), Sys: names("/sys/class/net"), Links: ownLinks(), ProcLinks: procLinks(),
		Mounts: text("/proc/self/mountinfo"), Status: status(text("/proc/self/status"))}
	var err error
	if v.Host, err = os.Hostname(); err != nil {
		return nil, err
	}
	interfaces, err := net.Interfaces()
	for _, i := range interfaces {
		v.Interfaces = append(v.Interfaces, i.Name)
	}
	if err == nil && w.File != "" {
		v.File = text(w.File)
	}
	v.Boot = bootTime()
	return v, err
}

func bootTime() int64 {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return -1
	}
	return int64(now.Sec) //nolint:unconvert // it has 32 bits on some architectures
}

func readFile(arg any) (any, error) { return os.ReadFile(*arg.(*string)) }

func fail(arg any) (any, error) {
	return nil, fmt.Errorf("on purpose: %w", unix.Errno(*arg.(*int)))
}

func text(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func names(dir string) []string {
	var found []string
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		found = append(found, entry.Name())
	}
	return found
}

func status(text string) map[string]string {
	found := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		found[key] = strings.Join(strings.Fields(value), " ")
	}
	return found
}

func procLinks() map[string]string {
	links := map[string]string{}
	for t := range species.Set(species.AllNS).All() {
		links[t.Name()], _ = os.Readlink("/proc/self/ns/" + t.Name())
	}
	return links
}

// ownLinks returns the namespaces of this process by ioctls of linux/pidfd.h (Linux 6.11): the target's /proc does not
// show a worker that is outside of the target's PID namespace.
func ownLinks() map[string]string {
	requests := map[species.NamespaceType]uint{
		species.CLONE_NEWCGROUP: unix.PIDFD_GET_CGROUP_NAMESPACE,
		species.CLONE_NEWIPC:    unix.PIDFD_GET_IPC_NAMESPACE,
		species.CLONE_NEWNS:     unix.PIDFD_GET_MNT_NAMESPACE,
		species.CLONE_NEWNET:    unix.PIDFD_GET_NET_NAMESPACE,
		species.CLONE_NEWPID:    unix.PIDFD_GET_PID_NAMESPACE,
		species.CLONE_NEWTIME:   unix.PIDFD_GET_TIME_NAMESPACE,
		species.CLONE_NEWUSER:   unix.PIDFD_GET_USER_NAMESPACE,
		species.CLONE_NEWUTS:    unix.PIDFD_GET_UTS_NAMESPACE,
	}
	links := map[string]string{}
	pidfd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return links
	}
	defer unix.Close(pidfd)
	for t, request := range requests {
		if fd, err := unix.IoctlRetInt(pidfd, request); err == nil {
			var st unix.Stat_t
			_ = unix.Fstat(fd, &st)
			_ = unix.Close(fd)
			links[t.Name()] = species.NamespaceIDFromInode(st.Ino).LinkText(t)
		}
	}
	return links
}
