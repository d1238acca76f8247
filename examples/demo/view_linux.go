package main

import (
	"bytes"
	"net"
	"os"
	"strings"
)

// view is what a process sees of the machine.
type view struct {
	Host       string
	PID        int
	UID        int
	Interfaces []string // each followed by its addresses, indented
	Mounts     []string // the mount points
}

// look returns what this process sees. It runs in the container too, so it loads no file from there.
func look() (view, error) {
	v := view{PID: os.Getpid(), UID: os.Getuid()}
	var err error
	if v.Host, err = os.Hostname(); err != nil {
		return v, err
	}
	if v.Interfaces, err = interfaces(); err != nil {
		return v, err
	}
	v.Mounts, err = mounts()
	return v, err
}

func interfaces() ([]string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		lines = append(lines, i.Name)
		for _, a := range addresses {
			lines = append(lines, "  "+a.String())
		}
	}
	return lines, nil
}

// mounts reads the mount points, the fifth column of mountinfo (man 5 proc).
func mounts() ([]string, error) {
	text, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []string
	for line := range bytes.Lines(text) {
		if columns := strings.Fields(string(line)); len(columns) > 4 {
			points = append(points, columns[4])
		}
	}
	return points, nil
}
