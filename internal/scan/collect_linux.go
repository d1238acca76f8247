package scan

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nsops/nsops/internal/engines"
	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/species"
)

// collect puts together what the workers have found, of the types that are wanted, without what is gone.
func (s *scan) collect() *facts.Facts {
	f := &facts.Facts{
		Device: s.table.dev, Types: s.opts.Types, Sources: s.opts.Sources, Proc: facts.Text(s.opts.Proc),
		Live: true, MountIDs: s.mounts.ids,
	}
	c := collector{scan: s, facts: f, refs: make([]facts.Ref, s.table.len+1)}
	c.namespaces()
	c.references()
	c.processes()
	c.mounts()
	return f
}

// collector turns what was found into rows.
type collector struct {
	scan  *scan
	facts *facts.Facts
	refs  []facts.Ref // in the facts, by those in the table
}

func (c *collector) namespaces() {
	s := c.scan
	wanted := make([]*entry, 0, s.table.len)
	for n := range s.table.each {
		if n.state != gone && s.opts.Types.Has(n.kind) {
			wanted = append(wanted, n)
		}
	}
	slices.SortFunc(wanted, func(a, b *entry) int {
		return cmp.Or(facts.TypeIndex(a.kind)-facts.TypeIndex(b.kind), cmp.Compare(a.inode, b.inode))
	})
	for i, n := range wanted {
		c.refs[n.ref] = facts.Ref(i + 1)
	}
	names := userNames()
	c.facts.Namespaces = make([]facts.Namespace, len(wanted))
	for i, n := range wanted {
		uid := n.ownerUID
		if n.kind != species.CLONE_NEWUSER && n.owner != nil {
			uid = n.owner.ownerUID
		}
		c.facts.Namespaces[i] = facts.Namespace{
			Inode: n.inode, Serial: n.serial, Type: n.kind, Initial: species.IsInitialInode(n.inode),
			Owner: c.ref(n.owner), OwnerHidden: n.ownerHidden, OwnerUID: uid, OwnerName: facts.Text(names[uid]),
			Parent: c.ref(n.parent), ParentHidden: n.parentHidden,
		}
	}
}

func (c *collector) ref(n *entry) facts.Ref {
	if n == nil {
		return 0
	}
	return c.refs[n.ref]
}

// references gives the namespaces their references, in one array.
func (c *collector) references() {
	sizes := make([]int, len(c.facts.Namespaces)+1)
	total := 0
	for _, w := range c.scan.workers {
		for i := range w.found {
			sizes[c.refs[w.found[i].to]]++
		}
		total += len(w.found)
	}
	room := make([]facts.Reference, total-sizes[0])
	for i := range c.facts.Namespaces {
		size := sizes[i+1]
		c.facts.Namespaces[i].References, room = room[:0:size], room[size:]
	}
	for _, w := range c.scan.workers {
		for i := range w.found {
			r := &w.found[i]
			if n := c.facts.Namespace(c.refs[r.to]); n != nil {
				r.row.MountNamespace = c.refs[r.row.MountNamespace]
				n.References = append(n.References, r.row)
			}
		}
	}
}

// processes leaves out those that have ended, and keeps their drafts in the same order.
func (c *collector) processes() {
	s := c.scan
	words := 0
	for i := range s.drafts {
		words += strings.Count(string(s.drafts[i].cmdline), "\x00")
	}
	room := make([]string, 0, words+16) // a command line may have no zero byte
	kept := 0
	for i := range s.rows {
		p, d := &s.rows[i], &s.drafts[i]
		if p.PID == 0 || s.isInGone(p) {
			continue
		}
		if d.old == nil || d.cmdline != "" {
			p.Cmdline, room = splitWords(string(d.cmdline), room)
		} else if !p.State.Zombie() {
			p.Cmdline = d.old.Cmdline
		}
		c.links(&p.Namespaces)
		for j := range p.Tasks {
			c.links(&p.Tasks[j].Namespaces)
		}
		if kept != i {
			s.rows[kept], s.drafts[kept] = *p, *d
		}
		kept++
	}
	c.facts.Processes, s.drafts = s.rows[:kept:kept], s.drafts[:kept]
}

func (c *collector) links(l *facts.Links) {
	for i := range l {
		l[i] = c.refs[l[i]]
	}
}

func (c *collector) mounts() {
	for _, t := range c.scan.mounts.all {
		if t.Namespace = c.refs[t.Namespace]; t.Namespace != 0 {
			c.facts.Mounts = append(c.facts.Mounts, t)
		}
	}
}

// splitWords splits a command line at its zero bytes; what it returns is a part of room.
func splitWords(text string, room []string) (words, rest []string) {
	if text == "" {
		return nil, room
	}
	start := len(room)
	for text != "" {
		var word string
		word, text, _ = strings.Cut(text, "\x00")
		room = append(room, word)
	}
	return slices.Clip(room[start:]), room
}

// userNames returns the names in /etc/passwd by user ID: the first, if there are several. They are read again when the
// file has changed. Package os/user would take cgo, and with it run code of whoever the system asks for names.
func userNames() map[int]string {
	const path = "/etc/passwd"
	file, err := os.Stat(path)
	passwd.Lock()
	defer passwd.Unlock()
	if err != nil || passwd.file == nil || !os.SameFile(file, passwd.file) || file.Size() != passwd.file.Size() ||
		!file.ModTime().Equal(passwd.file.ModTime()) {
		passwd.file, passwd.names = file, parseUsers(string(engines.ReadFile(path)))
	}
	return passwd.names
}

// passwd is what was read last.
var passwd struct {
	sync.Mutex
	file  os.FileInfo
	names map[int]string
}

func parseUsers(text string) map[int]string {
	names := map[int]string{}
	for line := range strings.Lines(text) {
		fields := strings.SplitN(line, ":", 4)
		if len(fields) < 4 || fields[0] == "" {
			continue
		}
		if uid, err := strconv.Atoi(fields[2]); err == nil && names[uid] == "" {
			names[uid] = fields[0]
		}
	}
	return names
}
