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
  launch=(timeout -k 5 60 mpirun -n $((4 * ranks)) --hostfile "$RN_HOST_FILE" --map-by "ppr:$ranks:node"
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
  *)
    fail "no such case: $case"
    ;;
esac
finish
