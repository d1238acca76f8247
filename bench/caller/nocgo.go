//go:build !cgo

package main

func registerCgo() {}
