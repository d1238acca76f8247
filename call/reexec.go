package call

import "sync/atomic"

// handlesReexec is true when HandleReexec was called. Without that call, a worker would run main.
var handlesReexec atomic.Bool

// HandleReexec runs the handler and ends the process if SpawnInNamespaces or SwitchToNamespaces has started it. In any
// other process it returns at once. Call it first in main, init or TestMain, when all handlers are registered: a process
// that has not called it cannot make calls. It ends the process with status 125 if the environment is a worker's but the
// bootstrap has not run.
func HandleReexec() {
	handlesReexec.Store(true)
	handle()
}
