// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The kernel lets only programs under the GPL read its memory, which the two that are written here do.

package taskiter

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"syscall"

	"github.com/nsops/nsops/internal/raw"
	"github.com/nsops/nsops/species"
)

// A record of a thread, as the kernel writes it: where each field is.
const (
	taskStart       = 0  // nanoseconds after boot
	taskGroups      = 8  // where the kernel keeps the set of its cgroups
	taskTGID        = 16 // these three in the initial PID namespace
	taskTID         = 20
	taskParent      = 24
	taskUID         = 28 // in the initial user namespace
	taskGID         = 32
	taskFlags       = 36
	taskState       = 40
	taskExit        = 44
	taskThreads     = 48
	taskLevel       = 52 // how deep its PID namespace is
	taskReaderLevel = 56 // how deep ours is
	taskName        = 64
	taskLinks       = 80 // for each of links
	taskNumbers     = taskLinks + Links*linkSize
	taskSize        = (taskNumbers + 4*maxNumbers + 7) &^ 7
	nameSize        = 16
	linkSize        = 24 // the 64-bit ID, that of the owner, the inode number
	maxNumbers      = 33 // the kernel nests PID namespaces no deeper
	onStackTask     = scratch - taskSize
)

// What a record knows of a namespace.
const linkSerial, linkOwner, linkInode = 0, 8, 16

// A record of a descriptor.
const (
	fileLink    = 0
	fileKind    = fileLink + linkSize
	fileType    = fileKind + 4
	fileTGID    = fileKind + 8
	fileTID     = fileKind + 12
	fileFD      = fileKind + 16
	fileFamily  = fileKind + 20
	fileSize    = fileKind + 24
	onStackFile = scratch - fileSize
)

// wanted are the types that the programs need to know.
var wanted = func() []typeName {
	all := []typeName{{kindFunc, taskIterator}, {kindFunc, fileIterator}}
	for name := range strings.FieldsSeq("task_struct signal_struct cred nsproxy pid upid ns_common mnt_namespace " +
		"cgroup_namespace uts_namespace ipc_namespace user_namespace pid_namespace net time_namespace " +
		"file inode super_block socket sock bpf_iter_meta bpf_iter__task bpf_iter__task_file") {
		all = append(all, typeName{kindStruct, name})
	}
	return all
}()

// The functions that stand for the iterators.
const (
	taskIterator = "bpf_iter_task"
	fileIterator = "bpf_iter_task_file"
)

// farthest is the offset that instructions have room for, less the sums of two that are made of some.
const farthest = math.MaxInt16 / 2

// writer writes programs for a kernel with these types. The first type that is missing is its error.
type writer struct {
	program
	*types
	err error
}

// find returns the number of a type, 0 if there is none.
func (w *writer) find(kind int, name string) uint32 {
	number := w.named[typeName{kind, name}]
	if number == 0 {
		w.miss(name)
	}
	return number
}

// sizeOf returns how many bytes a struct has.
func (w *writer) sizeOf(structure string) int {
	number := w.find(kindStruct, structure)
	if number == 0 {
		return 0
	}
	return int(w.word(int(w.starts[number]) + 8))
}

// at returns where in a struct a field is, or a field of a field.
func (w *writer) at(structure string, path ...string) (offset int) {
	number := w.find(kindStruct, structure)
	for _, field := range path {
		left := mostLooks
		bits, kind, ok := w.member(number, field, &left)
		if !ok || bits%8 != 0 {
			w.miss(field + " in struct " + structure)
		}
		offset, number = offset+bits/8, kind
	}
	if offset > farthest {
		w.err = cmp.Or(w.err, errTypes)
	}
	return offset
}

// miss notes what this kernel has not.
func (w *writer) miss(what string) {
	w.err = cmp.Or(w.err, fmt.Errorf("this kernel has no %s: %w", what, errors.ErrUnsupported))
}

// begin loads what a program of an iterator starts with: where to write, and a thread. There is none at the end.
func (w *writer) begin(context string) (end jump) {
	w.load(r6, r1, w.at(context, "meta"))
	w.load(r6, r6, w.at("bpf_iter_meta", "seq"))
	w.load(r7, r1, w.at(context, "task"))
	return w.ifEqual(r7, 0)
}

// clear fills a record on the stack with zeros.
func (w *writer) clear(start int) {
	for at := start; at < scratch; at += 8 {
		w.zero(at)
	}
}

