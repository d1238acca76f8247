package discover

import (
	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// inside runs f on a thread that joins the mount namespace behind fd, and waits for the end of that thread: a discovery
// that follows would find it there.
func inside[T any](fd int, f func() (T, error)) (T, error) {
	type outcome struct {
		result T
		err    error
		tid    int
	}
	o, err := handle.Execute(func() outcome {
		result, err := f()
		return outcome{result, err, raw.OwnTID()}
	}, handle.NamespaceFd(fd))
	if err != nil {
		return o.result, err
	}
	sys.AwaitThreadEnd(o.tid)
	return o.result, o.err
}
