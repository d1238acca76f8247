package container

import (
	"path"
	"strconv"
	"strings"
)

// ofMachine is for what systemd-machined keeps: machine-NAME.scope and systemd-nspawn@NAME.service. Those of libvirt are
// virtual machines, which have no processes of their own here, or containers.
func ofMachine(parent, name string) *Container {
	if rest, ok := strings.CutPrefix(name, "systemd-nspawn@"); ok {
		return nspawn(strings.TrimSuffix(rest, ".service"))
	}
	rest, ok := strings.CutPrefix(name, "machine-")
	rest, isScope := strings.CutSuffix(rest, ".scope")
	if !ok || !isScope || path.Base(parent) != "machine.slice" {
		return nil
	}
	switch {
	case strings.HasPrefix(rest, `qemu\x2d`):
		return nil
	case strings.HasPrefix(rest, `lxc\x2d`): // lxc-PID-NAME
		id := unescapeUnit(rest)
		_, name, _ := strings.Cut(strings.TrimPrefix(id, "lxc-"), "-")
		return &Container{ID: id, Name: name, Runtime: "libvirt"}
	}
	return nspawn(rest)
}

// nspawn returns the container with that name, as it is in a unit of systemd's.
func nspawn(escaped string) *Container {
	name := unescapeUnit(escaped)
	if name == "" {
		return nil
	}
	return &Container{ID: name, Name: name, Runtime: "nspawn"}
}

// unescapeUnit undoes what systemd.unit(5) does to a name.
func unescapeUnit(s string) string {
	var b strings.Builder
	for at := 0; at < len(s); at++ {
		if at+4 <= len(s) && s[at:at+2] == `\x` {
			if c, err := strconv.ParseUint(s[at+2:at+4], 16, 8); err == nil {
				b.WriteByte(byte(c))
				at += 3
				continue
			}
		}
		b.WriteByte(s[at])
	}
	return b.String()
}
