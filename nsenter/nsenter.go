//go:build linux && cgo

package nsenter

/*
#include <sys/auxv.h>
#include "nsenter.h"

static int nsops_secure(void) { return getauxval(AT_SECURE) != 0; }
*/
import "C"

import (
	"unsafe"

	"github.com/nsops/nsops/internal/wire"
)

// Linked says whether the bootstrap is part of this program: it needs cgo.
const Linked = true

// The bootstrap's frames are package wire's: these lines do not compile if a size, a place or a number differs.
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

// Current returns what the bootstrap left behind in this process.
func Current() (Worker, bool) {
	w := &C.nsops_worker
	return Worker{int(w.channel), int(w.lifeline), w.spawned != 0, w.foreign != 0}, w.channel >= 0
}

// Secure says whether this program was started with more rights than its caller had (AT_SECURE, man 3 getauxval), by
// set-user-ID or file capabilities. The bootstrap of such a start does nothing.
func Secure() bool { return C.nsops_secure() != 0 }
