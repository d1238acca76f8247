package discover_test

import (
	"context"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/nsops/nsops/discover"
)

// BenchmarkDiscover is for a machine with something on it; bench/ makes one.
func BenchmarkDiscover(b *testing.B) {
	for name, opts := range map[string]discover.Options{
		"standard":   {},
		"one worker": {Workers: 1},
		"full":       {Sources: discover.Full},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := cpuTime()
			processes := 0
			for b.Loop() {
				r, err := discover.Discover(context.Background(), opts)
				require.NoError(b, err)
				processes = len(r.Processes)
			}
			b.ReportMetric(float64(cpuTime()-before)/1e6/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(processes), "processes")
		})
	}
}

func cpuTime() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
