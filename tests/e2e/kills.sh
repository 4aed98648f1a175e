#!/usr/bin/env bash
# Checks that SIGKILL at any moment loses nothing. Every start continues from the newest checkpoint; a
# checkpoint that was reported as saved still exists; after all kills, weights and metrics are those of
# an undisturbed run; and no files of killed processes are left in the run directory, in /dev/shm, or,
# apart from a few KB, in TMPDIR.
#
# A preloaded library kills a process before its N-th operation on the run directory; a write is killed
# after half of its bytes. Other kills hit all processes at a random time. Every launch is killed, so
# that it also tests the state that the previous kill left. Prints how many kills hit which operation.
# usage: kills.sh BIN PRELOADED_LIBRARY [KILLS] [SEED]
set -euo pipefail
bin=$1 library=$2 kills=${3:-30} seed=${4:-1}
# shellcheck source=tests/e2e/private_memory.sh
source "$(dirname "$(realpath "$0")")/private_memory.sh"
private_memory "$@"
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
here=$(realpath .)
RANDOM=$seed
private_temporary_files
export OMPI_MCA_ess_singleton_isolated=1
end_at_once

seq -f 'line %g of some plain text for a tiny model' 1 900 >text.txt
"$bin/retnet-data" build --out data --val-fraction 0.1 text.txt >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN, reproducible: true}
model: {layers: 1, dim: 16, value_dim: 32, ffn_dim: 32, heads: 2}
data: {dir: data, sequence_length: 32, batch_sequences: 4}
optimizer: {lr: 2e-3, warmup_steps: 2, schedule: constant}
train: {steps: 1000000, eval_every: 1, eval_sequences: 2}
checkpoint: {every: 1, keep_last: 2}
YAML
# Without TCP, whose module of Open MPI 4.1.4 may crash in MPI_Init on a busy machine (OPERATORS.md).
two=(env OMPI_MCA_btl=^tcp mpirun -n 2 --oversubscribe --bind-to none)

newest() {
  find RUN/checkpoints -maxdepth 1 -name 'step-????????' 2>/dev/null | sed 's/.*step-0*//' | sort -n | tail -n 1
}

# Lists the shared memory that a launch left and that no later start can know of.
unrecorded() {
  {
    find "$TMPDIR" -path '*/pmix_dstor_*/*' -size +1M
    if [ -n "$private_memory" ]; then find /dev/shm -type f; fi
  } | while read -r file; do
    if ! grep -qF " $file" RUN/shared-memory.txt 2>/dev/null; then echo "$file"; fi
  done
}

# killed MOMENT: checks the state that a killed launch left; its output is RUN.log. If it was killed
# before its first step, it may not have recorded its newest shared memory.
last=0 resumed=0
killed() {
  local now said from file
  now=$(newest)
  now=${now:-0}
  said=$(sed -nE 's/^step ([0-9]+) saved: .*/\1/p' RUN.log | tail -n 1)
  from=$(sed -nE 's/.*; from step ([0-9]+)$/\1/p' RUN.log)
  [ "$now" -ge "$last" ] || fail "$1: step $last was a checkpoint, but only step $now is left"
  [ "$now" -ge "${said:-0}" ] || fail "$1: step $said was saved, but only step $now is left"
  if [ -n "$from" ]; then
    [ "$from" = "$last" ] || fail "$1: the start continued from step $from, not from $last"
    resumed=$((resumed + 1))
  fi
  if grep -E '^error|is (damaged|incomplete)' RUN.log; then fail "$1: a start found something wrong"; fi
  for file in $(unrecorded); do
    if grep -q '^step ' RUN.log; then fail "$1: $file is left, but not on record"; fi
    rm "$file"
    early=$((early + 1))
  done
  last=$now
  echo "$1" >>moments
}

