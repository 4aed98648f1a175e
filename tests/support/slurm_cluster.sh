#!/usr/bin/env bash
# Runs a command on a real SLURM cluster of virtual nodes on this machine; the cluster exists as long
# as the command runs.
# usage: slurm_cluster.sh DIR NODES COMMAND...
#        within COMMAND: slurm_cluster.sh --crash|--boot NODE
#
# DIR     empty folder for configuration, logs and state
# NODES   number of nodes n1, n2, ... of two CPUs; each is a slurmd with its own host name and its own
#         /dev/shm, so that MPI sees as many hosts. Up to four jobs share a CPU
# --crash kills slurmd and all other processes of a node at once, as if the node had crashed
# --boot  starts slurmd on a node that has crashed
# Exit:   that of the command; 77 with the reason on stdout if this machine cannot run such a cluster
#
# Everything runs in separate mount, host name and process namespaces: /etc/hosts is changed only for
# these processes, and the kernel ends all daemons when this script ends, however it ends. Neither
# systemd nor cgroups are needed. SLURM_CONF is set for the command.
set -euo pipefail

skip() {
  echo "skipped: $*"
  exit 77
}

if [ -z "${RN_SLURM_INSIDE:-}" ]; then
  [ "$(id -u)" = 0 ] || skip 'virtual nodes of SLURM need root'
  PATH=$PATH:/usr/sbin:/sbin
  for program in munged slurmctld slurmd sbatch srun setpriv unshare; do
    command -v "$program" >/dev/null || skip "no $program here (jobs/check.sh --all installs SLURM)"
  done
  spaces=(--mount --uts --ipc --pid --fork --kill-child --mount-proc)
  unshare "${spaces[@]}" true 2>/dev/null || skip 'this machine does not let root make namespaces'
  RN_SLURM_INSIDE=1 exec unshare "${spaces[@]}" bash "$0" "$@"
fi

if [[ $1 == --* ]]; then
  dir=$(dirname "$SLURM_CONF") nodes=0
else
  dir=$(realpath "$1") nodes=$2
  export SLURM_CONF=$dir/slurm.conf
fi

# Prints the logs of all daemons, for examining a failed test.
die() {
  echo "slurm_cluster.sh: $*" >&2
  tail -n 20 "$dir"/*.log >&2 || true
  exit 1
}

# Prints the first of NODES + 1 consecutive ports that are not in use.
free_ports() {
  local base i
  while :; do
    base=$((20000 + RANDOM % 10000))
    for ((i = 0; i <= nodes; i++)); do
      if (: </dev/tcp/127.0.0.1/$((base + i))) 2>/dev/null; then continue 2; fi
    done
    echo "$base"
    return
  done
}

write_configuration() {
  local port binding=task/none
  port=$(free_ports)
  # Slurm numbers the CPUs of a node from 0, so it can bind tasks only if this process may use CPUs 0
  # and 1.
  if grep -q '^Cpus_allowed_list:[[:space:]]*0-' /proc/self/status; then binding=task/affinity; fi
  # The timeouts are for a very busy machine, on which a job may also exceed its time limit by a minute.
  # For the time cred_expire, a requeued job is held, so that only the command starts it again.
  cat >"$SLURM_CONF" <<CONF
ClusterName=retnet
SlurmctldHost=n0(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket,cred_expire=3600
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmctldPidFile=$dir/slurmctld.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdPidFile=$dir/%n.pid
SlurmdLogFile=$dir/%n.log
SlurmdSpoolDir=$dir/%n.spool
TmpFS=$dir/%n.tmp
ProctrackType=proctrack/linuxproc
TaskPlugin=$binding
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
JobRequeue=1
ReturnToService=2
KillWait=600
OverTimeLimit=1
MinJobAge=3600
MessageTimeout=100
TCPTimeout=30
BatchStartTimeout=120
SlurmctldTimeout=300
SlurmdTimeout=300
UnkillableStepTimeout=600
NodeName=n[1-$nodes] NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + nodes))] CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=FORCE:4 State=UP
CONF
  # Slurm 24 and later use cgroups unless this is disabled; older versions do not have the option.
  if [ "$(slurmd -V | sed 's/^[^ ]* \([0-9]*\).*/\1/')" -ge 24 ]; then
    echo 'CgroupPlugin=disabled' >"$dir/cgroup.conf"
  fi
}

start_munge() {
  mkdir -m 700 "$dir/munge"
  head -c 1024 /dev/urandom >"$dir/munge/key"
  chmod 600 "$dir/munge/key"
  munged --force --socket="$dir/munge.socket" --key-file="$dir/munge/key" \
    --pid-file="$dir/munge/pid" --seed-file="$dir/munge/seed" --log-file="$dir/munge/log" ||
    die 'munged does not start'
}

start_node() { # start_node NAME
  mkdir -p "$dir/$1.spool" "$dir/$1.tmp"
  # shellcheck disable=SC2016
  unshare --mount --uts bash -c '
    hostname "$1" && mount -t tmpfs -o size=1g tmpfs /dev/shm && exec slurmd -N "$1" -f "$SLURM_CONF"
  ' - "$1" || die "$1 does not start"
}

# The processes of a node are those that see its host name. The files of slurmd are
# lost too, as on a node without a disk: a socket stepd.slurm.pmix.JOB.STEP that a crash leaves behind
# makes later starts of that job fail on this node (jobs/OPERATORS.md).
crash_node() { # crash_node NAME
  local node process processes
  node=$(readlink "/proc/$(cat "$dir/$1.pid")/ns/uts")
  while :; do
    processes=()
    for process in /proc/[0-9]*; do
      if [ "$(readlink "$process/ns/uts" 2>/dev/null)" = "$node" ]; then processes+=("${process#/proc/}"); fi
    done
    [ ${#processes[@]} -gt 0 ] || break
    kill -KILL "${processes[@]}" 2>/dev/null || true
  done
  rm -rf "$dir/$1.tmp" "$dir/$1.spool"
}

await_nodes() {
  local i
  for ((i = 0; i < 600; i++)); do
    [ "$(sinfo -h -t idle -o %D 2>/dev/null | head -n 1)" = "$nodes" ] && return
    sleep 0.2
  done
  die "only $(sinfo -h -o '%D nodes are %T,' | tr '\n' ' ') of $nodes"
}

case $1 in
  --crash) crash_node "$2" && exit ;;
  --boot) start_node "$2" && exit ;;
esac
shift 2
hostname n0
{
  cat /etc/hosts
  for ((i = 0; i <= nodes; i++)); do echo "127.0.0.1 n$i"; done
} >"$dir/hosts"
mount --bind "$dir/hosts" /etc/hosts
mkdir -p "$dir/state"
write_configuration
start_munge
slurmctld -c -f "$SLURM_CONF" || die 'slurmctld does not start'
for ((i = 1; i <= nodes; i++)); do start_node "n$i"; done
await_nodes
code=0
"$@" || code=$?
[ "$code" = 0 ] || tail -n 20 "$dir"/*.log >&2
exit "$code"