// copyNamespace notes the namespace in a struct. The struct "" is struct ns_common itself.
func (w *writer) copyNamespace(to int, base register, structure string) {
	inside := 0
	if structure != "" {
		inside = w.at(structure, "ns")
	}
	w.read(to+linkSerial, 8, base, inside+w.at("ns_common", "ns_id"))
	w.read(to+linkInode, 4, base, inside+w.at("ns_common", "inum"))
}

// proxied are the namespaces that struct nsproxy knows, by their places in a record.
var proxied = []struct {
	link             int
	field, structure string
}{
	{place(species.CLONE_NEWNS), "mnt_ns", "mnt_namespace"},
	{place(species.CLONE_NEWCGROUP), "cgroup_ns", "cgroup_namespace"},
	{place(species.CLONE_NEWUTS), "uts_ns", "uts_namespace"},
	{place(species.CLONE_NEWIPC), "ipc_ns", "ipc_namespace"},
	{place(species.CLONE_NEWNET), "net_ns", "net"},
	{place(species.CLONE_NEWTIME), "time_ns", "time_namespace"},
	{PIDForChildren, "pid_ns_for_children", "pid_namespace"},
	{TimeForChildren, "time_ns_for_children", "time_namespace"},
}

func place(t species.NamespaceType) int {
	return slices.Index(slices.Collect(species.Set(species.AllNS).All()), t)
}

func linkAt(link int) int { return onStackTask + taskLinks + link*linkSize }

// tasks writes the program that is run for each thread. What the verifier knows the type of is loaded directly, the rest
// is copied, which takes ten times as long. A thread that goes to other namespaces meanwhile is left out.
func (w *writer) tasks() {
	end := w.begin("bpf_iter__task")
	w.clear(onStackTask)
	word := func(to int, from register, structure, field string) {
		w.loadWord(r1, from, w.at(structure, field))
		w.storeWord(onStackTask+to, r1)
	}
	copied := func(to, size int, from register, structure, field string) {
		w.read(onStackTask+to, size, from, w.at(structure, field))
	}
	w.load(r1, r7, w.at("task_struct", "start_boottime"))
	w.store(onStackTask+taskStart, r1)
	word(taskTGID, r7, "task_struct", "tgid")
	word(taskTID, r7, "task_struct", "pid")
	word(taskFlags, r7, "task_struct", "flags")
	word(taskState, r7, "task_struct", "__state")
	word(taskExit, r7, "task_struct", "exit_state")
	copied(taskName, nameSize, r7, "task_struct", "comm")
	w.load(r8, r7, w.at("task_struct", "signal"))
	word(taskThreads, r8, "signal_struct", "nr_threads")
	w.deref(r8, r7, w.at("task_struct", "real_parent"))
	copied(taskParent, 4, r8, "task_struct", "tgid")
	copied(taskGroups, 8, r7, "task_struct", "cgroups")
	w.deref(r8, r7, w.at("task_struct", "real_cred"))
	copied(taskUID, 4, r8, "cred", "uid")
	copied(taskGID, 4, r8, "cred", "gid")
	w.deref(r8, r8, w.at("cred", "user_ns"))
	w.copyNamespace(linkAt(place(species.CLONE_NEWUSER)), r8, "user_namespace")
	w.load(r8, r7, w.at("task_struct", "nsproxy"))
	for _, p := range proxied {
		w.load(r9, r8, w.at("nsproxy", p.field))
		w.load(r1, r9, w.at(p.structure, "ns", "ns_id"))
		w.store(linkAt(p.link)+linkSerial, r1)
		w.loadWord(r1, r9, w.at(p.structure, "ns", "inum"))
		w.storeWord(linkAt(p.link)+linkInode, r1)
		if p.link != PIDForChildren { // which has a parent, too, and so has to be asked itself
			w.load(r1, r9, w.at(p.structure, "user_ns"))
			w.load(r1, r1, w.at("user_namespace", "ns", "ns_id"))
			w.store(linkAt(p.link)+linkOwner, r1)
		}
	}
	w.load(r1, r7, w.at("task_struct", "nsproxy"))
	switched := w.ifDifferent(r1, r8) // the one that was read is freed at once, without waiting for who reads it
	w.numbers()
	w.write(r6, onStackTask, taskSize)
	w.here(end, switched)
	w.exit()
}

