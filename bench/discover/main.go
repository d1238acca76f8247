// Command discover times discoveries of all namespaces side by side, interleaved: package discover, the floor in C,
// lxkns and lsns. It is to be run in a load that load.c makes; run.sh does so.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nsops/nsops/discover"
	"github.com/nsops/nsops/internal/sys"
	lxkns "github.com/thediveo/lxkns/discover"
	"github.com/thediveo/lxkns/log"

	_ "github.com/thediveo/lxkns/log/logrus"

	"github.com/thediveo/gons/reexec"
)

// contestant does one discovery and says what it found.
type contestant struct {
	name string
	run  func() (namespaces int)
	own  bool // in this process, so that allocations can be counted

	cpu, wall []float64 // ms
	allocs    uint64
	bytes     uint64
	found     int
}

func main() {
	reexec.CheckAction()
	log.SetLevel(log.PanicLevel)
	rounds := flag.Int("rounds", 10, "how often each is run")
	dir := flag.String("bin", ".", "where floor, nsops are")
	lsns := flag.String("lsns", "lsns", "lsns")
	only := flag.String("only", "", "run contestants with this in their names")
	flag.Parse()
	all := contestants(*dir, *lsns)
	all = slices.DeleteFunc(all, func(c *contestant) bool { return c.name != "floor" && !strings.Contains(c.name, *only) })
	for _, c := range all {
		c.run() // not counted: the kernel makes entries for all of /proc
	}
	for range *rounds {
		for _, c := range all {
			c.measure()
		}
	}
	print(os.Stdout, all)
}

func contestants(dir, lsns string) []*contestant {
	var last *discover.Result
	find := func(opts discover.Options) func() int {
		return func() int {
			r, err := discover.Discover(context.Background(), opts)
			check(err)
			return len(r.Namespaces)
		}
	}
	rescan := func() int {
		if last == nil {
			r, err := discover.Discover(context.Background(), discover.Options{})
			check(err)
			last, err = discover.Rescan(context.Background(), r)
			check(err)
		}
		var err error
		last, err = discover.Rescan(context.Background(), last)
		check(err)
		return len(last.Namespaces)
	}
	return []*contestant{
		{name: "floor", run: command(dir+"/floor", "1")},
		{name: "nsops standard", run: find(discover.Options{}), own: true},
		{name: "nsops standard, without a snapshot", run: func() int {
			defer sys.Pretend(sys.TaskIterators)()
			return find(discover.Options{})()
		}, own: true},
		{name: "nsops full", run: find(discover.Options{Sources: discover.Full}), own: true},
		{name: "nsops rescan", run: rescan, own: true},
		{name: "nsops standard, 4 one after the other", run: four(find(discover.Options{}), 1), own: true},
		{name: "nsops standard, 4 at once", run: four(find(discover.Options{}), 4), own: true},
		{name: "lxkns standard", run: func() int { return count(lxkns.Namespaces(lxkns.WithStandardDiscovery())) }, own: true},
		{name: "lxkns full", run: func() int { return count(lxkns.Namespaces(lxkns.WithFullDiscovery())) }, own: true},
		{name: "lsns", run: command(lsns)},
		{name: "nsops ls", run: command(dir+"/nsops", "ls")},
	}
}

// four runs it four times, so many at once.
func four(run func() int, atOnce int) func() int {
	return func() int {
		found := make(chan int)
		for range atOnce {
			go func() {
				n := 0
				for range 4 / atOnce {
					n = run()
				}
				found <- n
			}()
		}
		n := 0
		for range atOnce {
			n = <-found
		}
		return n
	}
}

func count(r *lxkns.Result) (n int) {
	for _, m := range r.Namespaces {
		n += len(m)
	}
	return n
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "discover:", err)
		os.Exit(1)
	}
}

// command runs a program and counts the lines that it writes.
func command(name string, args ...string) func() int {
	return func() int {
		var out bytes.Buffer
		cmd := exec.Command(name, args...)
		cmd.Stdout = &out
		check(cmd.Run())
		return bytes.Count(out.Bytes(), []byte{'\n'}) - 1
	}
}

func (c *contestant) measure() {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cpu, start := used(), time.Now()
	c.found = c.run()
	c.cpu = append(c.cpu, used()-cpu)
	c.wall = append(c.wall, float64(time.Since(start).Microseconds())/1e3)
	runtime.ReadMemStats(&after)
	c.allocs, c.bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
}

// used is the CPU time of this process and of its children that have ended, in milliseconds.
func used() (ms float64) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		check(syscall.Getrusage(who, &u))
		ms += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e6
	}
	return ms
}

func print(w io.Writer, all []*contestant) {
	floor := all[0]
	fmt.Fprintln(w, "| | CPU ms, median | × floor | least | × floor | wall ms | allocations | MiB | found |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|---|")
	for _, c := range all {
		allocs, mib := "", ""
		if c.own {
			allocs, mib = strconv.FormatUint(c.allocs, 10), fmt.Sprintf("%.1f", float64(c.bytes)/(1<<20))
		}
		fmt.Fprintf(w, "| %s | %.2f | %.2f | %.2f | %.2f | %.2f | %s | %s | %d |\n", c.name, median(c.cpu), median(c.cpu)/median(floor.cpu),
			slices.Min(c.cpu), slices.Min(c.cpu)/slices.Min(floor.cpu), median(c.wall), allocs, mib, c.found)
	}
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
