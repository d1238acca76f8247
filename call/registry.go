package call

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nsops/nsops/internal/wire"
)

// ReexecHandler is a function that runs in a worker. arg points to a new value of the type that was registered with it,
// or is nil if that was nil. The result must be nil or of a type that encoding/json can encode.
type ReexecHandler func(arg any) (any, error)

// registration is a handler, or the function of a Func.
type registration struct {
	run    func(ctx context.Context, arg []byte) (result any, err error)
	encode func(result any) ([]byte, error)
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
	argType := reflect.TypeOf(arg)
	register(name, registration{
		run: func(_ context.Context, text []byte) (any, error) {
			if argType == nil {
				return handler(nil)
			}
			arg := reflect.New(argType)
			if err := json.Unmarshal(text, arg.Interface()); err != nil {
				return nil, fmt.Errorf("argument: %w", err)
			}
			return handler(arg.Interface())
		},
		encode: json.Marshal,
	})
}

func register(name string, r registration) {
	if strings.ContainsRune(name, 0) {
		panic(fmt.Sprintf("call: %q has a NUL byte", name))
	}
	registryLock.Lock()
	defer registryLock.Unlock()
	if _, taken := registry[name]; taken {
		panic(fmt.Sprintf("call: %q is registered already", name))
	}
	registry[name] = r
}

// RegisterError has errors.Is find an error of this program, a sentinel, in the error of a call when the handler's error
// wraps it. Do it in a package variable's initialisation or an init function, so that it is the same in every run of the
// program. It panics if the name is longer than 64 bytes, empty or taken, or the error is nil or cannot be compared.
func RegisterError(name string, err error) {
	if name == "" || len(name) > wire.MaxName || err == nil || !reflect.TypeOf(err).Comparable() {
		panic(fmt.Sprintf("call: RegisterError %q: not a short name and a sentinel", name))
	}
	registryLock.Lock()
	defer registryLock.Unlock()
	if _, taken := sentinels[name]; taken {
		panic(fmt.Sprintf("call: error %q is registered already", name))
	}
	sentinels[name] = err
}

var sentinels = map[string]error{ // by name
	"exec.ErrNotFound": exec.ErrNotFound,
	"net.ErrClosed":    net.ErrClosed,
}

// newFailure describes the error of a handler.
func newFailure(err error) wire.Failure {
	f := wire.NewFailure(err)
	registryLock.RLock()
	defer registryLock.RUnlock()
	for name, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			f.Named = append(f.Named, name)
		}
	}
	slices.Sort(f.Named)
	return f
}

// causes returns what errors.Is is to find in a handler's error.
func causes(f wire.Failure) []error {
	all := f.Causes()
	registryLock.RLock()
	defer registryLock.RUnlock()
	for _, name := range f.Named {
		if err := sentinels[name]; err != nil {
			all = append(all, err)
		}
	}
	return all
}

// runThen runs the handler and calls then with its encoded result, or without one with its failure: also if it, or the
// encoding, panics or calls runtime.Goexit.
func (r registration) runThen(ctx context.Context, arg []byte, then func(text []byte, failure wire.Failure)) {
	failure := wire.Failure{Cause: wire.CauseGoexit}
	var text []byte // of the result, nil if there is none
	defer func() {
		if value := recover(); value != nil {
			printed, stack := fmt.Sprint(value), debug.Stack()
			failure = wire.Failure{Text: printed[:min(len(printed), wire.MaxText)], Cause: wire.CausePanic}
			failure.Stack = stack[:min(len(stack), wire.MaxText)]
		}
		then(text, failure)
	}()
	result, err := r.run(ctx, arg)
	if err == nil {
		text, err = r.encode(result)
	}
	if err != nil {
		failure = newFailure(err)
	}
}

// handlesReexec is true when HandleReexec was called. Without that call, a worker would run main.
var handlesReexec atomic.Bool

// HandleReexec runs the handler and ends the process if SpawnInNamespaces or SwitchToNamespaces has started it; with
// status 125 if the environment is a worker's but the bootstrap has not run. In any other process it returns at once, and
// from then on calls can be made. Call it first in main, init or TestMain, when all handlers are registered.
func HandleReexec() {
	handlesReexec.Store(true)
	runAsWorker()
}

func lookUp(name string) (registration, bool) {
	registryLock.RLock()
	defer registryLock.RUnlock()
	r, ok := registry[name]
	return r, ok
}
