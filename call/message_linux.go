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
	message := wire.AppendRecord(make([]byte, 0, wire.MaxMessage), record)
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

// receive receives what send sent. A body of more than limit bytes is an error and is not read. The body may be part of
// buf. io.EOF: the other end is closed.
func receive(channel *sys.FD, buf []byte, limit uint64) (wire.Record, []byte, error) {
	n, file, err := sys.Receive(channel, buf)
	if err != nil {
		return wire.Record{}, nil, err
	}
	defer func() { _ = file.Close() }()
	if n == 0 {
		return wire.Record{}, nil, io.EOF
	}
	record, err := wire.ParseRecord(buf[:min(n, wire.RecordSize)])
	if err != nil {
		return wire.Record{}, nil, err
	}
	body := buf[wire.RecordSize:n]
	switch {
	case record.Size > limit:
		return record, nil, fmt.Errorf("%w: %d bytes, the limit is %d", errTooLarge, record.Size, limit)
	case file != nil && len(body) == 0:
		body, err = sys.ReadBuffer(file, record.Size)
	case file != nil || uint64(len(body)) != record.Size:
		err = fmt.Errorf("record of kind %d with %d bytes, not %d", record.Kind, len(body), record.Size)
	}
	return record, body, err
}
