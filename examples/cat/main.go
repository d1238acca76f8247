// Command cat prints a file of a container: cat CONTAINER|PID PATH.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/species"
)

// read runs inside the container, as a process of its own.
var read = call.NewFunc("read", func(_ context.Context, path string) ([]byte, error) { return os.ReadFile(path) })

func main() {
	call.HandleReexec() // inside the container this runs the function and exits; elsewhere it returns
	if len(os.Args) != 3 {
		exit("usage: cat CONTAINER|PID PATH")
	}
	target := call.Container(os.Args[1])
	if pid, err := strconv.Atoi(os.Args[1]); err == nil {
		target = call.PID(pid)
	}
	text, err := read.In(target, call.Require(species.CLONE_NEWNS)).Do(context.Background(), os.Args[2]) // never a file of the host
	if err != nil {
		exit(err)
	}
	fmt.Printf("%s", text)
}

func exit(why any) {
	fmt.Fprintln(os.Stderr, "cat:", why)
	os.Exit(1)
}
