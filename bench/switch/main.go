// Command switch compares what it takes to switch namespaces with package handle, with its peers and by hand, and prints
// a table for docs/benchmarks.md. It needs root. All routes are run in turn, many times, so that whatever else the
// machine does hits all alike.
//
//	cd bench && go run ./switch -rounds 300
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// The main goroutine keeps the main thread, so that nobody's throw-away goroutine uses that up.
func init() { runtime.LockOSThread() }

func main() {
	rounds := flag.Int("rounds", 300, "how often each route is timed")
	calls := flag.Int("calls", 50, "calls that are timed together; a tenth of that for the slow ones")
	flag.Parse()
	done := make(chan error)
	go func() { done <- run(*rounds, *calls) }()
	if err := <-done; err != nil {
		log.Fatal(err)
	}
}

func run(rounds, calls int) error {
	groups, stop, err := makeGroups()
	if err != nil {
		return err
	}
	defer stop()
	for range rounds {
		for _, g := range groups {
			for _, r := range g.routes {
				if err := r.round(calls, g.locked); err != nil {
					return fmt.Errorf("%s: %s: %w", g.name, r.name, err)
				}
			}
		}
	}
	for _, g := range groups {
		if err := g.countAllocations(); err != nil {
			return err
		}
		g.print()
	}
	return nil
}

// group is routes to the same end; the first is what the others are compared with.
type group struct {
	name   string
	locked bool // run by a goroutine that is locked to its thread
	routes []*route
}

type route struct {
	name   string
	slow   bool
	call   func() error
	begin  func() (call func() error, end func()) // instead of call, for what is kept during a round
	times  []time.Duration                        // of one call, in each round
	allocs float64
}

// round times some calls, on a goroutine of its own.
func (r *route) round(calls int, locked bool) error {
	if r.slow {
		calls = max(1, calls/10)
	}
	done := make(chan error)
	go func() {
		if locked {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
		}
		done <- r.timed(calls)
	}()
	return <-done
}

func (r *route) timed(calls int) error {
	call := r.call
	if r.begin != nil {
		kept, end := r.begin()
		defer end()
		call = kept
	}
	if err := call(); err != nil { // warms up
		return err
	}
	start := time.Now()
	for range calls {
		if err := call(); err != nil {
			return err
		}
	}
	r.times = append(r.times, time.Since(start)/time.Duration(calls))
	return nil
}

func (g *group) countAllocations() error {
	for _, r := range g.routes {
		const calls = 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		times := r.times
		if err := r.round(calls*10, g.locked); err != nil {
			return err
		}
		r.times = times
		runtime.ReadMemStats(&after)
		n := calls * 10
		if r.slow {
			n = calls
		}
		r.allocs = float64(int(float64(after.Mallocs-before.Mallocs) / float64(n+1)))
	}
	return nil
}

func (g *group) print() {
	fmt.Printf("\n### %s\n\n", g.name)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	_, _ = fmt.Fprintln(w, "| route\t| p10 ns\t| p50 ns\t| ratio p10\t| ratio p50\t| allocs\t|")
	_, _ = fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|")
	floor := g.routes[0]
	for _, r := range g.routes {
		_, _ = fmt.Fprintf(w, "| %s\t| %d\t| %d\t| %.2f\t| %.2f\t| %.0f\t|\n", r.name, r.at(10), r.at(50),
			float64(r.at(10))/float64(floor.at(10)), float64(r.at(50))/float64(floor.at(50)), r.allocs)
	}
	_ = w.Flush()
}

// at returns a percentile in nanoseconds.
func (r *route) at(percent int) int64 {
	slices.Sort(r.times)
	return int64(r.times[len(r.times)*percent/100])
}
