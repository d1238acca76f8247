// Package taskiter reads which namespaces all threads are in, and which descriptors lead to others, with two BPF
// iterators (5.8): a few system calls for all of them, where /proc takes dozens for each process. It takes CAP_BPF and
// CAP_PERFMON, or CAP_SYS_ADMIN, and a kernel that describes its types (/sys/kernel/btf/vmlinux) and gives each namespace
// a 64-bit ID (6.18). Where anything of that is missing there is an error, and /proc to read.
//
// A BPF library would do the same with a compiled object: github.com/cilium/ebpf v0.22 takes 35 ms of CPU time for each
// use, most of it to look up kernel types, which is as long as half a thousand processes take to read in /proc. Here
// the types that matter are looked up once, in 5 ms.
package taskiter
