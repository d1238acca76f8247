package scan

import (
	"bytes"
	"strconv"

	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/procfs"
)

// parseMountTable makes a table of a mountinfo.
func parseMountTable(of facts.Ref, text []byte) *facts.MountTable {
	t := &facts.MountTable{Namespace: of, Mounts: make([]facts.Mount, 0, bytes.Count(text, []byte{'\n'}))}
	common := map[string]string{} // types, sources and options are mostly the same
	for m, rest, ok := procfs.NextMount(text); ok; m, rest, ok = procfs.NextMount(rest) {
		dev := strconv.AppendUint(append(strconv.AppendUint(nil, uint64(m.Major), 10), ':'), uint64(m.Minor), 10)
		t.Mounts = append(t.Mounts, facts.Mount{
			ID: m.ID, Parent: m.Parent, Dev: intern(common, dev),
			Root: unescaped(common, m.Root), Point: unescaped(common, m.Point),
			Options: facts.Text(intern(common, m.Options)), SuperOptions: facts.Text(intern(common, m.SuperBlockOpt)),
			Type: facts.Text(intern(common, m.Type)), Source: unescaped(common, m.Source), Propagation: intern(common, m.Propagation),
		})
	}
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

func unescaped(common map[string]string, text []byte) facts.Text {
	for _, c := range text {
		if c == '\\' {
			return facts.Text(procfs.Unescape(nil, text))
		}
	}
	return facts.Text(intern(common, text))
}
