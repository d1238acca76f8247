# The state engines of run.sh: docker, podman, LXC and uidmap are installed, and the first three run a container each.
# Missing packages are installed for the time of the tests: /usr, /etc and /var get overlays that are discarded afterwards.

in_engines() {
	for command in dockerd podman lxc-start newuidmap runc busybox; do
		command -v $command >/dev/null || { install_engines; break; }
	done
	mount -t tmpfs nsops-states /run # for sockets, locks and pins
	e=$work/engines
	mkdir -p "$e"/{docker,docker-run,lxc/box,root/bin}
	for dir in dev etc proc sys tmp; do mkdir "$e/root/$dir"; done
	cp "$(command -v busybox)" "$e/root/bin/"
	chroot "$e/root" /bin/busybox --install -s /bin
	tar -cC "$e/root" -f "$e/root.tar" .
	ip netns add engines # engines change addresses, routes and filters
	docker="docker -H unix:///run/nsops-docker.sock"
	podman="within podman --root $e/podman --runroot $e/podman-run --storage-driver vfs"
	trap stop_engines EXIT
	start_docker
	start_podman
	start_lxc
	suite
}

install_engines() {
	local dir packages=(docker.io podman containernetworking-plugins lxc uidmap runc busybox-static)
	mkdir "$work/layers"
	mount -t tmpfs nsops-states "$work/layers"
	for dir in usr etc var; do
		mkdir -p "$work/layers/$dir"/{upper,work}
		mount -t overlay nsops-states -o "lowerdir=/$dir,upperdir=$work/layers/$dir/upper,workdir=$work/layers/$dir/work" "/$dir"
	done
	printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d # starts no services
	chmod 755 /usr/sbin/policy-rc.d
	{
		apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"
	} >"$work/apt.log" 2>&1 || { cat "$work/apt.log"; return 1; }
}

within() { nsenter --net=/run/netns/engines "$@"; }

start_docker() {
	within ip link set lo up
	nsenter --net=/run/netns/engines dockerd --data-root "$e/docker" --exec-root "$e/docker-run" -H unix:///run/nsops-docker.sock --bridge=none \
		--iptables=false --ip6tables=false --default-ulimit nofile=1024:8192 >"$e/dockerd.log" 2>&1 &
	dockerd=$!
	for _ in {1..100}; do
		! $docker info >/dev/null 2>&1 || break
		sleep 0.2
	done
	$docker info >/dev/null || { cat "$e/dockerd.log"; return 1; }
	$docker import "$e/root.tar" box:1
	$docker run -d --network none --name nsops-states box:1 sleep 100000
}

start_podman() {
	cat >"$e/containers.conf" <<-END
		[containers]
		default_ulimits = ["nofile=1024:8192", "nproc=8192:8192"]
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		runtime = "runc"
	END
	export CONTAINERS_CONF=$e/containers.conf
	$podman import "$e/root.tar" localhost/box:1
	$podman run -d --network none --name nsops-states localhost/box:1 sleep 100000
}

start_lxc() {
	cat >"$e/lxc/box/config" <<-END
		lxc.rootfs.path = dir:$e/root
		lxc.uts.name = box
		lxc.init.cmd = /bin/sleep 100000
		lxc.apparmor.profile = unconfined
		lxc.net.0.type = empty
		lxc.mount.auto = proc:rw sys:ro
	END
	within lxc-start -P "$e/lxc" -n box -d
	within lxc-info -P "$e/lxc" -n box
}

# stop_engines ends the containers, then the daemon, and removes the cgroups that they leave behind.
stop_engines() {
	set +e
	$docker rm -f nsops-states
	$podman rm -f -t 0 nsops-states
	within lxc-stop -P "$e/lxc" -n box -k
	kill "${dockerd:-}" && wait "$dockerd"
	sleep 1 # LXC's monitor
	find /sys/fs/cgroup -depth -type d \( -path '*/docker*' -o -path '*/libpod_parent*' -o -path '*/lxc.*' \) \
		-newer "$e/root.tar" -exec rmdir {} + 2>/dev/null
	umount -R "$e/docker" "$e/podman" 2>/dev/null
}
