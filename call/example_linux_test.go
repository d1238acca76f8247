package call_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/species"
)

// addresses is a handler: it runs as a process of its own in the target's namespaces.
func addresses(any) (any, error) {
	link, err := net.InterfaceByName("eth0")
	if err != nil {
		return nil, err
	}
	all, err := link.Addrs()
	if err != nil {
		return nil, err
	}
	texts := make([]string, 0, len(all))
	for _, a := range all {
		texts = append(texts, a.String())
	}
	return texts, nil
}

// Options of a typed function have the names of the methods of Call. This one is called in main, after HandleReexec.
var hasFile = call.NewFunc("has file", func(_ context.Context, path string) (bool, error) {
	_, err := os.Stat(path)
	return err == nil, err
})

// Ask a container, as nobody, whether it has a file.
func Example() {
	call.HandleReexec() // first in main: here the worker's run ends

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	has, err := hasFile.In(call.Container("web-1"), call.AllTypes, call.DropPrivs).Do(ctx, "/etc/os-release")
	switch {
	case errors.Is(err, call.ErrTargetGone), errors.Is(err, handle.ErrUnknownContainer):
		fmt.Println("it does not run any more")
	case errors.Is(err, fs.ErrNotExist):
		fmt.Println("no such file")
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(has)
	}
}

// A CNI plugin has a path to a network namespace, and no process.
func ExampleRefs() {
	netns := handle.NamespacePath(os.Getenv("CNI_NETNS"))
	has, err := hasFile.In(call.Refs(netns)).Do(context.Background(), "/proc/sys/net/ipv6")
	fmt.Println(has, err)
}

// Sysctls of the network namespace can be read and written on a thread.
func ExampleInThread() {
	has, err := hasFile.In(call.PID(4711), call.Types(species.CLONE_NEWNET), call.InThread).
		Do(context.Background(), "/proc/thread-self/net/if_inet6")
	fmt.Println(has, err)
}

// The sentinels of a program survive when they are registered.
func ExampleRegisterError() {
	errBusy := errors.New("busy") // a package variable, registered by an init function
	call.RegisterError("example busy", errBusy)
	_, err := hasFile.In(call.PID(4711)).Do(context.Background(), "/lock")
	fmt.Println(errors.Is(err, errBusy))
}

// Ask a container for the addresses of its eth0, by the API of nsfix.
func ExampleNewCall() {
	call.RegisterReexec("addresses", addresses, nil) // in every run of the program
	call.HandleReexec()                              // first in main: here the worker's run ends

	var got []string
	err := call.NewCall("addresses").TargetPid(4711).MustDiffer(species.CLONE_NEWNET).SpawnInNamespaces(&got)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(got)
}

// An argument has the type that the handler is registered with, and arrives as a pointer to it. Errors of a handler keep
// their errno, and a call can have a deadline.
func ExampleCall_Arg() {
	call.RegisterReexec("size", func(arg any) (any, error) {
		info, err := os.Stat(*arg.(*string))
		if err != nil {
			return nil, err
		}
		return info.Size(), nil
	}, "")
	call.HandleReexec()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var size int64
	err := call.NewCall("size").Context(ctx).TargetPid(4711).MustDiffer(species.CLONE_NEWNS).
		Arg("/etc/os-release").SpawnInNamespaces(&size)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fmt.Println("the container has no such file, or there is no such process")
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(size, "bytes")
	}
}

// Where it failed says what a caller can do about it.
func ExampleError() {
	var size int64
	err := call.NewCall("size").TargetPid(4711).Arg("/etc/os-release").SpawnInNamespaces(&size)
	var e *call.Error
	if !errors.As(err, &e) {
		return
	}
	switch e.Stage {
	case call.StageTarget:
		fmt.Println("ask for the container's process again:", e)
	case call.StageHandler:
		fmt.Println("it ran, and failed:", e)
	default:
		fmt.Println(e)
	}
}
