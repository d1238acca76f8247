module github.com/nsops/nsops/bench

go 1.26.0

require (
	github.com/moby/sys/reexec v0.1.0
	github.com/nsops/nsops v0.0.0
	github.com/thediveo/gons v0.9.9
)

require (
	github.com/vishvananda/netlink v1.3.1 // indirect
	github.com/vishvananda/netns v0.0.5 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/nsops/nsops => ../
