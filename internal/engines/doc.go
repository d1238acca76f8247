// Package engines reads the state folders of container runtimes and the arguments of their processes: which runtime a
// container is of, its name, its pod, and the cgroups of containers whose path says nothing. It asks no engine and
// needs no client library.
//
// It reads regular files only, up to a size, and waits for none, but a file system that does not answer stops it.
// Whoever may write these files, or has processes with such arguments, decides what it returns: see
// [Engines.AddProcess].
package engines
