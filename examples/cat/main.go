// Command cat prints a file of a container: cat PID PATH.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/species"
)

func main() {
	call.RegisterReexec("read", read, "")
	call.HandleReexec() // inside the container this runs the handler and exits; elsewhere it returns
	if len(os.Args) != 3 {
		exit("usage: cat PID PATH")
	}
	pid, err := strconv.Atoi(os.Args[1])
	if err != nil {
		exit(err)
	}
	var text []byte
	c := call.NewCall("read").TargetPid(pid).Arg(os.Args[2]).MustDiffer(species.CLONE_NEWNS) // never a file of the host
	if err := c.SpawnInNamespaces(&text); err != nil {
		exit(err)
	}
	fmt.Printf("%s", text)
}

// read runs inside the container, as a process of its own. Its argument is a pointer to the type it is registered with.
func read(arg any) (any, error) { return os.ReadFile(*arg.(*string)) }

func exit(why any) {
	fmt.Fprintln(os.Stderr, "cat:", why)
	os.Exit(1)
}
