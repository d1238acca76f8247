package call

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime/coverage"
	"time"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
)

// A program built with -cover writes its counters to GOCOVERDIR when it ends: a path that is another directory, or none,
// in the target's mount namespace. So the caller makes the worker's file, and the worker writes to the descriptor. The
// runtime can do that for programs built with -covermode=atomic; others lose the worker's counters, and say so.
const coverEnv = "GOCOVERDIR"

// metaHash is where the hash of the instrumented code stands in its description, and in the names of counter files.
const metaHash, metaHashEnd = 24, 40

// coverFile makes a file for the worker's counters, nil if none are wanted, or only by a user with fewer rights.
func coverFile() *os.File {
	dir := os.Getenv(coverEnv)
	if dir == "" || elevated() {
		return nil
	}
	var meta bytes.Buffer
	if err := coverage.WriteMeta(&meta); err != nil || meta.Len() < metaHashEnd {
		return nil // not built with -cover
	}
	name := fmt.Sprintf("covcounters.%x.%d.%d", meta.Bytes()[metaHash:metaHashEnd], os.Getpid(), time.Now().UnixNano())
	file, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil
	}
	return file
}

// sendCover sends the file behind the call.
func sendCover(channel *sys.FD, file *os.File) error {
	if file == nil {
		return nil
	}
	return sys.Send(channel, []byte{wire.MarkCover}, int(file.Fd()))
}

// closeCover removes a file to which no worker has written.
func closeCover(file *os.File) {
	if file == nil {
		return
	}
	if info, err := file.Stat(); err == nil && info.Size() == 0 {
		_ = os.Remove(file.Name())
	}
	_ = file.Close()
}

// workerCover is the worker's end of it, nil if there is none.
var workerCover *os.File

func receiveCover(channel *sys.FD) {
	if m, err := sys.Receive(channel, make([]byte, 1)); err == nil && m.File != nil {
		workerCover = os.NewFile(uintptr(m.File.Disown()), "coverage")
	}
}

// exit ends the process. With coverage it passes over the hooks of os.Exit, which would write to GOCOVERDIR again.
func exit(status int) {
	if workerCover == nil {
		os.Exit(status)
	}
	if err := coverage.WriteCounters(workerCover); err != nil {
		fmt.Fprintln(os.Stderr, "call: coverage of a worker is lost:", err)
	}
	sys.Exit(status)
}
