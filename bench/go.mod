module github.com/nsops/nsops/bench

go 1.26.0

require (
	github.com/containernetworking/plugins v1.9.1
	github.com/moby/sys/reexec v0.1.0
	github.com/nsops/nsops v0.0.0
	github.com/thediveo/gons v0.9.9
	github.com/thediveo/lxkns v0.35.0
	github.com/vishvananda/netns v0.0.5
	golang.org/x/sys v0.49.0
)

require (
	github.com/thediveo/ioctl v0.9.3 // indirect
	github.com/vishvananda/netlink v1.3.1 // indirect
)

replace github.com/nsops/nsops => ../
