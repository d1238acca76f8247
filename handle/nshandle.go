package handle

// NsHandle is an open namespace, or None. It is a descriptor number: the caller closes it, once, and it converts to and
// from int and netns.NsHandle. Copies share it, and go stale with it. The zero value is descriptor 0, not None.
type NsHandle int

// None returns the handle of no namespace.
func None() NsHandle { return -1 }

// IsOpen reports whether the handle was opened and not yet closed through this very variable.
func (ns NsHandle) IsOpen() bool { return ns != None() }
