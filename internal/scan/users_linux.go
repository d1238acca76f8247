package scan

import (
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/nsops/nsops/internal/engines"
)

// userNames returns the names in /etc/passwd by user ID: the first, if there are several. They are read again when the
// file has changed. Package os/user would take cgo, and with it run code of whoever the system asks for names.
func userNames() map[int]string {
	const path = "/etc/passwd"
	file, err := os.Stat(path)
	passwd.Lock()
	defer passwd.Unlock()
	if err != nil || passwd.file == nil || !os.SameFile(file, passwd.file) || file.Size() != passwd.file.Size() ||
		!file.ModTime().Equal(passwd.file.ModTime()) {
		passwd.file, passwd.names = file, parseUsers(string(engines.ReadFile(path)))
	}
	return passwd.names
}

// passwd is what was read last.
var passwd struct {
	sync.Mutex
	file  os.FileInfo
	names map[int]string
}

func parseUsers(text string) map[int]string {
	names := map[int]string{}
	for line := range strings.Lines(text) {
		fields := strings.SplitN(line, ":", 4)
		if len(fields) < 4 || fields[0] == "" {
			continue
		}
		if uid, err := strconv.Atoi(fields[2]); err == nil && names[uid] == "" {
			names[uid] = fields[0]
		}
	}
	return names
}
