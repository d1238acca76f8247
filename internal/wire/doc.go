// Package wire defines what caller and worker send each other: the request and the records that package call exchanges
// with nsenter.c, and the JSON of failures. It does no I/O.
package wire
