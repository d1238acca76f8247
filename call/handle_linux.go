package call

import (
	"os"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
	"github.com/nsops/nsops/nsenter"
)

// handle runs the handler in a worker. In other processes it opens the executable while /proc is still the caller's.
func handle() {
	w, ok := nsenter.Current()
	if ok {
		_ = os.Unsetenv(wire.ChannelEnv) // there still if another constructor has moved the environment
		work(w)
	}
	_ = sys.HoldExecutable() // a call that needs it tries again, and reports
}
