// Package container has the one rule by which a cgroup is that of a container: which container, of which runtime, in
// which pod, and when that is believed. It does no I/O: paths and texts come from its callers, and so does whether only
// root may make a directory.
//
// A cgroup proves nothing by its name: whoever may make cgroups may name one after another's container. See
// [Hierarchy.Proves].
package container
