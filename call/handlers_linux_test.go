package call_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// view is what a worker sees of itself.
type view struct {
	PID, PPID, SID, UID, GID int
	Groups                   []int
	Host, Dir                string
	Args, Env                []string
	Namespaces               map[string]uint64 // inode numbers, of the types that can be read
}

func look(any) (any, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	groups, err := os.Getgroups()
	if err != nil {
		return nil, err
	}
	v := view{PID: os.Getpid(), PPID: os.Getppid(), UID: os.Getuid(), GID: os.Getgid(), Groups: groups,
		Args: os.Args, Env: os.Environ(), Namespaces: map[string]uint64{}}
	v.SID, _ = unix.Getsid(0)
	v.Host, _ = os.Hostname()
	v.Dir, _ = unix.Getwd()
	for ns := range species.Set(allTypes).All() {
		if id, err := sys.ThreadNamespaceID(ns); err == nil { // before Linux 6.11 it requires a /proc that shows this process
			v.Namespaces[ns.Name()] = id.Ino
		}
	}
	return v, nil
}

type person struct {
	Name string
	Age  int
}

func init() {
	handlers := []struct {
		name    string
		handler call.ReexecHandler
		arg     any
	}{
		{"look", look, nil},
		{"nothing", func(any) (any, error) { return nil, nil }, nil},
		{"type of nil", typeOf, nil},
		{"type of string", typeOf, ""},
		{"type of value", typeOf, person{}},
		{"type of pointer", typeOf, &person{}},
		{"type of slice", typeOf, []int{}},
		{"person", func(arg any) (any, error) { return arg, nil }, person{}},
		{"echo", func(arg any) (any, error) { return *arg.(*string), nil }, ""},
		{"read", readFile, ""},
		{"sh", shell, ""},
		{"print", printLine, ""},
		{"errors", returnError, ""},
		{"die", die, ""},
		{"hang", hang, ""},
		{"block", block, nil},
		{"sleep", func(arg any) (any, error) { time.Sleep(*arg.(*time.Duration)); return nil, nil }, time.Second},
	}
	for _, h := range handlers {
		call.RegisterReexec(h.name, h.handler, h.arg)
	}
}

func typeOf(arg any) (any, error) { return fmt.Sprintf("%T", arg), nil }

func readFile(arg any) (any, error) {
	text, err := os.ReadFile(*arg.(*string))
	return string(text), err
}

func shell(arg any) (any, error) {
	cmd := exec.Command("/bin/sh", "-c", *arg.(*string))
	text, err := cmd.Output()
	return string(text), err
}

func printLine(arg any) (any, error) {
	fmt.Println(*arg.(*string))
	fmt.Fprintln(os.Stderr, "stderr: "+*arg.(*string))
	return len(*arg.(*string)), nil
}

// typedError is an error type of the program's own.
type typedError struct{ code int }

func (e *typedError) Error() string { return fmt.Sprint("typed ", e.code) }
func (e *typedError) Unwrap() error { return unix.ENOSPC }

func returnError(arg any) (any, error) {
	_, notExist := os.Stat("/does/not/exist")
	var joined = errors.Join(unix.EXDEV, fmt.Errorf("wrapped: %w", io.ErrUnexpectedEOF))
	return "ignored", map[string]error{
		"EPERM":    unix.EPERM,
		"ESRCH":    unix.ESRCH,
		"stat":     notExist,
		"ErrExist": fs.ErrExist,
		"wrapped":  fmt.Errorf("one: %w", fmt.Errorf("two: %w", unix.EPERM)),
		"joined":   joined,
		"two":      fmt.Errorf("both: %w, %w", unix.ENETDOWN, os.ErrDeadlineExceeded),
		"typed":    &typedError{42},
		"text":     errors.New("just text\nof two lines \xff"),
		"empty":    errors.New(""),
	}[*arg.(*string)]
}

// die ends a handler otherwise than by returning.
func die(arg any) (any, error) {
	switch *arg.(*string) {
	case "panic":
		panic("the value")
	case "panic error":
		panic(fmt.Errorf("wrapped: %w", unix.EBUSY))
	case "panic nil":
		panic(any(nil))
	case "goroutine":
		go panic("elsewhere")
		select {}
	case "nil map":
		var m map[string]int
		m["x"]++
	case "exit 3":
		os.Exit(3)
	case "exit 0":
		os.Exit(0)
	case "SIGKILL":
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	case "SIGTERM":
		_ = unix.Kill(os.Getpid(), unix.SIGTERM)
		select {}
	case "goexit":
		runtime.Goexit()
	}
	return strings.ToUpper(*arg.(*string)), nil
}

// hang starts a sleeping child, with the argument as its time, in its own process group, and blocks.
func hang(arg any) (any, error) {
	if err := exec.Command("/bin/sleep", *arg.(*string)).Start(); err != nil {
		return nil, err
	}
	return block(nil)
}

// block prints that it runs, and blocks.
func block(any) (any, error) {
	fmt.Println("ready")
	for {
		time.Sleep(time.Hour)
	}
}
