// Package runtimes starts real containers for tests: with runc and LXC, from the Debian packages runc, lxc and
// busybox-static. They need root, but no daemon and no image. Their files are in the test's temporary folder, and the
// end of the test removes all that they have created: processes, mounts, cgroups, lock files.
//
// Use [testutil.StartTarget] where it is enough: that needs no installed package.
package runtimes
