#!/usr/bin/env bash
# Runs the tests on machines in other states, one after the other: test/states/run.sh [STATE...], as root.
#
# pins      /run/netns is a mount, and has pins        cgroup2  all cgroups are of version 2
# engines   docker, podman, LXC, uidmap, containers    hybrid   cgroups of version 1, and a hierarchy of version 2
# churn     hundreds of processes come and go          oneid    in an unprivileged container with one mapped ID
# umask     umask 077                                  manyids  in an unprivileged container with 65536 IDs
# locale    Turkish language, time zone of Nepal       nobody   as a user without rights
# nohome    HOME is not set                            plain    the machine as it is
# readonly  the sources are read-only
#
# For each state it prints one line: how many tests have passed, failed and were skipped. FLAGS are flags of go test, such
# as -race, PACKAGES the packages to test. The tests run from a copy of the work tree that all users can read. A state
# mounts and installs only in its own mount namespace, so the machine does not change. Only engines installs packages.
set -euo pipefail

states=(plain pins engines churn umask locale nohome readonly cgroup2 hybrid oneid manyids nobody)
limit=3600 # seconds for a run of the tests
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/engines.sh"

main() {
	(($(id -u) == 0)) || { echo "$0 requires root" >&2; exit 2; }
	unset CI NSOPS_REQUIRE # tests that cannot run in a state are skipped, and listed
	work=$(mktemp -d "${TMPDIR:-/tmp}/nsops-states-XXXXXX")
	trap 'rm -rf --one-file-system "$work"' EXIT
	copy_sources
	(($# > 0)) || set -- "${states[@]}"
	local state status=0 results=()
	for state in "$@"; do
		[[ " ${states[*]} " == *" $state "* ]] || { echo "no state $state; there are: ${states[*]}" >&2; exit 2; }
		echo "== $state"
		run_state "$state" || status=1
		results+=("$(cat "$work/result")")
		echo "${results[-1]}"
	done
	(($# == 1)) || printf '%s\n' == "${results[@]}"
	exit $status
}

# copy_sources copies the work tree, and puts Go's caches where other users can read them.
copy_sources() {
	chmod 755 "$work"
	mkdir -m 755 "$work"/{src,mod,home}
	mkdir -m 1777 "$work/tmp"
	(cd "$here/../.." && git ls-files -coz --exclude-standard | tar --null --ignore-failed-read -cT - 2>/dev/null) |
		tar -xC "$work/src" --no-same-owner
	chmod -R a+rX "$work/src"
	export GOMODCACHE GOCACHE GOPATH GOFLAGS
	GOFLAGS="$(go env GOFLAGS) -buildvcs=false -mod=readonly"
	GOMODCACHE=$(go env GOMODCACHE)
	GOCACHE=$(go env GOCACHE)
	GOPATH=$(go env GOPATH)
	(cd "$work/src" && go mod download)
}

# run_state runs the tests in that state, and writes its line to the file result.
run_state() {
	local begin=$SECONDS status=0 counts
	rm -f "$work/result"
	unshare --mount --propagation private -- "${BASH_SOURCE[0]}" --in "$1" "$work" >"$work/output" 2>&1 </dev/null &
	trap "kill $!; wait $!; exit 1" INT TERM
	wait $! || status=$?
	trap - INT TERM
	"$here/../../.ci/audit" <"$work/output" >"$work/audited" || true
	cat "$work/audited"
	counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$work/audited")
	[[ $counts != '0 passed'* ]] || tail -n 30 "$work/output"
	printf '%s: %s; %s after %ds\n' "$1" "$counts" "$( ((status == 0)) && echo ok || echo "FAILED ($status)")" \
		$((SECONDS - begin)) >"$work/result"
	return $status
}

# suite runs the tests, with its arguments as the command that runs them.
suite() {
	cd "$work/src"
	timeout -k 10 "$limit" "$@" go test -p 1 -timeout 30m -v -shuffle=on ${FLAGS:-} ${PACKAGES:-./...} &
	trap "kill $!; exit 1" INT TERM
	wait $!
}

in_plain() { suite; }

in_pins() {
	mount -t tmpfs nsops-states /run
	for name in one two three; do
		ip netns add "$name"
	done
	suite
}

in_churn() {
	churn &
	churner=$!
	trap 'kill $churner' EXIT
	suite
}

# churn keeps some 250 processes, of which 60 end in a second: children, orphans, and some in namespaces of their own.
churn() {
	local end=$((SECONDS + limit)) i
	trap 'exit 0' TERM
	while ((SECONDS < end)); do
		for i in {1..50}; do
			sleep $((i % 5 + 2)) &
		done
		(sleep 1 & sleep 1.5 & sleep 0.3 &)
		unshare --uts --ipc sleep 0.8 &
		unshare --user --map-root-user --mount --pid --fork sleep 0.8 &
		sleep 0.8
	done
}

in_umask() {
	umask 077
	suite
}

in_locale() {
	if ! locale -a | grep -qi 'tr_TR.utf-\?8'; then
		mkdir "$work/locale"
		localedef -i tr_TR -f UTF-8 "$work/locale/tr_TR.UTF-8"
		export LOCPATH=$work/locale
	fi
	suite env LC_ALL=tr_TR.UTF-8 LANG=tr_TR.UTF-8 LANGUAGE=tr TZ=Asia/Kathmandu
}

in_nohome() { suite env -u HOME -u XDG_CACHE_HOME -u XDG_CONFIG_HOME; }

in_readonly() {
	mount --bind -o ro "$work/src" "$work/src"
	mount -o remount,bind,ro "$work/src"
	! touch "$work/src/x" 2>/dev/null
	suite
}

in_cgroup2() {
	umount -R /sys/fs/cgroup
	mount -t cgroup2 none /sys/fs/cgroup
	suite
}

in_hybrid() {
	if ! grep -q ' - cgroup ' /proc/self/mountinfo; then
		mount -t tmpfs nsops-states /sys/fs/cgroup
		mkdir /sys/fs/cgroup/{unified,systemd}
		mount -t cgroup2 none /sys/fs/cgroup/unified
		mount -t cgroup -o none,name=nsops-states none /sys/fs/cgroup/systemd
	fi
	suite
}

in_nobody() {
	others 65534
	suite setpriv --reuid 65534 --regid 65534 --clear-groups
}

in_oneid() {
	others 65534
	suite setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user --map-root-user "${container[@]}"
}

in_manyids() {
	others 100000
	mkfifo "$work/child" "$work/mapped"
	exec 3<>"$work/child" 4<>"$work/mapped"
	suite unshare --user --keep-caps -- bash -c 'echo $$ >&3; read -r <&4; exec setpriv --reuid 0 --regid 0 --clear-groups "$@"' - \
		unshare "${container[@]}" &
	read -r -t 60 -u 3 child
	echo 0 100000 65536 >"/proc/$child/uid_map"
	echo 0 100000 65536 >"/proc/$child/gid_map"
	echo >&4
	wait $!
}

# container has the arguments of unshare for a container with the machine's root directory. Its lo is up, as usual.
container=(--mount --pid --fork --kill-child --mount-proc --net --uts --ipc -- sh -c 'ip link set lo up && exec "$@"' sh)

# others gives the user with that ID a copy of the caches and a home.
others() {
	mount --bind "$GOMODCACHE" "$work/mod"
	mkdir -p "$work/cache-$1"
	chown "$1:$1" "$work/cache-$1" "$work/home"
	export GOMODCACHE=$work/mod GOCACHE=$work/cache-$1 GOPATH=$work/home HOME=$work/home TMPDIR=$work/tmp GOPROXY=off
}

if [ "${1:-}" = --in ]; then
	work=$3
	"in_$2"
else
	main "$@"
fi
