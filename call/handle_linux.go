package call

import (
	"fmt"
	"os"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/nsenter"
)

// handle runs the handler in a worker. In other processes it opens the executable while /proc is still the caller's.
func handle() {
	w, ok := nsenter.Current()
	_, asked := os.LookupEnv(wire.ChannelEnv)
	if asked { // in a worker it is there still if another constructor has moved the environment
		_ = os.Unsetenv(wire.ChannelEnv)
	}
	if ok {
		work(w)
	}
	if asked && !isUsersOwn() {
		fmt.Fprintf(os.Stderr, "nsops: %s is set, but the bootstrap has not run: a security module wants a secure start "+
			"(AT_SECURE), or the program lacks the bootstrap, or has set the variable itself\n", wire.ChannelEnv)
		sys.Exit(exitInert)
	}
	_ = sys.HoldExecutable() // a call that needs it tries again, and reports
}

// isUsersOwn says whether the channel's variable can only come from the user who has started a set-user-ID, set-group-ID
// or capable program, since workers start otherwise. That user may set what they like: the program must go on.
func isUsersOwn() bool { return nsenter.SetID() || nsenter.Secure() && sys.ExecutableHasCapabilities() }
