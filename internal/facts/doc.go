// Package facts has what a discovery has found, as flat rows that refer to each other by number: namespaces with their
// references, processes with their tasks, mounts, containers, problems. Package scan finds them, package discover relates
// them; they are also what the JSON of a result says (see docs/discovery.schema.json). It does no I/O.
package facts
