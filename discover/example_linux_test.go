package discover_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/species"
)

// List the network namespaces of the machine, and who is in them.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	found, err := discover.Discover(ctx, discover.Options{Sources: discover.Standard})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range found.OfType(species.CLONE_NEWNET) {
		fmt.Println(n, "processes:", len(n.Processes), "leader:", n.Leader, "container:", n.Container())
	}
	for _, p := range found.Problems { // what could not be seen, and why
		fmt.Fprintln(os.Stderr, p)
	}
}

// Hold a namespace that a discovery has found: Open makes sure that it is still the same.
func ExampleNamespace_Open() {
	found, err := discover.Discover(context.Background(), discover.Options{Sources: discover.Standard})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, n := range found.OfType(species.CLONE_NEWNET) {
		file, err := n.Open()
		if err != nil { // handle.ErrStale: it is gone
			fmt.Println(n, err)
			continue
		}
		fmt.Println(n, "is open")
		_ = file.Close()
	}
}

// Look again for less, and say what has changed.
func ExampleRescan() {
	ctx := context.Background()
	before, err := discover.Discover(ctx, discover.Options{Sources: discover.Standard})
	if err != nil {
		fmt.Println(err)
		return
	}
	after, err := discover.Rescan(ctx, before)
	if err != nil {
		fmt.Println(err)
		return
	}
	changes := discover.Diff(before, after)
	fmt.Println(len(changes.Created), "new,", len(changes.Gone), "gone,", len(changes.Changed), "changed")
}

// Translate a PID of this machine into the one that a container sees.
func ExamplePIDMap() {
	found, err := discover.Discover(context.Background(), discover.Options{Sources: discover.None | discover.Processes})
	if err != nil {
		fmt.Println(err)
		return
	}
	process, self := found.Process(4711), found.Process(os.Getpid())
	if process == nil || self == nil {
		fmt.Println("there is no such process")
		return
	}
	pids := discover.NewPIDMap(found)
	here, there := self.Namespaces.Of(species.CLONE_NEWPID), process.Namespaces.Of(species.CLONE_NEWPID)
	fmt.Println(pids.Translate(process.PID, here, there))
}

// A result goes to JSON and back: one program finds, another one looks.
func ExampleResult() {
	found, err := discover.Discover(context.Background(), discover.Options{Sources: discover.Full})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := json.Marshal(found)
	if err != nil {
		fmt.Println(err)
		return
	}
	var again discover.Result
	if err := json.Unmarshal(text, &again); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(again.Namespaces) == len(found.Namespaces))
}
