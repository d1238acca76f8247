// Package runtimes starts real containers for tests: runc and LXC from the Debian packages runc, lxc and
// busybox-static. They need root, no daemon and no image. All they have lies in the test's temporary folder, and the
// end of the test takes down all that they made: processes, mounts, cgroups, lock files.
//
// Do not use it where a [testutil.StartTarget] will do: that needs nothing to be installed.
package runtimes
