// Package test has the tests from outside: of the public API, with real containers, as root. It has no other code.
// Tests of a single package are beside its code.
package test
