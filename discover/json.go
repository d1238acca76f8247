package discover

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nsops/nsops/species"
)

// jsonVersion is that of the form of the JSON. It changes when a reader of an earlier one would be misled.
const jsonVersion = 1

// The wire types are what docs/discovery.schema.json describes. Namespaces are referred to by their inode numbers, which
// at one time are unique among all types, and processes by their PIDs. What follows from the rest is left out.
type (
	wireResult struct {
		Version    int                              `json:"version"`
		Device     uint64                           `json:"device"`
		Types      species.Set                      `json:"types"`
		Sources    Sources                          `json:"sources"`
		Proc       wireText                         `json:"proc"`
		UserRoots  wireDerived[[]uint64]            `json:"userRoots"`
		PIDRoots   wireDerived[[]uint64]            `json:"pidRoots"`
		Namespaces wireList[wireNamespace]          `json:"namespaces"`
		Processes  wireList[wireProcess]            `json:"processes"`
		Containers wireList[wireContainer]          `json:"containers"`
		PIDMap     wireDerived[map[string][][2]int] `json:"pidMap"`
		Mounts     wireList[wireMounts]             `json:"mounts,omitempty"`
		Problems   wireList[wireProblem]            `json:"problems"`
	}
	wireNamespace struct {
		Inode        uint64                  `json:"inode"`
		Serial       uint64                  `json:"serial,omitempty"`
		Type         species.NamespaceType   `json:"type"`
		Initial      bool                    `json:"initial,omitempty"`
		Owner        uint64                  `json:"owner,omitempty"`
		OwnerHidden  bool                    `json:"ownerHidden,omitempty"`
		OwnerUID     int                     `json:"ownerUID"`
		OwnerName    wireText                `json:"ownerName,omitempty"`
		Parent       uint64                  `json:"parent,omitempty"`
		ParentHidden bool                    `json:"parentHidden,omitempty"`
		Leader       int                     `json:"leader,omitempty"`
		Processes    int                     `json:"processes"`
		Tasks        int                     `json:"tasks"`
		References   wireList[wireReference] `json:"references,omitempty"`
	}
	wireReference struct {
		Kind           HolderKind `json:"kind"`
		PID            int        `json:"pid,omitempty"`
		TID            int        `json:"tid,omitempty"`
		FD             int        `json:"fd,omitempty"`
		MountNamespace uint64     `json:"mountNamespace,omitempty"`
		Path           wireText   `json:"path,omitempty"`
	}
	wireProcess struct {
		PID        int                `json:"pid"`
		PPID       int                `json:"ppid"`
		Name       wireText           `json:"name"`
		Cmdline    []wireText         `json:"cmdline,omitempty"`
		State      string             `json:"state"`
		Kernel     bool               `json:"kernel,omitempty"`
		Start      uint64             `json:"start"`
		UID        int                `json:"uid"`
		GID        int                `json:"gid"`
		Namespaces map[string]uint64  `json:"namespaces"`
		PIDs       []int              `json:"pids,omitempty"`
		Cgroup     wireText           `json:"cgroup,omitempty"`
		Frozen     bool               `json:"frozen,omitempty"`
		Container  *int               `json:"container,omitempty"`
		Threads    int                `json:"threads"`
		Tasks      wireList[wireTask] `json:"tasks,omitempty"`
	}
	wireTask struct {
		TID        int               `json:"tid"`
		Name       wireText          `json:"name"`
		Start      uint64            `json:"start"`
		Namespaces map[string]uint64 `json:"namespaces"`
		TIDs       []int             `json:"tids,omitempty"`
	}
	wireContainer struct {
		ID      wireText `json:"id"`
		Runtime string   `json:"runtime,omitempty"`
		Name    wireText `json:"name,omitempty"`
		Pod     wireText `json:"pod,omitempty"`
		PodName wireText `json:"podName,omitempty"`
		Cgroup  wireText `json:"cgroup,omitempty"`
	}
	wireMounts struct {
		Namespace uint64              `json:"namespace"`
		Mounts    wireList[wireMount] `json:"mounts"`
	}
	wireMount struct {
		ID           int      `json:"id"`
		Parent       int      `json:"parent"`
		Serial       uint64   `json:"serial,omitempty"`
		Dev          string   `json:"dev"`
		Root         wireText `json:"root"`
		Point        wireText `json:"point"`
		Options      wireText `json:"options,omitempty"`
		Type         wireText `json:"type"`
		Source       wireText `json:"source,omitempty"`
		SuperOptions wireText `json:"superOptions,omitempty"`
		Propagation  string   `json:"propagation,omitempty"`
		Hidden       bool     `json:"hidden,omitempty"`
	}
	wireProblem struct {
		Source    Sources               `json:"source"`
		PID       int                   `json:"pid,omitempty"`
		TID       int                   `json:"tid,omitempty"`
		FD        int                   `json:"fd,omitempty"`
		Type      species.NamespaceType `json:"type,omitempty"`
		Namespace uint64                `json:"namespace,omitempty"`
		Path      wireText              `json:"path,omitempty"`
		Errno     uint64                `json:"errno"`
		Text      string                `json:"text"`
	}
)

// The names of a process's namespaces for children, beside those of the types.
const (
	pidForChildrenName  = "pid_for_children"
	timeForChildrenName = "time_for_children"
)

