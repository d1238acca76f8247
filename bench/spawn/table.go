package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// row is one route in one binary.
type row struct {
	caller *caller
	route  string
	took   []time.Duration
}

func (r *row) name() string { return r.route + ", " + r.caller.build }

// ours is the route whose ratio to all others is printed, for each binary that has it.
const ours = "nsops"

var routeNames = map[string]string{
	ours:      "**nsops SpawnInNamespaces**",
	"gons":    "gons RunReexecAction",
	"moby":    "moby reexec, joins nothing",
	"bare":    "exec of itself, returns from main",
	"nsenter": "exec of nsenter … /bin/true",
}

func printTable(w io.Writer, rows []*row) {
	head := "| binary | route | p50 µs | p99 µs |"
	line := "|---|---|--:|--:|"
	var reference []*row
	for _, r := range rows {
		slices.Sort(r.took)
		if r.route == ours {
			reference = append(reference, r)
			head += fmt.Sprintf(" nsops %s ÷ it |", r.caller.build)
			line += "--:|"
		}
	}
	_, _ = fmt.Fprintf(w, "%s\n%s\n", head, line)
	for _, r := range rows {
		_, _ = fmt.Fprintf(w, "| %s | %s | %d | %d |%s\n", r.caller.build, routeNames[r.route],
			percentile(r.took, 50).Microseconds(), percentile(r.took, 99).Microseconds(), ratios(reference, r))
	}
}

func ratios(reference []*row, r *row) string {
	var b strings.Builder
	for _, o := range reference {
		fmt.Fprintf(&b, " %.2f |", float64(percentile(o.took, 50))/float64(percentile(r.took, 50)))
	}
	return b.String()
}

// percentile returns the smallest value that p percent of the sorted ones do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*p+99)/100-1]
}
