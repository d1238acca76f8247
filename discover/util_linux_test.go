package discover_test

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/species"
)

func unshare(t species.NamespaceType) error { return unix.Unshare(int(t)) }

func pid() int { return os.Getpid() }
