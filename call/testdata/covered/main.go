// Command covered calls a handler in the namespaces of the process named by its argument, with privileges dropped.
package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/nsops/nsops/call"
)

func inside(any) (any, error) {
	return "covered", nil // the test looks for lines 12 to 14
}

func main() {
	call.RegisterReexec("inside", inside, nil)
	call.HandleReexec()
	pid, err := strconv.Atoi(os.Args[1])
	if err == nil {
		err = call.NewCall("inside").TargetPid(pid).DropPrivs().SpawnInNamespaces(nil)
	}
	if err == nil && len(os.Args) > 2 {
		err = call.NewCall("inside").TargetPid(pid).SwitchToNamespaces()
	}
	fmt.Fprintln(os.Stderr, err)
}
