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

func (c *workerContext) Done() <-chan struct{}       { return c.get().Done() }
func (c *workerContext) Err() error                  { return c.get().Err() }
func (c *workerContext) Value(any) any               { return nil }
func (c *workerContext) Deadline() (time.Time, bool) { return time.Time{}, false }