// MarshalJSON returns all of the result as JSON, of its Options the types, the sources and the proc file system:
// docs/discovery.schema.json describes it. Texts that are not valid UTF-8 survive.
func (r *Result) MarshalJSON() ([]byte, error) {
	w := wireResult{
		Version: jsonVersion, Device: r.Device, Types: r.Options.Types, Sources: r.Options.Sources, Proc: wireText(r.Options.Proc),
		UserRoots: derived(inodes(r.UserRoots())), PIDRoots: derived(inodes(r.PIDRoots())),
		Namespaces: make([]wireNamespace, 0, len(r.Namespaces)), Processes: make([]wireProcess, 0, len(r.Processes)),
		Containers: make([]wireContainer, 0, len(r.Containers)), PIDMap: derived(wirePIDs(r)), Problems: make([]wireProblem, 0, len(r.Problems)),
	}
	for _, n := range r.Namespaces {
		w.Namespaces = append(w.Namespaces, wireNamespaceOf(n))
	}
	for _, p := range r.Processes {
		w.Processes = append(w.Processes, wireProcessOf(p))
		if at := slices.Index(r.Containers, p.Container); at >= 0 {
			w.Processes[len(w.Processes)-1].Container = &at
		}
	}
	for _, c := range r.Containers {
		w.Containers = append(w.Containers, wireContainer{wireText(c.ID), c.Runtime, wireText(c.Name), wireText(c.Pod), wireText(c.PodName), wireText(c.Cgroup)})
	}
	for _, t := range r.Mounts {
		w.Mounts = append(w.Mounts, wireMountsOf(t))
	}
	for _, p := range r.Problems {
		w.Problems = append(w.Problems, wireProblem{p.Source, p.PID, p.TID, p.FD, p.Type, p.Namespace.Ino, wireText(p.Path), uint64(p.Errno), p.Errno.Error()})
	}
	return json.Marshal(w)
}

func inodes(list []*Namespace) []uint64 {
	found := make([]uint64, 0, len(list))
	for _, n := range list {
		found = append(found, n.ID.Ino)
	}
	return found
}

func inode(n *Namespace) uint64 {
	if n == nil {
		return 0
	}
	return n.ID.Ino
}

// wirePIDs has for each PID namespace but the outermost pairs of a PID in there and that in Process.PID.
func wirePIDs(r *Result) map[string][][2]int {
	pids := map[string][][2]int{}
	for _, p := range r.Processes {
		n := p.Namespaces[pidSlot]
		for i := len(p.PIDs) - 1; i > 0 && n != nil; i-- {
			pids[n.String()] = append(pids[n.String()], [2]int{p.PIDs[i], p.PID})
			n = n.Parent
		}
	}
	for _, pairs := range pids {
		slices.SortFunc(pairs, func(a, b [2]int) int { return a[0] - b[0] })
	}
	return pids
}

func wireNamespaceOf(n *Namespace) wireNamespace {
	w := wireNamespace{
		Inode: n.ID.Ino, Serial: n.Serial, Type: n.Type, Initial: n.Initial,
		Owner: inode(n.Owner), OwnerHidden: n.OwnerHidden, OwnerUID: n.OwnerUID, OwnerName: wireText(n.OwnerName),
		Parent: inode(n.Parent), ParentHidden: n.ParentHidden,
		Processes: len(n.Processes), Tasks: n.Tasks,
	}
	if n.Leader != nil {
		w.Leader = n.Leader.PID
	}
	for _, ref := range n.References {
		w.References = append(w.References, wireReference{ref.Kind, ref.PID, ref.TID, ref.FD, inode(ref.MountNamespace), wireText(ref.Path)})
	}
	return w
}

func wireProcessOf(p *Process) wireProcess {
	w := wireProcess{
		PID: p.PID, PPID: p.PPID, Name: wireText(p.Name), Cmdline: wireTexts(p.Cmdline), State: string(rune(p.State)),
		Kernel: p.Kernel, Start: p.Start, UID: p.UID, GID: p.GID, PIDs: p.PIDs, Cgroup: wireText(p.Cgroup), Frozen: p.Frozen,
		Threads: p.Threads, Namespaces: wireLinks(&p.Namespaces, p.PIDForChildren, p.TimeForChildren),
	}
	for _, t := range p.Tasks {
		w.Tasks = append(w.Tasks, wireTask{t.TID, wireText(t.Name), t.Start, wireLinks(&t.Namespaces, t.PIDForChildren, t.TimeForChildren), t.TIDs})
	}
	return w
}

func wireLinks(s *NamespacesSet, pid, time *Namespace) map[string]uint64 {
	links := map[string]uint64{}
	put := func(name string, n *Namespace) {
		if n != nil {
			links[name] = n.ID.Ino
		}
	}
	for i, n := range s {
		put(slots[i].Name(), n)
	}
	put(pidForChildrenName, pid)
	put(timeForChildrenName, time)
	return links
}

func wireMountsOf(t *MountTable) wireMounts {
	w := wireMounts{Namespace: inode(t.Namespace), Mounts: make([]wireMount, 0, len(t.Mounts))}
	for _, m := range t.Mounts {
		w.Mounts = append(w.Mounts, wireMount{m.ID, m.ParentID, m.Serial, m.Dev, wireText(m.Root), wireText(m.Point), wireText(m.Options),
			wireText(m.Type), wireText(m.Source), wireText(m.SuperOptions), m.Propagation, m.Hidden})
	}
	return w
}

var errVersion = errors.New("written by a program with another idea of it")

// errDangling says that a number in the JSON leads nowhere.
func errDangling(what string, number uint64) error { return fmt.Errorf("no %s %d", what, number) }

// errTwice says that a number in the JSON is not that of one.
func errTwice(what string, number uint64) error { return fmt.Errorf("two %s %d", what, number) }
