package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/nsops/nsops/discover"
)

func newLs() *cobra.Command {
	var asJSON bool
	cmd := newSubcommand(&cobra.Command{
		Use:   "ls",
		Short: "List the namespaces",
		Long: `ls lists namespaces: the number of processes in each, its leader process, the user namespace that owns it and the
user who has created that, and what else keeps it alive. A question mark means that the caller cannot see it. A
namespace without all of this is known only as the owner or parent of others.`,
	}, func(out io.Writer, r *discover.Result) error {
		if asJSON {
			return writeJSON(out, rows(r))
		}
		return writeTable(out, rows(r))
	})
	cmd.Flags().BoolVar(&asJSON, "json", false, "write the table as JSON")
	return cmd
}

// row is a line of the table.
type row struct {
	Namespace uint64   `json:"namespace"`
	Type      string   `json:"type"`
	Processes int      `json:"processes"`
	PID       int      `json:"pid,omitempty"`
	Command   string   `json:"command,omitempty"`
	Container string   `json:"container,omitempty"`
	Owner     uint64   `json:"owner,omitempty"`
	Hidden    bool     `json:"ownerHidden,omitempty"`
	OwnerUID  int      `json:"ownerUID"`
	OwnerName string   `json:"ownerName,omitempty"`
	Held      []string `json:"held,omitempty"`
}

func rows(r *discover.Result) []row {
	list := make([]row, 0, len(r.Namespaces))
	for _, n := range r.Namespaces {
		line := row{Namespace: n.ID.Ino, Type: n.Type.Name(), Processes: len(n.Processes), Hidden: n.OwnerHidden,
			OwnerUID: n.OwnerUID, OwnerName: n.OwnerName}
		if n.Owner != nil {
			line.Owner = n.Owner.ID.Ino
		}
		if p := n.Leader; p != nil {
			line.PID = p.PID
			line.Command = cmp.Or(strings.Join(p.Cmdline, " "), "["+p.Name+"]")
		}
		if c := n.Container(); c != nil {
			line.Container = cmp.Or(c.Name, c.ID)
		}
		for _, t := range n.StrayTasks {
			line.Held = append(line.Held, fmt.Sprintf("task %d of process %d", t.TID, t.Process.PID))
		}
		for _, ref := range n.References {
			line.Held = append(line.Held, ref.String())
		}
		list = append(list, line)
	}
	return list
}

func writeTable(out io.Writer, rows []row) error {
	buffered := bufio.NewWriter(out)
	w := tabwriter.NewWriter(buffered, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "NAMESPACE\tTYPE\tPROCESSES\tLEADER\tOWNER\tUSER\tHELD\tCOMMAND")
	for _, r := range rows {
		fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", r.Namespace, r.Type, r.Processes,
			orDash(uint64(r.PID)), r.owner(), r.user(), r.held(), r.command())
	}
	_ = w.Flush() // buffered keeps its error
	return buffered.Flush()
}

func orDash(n uint64) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatUint(n, 10)
}

func (r *row) owner() string {
	if r.Hidden {
		return "?"
	}
	return orDash(r.Owner)
}

// user is the name of the user who has created the owner, or the UID if it has no name.
func (r *row) user() string {
	if r.OwnerName == "" && r.OwnerUID < 0 {
		return "?"
	}
	return shortened(printable(cmp.Or(r.OwnerName, strconv.Itoa(r.OwnerUID))), 32)
}

// held is the first reference that keeps the namespace alive, and the number of others.
func (r *row) held() string {
	switch {
	case len(r.Held) == 0 && r.Processes == 0:
		return "owner or parent of others"
	case len(r.Held) == 0:
		return "-"
	case len(r.Held) == 1:
		return printable(r.Held[0])
	}
	return fmt.Sprintf("%s and %d more", printable(r.Held[0]), len(r.Held)-1)
}

func (r *row) command() string {
	text := printable(r.Command)
	if r.Container != "" {
		text = "{" + printable(r.Container) + "} " + text
	}
	return cmp.Or(shortened(text, 60), "-")
}

func shortened(text string, room int) string {
	if runes := []rune(text); len(runes) > room {
		return string(runes[:room]) + "…"
	}
	return text
}
