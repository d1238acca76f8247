package discover

import "sync/atomic"

// heldBits has a bit for each descriptor that a discovery of this process holds, so that others do not report it.
var heldBits [maxHeldFD / 64]atomic.Uint64

// maxHeldFD is more than what is ever held: see sys.ScanLimit.
const maxHeldFD = 1 << 20

func setBeingHeld(fd int, held bool) {
	if fd >= maxHeldFD {
		return
	}
	bit := uint64(1) << (fd % 64)
	if held {
		heldBits[fd/64].Or(bit)
	} else {
		heldBits[fd/64].And(^bit)
	}
}

func beingHeld(fd int) bool {
	return fd < maxHeldFD && heldBits[fd/64].Load()&(1<<(fd%64)) != 0
}
