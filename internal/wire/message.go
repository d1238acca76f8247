package wire

// MaxInline is how many bytes may follow a record in its message: most arguments and results fit, and the buffer is one
// page. Longer ones go through a file that the caller makes, in both directions: it accepts no descriptors of a worker.
const MaxInline = 4<<10 - RecordSize

// MaxMessage is the size of the longest message.
const MaxMessage = RecordSize + MaxInline

// Marks are bits of the Type of a KindCall record.
const (
	MarkProcs = 1 // GOMAXPROCS is set only for the worker's start
	MarkCover = 2 // a message of its own brings a file for the coverage counters
	MarkWatch = 4 // the worker itself must watch its lifeline, too
)
