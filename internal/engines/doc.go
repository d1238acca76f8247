// Package engines reads what container runtimes write down for themselves, and what their processes have for arguments:
// which runtime a container is of, how its user named it, which pod it is in, and the cgroups of those whose path says
// nothing. It asks no engine and needs no client library.
//
// It reads regular files only, up to a size, and waits for none; a file system that does not answer is its caller's to
// leave waiting. What it says of a container is no better than the right to write these files, or to have processes with
// such arguments: see [Engines.AddProcess] for whom to trust.
package engines
