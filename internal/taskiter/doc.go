// Package taskiter reads which namespaces all threads are in, and which descriptors lead to others, with three BPF
// programs: a few system calls for all, where /proc takes dozens for each process. It requires CAP_BPF and CAP_PERFMON,
// or CAP_SYS_ADMIN, a kernel that describes its types (/sys/kernel/btf/vmlinux), and 64-bit IDs of namespaces (Linux
// 6.18). Without one of these there is an error, and /proc to read.
//
// A BPF library takes 35 ms of CPU time for each use (github.com/cilium/ebpf v0.22), most of it to look up kernel
// types, as long as /proc of five hundred processes takes. Here the types that matter are looked up once, in 5 ms.
package taskiter
