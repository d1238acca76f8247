package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// build is a way to build the program in folder caller, and the routes that are timed in it.
type build struct {
	name   string
	env    []string
	args   []string
	routes []string
}

var static = []string{"-tags", "netgo,osusergo", "-ldflags", `-linkmode external -extldflags "-static"`}

var builds = []build{
	{"dynamic", []string{"CGO_ENABLED=1"}, nil, []string{"nsops", "gons", "moby", "bare", "nsenter"}},
	{"static", []string{"CGO_ENABLED=1"}, static, []string{"nsops", "moby", "bare"}},
	{"static, musl", []string{"CGO_ENABLED=1", "CC=musl-gcc"}, static, []string{"nsops", "moby", "bare"}},
	{"without cgo", []string{"CGO_ENABLED=0"}, nil, []string{"moby", "bare"}},
}

// caller is a running program that makes the calls: each route starts the very binary that it is called from.
type caller struct {
	build   string
	routes  io.Writer
	results *bufio.Scanner
}

func startCallers(dir string, target int) ([]*row, error) {
	var rows []*row
	for i, b := range builds {
		path := filepath.Join(dir, strconv.Itoa(i))
		cmd := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-o", path}, b.args...), "./caller")...)
		cmd.Env = append(os.Environ(), b.env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			log.Printf("left out: %s: %v\n%s", b.name, err, out)
			continue
		}
		c, err := startCaller(b.name, path, target)
		if err != nil {
			return nil, err
		}
		for _, route := range b.routes {
			rows = append(rows, &row{caller: c, route: route})
		}
	}
	return rows, nil
}

// startCaller starts a caller; it ends when this process does, and its standard input with it.
func startCaller(name, path string, target int) (*caller, error) {
	uts, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/uts", target))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, strconv.Itoa(target), uts)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &caller{name, in, bufio.NewScanner(out)}, cmd.Start()
}

// call makes one call and returns what it took, as measured in the caller.
func (c *caller) call(route string) (time.Duration, error) {
	if _, err := fmt.Fprintln(c.routes, route); err != nil {
		return 0, err
	}
	if !c.results.Scan() {
		return 0, fmt.Errorf("the caller has ended: %w", cmp.Or(c.results.Err(), io.EOF))
	}
	ns, err := strconv.ParseInt(c.results.Text(), 10, 64)
	return time.Duration(ns), err
}
