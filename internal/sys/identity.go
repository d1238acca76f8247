package sys

// Identity is what tells a process from a later one with the same PID: an inode number that is never used again
// (6.9), else its start time in clock ticks after boot.
type Identity struct{ Inode, Start uint64 }
