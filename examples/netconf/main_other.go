//go:build !linux

// Command netconf gives a container an interface, on Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "netconf: namespaces are a feature of Linux")
	os.Exit(1)
}
