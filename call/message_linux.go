package call

import (
	"fmt"
	"io"

	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/internal/wire"
)

// send sends a record and what belongs to it: behind it, or in a file that comes with it if it is long.
func send(channel *sys.FD, record wire.Record, body []byte) error {
	record.Size = uint64(len(body))
	message := wire.AppendRecord(make([]byte, 0, wire.RecordSize+min(len(body), wire.MaxInline)), record)
	if len(body) <= wire.MaxInline {
		return sys.Send(channel, append(message, body...))
	}
	file, err := sys.Buffer(body)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return sys.Send(channel, message, file.Int())
}

// message is a record that was received, with what belongs to it.
type message struct {
	wire.Record
	sender int    // PID, see sys.Message
	body   []byte // may be part of the buffer
}

// receive receives what send sent. A body of more than limit bytes is an error and is not read. io.EOF: the other end
// is closed.
func receive(channel *sys.FD, buf []byte, limit uint64) (message, error) {
	got, err := sys.Receive(channel, buf)
	if err != nil {
		return message{}, err
	}
	defer func() { _ = got.File.Close() }()
	if got.Size == 0 {
		return message{}, io.EOF
	}
	record, err := wire.ParseRecord(buf[:min(got.Size, wire.RecordSize)])
	if err != nil {
		return message{}, err
	}
	m := message{record, got.Sender, buf[wire.RecordSize:got.Size]}
	switch {
	case m.Size > limit:
		err = fmt.Errorf("%w: %d bytes, the limit is %d", errTooLarge, m.Size, limit)
	case got.File != nil && len(m.body) == 0:
		m.body, err = sys.ReadBuffer(got.File, m.Size)
	case got.File != nil || uint64(len(m.body)) != m.Size:
		err = fmt.Errorf("record of kind %d with %d bytes, not %d", m.Kind, len(m.body), m.Size)
	}
	return m, err
}
