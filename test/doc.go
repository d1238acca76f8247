// Package test holds the tests from outside: what a user of the module sees, with real containers, as root. It has no
// code of its own. Tests of a single package stand beside its code.
package test
