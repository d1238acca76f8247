#!/bin/sh
# run.sh [a|b|n] [ROUNDS]: builds everything into a directory that goes away, makes a load, and prints the table.
# As root. n is a machine with nothing but the programs themselves. LSNS names another lsns than that of the PATH.
set -eu
load=${1:-a} rounds=${2:-10} here=$(cd "$(dirname "$0")" && pwd)
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
for program in load floor; do cc -O2 -Wall -Wextra -o "$bin/$program" "$here/load/$program.c"; done
(cd "$here/../.." && CGO_ENABLED=0 go build -o "$bin/nsops" ./cmd/nsops)
(cd "$here" && go build -o "$bin/discover" .)
case $load in
n) set -- a -n 0 -c 0 -p 0 ;;
*) set -- "$load" ${LOAD:-} ;;
esac
"$bin/load" "$@" -- "$bin/discover" -rounds "$rounds" -bin "$bin" -lsns "${LSNS:-lsns}" -only "${ONLY:-}"
