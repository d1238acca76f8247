package wire

// MaxInline is how many bytes follow a record in its own message. What is longer travels in a file that the caller has
// made, in both directions: a worker's descriptors are not taken.
// A page of memory for the buffer, and most arguments and results fit.
const MaxInline = 4<<10 - RecordSize

// MaxMessage is the size of the longest message.
const MaxMessage = RecordSize + MaxInline

// Marks are bits of the Type of a KindCall record.
const (
	MarkProcs = 1 // GOMAXPROCS was set for the worker's start alone
	MarkCover = 2 // a file for its coverage counters comes in a message of its own
	MarkWatch = 4 // the worker has to watch its lifeline itself, too
)
