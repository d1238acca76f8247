package call

import (
	"errors"
	"fmt"
	"io"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
)

// send sends a record and its body; a long body in the file that open returns, which goes along with a call.
func send(channel *sys.FD, record wire.Record, body []byte, open func() (*sys.FD, error)) error {
	record.Size = uint64(len(body))
	if len(body) <= wire.MaxInline {
		message := wire.AppendRecord(make([]byte, 0, wire.RecordSize+len(body)), record)
		return sys.Send(channel, append(message, body...))
	}
	file, err := open()
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := sys.Fill(file, body); err != nil {
		return err
	}
	if record.Kind == wire.KindCall {
		return sys.Send(channel, wire.AppendRecord(nil, record), file.Int())
	}
	return sys.Send(channel, wire.AppendRecord(nil, record)) // the caller, who accepts no descriptors, has made the file
}

// parse returns the record of a message, and what follows it.
func parse(message []byte) (wire.Record, []byte, error) {
	size := min(len(message), wire.RecordSize)
	r, err := wire.ParseRecord(message[:size])
	return r, message[size:], err
}

// receiveCall returns name and argument in the worker. They were sent before it was started.
func receiveCall(channel *sys.FD) (name string, arg []byte, marks uint32, err error) {
	buf := make([]byte, wire.MaxMessage)
	got, err := sys.Receive(channel, buf)
	if err != nil {
		return "", nil, 0, err
	}
	defer func() { _ = got.File.Close() }()
	r, body, err := parse(buf[:got.Size])
	if err == nil {
		err = r.Check()
	}
	if err == nil && got.File != nil {
		body, err = sys.ReadBuffer(got.File, r.Size)
	}
	if err == nil && (r.Kind != wire.KindCall || r.Size != uint64(len(body)) || int(r.Pid) > len(body)) {
		err = fmt.Errorf("call of kind %d with a name of %d bytes", r.Kind, r.Pid)
	}
	if err != nil {
		return "", nil, 0, err
	}
	return string(body[:r.Pid]), body[r.Pid:], r.Type, nil
}

var errNoFile = errors.New("the caller could not create a file for a long result: " +
	"memfd_create(2) is forbidden, and none of /dev/shm, /tmp and /var/tmp is writable")

// sendFile creates a file for a long result and sends it, while the worker starts: so it costs no time. If it cannot, it
// returns nil, and the worker, which may wait for the file, gets the end of the channel instead.
func sendFile(channel *sys.Inbox) *sys.FD {
	file, err := sys.Buffer()
	if err == nil {
		err = sys.Send(channel.FD, []byte{0}, file.Int())
	}
	if err != nil {
		_ = file.Close()
		_ = sys.StopSending(channel.FD)
		return nil
	}
	return file
}

// sendOutcome sends the result of a worker, or its failure. A long body can be sent once: the caller has sent one file.
func sendOutcome(channel *sys.FD, outcome uint16, body []byte) error {
	record := wire.Record{Kind: wire.KindResult, Stage: outcome}
	return send(channel, record, body, func() (*sys.FD, error) { return receiveFile(channel) })
}

// receiveFile receives a message that brings a file.
func receiveFile(channel *sys.FD) (*sys.FD, error) {
	m, err := sys.Receive(channel, make([]byte, 1))
	if err != nil {
		return nil, fmt.Errorf("receive a file: %w", err)
	}
	if m.File == nil {
		return nil, errNoFile
	}
	return m.File, nil
}

// message is a record that the caller has received, with what follows it in its message.
type message struct {
	wire.Record
	sender int    // PID, see sys.Message
	inline []byte // part of the buffer
}

// receive returns the next record of a worker, io.EOF if the other end is closed.
func receive(channel *sys.Inbox, buf []byte) (message, error) {
	got, err := channel.Receive(buf)
	if err == nil && got.End {
		err = io.EOF
	}
	if err != nil {
		return message{}, err
	}
	m := message{sender: got.Sender}
	if m.Record, m.inline, err = parse(buf[:got.Size]); err != nil {
		return message{}, err
	}
	if m.Size != uint64(len(m.inline)) && (m.Size <= wire.MaxInline || len(m.inline) != 0) {
		return message{}, fmt.Errorf("record of kind %d with %d bytes, not %d", m.Kind, len(m.inline), m.Size)
	}
	return m, nil
}

// body returns the body of a result, from the file if it is long. More than limit bytes, or of a failure more than
// MaxFailure, are an error and are not read.
func (m message) body(file *sys.FD, limit uint64) ([]byte, error) {
	if m.Stage == wire.OutcomeFailure {
		limit = wire.MaxFailure
	}
	switch {
	case m.Size > limit:
		return nil, fmt.Errorf("too large: %d bytes, the limit is %d", m.Size, limit)
	case m.Size == uint64(len(m.inline)):
		return append([]byte{}, m.inline...), nil
	case file == nil:
		return nil, io.ErrUnexpectedEOF
	}
	return sys.ReadBuffer(file, m.Size)
}
