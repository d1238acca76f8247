package call

import (
	"context"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// workerContext is the context of a function in a worker. Its caller tells by SIGTERM that it ends. As long as nobody
// asks for that, it costs nothing, and the signal ends the worker.
type workerContext struct {
	once  sync.Once
	asked context.Context
}

func (c *workerContext) get() context.Context {
	c.once.Do(func() { c.asked, _ = signal.NotifyContext(context.Background(), syscall.SIGTERM) })
	return c.asked
}

// Done is closed when the caller's context has ended.
func (c *workerContext) Done() <-chan struct{} { return c.get().Done() }

// Err returns context.Canceled then.
func (c *workerContext) Err() error { return c.get().Err() }

// Value returns nil.
func (c *workerContext) Value(any) any { return nil }

// Deadline returns none: the worker's clock may be another one.
func (c *workerContext) Deadline() (time.Time, bool) { return time.Time{}, false }
