package wire

// MaxInline is how many bytes follow a record in its own message. What is longer travels in a file that comes with it.
const MaxInline = 32 << 10

// MaxMessage is the size of the longest message.
const MaxMessage = RecordSize + MaxInline

// MarkProcs, in the Type of a KindCall record: GOMAXPROCS was set for the worker's start alone.
const MarkProcs = 1
