package call

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nsops/nsops/handle"
	"github.com/nsops/nsops/internal/sys"
	"github.com/nsops/nsops/species"
)

// source is where a Target's namespaces come from.
type source struct {
	process func() (*sys.Process, error) // nil: there is none
	refs    []handle.Relation
}

func processSource(pid int) source {
	return source{process: func() (*sys.Process, error) { return openProcess(pid) }}
}

// Pidfd is the process of a pidfd, which is not closed; pidfd_open(2). It stays that process when its PID is reused.
func Pidfd(fd int) Target {
	name := fmt.Sprintf("pidfd %d", fd)
	return Target{name: name, source: source{process: func() (*sys.Process, error) {
		own, err := sys.DupFD(fd)
		if err != nil {
			return nil, err
		}
		return sys.NewProcess(own), nil
	}}}
}

// Container is a process of the running container with that ID, the beginning of one, or name: see
// handle.OpenContainer, also for what proves that a container is the one of that name. Do searches for it.
func Container(id string) Target {
	return Target{name: fmt.Sprintf("container %q", id), source: source{process: func() (*sys.Process, error) {
		pidfd, err := handle.OpenContainer(id)
		if err != nil {
			return nil, err
		}
		defer func() { _ = pidfd.Close() }()
		own, err := sys.DupFD(int(pidfd.Fd()))
		return sys.NewProcess(own), err
	}}}
}

// Refs are namespaces by references of any kind, such as handle.NamespacePath of a pin or of CNI_NETNS, an NsHandle, a
// file or a handle.Portable: of each type at most one. So user, PID and time namespaces can be joined that only a pin or
// a descriptor keeps alive; but a PID namespace whose first process has ended is dead for good (ENOMEM). The root directory
// of a mount namespace that is joined is its own. A reference is opened once, by Do, and has to have the type it claims.
func Refs(refs ...handle.Relation) Target {
	names := make([]string, len(refs))
	for i, ref := range refs {
		if ref == nil {
			return Target{name: "references", err: &Error{Stage: StageTarget, Op: "references", Err: errors.New("one of them is nil")}}
		}
		names[i] = ref.String()
	}
	return Target{name: strings.Join(names, ", "), source: source{refs: slices.Clone(refs)}}
}

// With takes the namespaces of some types from references instead of the target's process; see Refs.
func With(refs ...handle.Relation) Option {
	return func(c *Call) {
		more := Refs(refs...)
		c.fail(more.err)
		c.target.source.refs = append(slices.Clip(c.target.source.refs), more.source.refs...)
	}
}

// references are open namespaces by their type.
type references map[species.NamespaceType]*sys.FD

func openReferences(refs []handle.Relation) (references, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	opened := references{}
	for _, ref := range refs {
		if err := opened.open(ref); err != nil {
			opened.close()
			return nil, err
		}
	}
	return opened, nil
}

func (r references) open(ref handle.Relation) error {
	want, err := ref.Type()
	if err != nil {
		return err
	}
	fd, closer, err := ref.NsFd()
	if err != nil {
		return err
	}
	defer closer()
	own, err := sys.DupFD(fd)
	if err != nil {
		return err
	}
	t, err := sys.TypeOf(own.Int())
	switch {
	case err != nil:
	case t != want:
		err = fmt.Errorf("%v is of type %v, not %v any more: %w", ref, t, want, ErrStale)
	case r[t] != nil:
		err = fmt.Errorf("%v: there is another reference of type %v", ref, t)
	default:
		r[t] = own
		return nil
	}
	_ = own.Close()
	return err
}

func (r references) types() (types species.NamespaceType) {
	for t := range r {
		types |= t
	}
	return types
}

func (r references) close() {
	for _, fd := range r {
		_ = fd.Close()
	}
}
