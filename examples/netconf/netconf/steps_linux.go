package netconf

import (
	"context"
	"errors"
	"fmt"
)

// step is one change, which is made completely or not at all.
type step struct {
	what string // such as "create bridge br0"
	do   func() error
	undo func() error // nil: what it made goes away with that of an earlier step
}

// run takes the steps one after the other. If one fails, or the context ends, those before it are undone, last first.
func run(ctx context.Context, steps []step) error {
	for i, s := range steps {
		err := context.Cause(ctx)
		if err == nil {
			err = s.do()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", s.what, err), undo(steps[:i]))
		}
	}
	return nil
}

// undo goes on after a failure: as much as possible is undone.
func undo(steps []step) error {
	var problems []error
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].undo == nil {
			continue
		}
		if err := steps[i].undo(); err != nil {
			problems = append(problems, fmt.Errorf("undo %s: %w", steps[i].what, err))
		}
	}
	return errors.Join(problems...)
}
