package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// ChannelEnv is the environment variable with the number of the channel's descriptor. The bootstrap removes it.
const ChannelEnv = "NSOPS_CHANNEL"

// Magic begins every request and record, and changes with every layout: the descriptor might belong to another program.
const Magic = 0x32736e6f

// MaxTypes is how many types of namespaces a request can name.
const MaxTypes = 8

// Flags of a Request.
const (
	FlagSpawn      = 1 // a worker that reports to its parent; without it, a process replaced by execve(2)
	FlagByFD       = 2 // join with one descriptor for each namespace, not with a pidfd
	FlagDropPrivs  = 4
	FlagRemountSys = 8
	FlagUser       = 16 // the worker becomes UID and GID
	FlagRoot       = 32 // the last descriptor is the root directory to take
)

// Stages of a call, in their order.
const (
	StageTarget = 1 + iota
	StageSpawn
	StageJoin
	StageMounts
	StagePrivileges
	StageHandler
	StageProtocol
)

// Request is struct nsops_request of nsenter.h: what the bootstrap is to do.
type Request struct {
	Magic         uint32
	Flags         uint32
	Types         uint32
	UID, GID      uint32
	Lifeline      int32
	FDs           uint32
	Order         [MaxTypes]uint32
	Securebits    uint32
	Lose, Unbound uint64 // capabilities, as bits
}

// Kinds of a Record. The bootstrap sends the first three.
const (
	KindForked = 1 + iota // Pid is the worker; the process that has forked it ends
	KindJoined            // the bootstrap is done, the Go runtime starts
	KindFailed            // Stage, Type, Errno and Step say why, Pid is the UID or GID; the worker ends
	KindReady             // the worker has the argument and runs the handler
	KindCall              // from the caller: Pid is the length of the name, then Size bytes of name and argument
	KindResult            // Size bytes of JSON follow
)

// Record is struct nsops_record of nsenter.h: a report of fixed size.
type Record struct {
	Magic       uint32
	Kind, Stage uint16
	Type        uint32
	Errno       int32
	Pid         int32
	Step        [12]byte
	Size        uint64
}

// Marks are bits of the Type of a KindCall record.
const (
	MarkProcs = 1 // GOMAXPROCS is set only for the worker's start
	MarkCover = 2 // a message of its own brings a file for the coverage counters
	MarkWatch = 4 // the worker itself must watch its lifeline, too
)

// Sizes in bytes.
const (
	RequestSize = 4*8 + 4*MaxTypes + 2*8 // of the frame of a Request
	RecordSize  = 40                     // of the frame of a Record
	MaxMessage  = 4 << 10                // of the longest message, one page
	// MaxInline is how many bytes may follow a record in its message, enough for most arguments and results. Longer ones
	// go through a file that the caller makes, in both directions: it accepts no descriptors of a worker.
	MaxInline = MaxMessage - RecordSize
)

// AppendRequest returns the frame of r, appended to b.
func AppendRequest(b []byte, r Request) []byte {
	r.Magic = Magic
	b, _ = binary.Append(b, binary.NativeEndian, r)
	return b
}

// AppendRecord returns the frame of r, appended to b.
func AppendRecord(b []byte, r Record) []byte {
	r.Magic = Magic
	b, _ = binary.Append(b, binary.NativeEndian, r)
	return b
}

// ParseRecord returns the record in the frame b. A hostile target may control the sender: check the record with Check,
// and the order of records with Turns.
func ParseRecord(b []byte) (Record, error) {
	var r Record
	if len(b) != RecordSize {
		return r, fmt.Errorf("record of %d bytes, want %d", len(b), RecordSize)
	}
	if _, err := binary.Decode(b, binary.NativeEndian, &r); err != nil {
		return r, err
	}
	if r.Magic != Magic || r.Kind < KindForked || r.Kind > KindResult {
		return r, fmt.Errorf("record of kind %d with magic %#x", r.Kind, r.Magic)
	}
	return r, nil
}

// StepName returns the bootstrap's name for the step that failed.
func (r Record) StepName() string {
	name, _, _ := bytes.Cut(r.Step[:], []byte{0})
	return string(name)
}
