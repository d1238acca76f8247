package sys

import (
	"golang.org/x/sys/unix"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// The probes of the features, in the order of the table. Each tries the feature on the calling thread or its namespaces.

func probeCookies() error {
	_, err := NetworkCookie()
	return err
}

func probePidfdThread() error { return onOwnPidfd(true, func(int) error { return nil }) }

func probePidfdInode() error {
	return onOwnPidfd(false, func(pidfd int) error {
		var fs unix.Statfs_t
		if err := unix.Fstatfs(pidfd, &fs); err != nil || fs.Type == unix.PID_FS_MAGIC {
			return err
		}
		return unix.EOPNOTSUPP
	})
}

func probeGroupSignals() error {
	return onOwnPidfd(false, func(pidfd int) error {
		err := unix.PidfdSendSignal(pidfd, 0, nil, unix.PIDFD_SIGNAL_PROCESS_GROUP)
		if err == unix.ESRCH { // this process leads no group
			return nil
		}
		return err
	})
}

func probePidfdNamespaces() error {
	return onOwnPidfd(false, func(pidfd int) error {
		fd, err := Own(raw.PidfdNamespace(pidfd, unix.PIDFD_GET_USER_NAMESPACE))
		_ = fd.Close()
		return err
	})
}

func probePIDTranslation() error {
	return onOwnNamespace(species.CLONE_NEWPID, func(fd int) error {
		_, errno := raw.PIDIn(fd, raw.OwnPID())
		return asError(errno)
	})
}

func probeMountSerials() error {
	return onOwnNamespace(species.CLONE_NEWNS, func(fd int) error {
		_, errno := raw.MountSerial(fd)
		return asError(errno)
	})
}

func probePidfdInfo() error {
	return onOwnPidfd(false, func(pidfd int) error {
		var info raw.ProcessInfo
		return asError(raw.PidfdInfo(pidfd, &info))
	})
}

func probeRightsRefusal() error {
	a, b, err := Socketpair()
	if err != nil {
		return err
	}
	defer func() { _, _ = a.Close(), b.Close() }()
	return unix.SetsockoptInt(a.Int(), unix.SOL_SOCKET, unix.SO_PASSRIGHTS, 0)
}

func probeSerials() error {
	return onOwnNamespace(species.CLONE_NEWUSER, func(fd int) error {
		_, errno := raw.Serial(fd)
		return asError(errno)
	})
}

func probeHandles() error {
	return onOwnNamespace(species.CLONE_NEWUSER, func(fd int) error {
		_, errno := raw.HandleOf(fd)
		return asError(errno)
	})
}

// probeTaskIterators does not load a program, which takes long, but looks for what it needs.
func probeTaskIterators() error {
	if err := MayTrace(); err != nil {
		return err
	}
	return probeSerials()
}

func onOwnPidfd(thread bool, try func(pidfd int) error) error {
	id := raw.OwnPID()
	if thread {
		id = raw.OwnTID()
	}
	fd, err := openPidfd(id, thread)
	if err != nil {
		return err
	}
	defer func() { _ = fd.Close() }()
	return try(fd.Int())
}

func onOwnNamespace(t species.NamespaceType, try func(fd int) error) error {
	fd, err := OpenThreadNamespace(t)
	if err != nil {
		return err
	}
	defer func() { _ = fd.Close() }()
	return try(fd.Int())
}
