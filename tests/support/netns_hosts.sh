#!/usr/bin/env bash
# Runs a command beside several hosts on this machine. Each host is a network namespace with its own
# address, host name, /dev/shm and /tmp. The hosts share processors, process numbers and all other
# files.
# usage: netns_hosts.sh DIR HOSTS COMMAND...
#
# DIR     empty folder; every host sees it, and the folder of the programs ($bin), at its usual path
# HOSTS   number of hosts h1, h2, ... with the addresses 10.77.0.1, 10.77.0.2, ...; the command itself
#         runs on an additional host h0. Interface portN of h0 is the link to host N
# Exit:   that of the command; 77 with the reason on stdout if this machine cannot make such hosts
#
# The command finds RN_AGENT, a program that is called like ssh (RN_AGENT HOST COMMAND...), and
# RN_HOST_FILE, a host file of mpirun with two slots for each host.
#
# Everything runs in separate network, mount, host name and process namespaces. The kernel ends all
# processes and removes all networks and mounts when this script ends, however it ends.
set -euo pipefail

skip() {
  echo "skipped: $*"
  exit 77
}

if [ -z "${RN_HOSTS_INSIDE:-}" ]; then
  [ "$(id -u)" = 0 ] || skip 'hosts as network namespaces need root (CAP_NET_ADMIN)'
  PATH=$PATH:/usr/sbin:/sbin
  for program in ip nsenter unshare; do
    command -v "$program" >/dev/null || skip "no $program here (Debian: iproute2, util-linux)"
  done
  spaces=(--net --mount --uts --ipc --pid --fork --kill-child --mount-proc)
  unshare "${spaces[@]}" true 2>/dev/null || skip 'this machine does not let root make namespaces'
  unshare --net sh -c 'ip link add name bridge type bridge &&
    ip link add name port type veth peer name end' 2>/dev/null ||
    skip 'this machine has no bridges or veth interfaces'
  RN_HOSTS_INSIDE=1 exec unshare "${spaces[@]}" bash "$0" "$@"
fi

dir=$(realpath "$1") hosts=$2 subnet=10.77.0
shift 2
export RN_AGENT=$dir/agent RN_HOST_FILE=$dir/hostfile

# A sleeping process keeps the namespaces of a host. Folders below /tmp that the host must see are
# mounted again in its own /tmp; their descriptors are opened before /tmp is hidden.
cat >"$dir/host" <<'HOST'
set -euo pipefail
name=$1 dir=$2
shift
hostname "$name"
mount -t tmpfs -o size=1g tmpfs /dev/shm
open=()
for folder in "$@"; do
  [[ $folder = /tmp/* ]] || continue
  exec {descriptor}<"$folder"
  open+=("$descriptor:$folder")
done
mount -t tmpfs -o size=1g,mode=1777 tmpfs /tmp
for entry in "${open[@]}"; do
  descriptor=${entry%%:*} folder=${entry#*:}
  mkdir -p "$folder"
  mount --no-canonicalize --bind "/proc/self/fd/$descriptor" "$folder"
  exec {descriptor}<&-
done
ip link set lo up
: >"$dir/$name.ready"
exec sleep infinity
HOST

cat >"$RN_AGENT" <<'AGENT'
#!/usr/bin/env bash
# usage: agent HOST COMMAND...: runs the command line on the host, as ssh does.
set -euo pipefail
host=$1
shift
exec nsenter --target "$(cat "${0%/*}/$host.pid")" --net --mount --uts --root --wd="$PWD" sh -c "$*"
AGENT
chmod +x "$RN_AGENT"

start_host() { # start_host NUMBER
  local name=h$1 pid i
  unshare --net --mount --uts bash "$dir/host" "$name" "$dir" "${bin:-$dir}" &
  pid=$!
  for ((i = 0; i < 3000; i++)); do
    [ -e "$dir/$name.ready" ] && break
    sleep 0.02
  done
  echo "$pid" >"$dir/$name.pid"
  ip link add name "port$1" type veth peer name eth0 netns "$pid"
  ip link set "port$1" master bridge up
  "$RN_AGENT" "$name" "ip address add $subnet.$1/24 dev eth0 && ip link set eth0 up"
  echo "$name slots=2" >>"$RN_HOST_FILE"
}

hostname h0
mount -t tmpfs -o size=1g tmpfs /dev/shm
{
  cat /etc/hosts
  echo "$subnet.254 h0"
  for ((i = 1; i <= hosts; i++)); do echo "$subnet.$i h$i"; done
} >"$dir/hosts"
mount --bind "$dir/hosts" /etc/hosts
ip link set lo up
ip link add name bridge type bridge
ip address add "$subnet.254/24" dev bridge
ip link set bridge up
for ((i = 1; i <= hosts; i++)); do start_host "$i"; done
code=0
"$@" || code=$?
exit "$code"
