module github.com/nsops/nsops/bench

go 1.26.0

require github.com/nsops/nsops v0.0.0

require github.com/thediveo/ioctl v0.9.3 // indirect

require (
	github.com/containernetworking/plugins v1.9.1
	github.com/thediveo/lxkns v0.35.0
	github.com/vishvananda/netns v0.0.5
	golang.org/x/sys v0.49.0
)

replace github.com/nsops/nsops => ../
