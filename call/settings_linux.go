package call

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nsops/nsops/internal/sys"
)

// settings are what a worker does before it runs its function. Its environment may be the target's: that must not be
// there when the program starts, outside, since LD_PRELOAD and the like choose code.
type settings struct {
	Dir string   `json:"dir,omitempty"`
	Env []string `json:"env"` // nil: as it is
}

// withSettings returns the name of the function as it is sent, with the settings if there are any.
func (c *Call) withSettings(t *target) (string, error) {
	s := settings{Dir: c.dir}
	if c.targetEnv && t.process == nil {
		return "", errors.New("the target is no process, so it has no environment")
	}
	if c.targetEnv {
		env, err := t.environment()
		if err != nil {
			return "", fmt.Errorf("environment of the target: %w", err)
		}
		s.Env = withoutReplaced(append(env, c.env...))
	}
	if s.Dir == "" && s.Env == nil {
		return c.name, nil
	}
	text, err := json.Marshal(s)
	return c.name + "\x00" + string(text), err
}

// environment reads that of the target's process. Its user can make the reader wait for ever.
func (t *target) environment() ([]string, error) {
	type outcome struct {
		env []string
		err error
	}
	got := make(chan outcome, 1)
	process := t.process
	go func() {
		env, err := process.Environment()
		got <- outcome{env, sys.ExplainInspect(err)}
	}()
	select {
	case o := <-got:
		return o.env, o.err
	case <-time.After(startTimeout):
		return nil, os.ErrDeadlineExceeded
	}
}

// applySettings is done in the worker.
func applySettings(text string) error {
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	if s.Env != nil {
		depth := os.Getenv(depthEnv)
		os.Clearenv()
		for _, assignment := range append(s.Env, depthEnv+"="+depth) {
			if name, value, ok := strings.Cut(assignment, "="); ok && name != "" {
				if err := os.Setenv(name, value); err != nil {
					return err
				}
			}
		}
	}
	if s.Dir != "" {
		return os.Chdir(s.Dir)
	}
	return nil
}
