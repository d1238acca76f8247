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

// Ask a container for the addresses of its eth0.
func Example() {
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