// numbers notes the PID namespace and the PIDs in that and in all around it.
func (w *writer) numbers() {
	level, number := w.at("pid", "level"), w.at("pid", "numbers")
	w.call(helperCurrentTask)
	w.deref(r8, r0, w.at("task_struct", "thread_pid"))
	w.read(onStackTask+taskReaderLevel, 4, r8, level)
	w.deref(r8, r7, w.at("task_struct", "thread_pid"))
	w.read(onStackTask+taskLevel, 4, r8, level)
	w.loadWord(r9, fp, onStackTask+taskLevel)
	w.times(r9, w.sizeOf("upid"))
	w.addTo(r9, r8)
	w.deref(r9, r9, number+w.at("upid", "ns"))
	w.copyNamespace(linkAt(place(species.CLONE_NEWPID)), r9, "pid_namespace")
	w.loadWord(r9, fp, onStackTask+taskLevel)
	var last []jump
	for i := range maxNumbers {
		last = append(last, w.ifLess(r9, i))
		w.read(onStackTask+taskNumbers+4*i, 4, r8, number+i*w.sizeOf("upid")+w.at("upid", "nr"))
	}
	w.here(last...)
}

// What struct inode and the others have in their fields.
const (
	typeMask, socketType, deviceType = syscall.S_IFMT, syscall.S_IFSOCK, syscall.S_IFCHR
	tunDevice                        = 10<<20 | 200
)

// files writes the program that is run for each open descriptor. It lets through those of namespaces, of TUN and TAP
// devices, and of sockets in another network namespace than their process; with unix also all unix sockets.
func (w *writer) files(unix bool) {
	skip := []jump{w.begin("bpf_iter__task_file")}
	w.load(r8, r1, w.at("bpf_iter__task_file", "file"))
	skip = append(skip, w.ifEqual(r8, 0))
	w.loadWord(r9, r1, w.at("bpf_iter__task_file", "fd"))
	w.clear(onStackFile)
	w.storeWord(onStackFile+fileFD, r9)
	w.load(r9, r8, w.at("file", "f_inode"))
	w.loadHalf(r1, r9, w.at("inode", "i_mode"))
	w.and(r1, typeMask)
	socket, device := w.ifEqual(r1, socketType), w.ifEqual(r1, deviceType)

	w.load(r8, r9, w.at("inode", "i_sb"))
	w.load(r8, r8, w.at("super_block", "s_magic"))
	skip = append(skip, w.ifNot(r8, raw.NsfsMagic))
	w.load(r8, r9, w.at("inode", "i_private"))
	w.read(onStackFile+fileType, 4, r8, w.at("ns_common", "ns_type"))
	w.copyNamespace(onStackFile+fileLink, r8, "")
	w.setWord(onStackFile+fileKind, int(Held))
	found := []jump{w.goTo()}

	w.here(device)
	w.loadWord(r1, r9, w.at("inode", "i_rdev"))
	skip = append(skip, w.ifNot(r1, tunDevice))
	w.setWord(onStackFile+fileKind, int(Tun))
	found = append(found, w.goTo())

	w.here(socket)
	elsewhere, here := w.socket(unix)
	found, skip = append(found, elsewhere...), append(skip, here...)

	w.here(found...)
	w.read(onStackFile+fileTGID, 4, r7, w.at("task_struct", "tgid"))
	w.read(onStackFile+fileTID, 4, r7, w.at("task_struct", "pid"))
	w.write(r6, onStackFile, fileSize)
	w.here(skip...)
	w.exit()
}

// socket finds out where the socket of a file is, to which r8 points, and whether that is elsewhere than the thread.
func (w *writer) socket(unix bool) (found, skip []jump) {
	w.load(r8, r8, w.at("file", "private_data"))
	w.deref(r8, r8, w.at("socket", "sk"))
	skip = append(skip, w.ifEqual(r8, 0))
	w.read(onStackFile+fileFamily, 2, r8, w.at("sock", "__sk_common", "skc_family"))
	w.deref(r8, r8, w.at("sock", "__sk_common", "skc_net", "net"))
	w.copyNamespace(onStackFile+fileLink, r8, "net")
	w.setWord(onStackFile+fileKind, int(Socket))
	w.deref(r3, r7, w.at("task_struct", "nsproxy"))
	w.deref(r3, r3, w.at("nsproxy", "net_ns"))
	found = append(found, w.ifDifferent(r8, r3))
	if unix {
		w.loadWord(r1, fp, onStackFile+fileFamily)
		found = append(found, w.ifEqual(r1, syscall.AF_UNIX))
	}
	return found, append(skip, w.goTo())
}
