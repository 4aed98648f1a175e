#!/usr/bin/env bash
# Checks reproducible mode. The checkpoint after 10 steps, and its loss on the whole validation split,
# must have the same bits on any layout, also if the layout changes twice by resumes, and in bf16.
# Without the mode, layouts differ in the last digits. A communication thread must not change a bit in
# either mode.
# usage: reproducible.sh BIN SOURCE layouts|moved|bf16
set -euo pipefail
bin=$1 source=$2 case=$3
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

"$bin/retnet-data" build --out data --val-fraction 0.01 --include '*.c' "$source" >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN, reproducible: true}
model: {layers: 3, dim: 32, value_dim: 64, ffn_dim: 48, heads: 4, tie_embeddings: true, dropout: 0.1}
data: {dir: data, sequence_length: 150, batch_sequences: 6}
optimizer: {lr: 2e-3, schedule: cosine, warmup_steps: 3, decay_steps: 10}
train: {steps: 10, eval_every: 100}
checkpoint: {every: 100}
YAML

val_loss_of() { tail -n 1 "$1/metrics.jsonl" | grep -o '"val_loss": [0-9.]*'; }

same_bits() { # same_bits A B: checkpoints, and the evaluation after the last step
  same_content "$1" "$2"
  [ -n "$(val_loss_of "$1")" ] || fail "$1 was not evaluated"
  [ "$(val_loss_of "$1")" = "$(val_loss_of "$2")" ] ||
    fail "$1 has $(val_loss_of "$1"), $2 $(val_loss_of "$2")"
}

if [ "$case" = bf16 ]; then
  half=(train.precision=bf16 train.steps=8)
  must_train 1 half "${half[@]}"
  need_bf16 half
  must_train 8 half8 "${half[@]}" parallel.data=2 parallel.pipeline=2 parallel.sequence=2
  same_bits half half8
  finish
fi

must_train 1 one
layout() { # layout NP KEY=VALUE...
  local np=$1 dir
  shift
  dir=$(tr -dc 'a-z0-9' <<<"np$np$*")
  must_train "$np" "$dir" "${@/#/parallel.}"
  same_bits one "$dir"
}
if [ "$case" = layouts ]; then
  for ranks in 2 3 4 5 8; do layout "$ranks" "sequence=$ranks"; done
  for ranks in 2 3 4; do layout "$ranks" "data=$ranks"; done
  for ranks in 2 3; do layout "$ranks" "pipeline=$ranks"; done
  layout 8 data=2 pipeline=2 sequence=2
  layout 2 sequence=2 segments=2
  layout 2 sequence=2 segments=3
  for size in 1 2 6; do layout 1 "microbatch=$size"; done
  OMP_NUM_THREADS=2 layout 1 threads=2
  must_train 4 again parallel.pipeline=2 parallel.sequence=2 train.recompute=block
  same_bits one again
  finish
fi

layout 4 sequence=4 comm_thread=on
layout 4 pipeline=2 sequence=2 segments=2 comm_thread=on
grep -q 'communication thread.*MPI_THREAD_SERIALIZED' np4sequence4commthreadon.log ||
  fail "the thread is not named: $(cat np4sequence4commthreadon.log)"

must_train 8 moved train.steps=3 parallel.sequence=8
must_train 3 moved train.steps=7 parallel.pipeline=3
must_train 4 moved parallel.data=2 parallel.sequence=2
same_bits one moved

must_train 1 plain run.reproducible=false
must_train 4 plain4 run.reproducible=false parallel.sequence=4
must_train 4 threaded run.reproducible=false parallel.sequence=4 parallel.comm_thread=on
same_run plain4 threaded
if "$bin/retnet-ckpt" diff plain plain4 >/dev/null; then
  fail 'layouts agree without the mode: this test sees nothing'
fi
# With equal weights on different layouts, only the order of the sum over the split differs.
for np in 1 2 3; do
  must_train "$np" "sum$np" run.reproducible=false optimizer.lr=0 train.steps=1 "parallel.data=$np"
done
if [ "$(val_loss_of sum1)" = "$(val_loss_of sum2)" ] && [ "$(val_loss_of sum1)" = "$(val_loss_of sum3)" ]; then
  fail 'evaluations agree without the mode: this test sees nothing'
fi
finish
