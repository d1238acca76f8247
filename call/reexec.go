package call

import "sync/atomic"

// handled says that HandleReexec was called, without which a worker would run main.
var handled atomic.Bool

// HandleReexec returns at once in a process that was started in the ordinary way. In one that was started by
// SpawnInNamespaces or SwitchToNamespaces it runs the handler and ends the process. So call it first, from main, init
// or TestMain, when all handlers are registered; a call is refused in a process where it was not. It ends the process, with
// status 125, where a worker's environment says that it was started as one but the bootstrap has not run.
func HandleReexec() {
	handled.Store(true)
	handle()
}
