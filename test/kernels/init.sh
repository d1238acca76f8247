#!/bin/busybox sh
# The first process of a guest. It leaves the initramfs, since pivot_root(2) does not work there, and runs the tests.
export PATH=/usr/sbin:/usr/bin HOME=/root
if [ -d /new ]; then
	busybox mount -t tmpfs -o size=90%,mode=755 root /new
	for name in *; do
		[ "$name" = new ] || busybox cp -a "/$name" /new/
	done
	exec busybox switch_root /new /init
fi
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --make-rshared /
chmod 1777 /tmp
mv /etc /etc.memory # tests need a file in /etc that is not on a tmpfs: such files have seals
mkdir /etc
mount -t ramfs etc /etc
cp -a /etc.memory/. /etc
while read -r module; do
	busybox insmod "/modules/$module.ko"
done </modules/order
ip link set lo up
hostname guest
ulimit -n 20000
read -r flags </flags
uname -r
while read -r dir; do
	cd "/src/$dir" || continue
	if ./this.test -test.v $flags </dev/null 2>&1; then
		echo "ok	$dir"
	else
		echo "FAIL	$dir"
	fi
done </tests
echo all done
busybox poweroff -f
