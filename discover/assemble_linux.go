package discover

import (
	"bytes"
	"slices"

	"github.com/nsops/nsops/species"
)

// result puts together what the workers have found.
func (s *scan) result() *Result {
	r := &Result{Options: s.opts, Device: s.table.dev, Mounts: s.mounts.all, live: true}
	s.lookAgain()
	texts := map[*worker]string{}
	words := 0
	for _, w := range s.workers {
		texts[w] = string(w.text)
		words += bytes.Count(w.text, []byte{0})
	}
	s.takeProblems(r)
	s.assembleProcesses(r, texts, make([]string, 0, words+len(s.pids)))
	s.assembleReferences()
	s.nameOwners()
	s.choose(r)
	r.relate()
	s.lateLeaders(r)
	s.contain(r)
	s.takeProblems(r)
	slices.SortFunc(r.Problems, compareProblems)
	r.lists = s.mounts.lists
	return r
}

// takeProblems takes those that the workers have noted since the last time.
func (s *scan) takeProblems(r *Result) {
	for _, w := range s.workers {
		r.Problems = append(r.Problems, w.problems...)
		w.problems = nil
	}
	r.Problems = append(r.Problems, s.table.lacking...)
	s.table.lacking = nil
}

func (s *scan) assembleProcesses(r *Result, all map[*worker]string, words []string) {
	r.Processes = make([]*Process, 0, len(s.processes))
	for i := range s.processes {
		p, t := &s.processes[i], &s.texts[i]
		if p.PID == 0 || p.Namespaces.gone() {
			continue
		}
		text := all[t.worker]
		p.Name = t.name.of(text)
		if t.kept == nil || t.cmdline != (span{}) {
			p.Cmdline, words = splitWords(t.cmdline.of(text), words)
		} else {
			p.Cmdline = t.kept.Cmdline
		}
		p.PIDs = t.pids.numbers(t.worker)
		if t.cgroup != nil {
			p.cgroup, p.Cgroup = t.cgroup, t.cgroup.in.Path
		}
		for j, task := range p.Tasks {
			task.Name = t.tasks[j].name.of(text)
			task.TIDs = t.tasks[j].tids.numbers(t.worker)
		}
		r.Processes = append(r.Processes, p)
	}
	slices.SortFunc(r.Processes, func(a, b *Process) int { return a.PID - b.PID })
}

// gone says whether there can be nothing in these namespaces any more.
func (s *NamespacesSet) gone() bool {
	return slices.ContainsFunc(s[:], func(n *Namespace) bool { return n != nil && n.gone })
}

func (s span) of(text string) string { return text[s.start:s.end] }

func (s span) numbers(w *worker) []int {
	if s.start == s.end {
		return nil
	}
	return w.numbers[s.start:s.end:s.end]
}

// splitWords splits a command line at its zero bytes; what it returns is a part of room.
func splitWords(text string, room []string) (words, rest []string) {
	start := len(room)
	for text != "" {
		at := 0
		for at < len(text) && text[at] != 0 {
			at++
		}
		room = append(room, text[:at])
		if at == len(text) {
			break
		}
		text = text[at+1:]
	}
	if len(room) == start {
		return nil, room
	}
	return room[start:len(room):len(room)], room
}

// assembleReferences gives the namespaces their references, in one array.
func (s *scan) assembleReferences() {
	sizes := make([]int, len(s.table.all))
	total := 0
	for _, w := range s.workers {
		for _, n := range w.targets {
			sizes[n.index]++
		}
		for i := range w.pins {
			sizes[w.pins[i].to.index]++
		}
		total += len(w.targets) + len(w.pins)
	}
	room := make([]Reference, total)
	for _, n := range s.table.all {
		size := sizes[n.index]
		n.References, room = room[:0:size], room[size:]
	}
	for _, w := range s.workers {
		for i, n := range w.targets {
			n.References = append(n.References, w.found[i])
		}
		for i := range w.pins {
			p := &w.pins[i]
			p.to.References = append(p.to.References, Reference{Kind: ByPin, PID: int(p.pid), MountNamespace: p.in, Path: p.path})
		}
	}
}

// nameOwners fills in who made the owners.
func (s *scan) nameOwners() {
	names := userNames()
	for _, n := range s.table.all {
		if n.Type != species.CLONE_NEWUSER && n.Owner != nil {
			n.OwnerUID = n.Owner.OwnerUID
		}
		n.OwnerName = names[n.OwnerUID]
	}
}

// choose takes the types that are wanted, and lets go of the others.
func (s *scan) choose(r *Result) {
	wanted := func(n *Namespace) *Namespace {
		if n == nil || n.gone || !s.opts.Types.Has(n.Type) {
			return nil
		}
		return n
	}
	r.Namespaces = make([]*Namespace, 0, len(s.table.all))
	for _, n := range s.table.all {
		if wanted(n) != nil {
			r.Namespaces = append(r.Namespaces, n)
		}
	}
	if s.opts.Types == species.Set(species.AllNS) && !slices.ContainsFunc(s.table.all, func(n *Namespace) bool { return n.gone }) {
		return
	}
	for _, n := range r.Namespaces {
		n.Owner, n.Parent = wanted(n.Owner), wanted(n.Parent)
		for i := range n.References {
			n.References[i].MountNamespace = wanted(n.References[i].MountNamespace)
		}
	}
	for _, p := range r.Processes {
		p.PIDForChildren, p.TimeForChildren = wanted(p.PIDForChildren), wanted(p.TimeForChildren)
		for i := range p.Namespaces {
			p.Namespaces[i] = wanted(p.Namespaces[i])
		}
		for _, t := range p.Tasks {
			t.PIDForChildren, t.TimeForChildren = wanted(t.PIDForChildren), wanted(t.TimeForChildren)
			for i := range t.Namespaces {
				t.Namespaces[i] = wanted(t.Namespaces[i])
			}
		}
	}
	r.Mounts = slices.DeleteFunc(r.Mounts, func(t *MountTable) bool { return wanted(t.Namespace) == nil })
}
