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
	"github.com/nsops/nsops/species"
)

// Linked says whether the bootstrap is part of this program: it needs cgo.
const Linked = true

// The bootstrap's frames are package wire's: these lines do not compile if a size, a place or a number differs.
var (
	_ = [1]int{}[unsafe.Sizeof(wire.Request{})-C.sizeof_struct_nsops_request]
	_ = [1]int{}[C.sizeof_struct_nsops_request-unsafe.Sizeof(wire.Request{})]
	_ = [1]int{}[unsafe.Sizeof(wire.Record{})-C.sizeof_struct_nsops_record]
	_ = [1]int{}[C.sizeof_struct_nsops_record-unsafe.Sizeof(wire.Record{})]
	_ = [1]int{}[unsafe.Offsetof(wire.Request{}.Order)-unsafe.Offsetof(C.struct_nsops_request{}.order)]
	_ = [1]int{}[unsafe.Offsetof(wire.Request{}.Lifeline)-unsafe.Offsetof(C.struct_nsops_request{}.lifeline)]
	_ = [1]int{}[unsafe.Offsetof(wire.Record{}.Errno)-unsafe.Offsetof(C.struct_nsops_record{}.error)]
	_ = [1]int{}[unsafe.Offsetof(wire.Record{}.Step)-unsafe.Offsetof(C.struct_nsops_record{}.step)]
	_ = [1]int{}[wire.Magic-C.NSOPS_MAGIC]
	_ = [1]int{}[wire.MaxFDs-C.NSOPS_FDS]
	_ = [1]int{}[wire.FlagRemountSys-C.NSOPS_REMOUNT_SYS]
	_ = [1]int{}[wire.KindFailed-C.NSOPS_FAILED]
	_ = [1]int{}[wire.StageSpawn-C.STAGE_SPAWN]
	_ = [1]int{}[wire.StagePrivileges-C.STAGE_PRIVILEGES]
	_ = [1]int{}[wire.StageProtocol-C.STAGE_PROTOCOL]
	_ = [1]int{}[len(wire.ChannelEnv)-len(C.NSOPS_ENV)]
)

// Current returns what the bootstrap left behind in this process.
func Current() (Worker, bool) {
	w := &C.nsops_worker
	return Worker{int(w.channel), w.spawned != 0, species.NamespaceType(w.types)}, w.channel >= 0
}

// Secure says whether this program was started with more rights than its caller had (AT_SECURE, man 3 getauxval), by
// set-user-ID or file capabilities. The bootstrap of such a start does nothing.
func Secure() bool { return C.nsops_secure() != 0 }