# Runs one rank, or rank $2 of two, which is killed at its operation $1.
at_operation() {
  local library_settings got=0
  library_settings=("LD_PRELOAD=$library" "RETNET_IO_UNDER=$here/RUN" "RETNET_IO_LOG=$here/io.log"
    "RETNET_IO_KILL=$1")
  rm -f io.log
  if [ $# = 1 ]; then
    env "${library_settings[@]}" "$bin/retnet-train" run.yaml >RUN.log 2>&1 || got=$?
  else
    # shellcheck disable=SC2016
    "${two[@]}" bash -c 'if [ "$OMPI_COMM_WORLD_RANK" = "$1" ]; then export "${@:3}"; fi
      exec "$2/retnet-train" run.yaml' rank "$2" "$bin" "${library_settings[@]}" >RUN.log 2>&1 || got=$?
  fi
  [ -s io.log ] || fail "operation $1 was not reached: $(<RUN.log)"
  killed "$(sed -nE 's/^kill ([a-z]*) .*/\1/p' io.log)"
}

# Kills all processes of one or two ranks, also mpirun: mostly while it trains and saves, one time in
# eight while it starts.
at_random() {
  local ranks rank moment=random
  launch=()
  if [ "$1" = 2 ]; then launch=("${two[@]}"); fi
  start RUN
  if [ $((RANDOM % 8)) = 0 ]; then
    moment=start
  else
    reach RUN words 'from step'
  fi
  sleep "0.$(printf '%03d' $((RANDOM % 300)))"
  ranks=$(pgrep -P "$pid" retnet-train) || true
  # shellcheck disable=SC2086
  kill -KILL "$pid" $ranks
  wait "$pid" 2>/dev/null || true
  for rank in $ranks; do
    while [ -e "/proc/$rank/exe" ]; do sleep 0.01; done
  done
  killed "$moment"
}

# Counts the operations of a start and two saves.
for steps in 1 4; do
  LD_PRELOAD=$library RETNET_IO_UNDER=$here/RUN RETNET_IO_LOG=$here/counted.log \
    "$bin/retnet-train" run.yaml -s train.steps=$steps >RUN.log 2>&1 || fail "$(tail -n 3 RUN.log)"
done
operations=$(($(wc -l <counted.log) * 2 / 3))
last=$(newest) early=0

# Of ten kills, one hits all processes of two ranks, one those of one rank, one a rank of two, and
# seven a single rank.
for ((i = 0; i < kills; i++)); do
  case $((i % 10)) in
    3) at_random 1 ;;
    6) at_random 2 ;;
    9) at_operation $((1 + RANDOM % (operations / 2))) $((i / 10 % 2)) ;;
    *) at_operation $((1 + (i * 7919 + seed) % operations)) ;;
  esac
done

total=$((last + 2))
# The file of a process that was killed before it had written its name to it is removed after a while.
find RUN -name 'lock.*' -exec touch -d '1 hour ago' {} +
must_train 1 RUN "train.steps=$total"
must_train 1 whole "train.steps=$total" checkpoint.every=0
same_run whole RUN
"$bin/retnet-ckpt" verify RUN >verify.log 2>&1 || fail "$(cat verify.log)"
left=$(find RUN -name '*.tmp' -o -name '*.bad' -o -name '*.old' -o -name '*.new' -o -name 'lock*')
[ -z "$left" ] || fail "left in the run directory: $left"
[ "$(find RUN/checkpoints -mindepth 1 -maxdepth 1 | wc -l)" = 3 ] || fail "$(ls RUN/checkpoints)"
must_leave_no_memory $((100 * (kills + 10)))
echo "$kills kills, seed $seed: $(sort moments | uniq -c | awk '{ printf "%s%s %d", sep, $2, $1; sep = ", " }')"
[ "$failures" != 0 ] || echo "no checkpoint was lost, and every launch that reported it ($resumed) continued from the newest; $total steps in all"
echo "left: $(find RUN -name 'events.out*' | wc -l) event files, $kb KB in TMPDIR; $early files of shared memory of processes that were killed before they had recorded them (removed by this test)"
finish
