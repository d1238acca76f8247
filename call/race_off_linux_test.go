//go:build !race

package call_test

const raced = false

func withoutNoise(stderr string) string { return stderr }
