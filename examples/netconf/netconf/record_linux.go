package netconf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"

	"github.com/vishvananda/netlink"
)

// record is what Delete restores and cannot find out otherwise. It is kept on the host's side: a container must not
// have a say in what root writes later.
type record struct {
	Link    int               `json:"link"` // index of the host end; a record of another is a left-over
	Sysctls map[string]string `json:"sysctls,omitempty"`
	Resolv  *replaced         `json:"resolv,omitempty"`
}

func (s *session) recordPath(host netlink.Link) string {
	return s.runPath(host.Attrs().Name + "-" + s.hostID.String() + ".json")
}

// recordSteps come last: they keep what the steps before them have found. So nothing can fail that would undo them.
func (b *build) recordSteps() []step {
	if !b.want.needsProcess() {
		return nil
	}
	return []step{{what: "keep a record of what to restore", do: b.saveRecord}}
}

// saveRecord adds to the record of an earlier run, whose values are older.
func (b *build) saveRecord() error {
	path := b.recordPath(b.host)
	r, err := readRecord(path, b.host)
	if err != nil {
		return err
	}
	r.Link = b.host.Attrs().Index
	r.Sysctls = merge(b.old.Sysctls, r.Sysctls)
	if r.Resolv == nil {
		r.Resolv = b.old.Resolv
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// merge returns the values of both, those of older where both have one.
func merge(newer, older map[string]string) map[string]string {
	all := maps.Clone(newer)
	if all == nil {
		return older
	}
	maps.Copy(all, older)
	return all
}

// readRecord returns an empty record if there is none for that link.
func readRecord(path string, host netlink.Link) (r record, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return r, fmt.Errorf("record %s: %w", path, err)
	}
	if r.Link != host.Attrs().Index {
		return record{}, nil
	}
	return r, nil
}

// restoreRecord restores what the record of a pair says, and forgets it.
func (s *session) restoreRecord(host netlink.Link) error {
	path := s.recordPath(host)
	r, err := readRecord(path, host)
	if err != nil {
		return err
	}
	if s.Target.PID == 0 && (r.Resolv != nil || len(r.Sysctls) > 0) {
		err = fmt.Errorf("restore dns and sysctls: %w", ErrNeedsPID)
	} else {
		err = errors.Join(s.restoreResolv(r.Resolv), s.restoreSysctls(r.Sysctls))
	}
	if removed := os.Remove(path); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}
