package call

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime/coverage"
	"time"

	"github.com/nsops/nsops/internal/sys"
)

// A program built with -cover writes its counters to GOCOVERDIR when it ends. In the target's mount namespace that path
// is another directory, or none. So the caller creates the worker's file, and the worker writes to its descriptor. That
// requires -covermode=atomic: without it the worker's counters are lost, with a message on stderr.
const coverEnv = "GOCOVERDIR"

// The hash of the instrumented code is in these bytes of its description, and in the names of the files of its counters.
const metaHash, metaHashEnd = 24, 40

// coverFile creates a file for the worker's counters; nil: none are wanted, or by a user with fewer rights.
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
	file, _ := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	return file // nil after an error
}

// closeCover removes a file to which no worker has written. Of nil, it does nothing.
func closeCover(file *os.File) {
	if info, err := file.Stat(); err == nil && info.Size() == 0 {
		_ = os.Remove(file.Name())
	}
	_ = file.Close()
}

// workerCover is the file for the counters of this process, a worker; nil: none.
var workerCover *os.File

func receiveCover(channel *sys.FD) {
	if file, err := receiveFile(channel); err == nil {
		workerCover = os.NewFile(uintptr(file.Disown()), "coverage")
	}
}

// exit ends the process. With coverage it does not call os.Exit, which would write to GOCOVERDIR again.
func exit(status int) {
	if workerCover == nil {
		os.Exit(status)
	}
	if err := coverage.WriteCounters(workerCover); err != nil {
		fmt.Fprintln(os.Stderr, "call: coverage of a worker is lost:", err)
	}
	sys.Exit(status)
}
