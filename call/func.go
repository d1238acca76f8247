package call

import (
	"bytes"
	"context"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"
)

// Func is a function of this program that can run in another process's namespaces; see NewFunc.
type Func[A, R any] struct{ name string }

// NewFunc makes a function callable in a worker. Do it in a package variable, so that it is the same in every run of the
// program, and call HandleReexec first in main. Argument and result travel as JSON, in which every field has to be known
// to the other side; a []byte travels as it is, and nil arrives empty. An empty struct is for no argument or no result.
//
// The context ends when the context of the call does; see Grace. A panic and runtime.Goexit are errors of the call.
//
// NewFunc panics if the name is empty or taken, the function is nil, or a value of its types would not arrive as it was
// sent: a channel, function, interface or complex number, and a struct with fields that are not exported, unless the
// type has methods for JSON or text in both directions.
func NewFunc[A, R any](name string, function func(context.Context, A) (R, error)) Func[A, R] {
	if name == "" || function == nil {
		panic("call: NewFunc without a name or a function")
	}
	for _, t := range []reflect.Type{reflect.TypeFor[A](), reflect.TypeFor[R]()} {
		if err := canTravel(t, map[reflect.Type]bool{}); err != nil {
			panic(fmt.Sprintf("call: NewFunc %q: %v", name, err))
		}
	}
	register(name, registration{encode: encode, run: func(ctx context.Context, text []byte) (any, error) {
		var arg A
		if err := decode(text, &arg); err != nil {
			return nil, fmt.Errorf("argument: %w", err)
		}
		return function(ctx, arg)
	}})
	return Func[A, R]{name}
}

// Placed is a Func with what it is to run in. It may be used by several goroutines.
type Placed[A, R any] struct{ call Call }

// In says what the function runs in, and how. Of a process, the namespaces of types mnt, uts, ipc and net are joined, of
// references all, unless Types chooses. Namespaces that are the caller's own are passed over; if all are, Do returns
// ErrSameNamespace, and Require makes that so for single types. In opens nothing but what PID says.
func (f Func[A, R]) In(target Target, options ...Option) Placed[A, R] {
	c := Call{name: f.name, target: target, limit: DefaultMaxResult, byTarget: true, someDiffer: true, grace: DefaultGrace}
	c.fail(target.err)
	for _, option := range options {
		option(&c)
	}
	return Placed[A, R]{c}
}

// Do starts a worker, runs the function there, and returns its result once the worker has ended. When the context ends,
// so does the worker, see Grace, and Do returns context.Cause. Every error is an *Error.
//
// It requires the right to inspect a process that is the target (CAP_SYS_PTRACE over it), CAP_SYS_ADMIN in the user
// namespaces that own the namespaces to be joined (man 2 setns), and Linux 5.10.
func (p Placed[A, R]) Do(ctx context.Context, arg A) (result R, err error) {
	c := p.call
	c.ctx = ctx
	text, err := encode(arg)
	if err != nil {
		return result, c.annotate(&Error{Stage: StageHandler, Op: "encode argument", Err: err})
	}
	run := c.spawn
	if c.inThread {
		run = c.runInThread
	}
	body, err := run(text)
	if err != nil {
		return result, c.annotate(err)
	}
	if err := decode(body, &result); err != nil {
		return result, c.annotate(&Error{Stage: StageProtocol, Op: "decode result", Err: err})
	}
	return result, nil
}

// Supported returns nil if calls can be made in this process, or why not: for the start of a program, or STATUS of a CNI
// plugin. It starts nothing, and says nothing about rights over a target.
func Supported() error {
	if err := supported(); err != nil {
		return &Error{Stage: StageSpawn, Op: "check", Err: err}
	}
	return nil
}

// DefaultGrace is how long a function may clean up after the end of its context, without Grace.
const DefaultGrace = time.Second

func encode(value any) ([]byte, error) {
	if text, ok := value.([]byte); ok {
		if text == nil {
			text = []byte{} // nil is for no result at all
		}
		return text, nil
	}
	return json.Marshal(value)
}

func decode(text []byte, into any) error {
	if raw, ok := into.(*[]byte); ok {
		*raw = text
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more text after the value")
	}
	return nil
}

// canTravel returns why values of the type would not arrive as they were sent.
func canTravel(t reflect.Type, seen map[reflect.Type]bool) error {
	if seen[t] || hasMethods[json.Marshaler, json.Unmarshaler](t) || hasMethods[encoding.TextMarshaler, encoding.TextUnmarshaler](t) {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
		return fmt.Errorf("%v cannot travel: it is of kind %v", t, t.Kind())
	case reflect.Map:
		if !canBeKey(t.Key()) {
			return fmt.Errorf("%v cannot travel: JSON has no such keys", t)
		}
		return canTravel(t.Elem(), seen)
	case reflect.Array, reflect.Slice, reflect.Pointer:
		return canTravel(t.Elem(), seen)
	case reflect.Struct:
		return fieldsCanTravel(t, seen)
	default: // booleans, numbers and strings
		return nil
	}
}

func fieldsCanTravel(t reflect.Type, seen map[reflect.Type]bool) error {
	for i := range t.NumField() {
		field := t.Field(i)
		switch {
		case field.Tag.Get("json") == "-":
			continue
		case !field.IsExported() && (!field.Anonymous || field.Type.Kind() != reflect.Struct):
			return fmt.Errorf("%v cannot travel: its field %s is not exported", t, field.Name)
		}
		if err := canTravel(field.Type, seen); err != nil {
			return fmt.Errorf("field %s of %v: %w", field.Name, t, err)
		}
	}
	return nil
}

func canBeKey(t reflect.Type) bool {
	k := t.Kind()
	return k == reflect.String || k >= reflect.Int && k <= reflect.Uintptr || hasMethods[encoding.TextMarshaler, encoding.TextUnmarshaler](t)
}

// hasMethods reports whether a type has the methods of the first interface, and it or a pointer to it those of the second.
func hasMethods[M, U any](t reflect.Type) bool {
	read := reflect.TypeFor[U]()
	return t.Implements(reflect.TypeFor[M]()) && (t.Implements(read) || reflect.PointerTo(t).Implements(read))
}
