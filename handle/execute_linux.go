package handle

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/nsops/nsops/internal/sys"
)

// Go runs f in a new goroutine in the namespaces referred to. It returns as soon as that is there, or an error if it
// cannot get there; then f is not run. The goroutine has a thread of its own, which ends with it and is never the main
// thread. All other namespaces are those of the process; but the caller's thread opens the references, so that a
// [NamespacePath] means what it means to the caller.
//
// Goroutines that f starts run on other threads, in the namespaces of the process. So does what f leaves to the
// runtime, such as a resolver. f must not unlock its thread.
//
// It requires CAP_SYS_ADMIN over each namespace and in the caller's user namespace, for mount namespaces CAP_SYS_CHROOT
// too (setns(2)). In a PID namespace are only the children that f starts. User and time namespaces are ErrNeedsReexec.
func Go(f func(), refs ...Relation) error {
	found, err := steps(refs)
	if err != nil {
		return err
	}
	arrived := make(chan error, 1)
	onOwnThread(func() {
		err := arrive(found)
		arrived <- err
		if err == nil {
			f()
		}
	})
	return <-arrived
}

// arrive moves the calling thread, which is to be thrown away.
func arrive(found []step) error {
	defer closeSteps(found)
	if err := sys.Unshare(cloneFS); err != nil {
		return &Error{Op: "join", Ref: "thread-self", Err: err}
	}
	for i := range found {
		if err := found[i].join(); err != nil {
			return err
		}
	}
	return nil
}

// Execute runs f as Go does, waits for it and returns its result. The error is that of getting there; f was not run.
//
// A panic of f is a panic of Execute, with a [*PanicError] that has f's value and stack. If f ends its goroutine
// (runtime.Goexit, or t.FailNow of package testing), Execute ends the caller's. f may call Execute again: that starts
// from the namespaces of the process, not from f's.
func Execute[T any](f func() T, refs ...Relation) (T, error) {
	return execute(context.Background(), f, refs)
}

// ExecuteContext is Execute, but waits for f only until the context ends: then it returns the zero value and the cause
// of that. f cannot be stopped from outside; it goes on, on its own thread, and should look at its context. What
// becomes of it then is lost, but for a panic, which ends the program.
func ExecuteContext[T any](ctx context.Context, f func(context.Context) T, refs ...Relation) (T, error) {
	var none T
	if err := context.Cause(ctx); err != nil {
		return none, &Error{Op: "execute", Ref: "function", Err: err}
	}
	return execute(ctx, func() T { return f(ctx) }, refs)
}

// inside returns what look returns in the namespaces referred to, or the error of getting there.
func inside[T any](look func() (T, error), refs ...Relation) (result T, err error) {
	failed, err := Execute(func() (err error) {
		result, err = look()
		return err
	}, refs...)
	return result, cmp.Or(err, failed)
}

// PanicError is what Execute panics with when its function did.
type PanicError struct {
	Value any    // of the function's panic
	Stack []byte // of the function, as runtime/debug.Stack has it
}

// Error returns the value and the function's stack.
func (p *PanicError) Error() string {
	return fmt.Sprintf("%v\n\nin the function executed in other namespaces:\n%s", p.Value, p.Stack)
}

// Unwrap returns the value, if it is an error.
func (p *PanicError) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// execution is a function that runs on a thread of its own. Once done is closed, the other fields are valid.
type execution[T any] struct {
	done     chan struct{}
	result   T
	err      error
	panicked *PanicError
	returned bool
}

func execute[T any](ctx context.Context, f func() T, refs []Relation) (result T, err error) {
	found, err := steps(refs)
	if err != nil {
		return result, err
	}
	e := &execution[T]{done: make(chan struct{})}
	onOwnThread(func() { e.run(f, found) })
	select {
	case <-e.done:
	case <-ctx.Done():
		go e.await() // so that a panic of f is not lost
		return result, &Error{Op: "execute", Ref: "function", Err: context.Cause(ctx)}
	}
	e.await()
	if !e.returned {
		runtime.Goexit()
	}
	return e.result, e.err
}

// run closes done at the end, whether f returns, panics or ends its goroutine.
func (e *execution[T]) run(f func() T, found []step) {
	defer close(e.done)
	defer func() {
		if value := recover(); value != nil {
			e.panicked = &PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	if e.err = arrive(found); e.err == nil {
		e.result = f()
	}
	e.returned = true
}

func (e *execution[T]) await() {
	<-e.done
	if e.panicked != nil {
		panic(e.panicked)
	}
}

// onOwnThread runs body in a new goroutine on a thread that ends with it. That is not the main thread, which cannot
// end: a goroutine that starts there occupies it until another one has a thread.
func onOwnThread(body func()) { go startThread(body, nil) }

func startThread(body func(), started chan<- struct{}) {
	runtime.LockOSThread()
	if started != nil {
		close(started)
	}
	if !sys.OnMainThread() {
		body()
		return
	}
	elsewhere := make(chan struct{})
	go startThread(body, elsewhere)
	<-elsewhere
	runtime.UnlockOSThread()
}
