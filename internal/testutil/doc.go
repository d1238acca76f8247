// Package testutil is shared by the tests of the module: targets, leak checks, audited skips, and tests that run once
// more as an unprivileged user. Only tests import it. On other systems than Linux it is empty.
//
// A [Target] is a sleeping process in new namespaces, started with sh and the tools of util-linux, without a container
// engine. Package testutil/runtimes has real containers as targets.
//
// Every package that opens descriptors has a TestMain that ends with os.Exit(testutil.Run(m)): it fails the tests if
// they leave behind a descriptor, a child, a mount, or a thread in another namespace. It compares the mounts of the
// whole machine, so packages whose tests mount something must run one after the other: go test -p 1.
//
// A test that cannot run calls [NeedRoot], [NeedCommand], [NeedKernel] or [Skip]; nothing else in the module calls
// t.Skip. With CI=true or NSOPS_REQUIRE=1 in the environment, a test that should have run fails instead.
//
// A target is not a container: it has the caller's cgroup, seccomp filter and security label.
package testutil
