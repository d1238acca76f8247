package discover

import (
	"strconv"

	"github.com/nsops/nsops/internal/procfs"
)

// parseMountTable makes a table of a mountinfo.
func parseMountTable(n *Namespace, text []byte) *MountTable {
	t := &MountTable{Namespace: n}
	common := map[string]string{} // types, sources and options are mostly the same
	for m, rest, ok := procfs.NextMount(text); ok; m, rest, ok = procfs.NextMount(rest) {
		t.Mounts = append(t.Mounts, &Mount{
			ID: m.ID, ParentID: m.Parent,
			Dev:  intern(common, []byte(strconv.FormatUint(uint64(m.Major), 10)+":"+strconv.FormatUint(uint64(m.Minor), 10))),
			Root: unescaped(common, m.Root), Point: unescaped(common, m.Point),
			Options: intern(common, m.Options), SuperOptions: intern(common, m.SuperBlockOpt),
			Type: intern(common, m.Type), Source: unescaped(common, m.Source), Propagation: intern(common, m.Propagation),
		})
	}
	t.arrange()
	return t
}

func intern(common map[string]string, text []byte) string {
	if s, ok := common[string(text)]; ok {
		return s
	}
	s := string(text)
	common[s] = s
	return s
}

func unescaped(common map[string]string, text []byte) string {
	for _, c := range text {
		if c == '\\' {
			return string(procfs.Unescape(nil, text))
		}
	}
	return intern(common, text)
}
