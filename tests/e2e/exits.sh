#!/usr/bin/env bash
# Checks the exit codes on which batch scripts rely: 0 finished or stopped as requested, 1 failure
# with a message, 2 wrong usage, 4 too many bad steps, 75 to be requeued. (e2e/watchdog_* tests code
# 3.)
# usage: exits.sh BIN SOURCE
set -euo pipefail
bin=$1 source=$2
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
end_at_once

"$bin/retnet-data" build --out data --val-fraction 0.1 --include '*.c' "$source" >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN}
model: {layers: 1, dim: 16, value_dim: 16, ffn_dim: 16, heads: 2}
data: {dir: data, sequence_length: 64, batch_sequences: 4}
train: {steps: 4, eval_every: 0}
checkpoint: {every: 100}
YAML
soon=run.max_hours=1e-7 # stops after the first step

ends() { # ends CODE NP DIR KEY=VALUE...
  local code=$1 got=0
  shift
  train "$@" || got=$?
  [ "$got" = "$code" ] || fail "$* ended with $got, not $code: $(tail -n 3 "$2.log")"
}
at_step() { # at_step DIR STEP: the last step must be STEP, and it must be saved
  [ "$(numbers step "$1/metrics.jsonl" | tail -n 1)" = "$2" ] || fail "$1 is not at step $2"
  [ -e "$1/checkpoints/step-$(printf %08d "$2")/manifest.pb" ] || fail "$1: step $2 is not saved"
}

# A signal while a run starts stops it too. Rank 0 opens the configuration, which is a pipe here, after
# the start of MPI.
mkfifo pipe
for signal in TERM USR1 USR2; do
  "$bin/retnet-train" pipe -s "run.dir=early$signal" -s run.requeue_exit=true >"early$signal.log" 2>&1 &
  pid=$!
  exec 3>pipe
  kill "-$signal" "$pid"
  cat run.yaml >&3 || true
  exec 3>&-
  ended 75 "early$signal"
done

for ranks in 1 2; do
  # A stopped run is requeued until it is finished; a finished run is not requeued.
  ends 0 "$ranks" "stopped$ranks" "$soon"
  at_step "stopped$ranks" 1
  ends 75 "$ranks" "queue$ranks" "$soon" run.requeue_exit=true
  at_step "queue$ranks" 1
  ends 0 "$ranks" "queue$ranks" run.requeue_exit=true
  at_step "queue$ranks" 4
  ends 0 "$ranks" "queue$ranks" run.requeue_exit=true
  grep -q 'already at step 4' "queue$ranks.log" || fail "a finished run: $(cat "queue$ranks.log")"
  ends 0 "$ranks" "last$ranks" "$soon" run.requeue_exit=true train.steps=1
done
# A failed run is not requeued.
ends 1 1 bad run.requeue_exit=true data.dir=nowhere
ends 2 1 bad run.requeue_exit=true model.heads=3
ends 2 1 bad run.requeue_exit=true model.hedas=3
ends 2 1 queue1 run.requeue_exit=true run.seed=2 train.steps=9
ends 4 2 wild run.requeue_exit=true train.max_bad_steps=2 train.steps=50 optimizer.lr=1e30 \
  optimizer.clip=0 optimizer.warmup_steps=0

# If the save at a stop fails, the exit code must not be that of a stopped run.
RETNET_FAULT=ckpt.rename:1 ends 1 2 lost "$soon" run.requeue_exit=true
if [ -e lost/checkpoints/step-00000001 ]; then fail 'the fault did not strike'; fi

# If output is lost, neither.
for ranks in 1 2; do
  key_options "run.dir=full$ranks" "$soon" run.requeue_exit=true
  # shellcheck disable=SC2016
  refuse 1 'cannot write to standard output' mpirun -n "$ranks" --oversubscribe --bind-to none \
    bash -c '"$@" >/dev/full' train "$bin/retnet-train" run.yaml "${keys[@]}"
  at_step "full$ranks" 1
done

# Exit codes of all other programs.
for program in train data eval generate ckpt bench; do
  "$bin/retnet-$program" --help >out || fail "retnet-$program --help: $?"
  [ -s out ] || fail "retnet-$program --help says nothing"
  "$bin/retnet-$program" --version >out || fail "retnet-$program --version: $?"
  for line in "retnet-$program .*git" compiler flags MPI 'BLAS.*core type' zstd protobuf-c; do
    grep -q "^$line.*[0-9a-z]" out || fail "retnet-$program --version names no $line: $(cat out)"
  done
  refuse 2 --nonsense "$bin/retnet-$program" --nonsense
done
run=queue1 other=stopped1
refuse 0 identical "$bin/retnet-ckpt" diff "$run" "$run"
refuse 1 embed_tokens "$bin/retnet-ckpt" diff "$run" "$other"
refuse 2 diff "$bin/retnet-ckpt" diff "$run"
refuse 1 nowhere "$bin/retnet-ckpt" verify nowhere
refuse 1 nowhere "$bin/retnet-eval" --checkpoint nowhere --data data
refuse 1 nowhere "$bin/retnet-eval" --checkpoint "$run" --data nowhere
"$bin/retnet-data" build --out no-val --val-fraction 0 run.yaml >/dev/null
refuse 1 'no-val has no val split; build the data again into another folder' "$bin/retnet-eval" \
  --checkpoint "$run" --data no-val
refuse 2 form "$bin/retnet-eval" --checkpoint "$run" --data data --form chunky
refuse 1 nowhere "$bin/retnet-generate" --checkpoint nowhere --prompt x
refuse 2 temperature "$bin/retnet-generate" --checkpoint "$run" --prompt x --temperature -1
refuse 1 nowhere "$bin/retnet-data" verify nowhere
finish
