#!/usr/bin/env bash
# Checks that run.watchdog_s limits how long a job may make no progress, not the duration of a step,
# an evaluation, a save or a load. Slow ones must complete; a job without progress must end with exit
# code 3 and a message that names the operation.
# usage: watchdog.sh BIN CASE
set -euo pipefail
bin=$1 case=$2
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
end_at_once

seq -f 'line %g of some plain text for a tiny model' 1 900 >text.txt
"$bin/retnet-data" build --out data --val-fraction 0.2 text.txt >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN}
model: {layers: 2, dim: 32, value_dim: 64, ffn_dim: 48, heads: 4}
data: {dir: data, sequence_length: 96, batch_sequences: 6}
parallel: {microbatch: 1}
optimizer: {lr: 2e-3, warmup_steps: 2}
train: {steps: 8, eval_every: 4, eval_sequences: 8}
checkpoint: {every: 4}
YAML

# stands SITE PROGRAM...: runs two ranks, one of which stops or loops at the fault site; the job must
# end with exit code 3.
stands() {
  local fault=$1 name=${1%%:*} code=0 log
  log=${name// /-}-$BASHPID.log
  shift
  cat >"$log.sh" <<EOF
if [ "\$OMPI_COMM_WORLD_RANK" = 1 ]; then export RETNET_FAULT='$fault'; fi
exec "\$@"
EOF
  timeout -k 5 120 mpirun -n 2 --oversubscribe --bind-to none bash "$log.sh" "$@" \
    >"$log" 2>&1 || code=$?
  [ "$code" = 3 ] || fail "$fault ended with $code, not 3: $(tail -n 5 "$log")"
  [ "$(grep -c 'error: no progress' "$log")" = 1 ] ||
    fail "$fault: not one table: $(tail -n 8 "$log")"
  grep -q "rank 1 has been in \"$name\" of .*<- late" "$log" ||
    fail "$fault: rank 1 is not named: $(grep -A3 'no progress' "$log")"
}

# beside COMMAND...: runs it in the background; `join` waits for it.
beside() {
  (
    "$@"
    exit "$((failures > 0))"
  ) &
  other=$!
}
join() { wait "$other" || failures=$((failures + 1)); }

both() { # both SITE SITE: two training runs, each without progress at one of the sites
  beside stands "$1" "${train[@]}" -s run.dir=one
  stands "$2" "${train[@]}" -s run.dir=other
  join
  rm -rf one other
}

case $case in
  slow)
    # A step of 30 s (18 micro-batches of 1.7 s), and at the same time an evaluation of 60 s.
    slow=(train.steps=1 train.eval_every=1 train.eval_sequences=30 run.watchdog_s=5 checkpoint.every=0)
    RETNET_FAULT=forward:1-:slow=1700 start step "${slow[@]}" train.eval_every=0 \
      data.batch_sequences=18
    step=$pid
    RETNET_FAULT=evaluation:1-:slow=2000 start evaluation "${slow[@]}"
    ended 0 evaluation
    pid=$step
    ended 0 step
    for what in step:30 evaluation:60; do
      seconds=$(sed -n 's/.*"seconds": \([0-9]*\).*/\1/p' "${what%:*}/summary.json")
      [ "${seconds:-0}" -ge "${what#*:}" ] || fail "${what%:*} took only $seconds s"
    done
    ;;
  chunks)
    # A save and a load take longer than the limit, with one rank waiting for the other.
    slow=(run.watchdog_s=4 train.steps=2 checkpoint.every=2 train.eval_every=0)
    RETNET_FAULT=file.write:1-:slow=150 must_train 2 saved "${slow[@]}"
    [ -d saved/checkpoints/step-00000002 ] || fail 'the slow save is missing'
    RETNET_FAULT=file.read:1-:slow=100 must_train 2 saved "${slow[@]}" train.steps=3
    RETNET_FAULT=file.read:1-:slow=100 mpirun -n 2 --oversubscribe --bind-to none \
      "$bin/retnet-eval" --checkpoint saved --data data -s run.watchdog_s=4 >eval.log 2>&1 ||
      fail "retnet-eval: $(tail -n 3 eval.log)"
    ;;
  stands)
    # Two at a time, since they only wait.
    train=("$bin/retnet-train" run.yaml -s run.watchdog_s=3)
    must_train 1 whole train.eval_every=0
    both 'initial weights:1:loop' 'read data:3:stop'
    both forward:5:loop 'sum gradients:2:stop'
    both evaluation:1:loop 'start of a save:1:stop'
    beside stands evaluation:3:loop "$bin/retnet-eval" --checkpoint whole --data data \
      -s run.watchdog_s=3
    stands 'load checkpoint:1:stop' "${train[@]}" -s run.dir=whole -s train.steps=9
    join
    ;;
  *)
    fail "no such case: $case"
    ;;
esac
finish
