#!/usr/bin/env bash
# Checks runs on four hosts that only a network connects. They have the bits of a run on one host. A
# rank that is killed, a stopped rank and a cut link end the job with a message that names rank and
# host, and the next start continues with the same bits.
# usage: hosts.sh BIN CASE
set -euo pipefail
bin=$1 case=$2
export bin
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/e2e/common.sh
source "$here/common.sh"

if [ "${RN_HOSTS_INSIDE:-}" != 1 ]; then
  mkdir "$work/net"
  code=0
  TMPDIR=$work/net bash "$here/../support/netns_hosts.sh" "$work/net" 4 bash "$0" "$@" || code=$?
  exit "$code"
fi
unset TMPDIR

export OMPI_MCA_plm_rsh_agent=$RN_AGENT PRTE_MCA_plm_ssh_agent=$RN_AGENT
# mpirun then notices in 4 s that a host does not answer.
keepalive=(time=2 intvl=1 probes=2)
for setting in "${keepalive[@]}"; do
  export "OMPI_MCA_oob_tcp_keepalive_$setting" "PRTE_MCA_oob_tcp_keepalive_$setting"
done
end_at_once

seq -f 'line %g of some plain text for a tiny model' 1 900 >text.txt
"$bin/retnet-data" build --out data --val-fraction 0.2 text.txt >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN, reproducible: true, watchdog_s: 6}
model: {layers: 2, dim: 32, value_dim: 64, ffn_dim: 48, heads: 4}
data: {dir: data, sequence_length: 96, batch_sequences: 24}
optimizer: {lr: 2e-3, warmup_steps: 2, schedule: constant}
train: {steps: 8, eval_every: 0}
checkpoint: {every: 0}
YAML

# start_on RANKS DIR KEY=VALUE...: starts training on RANKS ranks of each of the four hosts in the
# background.
start_on() {
  local ranks=$1
  shift
  launch=(timeout -k 5 240 mpirun -n $((4 * ranks)) --hostfile "$RN_HOST_FILE" --map-by "ppr:$ranks:node"
    --bind-to none)
  start "$@"
}
run_on() { # run_on RANKS DIR KEY=VALUE...: the same, until it ends, which must be with 0
  start_on "$@"
  ended 0 "$2"
}

case $case in
  trains)
    "$bin/retnet-train" run.yaml -s run.dir=one >one.log 2>&1 || fail "one host: $(tail -n 3 one.log)"
    run_on 1 four parallel.sequence=4
    same_content one four
    grep -q 'weights not shared' four.log || fail "hosts share memory: $(head -n 1 four.log)"
    run_on 2 eight parallel.sequence=4
    same_content one eight
    grep -q 'shared by up to 2 ranks' eight.log || fail "no host shares memory: $(head -n 1 eight.log)"
    # Without fixed order of sums: the gradient norms show that scans and gradients are right.
    run_on 2 free run.reproducible=false parallel.sequence=2 parallel.pipeline=2
    for name in loss grad_norm; do
      numbers "$name" one/metrics.jsonl >one.numbers
      numbers "$name" free/metrics.jsonl >free.numbers
      close_to 8 1e-4 free.numbers one.numbers || fail "$name: $(paste one.numbers free.numbers)"
    done
    # The launcher says that all ranks are on one node, but no two of them share /dev/shm.
    cat >apart.sh <<'SH'
