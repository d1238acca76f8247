package discover

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"syscall"

	"github.com/nsops/nsops/species"
)

// UnmarshalJSON makes the result what MarshalJSON wrote. An *Error if that does not fit together, or would take far more
// memory than it should: a Result takes up to thirty times as much as its JSON, or 100 MB.
func (r *Result) UnmarshalJSON(text []byte) error {
	var w wireResult
	err := checkSize(text)
	if err == nil {
		err = json.Unmarshal(text, &w)
	}
	if err != nil {
		return &Error{Op: "read result", Err: err}
	}
	if w.Version != jsonVersion {
		return &Error{Op: "read result", Err: errVersion}
	}
	reader := wireReader{result: &Result{Device: w.Device, Options: Options{Types: w.Types, Sources: w.Sources, Proc: string(w.Proc)}},
		namespaces: make(map[uint64]*Namespace, len(w.Namespaces))}
	reader.read(&w)
	if reader.err != nil {
		return &Error{Op: "read result", Err: reader.err}
	}
	*r = *reader.result
	return nil
}

// wireReader makes a result of its wire form. The first error is kept. What would send who relies on a Result round in
// circles is an error too: a PID that two processes have, or somebody who is above himself.
type wireReader struct {
	result     *Result
	namespaces map[uint64]*Namespace
	err        error
}

func (r *wireReader) read(w *wireResult) {
	for i := range w.Namespaces {
		n := &w.Namespaces[i]
		if n.Inode == 0 || r.namespaces[n.Inode] != nil {
			r.fail(errTwice("namespaces", n.Inode))
		}
		if r.err != nil {
			return
		}
		r.namespaces[n.Inode] = &Namespace{ID: species.NamespaceID{Dev: w.Device, Ino: n.Inode}, Serial: n.Serial, Type: n.Type,
			Initial: n.Initial, OwnerHidden: n.OwnerHidden, OwnerUID: n.OwnerUID, OwnerName: string(n.OwnerName), ParentHidden: n.ParentHidden}
	}
	for i := range w.Namespaces {
		r.namespace(&w.Namespaces[i])
	}
	for _, c := range w.Containers {
		r.result.Containers = append(r.result.Containers, &Container{ID: string(c.ID), Runtime: c.Runtime,
			Name: string(c.Name), Pod: string(c.Pod), PodName: string(c.PodName), Cgroup: string(c.Cgroup)})
	}
	for i := range w.Processes {
		r.process(&w.Processes[i])
	}
	r.sortProcesses()
	for i := range w.Mounts {
		r.mounts(&w.Mounts[i])
	}
	for _, p := range w.Problems {
		r.result.Problems = append(r.result.Problems, Problem{p.Source, p.PID, p.TID, p.FD, p.Type, r.id(p.Namespace), string(p.Path), syscall.Errno(p.Errno)})
	}
	if r.err == nil {
		r.result.relate()
		r.result.relateContainers()
		r.circles()
	}
}

func (r *wireReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *wireReader) sortProcesses() {
	list := r.result.Processes
	slices.SortFunc(list, func(a, b *Process) int { return cmp.Compare(a.PID, b.PID) })
	for i := range list {
		if i > 0 && list[i].PID == list[i-1].PID {
			r.fail(errTwice("processes", uint64(list[i].PID)))
		}
	}
}

// circles fails if somebody is above himself.
func (r *wireReader) circles() {
	inCircle := circle(r.result.Namespaces, func(n *Namespace) *Namespace { return n.Parent }) ||
		circle(r.result.Namespaces, func(n *Namespace) *Namespace { return n.Owner }) ||
		circle(r.result.Processes, func(p *Process) *Process { return p.Parent })
	for _, t := range r.result.Mounts {
		inCircle = inCircle || circle(t.Mounts, func(m *Mount) *Mount { return m.Parent })
	}
	if inCircle {
		r.fail(errCircle)
	}
}

var errCircle = errors.New("somebody is above himself")

// circle says whether the way up from one of them comes back to it.
func circle[T any](list []*T, above func(*T) *T) bool {
	from := make(map[*T]int, len(list)) // whose way up was the first to lead there
	for i, one := range list {
		for ; one != nil; one = above(one) {
			first, seen := from[one]
			if seen && first == i {
				return true
			}
			if seen {
				break
			}
			from[one] = i
		}
	}
	return false
}

