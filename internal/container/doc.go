// Package container has the rule by which a cgroup is that of a container: of which container, runtime and pod, and
// what proves it. It does no I/O: its callers read paths and texts, and find out whether only root may make a
// directory.
//
// The name of a cgroup alone proves nothing: whoever may make cgroups may name one after another's container. See
// [Hierarchy.Proves].
package container
