#!/usr/bin/env bash
# Runs the tests in guests with other kernels, one after the other: test/kernels/run.sh DIRECTORY...
# Each directory has the unpacked packages of a kernel for x86-64. docs/kernels.md says how to get them.
# PACKAGES are the packages to test, FLAGS the flags of the test binaries, QEMU the emulator and its options.
set -euo pipefail
cd "$(dirname "$0")/../.."
(($# > 0)) || { echo "usage: $0 DIRECTORY..." >&2; exit 2; }

packages=${PACKAGES:-./species ./handle ./discover ./internal/... ./cmd/... ./nsenter ./call}
qemu=${QEMU:-qemu-system-x86_64}
limit=1800 # seconds for each guest
modules=(veth bridge tun fuse overlay macvlan dummy)
# Commands that the tests run. A command that is missing on this machine is missing in the guest, and skips tests.
programs=(bash busybox capsh cat chmod chroot cp cut dd env false find getent grep head hostname id ip kill ln ls lsns
	lxc-attach lxc-execute lxc-info lxc-start lxc-stop mkdir mkfifo mknod mktemp mount mountpoint mv nsenter pivot_root
	prlimit ps readlink rm rmdir runc sed seq setpriv setsid sh sleep sort stat strace sync tail taskset tee test timeout
	touch tr true umount uname unshare wc yes)
folders=(/etc/lxc /usr/lib/x86_64-linux-gnu/lxc /usr/libexec/lxc /usr/share/lxc)

# with_libraries copies a program and its shared libraries.
with_libraries() {
	cp -L "$1" "$root/usr/bin/"
	for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | sed 's,^/usr,,'); do
		mkdir -p "$root/usr${library%/*}"
		cp -Lu "$library" "$root/usr$library"
	done
}

# make_root makes the guest's root, with the sources and, in each package's folder, its test binary.
make_root() {
	mkdir -p "$root"/{dev,etc,mnt,modules,new,proc,root,run,src,sys,tmp,usr/{bin,lib,lib64,sbin},var/lib}
	ln -s usr/bin usr/lib usr/lib64 usr/sbin "$root"
	ln -s ../run "$root/var/run"
	for program in "${programs[@]}"; do
		! path=$(type -P "$program") || with_libraries "$path"
	done
	for folder in "${folders[@]}"; do
		[ ! -d "$folder" ] || { mkdir -p "$root${folder%/*}" && cp -a "$folder" "$root$folder"; }
	done
	echo 'root:x:0:0::/root:/bin/sh' >"$root/etc/passwd"
	echo 'root:x:0:' >"$root/etc/group"
	git ls-files -z | xargs -0 cp --parents -t "$root/src"
	for package in $(go list $packages); do
		dir=${package#github.com/nsops/nsops/}
		go test -c -tags netgo,osusergo -ldflags '-linkmode external -extldflags "-static"' -o "$root/src/$dir/this.test" "./$dir"
		[ ! -e "$root/src/$dir/this.test" ] || echo "$dir"
	done >"$root/tests"
	echo "${FLAGS:-}" >"$root/flags"
	cp test/kernels/init.sh "$root/init"
}

# add_module copies a module of the kernel, after the modules on which it depends.
add_module() {
	local file
	file=$(find "$1" -name "$2.ko*" -print -quit)
	[ -n "$file" ] && ! grep -qx "$2" "$root/modules/order" || return 0
	case $file in
	*.xz) xz -dc "$file" ;;
	*.zst) zstd -qdc "$file" ;;
	*) cat "$file" ;;
	esac >"$root/modules/$2.ko"
	for needed in $(tr '\0' '\n' <"$root/modules/$2.ko" | sed -n 's/^depends=//p' | tr , ' '); do
		add_module "$1" "$needed"
	done
	echo "$2" >>"$root/modules/order"
}

# boot runs a guest and prints the important lines of its output.
boot() {
	rm -f "$root/modules"/*
	: >"$root/modules/order"
	for module in "${modules[@]}"; do
		add_module "$1" "$module"
	done
	(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd"
	timeout "$limit" $qemu -machine q35 -accel tcg -cpu max -smp 2 -m 3072 -nodefaults -no-user-config -display none -no-reboot \
		-serial stdio -kernel "$(find "$1" -name 'vmlinuz*' -print -quit)" -initrd "$work/initrd" \
		-append "console=ttyS0 quiet panic=-1 mitigations=off" </dev/null | sed -u 's/\r//g' >"$work/output"
	.ci/audit <"$work/output"
	grep -q '^all done$' "$work/output" || { echo "the guest did not run all tests"; tail -n 20 "$work/output"; return 1; }
	! grep -q '^FAIL' "$work/output"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
make_root
failed=0
for kernel in "$@"; do
	echo "== $kernel"
	boot "$kernel" || failed=1
done
exit $failed
