// Command caller makes one call for each line of its standard input, the route's name, and prints what it took in
// nanoseconds. Its arguments are the target's PID and UTS namespace. Package spawn builds it in several ways and
// compares them; all routes that start it again find the same imports and package inits.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/moby/sys/reexec"

	"github.com/nsops/nsops/call"
)

// handlerName is the name of the handler with each library.
const handlerName = "where"

// where is the work of every route but bare and nsenter: name the UTS namespace this process is in.
func where() (string, error) { return os.Readlink("/proc/self/ns/uts") }

// target is what the calls join.
var target struct {
	pid int
	uts string
}

// routes make one call; those that join return where the handler ran. A library that needs cgo adds its own.
var routes = map[string]func() (string, error){
	"nsops":   nsops,
	"moby":    moby,
	"bare":    bare,
	"nsenter": nsenter,
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "bare" {
		return
	}
	register()
	if reexec.Init() {
		return
	}
	call.HandleReexec()
	if err := serve(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func register() {
	call.RegisterReexec(handlerName, func(any) (any, error) { return where() }, nil)
	reexec.Register(handlerName, func() {
		name, err := where()
		if err == nil {
			err = json.NewEncoder(os.Stdout).Encode(name)
		}
		if err != nil {
			log.Fatal(err)
		}
	})
	registerCgo()
}

func serve(args []string) (err error) {
	if target.pid, err = strconv.Atoi(args[0]); err != nil {
		return err
	}
	target.uts = args[1]
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		took, err := measure(lines.Text())
		if err != nil {
			return err
		}
		fmt.Println(took.Nanoseconds())
	}
	return nil
}

// measure makes one call and makes sure that it joined what it claims to.
func measure(route string) (time.Duration, error) {
	start := time.Now()
	uts, err := routes[route]()
	took := time.Since(start)
	joins := route == "nsops" || route == "gons"
	if err == nil && joins && uts != target.uts {
		err = fmt.Errorf("the handler ran in %s, not in %s", uts, target.uts)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", route, err)
	}
	return took, nil
}

func nsops() (uts string, err error) {
	err = call.NewCall(handlerName).TargetPid(target.pid).SpawnInNamespaces(&uts)
	return uts, err
}

func moby() (uts string, err error) {
	out, err := reexec.Command(handlerName).Output()
	if err != nil {
		return "", err
	}
	return uts, json.Unmarshal(out, &uts)
}

func bare() (string, error) { return "", exec.Command("/proc/self/exe", "bare").Run() }

func nsenter() (string, error) {
	return "", exec.Command("nsenter", "-t", strconv.Itoa(target.pid), "-m", "-u", "-i", "-n", "/bin/true").Run()
}
