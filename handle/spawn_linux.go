package handle

import (
	"runtime"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/internal/sys"
)

// onOwnThread runs body in a new goroutine that is locked to a thread and never unlocked: the runtime ends the thread
// with the goroutine. It is not the main thread, which cannot be ended: a goroutine that starts there occupies it until
// another one has a thread.
func onOwnThread(body func()) { go startThread(body, nil) }

// runOnOwnThread waits for body.
func runOnOwnThread(body func()) {
	done := make(chan struct{})
	onOwnThread(func() {
		defer close(done)
		body()
	})
	<-done
}

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

// lockOffMain locks the calling goroutine to its thread, having moved it away from the main thread, and returns the
// TID. The main thread is occupied until free is closed; free is nil if it is not. A goroutine that was locked to the
// main thread before stays there.
func lockOffMain() (tid int, free chan struct{}) {
	const attempts = 100
	runtime.LockOSThread()
	for range attempts {
		if tid = raw.OwnTID(); tid != raw.OwnPID() {
			return tid, free
		}
		runtime.UnlockOSThread()
		free = occupyMain()
		runtime.LockOSThread()
	}
	return raw.OwnTID(), free
}

// occupyMain starts a goroutine, which is the next one to run on the thread that the caller leaves by waiting for it.
// If that is the main thread, it stays there until free is closed. Otherwise free is nil.
func occupyMain() (free chan struct{}) {
	occupied, release := make(chan bool), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		main := sys.OnMainThread()
		occupied <- main
		if main {
			<-release
		}
	}()
	if <-occupied {
		return release
	}
	return nil
}