mount -t tmpfs tmpfs /dev/shm
exec "$@"
SH
    launch=(env "OMPI_MCA_btl=tcp,self" mpirun -n 4 --oversubscribe --bind-to none
      unshare --mount bash apart.sh)
    start apart parallel.sequence=2
    ended 0 apart
    same_content one apart
    ;;
  faults)
    major=$(mpirun --version | sed -nE '1s/.* ([0-9]+)\..*/\1/p')
    # rank_pid RANK: the process of a rank of the only running job.
    rank_pid() {
      local candidate
      for candidate in $(pgrep -x retnet-train); do
        if tr '\0' '\n' <"/proc/$candidate/environ" | grep -qx "OMPI_COMM_WORLD_RANK=$1"; then
          echo "$candidate"
        fi
      done
    }
    # begin DIR: starts a run of two ranks on each host; returns when it has saved a checkpoint.
    begin() {
      start_on 2 "$1" parallel.sequence=2 train.steps=1000000 checkpoint.every=20 train.log_every=20
      reach "$1" words 'step 20 saved'
    }
    begin killed
    kill -KILL "$(rank_pid 5)"
    if [ "$major" -lt 5 ]; then
      ended 137 killed
      grep -q 'rank 5 with PID .* on node h3 exited on signal 9' killed.log ||
        fail "the killed rank is not named: $(tail -n 8 killed.log)"
    else
      echo "left out: mpirun of Open MPI $major names the rank that noticed a killed rank"
      got=0
      wait "$pid" || got=$?
      case $got in 0 | 124) fail "the run with a killed rank ended with $got" ;; esac
    fi

    # Time in which all ranks are stopped does not count, even if rank 0 continues first.
    begin stopped
    mapfile -t all < <(for rank in {0..7}; do rank_pid "$rank"; done)
    exec {idle}<> <(:) # nothing is ever read from it: `read` waits without starting a process
    kill -STOP "${all[@]}"
    sleep 4
    kill -CONT "${all[0]}"
    read -rt 0.02 -u "$idle" || true
    kill -CONT "${all[@]}"
    sleep 2
    if grep 'no report for' stopped.log; then fail 'a stop of all ranks is reported'; fi

    # A rank that is stopped twice is reported twice.
    kill -STOP "$(rank_pid 6)"
    reach stopped words 'no report for .* s from host h4, rank 6:'
    kill -CONT "$(rank_pid 6)"
    sleep 2
    kill -STOP "$(rank_pid 6)"
    ended 3 stopped
    [ "$(grep -c 'no report for .* s from host h4, rank 6:' stopped.log)" = 2 ] ||
      fail "not reported twice: $(<stopped.log)"
    [ "$(grep -c 'error: no progress' stopped.log)" = 1 ] || fail "not one table: $(<stopped.log)"
    grep -q 'rank 6 on h4 has been in ".*" of step .*no report from it for .*<- late' stopped.log ||
      fail "the stopped rank is not named: $(<stopped.log)"
    [ "$(grep -c '<- late' stopped.log)" = 1 ] || fail "other ranks are named: $(<stopped.log)"

    # mpirun ends the job when it notices that the host does not answer; its exit code depends on
    # how it notices this.
    begin cut
    ip link set port3 down
    got=0
    wait "$pid" || got=$?
    case $major:$got in
      5:0) echo "left out: mpirun of Open MPI $major ends with 0 after a lost host" ;;
      *:0 | *:124) fail "the run with a cut link ended with $got: $(<cut.log)" ;;
    esac
    # Either rank 0 or mpirun is the first to notice.
    grep -q -e 'no report for .* s from host h3, rank 4 5:' -e 'on node h3' cut.log ||
      fail "the host that is cut off is not named: $(<cut.log)"
    # The watchdogs of the host end its ranks, which mpirun cannot reach.
    for _ in $(seq 600); do
      if ! pgrep -x retnet-train >/dev/null; then break; fi
      sleep 0.1
    done
    ! pgrep -ax retnet-train || fail 'ranks still run'
    ip link set port3 up
    is_reachable() { [[ $( (: </dev/tcp/h3/9) 2>&1) == *refused* ]]; }
    for _ in $(seq 300); do
      if is_reachable; then break; fi
      sleep 0.1
    done
    is_reachable || fail 'h3 is not reachable again'
    last=$(find cut/checkpoints -name 'step-*[0-9]' | sort | tail -n 1)
    steps=$((10#${last##*-} + 4))
    run_on 1 cut parallel.sequence=4 "train.steps=$steps"
    grep -q "from step $((steps - 4))" cut.log || fail "not continued: $(head -n 3 cut.log)"
    "$bin/retnet-train" run.yaml -s run.dir=whole -s "train.steps=$steps" >whole.log 2>&1 ||
      fail "whole: $(tail -n 3 whole.log)"
    same_content cut whole
    ;;
  *)
    fail "no such case: $case"
    ;;
esac
finish
