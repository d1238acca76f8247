package discover

import (
	"context"

	"github.com/nsops/nsops/internal/container"
	"github.com/nsops/nsops/internal/facts"
	"github.com/nsops/nsops/internal/scan"
)

// Discover finds all namespaces that the options ask for. What it could not see is in the result's Problems; the error
// is an *Error: of ctx, or that Options.Proc is no proc file system, cannot be opened, or does not answer. If descriptors or
// memory run out later, there is a Problem for each process or namespace that lacks something for it (EMFILE, ENFILE,
// ENOMEM). There is nothing to close, and it may be called from any goroutine, also several times at once. It looks from
// the namespaces of the process and with its descriptors, also if the caller's thread has others.
//
// It requires no privilege, but without one it sees only the caller's own processes and what is theirs. CAP_BPF and
// CAP_PERFMON in the initial user namespace show all at once (Linux 6.18), or else CAP_SYS_PTRACE the processes of others;
// CAP_SYS_ADMIN the mount namespaces that no process is in. Linux 5.10; see namespaces(7) for what can be found, and
// docs/discovery.md for which kernel finds what.
func Discover(ctx context.Context, opts Options) (*Result, error) { return discover(ctx, opts, nil) }

// Rescan discovers again with the options of a result, and takes from it what can hardly have changed: the command line
// of a process with the same start time and name, and before Linux 6.13 its credentials; the descriptors of one that has as
// many as then and is in the same network namespace, unless TunTap or InFlight are wanted; and from the second time on
// the mounts of a mount namespace that has the same, by their 64-bit IDs (Linux 6.8). From a result of some types only, it
// takes no descriptors and mounts. Namespaces, threads and parents are looked at again.
//
// It can miss a descriptor that was exchanged for one of a namespace, a new command line of a program that executed
// itself, and a mount that was moved, or got other options, or is below a renamed directory; Discover does not.
//
// Errors and privileges are those of Discover. The result that it starts from is not changed, and may have come from
// JSON, which saves less, and has neither Patience nor Workers nor NoSnapshot nor Namers. From nil it is Discover with the zero Options.
func Rescan(ctx context.Context, old *Result) (*Result, error) {
	if old == nil {
		return Discover(ctx, Options{})
	}
	f := old.facts
	if f == nil { // it was put together by hand
		f = old.flatten()
		if err := f.Resolve(); err != nil {
			return nil, &Error{Op: "discover", Err: err}
		}
	}
	return discover(ctx, old.Options, f)
}

func discover(ctx context.Context, opts Options, old *facts.Facts) (*Result, error) {
	opts = opts.withDefaults()
	f, err := scan.Run(ctx, opts.forScan(), old)
	switch {
	case err == nil:
		return link(f, opts), nil
	case ctx.Err() != nil:
		return nil, &Error{Op: "discover", Err: ctx.Err()}
	default:
		return nil, &Error{Op: "discover", Ref: opts.Proc, Err: err}
	}
}

func (o *Options) forScan() scan.Options {
	s := scan.Options{Types: o.Types, Sources: facts.Sources(o.Sources), Proc: o.Proc, Workers: o.Workers, Patience: o.Patience,
		NoSnapshot: o.NoSnapshot}
	for _, n := range o.Namers {
		s.Namers = append(s.Namers, func(ctx context.Context, c *container.Container) (string, error) {
			asked := Container{ID: c.ID, Runtime: c.Runtime, Name: c.Name, Pod: c.Pod, PodName: c.PodName, Cgroup: c.Cgroup}
			name, err := n.NameContainer(ctx, &asked)
			c.Runtime, c.Pod, c.PodName = asked.Runtime, asked.Pod, asked.PodName
			return name, err
		})
	}
	return s
}
