//go:build cgo

package nsenter

/*
#define _GNU_SOURCE
#include <link.h>
#include <sys/auxv.h>
#include "nsenter.h"

static int nsops_started;

__attribute__((constructor)) static void nsops_start(void) { nsops_started = 1; }

// Reports whether this code is part of a loaded file, and sets executed if that is the file which the kernel executed.
static int nsops_find(struct dl_phdr_info *file, size_t size, void *executed)
{
	int ours = 0, needs_loader = 0;

	(void)size;
	for (int i = 0; i < file->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &file->dlpi_phdr[i];

		ours |= segment->p_type == PT_LOAD && (ElfW(Addr))nsops_start - file->dlpi_addr - segment->p_vaddr < segment->p_memsz;
		needs_loader |= segment->p_type == PT_INTERP;
	}
	*(int *)executed = (ElfW(Addr))file->dlpi_phdr == getauxval(AT_PHDR) && (!needs_loader || getauxval(AT_BASE));
	return ours;
}

static int nsops_executed(void)
{
	int executed = 0;

	return nsops_started && dl_iterate_phdr(nsops_find, &executed) && executed;
}
*/
import "C"

import (
	"unsafe"

	"github.com/nsops/nsops/internal/wire"
)

// Linked reports whether the bootstrap is part of this program, which requires cgo.
const Linked = true

// This does not compile if a size, an offset or a number of C is not that of package wire: no map may have false twice.
var _ = func(q wire.Request, r wire.Record, cq C.struct_nsops_request, cr C.struct_nsops_record) {
	const request = unsafe.Sizeof(q) == unsafe.Sizeof(cq) &&
		unsafe.Offsetof(q.Flags) == unsafe.Offsetof(cq.flags) && unsafe.Offsetof(q.Types) == unsafe.Offsetof(cq.types) &&
		unsafe.Offsetof(q.UID) == unsafe.Offsetof(cq.uid) && unsafe.Offsetof(q.GID) == unsafe.Offsetof(cq.gid) &&
		unsafe.Offsetof(q.Lifeline) == unsafe.Offsetof(cq.lifeline) && unsafe.Offsetof(q.FDs) == unsafe.Offsetof(cq.fds) &&
		unsafe.Offsetof(q.Order) == unsafe.Offsetof(cq.order) && unsafe.Offsetof(q.Lose) == unsafe.Offsetof(cq.lose) &&
		unsafe.Offsetof(q.Securebits) == unsafe.Offsetof(cq.securebits) &&
		unsafe.Offsetof(q.Unbound) == unsafe.Offsetof(cq.unbound)
	const record = unsafe.Sizeof(r) == unsafe.Sizeof(cr) &&
		unsafe.Offsetof(r.Kind) == unsafe.Offsetof(cr.kind) && unsafe.Offsetof(r.Stage) == unsafe.Offsetof(cr.stage) &&
		unsafe.Offsetof(r.Type) == unsafe.Offsetof(cr._type) && unsafe.Offsetof(r.Errno) == unsafe.Offsetof(cr.error) &&
		unsafe.Offsetof(r.Pid) == unsafe.Offsetof(cr.pid) && unsafe.Offsetof(r.Step) == unsafe.Offsetof(cr.step) &&
		unsafe.Offsetof(r.Size) == unsafe.Offsetof(cr.size)
	const flags = wire.FlagSpawn == C.NSOPS_SPAWN && wire.FlagByFD == C.NSOPS_BY_FD &&
		wire.FlagDropPrivs == C.NSOPS_DROP_PRIVS && wire.FlagRemountSys == C.NSOPS_REMOUNT_SYS &&
		wire.FlagUser == C.NSOPS_USER && wire.FlagRoot == C.NSOPS_ROOT
	const kinds = wire.KindForked == C.NSOPS_FORKED && wire.KindJoined == C.NSOPS_JOINED && wire.KindFailed == C.NSOPS_FAILED
	const stages = wire.StageSpawn == C.STAGE_SPAWN && wire.StageJoin == C.STAGE_JOIN && wire.StageMounts == C.STAGE_MOUNTS &&
		wire.StagePrivileges == C.STAGE_PRIVILEGES && wire.StageProtocol == C.STAGE_PROTOCOL
	const others = wire.Magic == C.NSOPS_MAGIC && wire.MaxTypes == C.NSOPS_TYPES && wire.ChannelEnv == C.NSOPS_ENV
	_ = map[bool]int{false: 0, request && record && flags && kinds && stages && others: 1}
}

// Current returns what the bootstrap has prepared; false: this process is no worker.
func Current() (Worker, bool) {
	w := &C.nsops_worker
	return Worker{int(w.channel), int(w.lifeline), w.spawned != 0, w.foreign != 0}, w.channel >= 0
}

// Secure reports whether this program was started with more rights than its caller had (AT_SECURE, man 3 getauxval): by
// set-user-ID, set-group-ID, file capabilities or a security module. The bootstrap does nothing then.
func Secure() bool { return C.getauxval(C.AT_SECURE) != 0 }

// SetID reports whether this program was started set-user-ID or set-group-ID by another user. A worker never is.
func SetID() bool {
	return C.getauxval(C.AT_UID) != C.getauxval(C.AT_EUID) || C.getauxval(C.AT_GID) != C.getauxval(C.AT_EGID)
}

// Executed reports whether the bootstrap would run if the kernel executed the file of this process (/proc/self/exe)
// again. It would not if this code is a shared library of another program, if the program was started as ld.so PROGRAM,
// or if constructors do not run, as after -linkmode=internal.
func Executed() bool { return C.nsops_executed() != 0 }
