package main

import (
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
)

// mountsShown limits the list of mounts: a host may have hundreds.
const mountsShown = 4

// printTable prints two views side by side.
func printTable(w io.Writer, leftTitle string, left view, rightTitle string, right view) error {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	row(table, "", []string{leftTitle}, []string{rightTitle})
	row(table, "host name", []string{left.Host}, []string{right.Host})
	row(table, "process ID", []string{strconv.Itoa(left.PID)}, []string{strconv.Itoa(right.PID)})
	row(table, "user ID", []string{strconv.Itoa(left.UID)}, []string{strconv.Itoa(right.UID)})
	row(table, "interfaces", left.Interfaces, right.Interfaces)
	row(table, "mounts", summary(left.Mounts), summary(right.Mounts))
	return table.Flush()
}

// row prints one property, over as many lines as the longer side needs.
func row(w io.Writer, name string, left, right []string) {
	for i := range max(len(left), len(right)) {
		fmt.Fprintf(w, "%s\t%s\t%s\n", name, at(left, i), at(right, i))
		name = ""
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

func summary(points []string) []string {
	lines := []string{strconv.Itoa(len(points)) + " in all"}
	if len(points) <= mountsShown {
		return append(lines, points...)
	}
	return append(append(lines, points[:mountsShown]...), "…")
}
