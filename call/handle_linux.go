package call

import (
	"fmt"
	"os"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/nsenter"
)

// handle runs the handler in a worker. In other processes it opens the executable, before anything can change /proc.
func handle() {
	w, ok := nsenter.Current()
	_, asked := os.LookupEnv(wire.ChannelEnv)
	if asked { // also in a worker, if another constructor has copied the environment
		_ = os.Unsetenv(wire.ChannelEnv)
	}
	if ok {
		work(w)
	}
	if asked && !isSetByUser() {
		fmt.Fprintf(os.Stderr, "nsops: %s is set, but the bootstrap has not run: a security module requires a secure start "+
			"(AT_SECURE), or the program lacks the bootstrap, or has set the variable itself\n", wire.ChannelEnv)
		sys.Exit(exitInert)
	}
	_ = sys.HoldExecutable() // a call tries again, and returns the error
}

// isSetByUser reports whether only the user who has started this program can have set the channel's variable: the
// program is set-user-ID, set-group-ID or has file capabilities, which a worker never is. It must run whatever that
// user sets.
func isSetByUser() bool {
	return nsenter.SetID() || nsenter.Secure() && sys.ExecutableHasCapabilities()
}
