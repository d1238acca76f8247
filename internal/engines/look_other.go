//go:build !linux

package engines

func (*Engines) resolve(string) string { return "" }
