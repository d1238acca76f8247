// Package testutil is what the tests of the module share: targets, leak checks, audited skips, and tests that re-run
// themselves as an unprivileged user. Only tests import it. Everything in it is for Linux; elsewhere it is empty.
//
// A [Target] is a sleeping process in namespaces of its own, made with sh and the tools of util-linux; no container
// engine is needed. Package testutil/runtimes makes targets of real containers.
//
// Every package that opens descriptors has a TestMain that ends with os.Exit(testutil.Run(m)): it fails the tests if
// they leave behind a descriptor, a child, a mount, or a thread in another namespace. Mounts are those of the whole
// machine, so packages whose tests mount something run one after the other: go test -p 1.
//
// A test that cannot run asks [NeedRoot], [NeedCommand], [NeedKernel] or [Skip], which hold the only t.Skip of the
// module. With CI=true or NSOPS_REQUIRE=1 in the environment a test that should have run fails instead.
//
// Do not use it to test what a hostile *kernel* would do, and do not expect a target to be a container: it has the
// caller's cgroup, seccomp filter and security label.
package testutil
