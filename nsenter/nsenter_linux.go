//go:build cgo

package nsenter

/*
#define _GNU_SOURCE
#include <link.h>
#include <sys/auxv.h>
#include "nsenter.h"

static int nsops_secure(void) { return getauxval(AT_SECURE) != 0; }
static int nsops_set_id(void) { return getauxval(AT_UID) != getauxval(AT_EUID) || getauxval(AT_GID) != getauxval(AT_EGID); }

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

// These lines do not compile if a size, an offset or a number of the frames in C differs from that in package wire.
var (
	_ = [1]int{}[unsafe.Sizeof(wire.Request{})-C.sizeof_struct_nsops_request]
	_ = [1]int{}[unsafe.Offsetof(wire.Request{}.Flags)-unsafe.Offsetof(C.struct_nsops_request{}.flags)]
	_ = [1]int{}[unsafe.Offsetof(wire.Request{}.Types)-unsafe.Offsetof(C.struct_nsops_request{}.types)]
	_ = [1]int{}[unsafe.Offsetof(wire.Request{}.UID)-unsafe.Offsetof(C.struct_nsops_request{}.uid)]
	_ = [1]int{}[unsafe.Offsetof(wire.Request{}.GID)-unsafe.Offsetof(C.struct_nsops_request{}.gid)]
	_ = [1]int{}[unsafe.Offsetof(wire.Request{}.Lifeline)-unsafe.Offsetof(C.struct_nsops_request{}.lifeline)]
	_ = [1]int{}[unsafe.Offsetof(wire.Request{}.FDs)-unsafe.Offsetof(C.struct_nsops_request{}.fds)]
	_ = [1]int{}[unsafe.Offsetof(wire.Request{}.Order)-unsafe.Offsetof(C.struct_nsops_request{}.order)]
	_ = [1]int{}[unsafe.Offsetof(wire.Request{}.Securebits)-unsafe.Offsetof(C.struct_nsops_request{}.securebits)]
	_ = [1]int{}[unsafe.Offsetof(wire.Request{}.Lose)-unsafe.Offsetof(C.struct_nsops_request{}.lose)]
	_ = [1]int{}[unsafe.Offsetof(wire.Request{}.Unbound)-unsafe.Offsetof(C.struct_nsops_request{}.unbound)]

	_ = [1]int{}[unsafe.Sizeof(wire.Record{})-C.sizeof_struct_nsops_record]
	_ = [1]int{}[unsafe.Offsetof(wire.Record{}.Kind)-unsafe.Offsetof(C.struct_nsops_record{}.kind)]
	_ = [1]int{}[unsafe.Offsetof(wire.Record{}.Stage)-unsafe.Offsetof(C.struct_nsops_record{}.stage)]
	_ = [1]int{}[unsafe.Offsetof(wire.Record{}.Type)-unsafe.Offsetof(C.struct_nsops_record{}._type)]
	_ = [1]int{}[unsafe.Offsetof(wire.Record{}.Errno)-unsafe.Offsetof(C.struct_nsops_record{}.error)]
	_ = [1]int{}[unsafe.Offsetof(wire.Record{}.Pid)-unsafe.Offsetof(C.struct_nsops_record{}.pid)]
	_ = [1]int{}[unsafe.Offsetof(wire.Record{}.Step)-unsafe.Offsetof(C.struct_nsops_record{}.step)]
	_ = [1]int{}[unsafe.Offsetof(wire.Record{}.Size)-unsafe.Offsetof(C.struct_nsops_record{}.size)]

	_ = [1]int{}[wire.Magic-C.NSOPS_MAGIC]
	_ = [1]int{}[wire.MaxTypes-C.NSOPS_TYPES]
	_ = [1]int{}[wire.FlagSpawn-C.NSOPS_SPAWN]
	_ = [1]int{}[wire.FlagByFD-C.NSOPS_BY_FD]
	_ = [1]int{}[wire.FlagDropPrivs-C.NSOPS_DROP_PRIVS]
	_ = [1]int{}[wire.FlagRemountSys-C.NSOPS_REMOUNT_SYS]
	_ = [1]int{}[wire.FlagUser-C.NSOPS_USER]
	_ = [1]int{}[wire.FlagRoot-C.NSOPS_ROOT]
	_ = [1]int{}[wire.KindForked-C.NSOPS_FORKED]
	_ = [1]int{}[wire.KindJoined-C.NSOPS_JOINED]
	_ = [1]int{}[wire.KindFailed-C.NSOPS_FAILED]
	_ = [1]int{}[wire.StageSpawn-C.STAGE_SPAWN]
	_ = [1]int{}[wire.StageJoin-C.STAGE_JOIN]
	_ = [1]int{}[wire.StageMounts-C.STAGE_MOUNTS]
	_ = [1]int{}[wire.StagePrivileges-C.STAGE_PRIVILEGES]
	_ = [1]int{}[wire.StageProtocol-C.STAGE_PROTOCOL]

	_ = map[bool]int{false: 0, wire.ChannelEnv == C.NSOPS_ENV: 1}
)

// Current returns what the bootstrap has prepared; false: this process is no worker.
func Current() (Worker, bool) {
	w := &C.nsops_worker
	return Worker{int(w.channel), int(w.lifeline), w.spawned != 0, w.foreign != 0}, w.channel >= 0
}

// Secure reports whether this program was started with more rights than its caller had (AT_SECURE, man 3 getauxval): by
// set-user-ID, set-group-ID, file capabilities or a security module. The bootstrap does nothing then.
func Secure() bool { return C.nsops_secure() != 0 }

// SetID reports whether this program was started set-user-ID or set-group-ID by another user. A worker never is.
func SetID() bool { return C.nsops_set_id() != 0 }

// Executed reports whether the bootstrap would run if the kernel executed the file of this process (/proc/self/exe)
// again. It would not if this code is a shared library of another program, if the program was started as ld.so PROGRAM,
// or if constructors do not run, as after -linkmode=internal.
func Executed() bool { return C.nsops_executed() != 0 }
