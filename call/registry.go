package call

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
)

// ReexecHandler is a function that runs in a worker. arg points to a new value of the type that was registered with it,
// or is nil if that was nil. The result must be nil or of a type that encoding/json can encode.
type ReexecHandler func(arg any) (any, error)

type registration struct {
	handler ReexecHandler
	arg     reflect.Type // nil: the handler takes no argument
}

var (
	registry     = map[string]registration{} // by name
	registryLock sync.RWMutex
)

// RegisterReexec registers handler under name, with arguments of arg's type: for thing{} the handler gets a *thing, for
// "" a *string, for nil nil. Register the same handlers in every run of the program, before HandleReexec. It panics if
// the name is registered already or empty, or the handler is nil.
func RegisterReexec(name string, handler ReexecHandler, arg any) {
	if name == "" || handler == nil {
		panic("call: RegisterReexec without a name or a handler")
	}
	registryLock.Lock()
	defer registryLock.Unlock()
	if _, taken := registry[name]; taken {
		panic(fmt.Sprintf("call: RegisterReexec: %q is registered already", name))
	}
	registry[name] = registration{handler, reflect.TypeOf(arg)}
}

// handlesReexec is true when HandleReexec was called. Without that call, a worker would run main.
var handlesReexec atomic.Bool

// HandleReexec runs the handler and ends the process if SpawnInNamespaces or SwitchToNamespaces has started it; with
// status 125 if the environment is a worker's but the bootstrap has not run. In any other process it returns at once, and
// from then on calls can be made. Call it first in main, init or TestMain, when all handlers are registered.
func HandleReexec() {
	handlesReexec.Store(true)
	handle()
}

func lookUp(name string) (registration, bool) {
	registryLock.RLock()
	defer registryLock.RUnlock()
	r, ok := registry[name]
	return r, ok
}

// run calls the handler with the argument that text holds.
func (r registration) run(text []byte) (any, error) {
	if r.arg == nil {
		return r.handler(nil)
	}
	arg := reflect.New(r.arg)
	if err := json.Unmarshal(text, arg.Interface()); err != nil {
		return nil, fmt.Errorf("argument: %w", err)
	}
	return r.handler(arg.Interface())
}