func (r *wireReader) id(inode uint64) species.NamespaceID {
	if inode == 0 {
		return species.NoneID
	}
	return species.NamespaceID{Dev: r.result.Device, Ino: inode}
}

// find returns the namespace with that number and type, nil for 0.
func (r *wireReader) find(inode uint64, t species.NamespaceType) *Namespace {
	if inode == 0 {
		return nil
	}
	n := r.namespaces[inode]
	if n == nil || n.Type != t {
		r.fail(errDangling("namespace "+t.Name(), inode))
		return nil
	}
	return n
}

func (r *wireReader) namespace(w *wireNamespace) {
	n := r.namespaces[w.Inode]
	if slot(n.Type) < 0 {
		r.fail(errDangling("type of namespace", w.Inode))
	}
	if w.Parent != 0 && n.Type != species.CLONE_NEWUSER && n.Type != species.CLONE_NEWPID {
		r.fail(errDangling("parents of a namespace such as", w.Inode))
	}
	n.Owner = r.find(w.Owner, species.CLONE_NEWUSER)
	n.Parent = r.find(w.Parent, n.Type)
	for _, ref := range w.References {
		n.References = append(n.References, Reference{ref.Kind, ref.PID, ref.TID, ref.FD, r.find(ref.MountNamespace, species.CLONE_NEWNS), string(ref.Path)})
	}
	r.result.Namespaces = append(r.result.Namespaces, n)
}

func (r *wireReader) process(w *wireProcess) {
	if min(w.PID, w.PPID) < 0 || max(w.PID, w.PPID) > math.MaxInt32 {
		r.fail(errDangling("PID such as", uint64(w.PID)))
	}
	p := &Process{PID: w.PID, PPID: w.PPID, Name: string(w.Name), Cmdline: plainTexts(w.Cmdline), Kernel: w.Kernel, Start: w.Start,
		UID: w.UID, GID: w.GID, PIDs: w.PIDs, Cgroup: string(w.Cgroup), Frozen: w.Frozen, Threads: w.Threads}
	if w.State != "" {
		p.State = w.State[0]
	}
	switch at := w.Container; {
	case at == nil:
	case *at < 0 || *at >= len(r.result.Containers):
		r.fail(fmt.Errorf("there is no container %d", *at))
	default:
		p.Container = r.result.Containers[*at]
	}
	p.PIDForChildren, p.TimeForChildren = r.links(w.Namespaces, &p.Namespaces)
	for i := range w.Tasks {
		t := &Task{Process: p, TID: w.Tasks[i].TID, Name: string(w.Tasks[i].Name), Start: w.Tasks[i].Start, TIDs: w.Tasks[i].TIDs}
		t.PIDForChildren, t.TimeForChildren = r.links(w.Tasks[i].Namespaces, &t.Namespaces)
		p.Tasks = append(p.Tasks, t)
	}
	r.result.Processes = append(r.result.Processes, p)
}

func (r *wireReader) links(w map[string]uint64, s *NamespacesSet) (pid, time *Namespace) {
	for i := range s {
		s[i] = r.find(w[slots[i].Name()], slots[i])
	}
	return r.find(w[pidForChildrenName], species.CLONE_NEWPID), r.find(w[timeForChildrenName], species.CLONE_NEWTIME)
}

func (r *wireReader) mounts(w *wireMounts) {
	t := &MountTable{Namespace: r.find(w.Namespace, species.CLONE_NEWNS)}
	if t.Namespace == nil {
		r.fail(errDangling("mount namespace", w.Namespace))
	}
	ids := make(map[int]bool, len(w.Mounts))
	for _, m := range w.Mounts {
		if ids[m.ID] {
			r.fail(errTwice("mounts", uint64(m.ID)))
		}
		ids[m.ID] = true
		t.Mounts = append(t.Mounts, &Mount{ID: m.ID, ParentID: m.Parent, Serial: m.Serial, Dev: m.Dev, Root: string(m.Root),
			Point: string(m.Point), Options: string(m.Options), Type: string(m.Type), Source: string(m.Source),
			SuperOptions: string(m.SuperOptions), Propagation: m.Propagation})
	}
	t.arrange()
	r.result.Mounts = append(r.result.Mounts, t)
}
