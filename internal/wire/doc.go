// Package wire lays out what travels between the caller and its worker: the request and records that package call
// exchanges with nsenter.c, and the envelopes of arguments and results. It does no I/O.
package wire
