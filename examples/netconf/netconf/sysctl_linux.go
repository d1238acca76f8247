package netconf

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
)

// addSysctls adds a step for each that is not as configured.
func (p *Plan) addSysctls() error {
	for _, name := range slices.Sorted(maps.Keys(p.Sysctls)) {
		path, value := sysctlPath(name), p.Sysctls[name]
		old, err := p.readSysctl(path)
		if err != nil && (p.hadPair || !errors.Is(err, fs.ErrNotExist)) {
			return err
		}
		if slices.Equal(strings.Fields(old), strings.Fields(value)) {
			continue
		}
		set := func() error { return p.writeSysctl(path, value) }
		if err == nil && !strings.Contains(path, "/"+p.Interface+"/") { // else it goes with the interface
			set = p.changing(path, old, set)
		}
		p.steps = append(p.steps, step{"set " + name + "=" + value + " in the target", true, set})
	}
	return nil
}

// A thread in the network namespace is enough for sysctls: the files in /proc/sys/net are those of whoever opens them.
func (s *Session) readSysctl(path string) (value string, err error) {
	err = onThread(s.Target, func() error {
		text, err := os.ReadFile("/proc/sys/" + path)
		value = strings.TrimSpace(string(text))
		return err
	})
	return value, err
}

func (s *Session) writeSysctl(path, value string) error {
	return onThread(s.Target, func() error {
		file, err := os.OpenFile("/proc/sys/"+path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = file.WriteString(value + "\n")
		return errors.Join(err, file.Close())
	})
}
