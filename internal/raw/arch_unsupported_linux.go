//go:build !amd64 && !arm64 && !arm && !386 && !riscv64 && !s390x && !ppc64le && !loong64

package raw

// The build ends here with a sentence: nobody has tried this architecture. docs/kernels.md has those that are supported.
var _ = nsops_does_not_support_Linux_on_this_architecture_see_docs_kernels_md
