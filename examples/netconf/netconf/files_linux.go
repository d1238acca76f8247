package netconf

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nsops/nsops/call"
	"github.com/nsops/nsops/species"
)

// callTimeout is how long a handler may run: the target's file system may be one that never answers.
const callTimeout = 10 * time.Second

// call runs a handler in namespaces of the target's process. What is undone goes on when the context has ended.
func (s *session) call(handler string, arg, ret any, undo bool, types ...species.NamespaceType) error {
	ctx := s.ctx
	if undo {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return call.NewCall(handler).TargetPid(s.Target.PID).Namespaces(types...).Arg(arg).Context(ctx).SpawnInNamespaces(ret)
}

// sysctls sets values, by path, and returns the old ones of those that changed.
func (s *session) sysctls(c sysctlCall) (old map[string]string, err error) {
	c.Target = s.target.UniqueId()
	err = s.call(sysctlHandler, c, &old, c.Revert, species.CLONE_NEWNET)
	return old, err
}

// resolv puts something in place of resolv.conf, and returns what was there.
func (s *session) resolv(c resolvCall, undo bool) (old replaced, err error) {
	if c.OwnEtc, err = ownEtc(); err != nil {
		return old, err
	}
	c.Target = s.target.UniqueId()
	err = s.call(resolvHandler, c, &old, undo, resolvTypes...)
	return old, err
}

// resolvTypes are joined to change resolv.conf: net to be sure of the target.
var resolvTypes = []species.NamespaceType{species.CLONE_NEWUSER, species.CLONE_NEWNS, species.CLONE_NEWNET}

// wantedSysctls returns the configured values by path.
func (b *build) wantedSysctls() map[string]string {
	values := map[string]string{}
	for name, value := range b.want.Sysctls {
		path, _ := sysctlPath(name) // checked
		values[path] = strings.TrimSpace(value)
	}
	return values
}

func (b *build) wantedResolv() entry {
	return entry{kindFile, b.want.DNS.text(), defaultMode}
}

// sysctlSteps come when the interface is there, which brings files with it, and before it is up.
func (b *build) sysctlSteps() []step {
	if len(b.want.Sysctls) == 0 {
		return nil
	}
	set := func() (err error) {
		b.old.Sysctls, err = b.sysctls(sysctlCall{Values: b.wantedSysctls()})
		return err
	}
	restore := func() error { return b.restoreSysctls(b.old.Sysctls) }
	what := "set in the target"
	for _, name := range slices.Sorted(maps.Keys(b.want.Sysctls)) {
		what += " " + name + "=" + b.want.Sysctls[name]
	}
	return []step{{what: what, do: set, undo: restore}}
}

func (b *build) resolvSteps() []step {
	if b.want.DNS.IsZero() {
		return nil
	}
	set := func() error {
		old, err := b.resolv(resolvCall{Want: b.wantedResolv()}, false)
		if err == nil && !old.Old.same(b.wantedResolv()) {
			b.old.Resolv = &old
		}
		return err
	}
	restore := func() error { return b.restoreResolv(b.old.Resolv) }
	return []step{{what: "write /etc/resolv.conf in the target", do: set, undo: restore}}
}

// restInside returns the steps for those files that are not as configured.
func (b *build) restInside() ([]step, error) {
	var steps []step
	if len(b.want.Sysctls) > 0 {
		differing, err := b.sysctls(sysctlCall{Values: b.wantedSysctls(), Look: true})
		if err != nil {
			return nil, err
		}
		if len(differing) > 0 {
			steps = append(steps, b.sysctlSteps()...)
		}
	}
	if !b.want.DNS.IsZero() {
		old, err := b.resolv(resolvCall{Want: b.wantedResolv(), Look: true}, false)
		if err != nil {
			return nil, err
		}
		if !old.Old.same(b.wantedResolv()) {
			steps = append(steps, b.resolvSteps()...)
		}
	}
	if len(steps) > 0 {
		steps = append(steps, b.recordSteps()...)
	}
	return steps, nil
}

func (s *session) restoreSysctls(old map[string]string) error {
	if len(old) == 0 {
		return nil
	}
	_, err := s.sysctls(sysctlCall{Values: maps.Clone(old), Revert: true})
	return err
}

func (s *session) restoreResolv(old *replaced) error {
	if old == nil {
		return nil
	}
	_, err := s.resolv(resolvCall{Etc: old.Etc, Want: old.Old}, true)
	return err
}
