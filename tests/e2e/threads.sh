#!/usr/bin/env bash
# Checks that the thread sanitizer reports no data race while whole programs run with several threads
# per rank. For builds with this sanitizer only (preset tsan).
# usage: threads.sh BIN SOURCE CASE
set -euo pipefail
bin=$1 source=$2 case=$3
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

# Each process with a race writes its reports to a file of its own, and ends with 66.
export TSAN_OPTIONS="${TSAN_OPTIONS:-}:log_path=$work/race"
export OMP_NUM_THREADS=2
end() {
  local report
  for report in race.*; do
    [ ! -e "$report" ] || fail "$(cat "$report")"
  done
  finish
}

# build FOLDER...: makes a data folder from C files.
build() { "$bin/retnet-data" build --out data --val-fraction 0.1 --include '*.c' "$@" >data.log 2>&1; }
cat >run.yaml <<'YAML'
run: {dir: RUN, watchdog_s: 60}
model: {layers: 2, dim: 32, value_dim: 64, ffn_dim: 48, heads: 4}
data: {dir: data, sequence_length: 96, batch_sequences: 4}
optimizer: {lr: 2e-3, warmup_steps: 2}
train: {steps: 6, eval_every: 2, eval_sequences: 4, log_every: 1}
checkpoint: {every: 2, keep_last: 1}
parallel: {threads: 2}
YAML
slow_saves=ckpt.write:1-:slow=100 # a save then lasts for several steps

case $case in
  data)
    # Large enough for several segments and blocks at a time.
    tokenizer=$source/tests/golden/tokenizer/synthetic.tiktoken
    build --tokenizer "tiktoken:$tokenizer" "$source"/{proto,comm,data,model,trainer,tests} || fail "$(tail -n 3 data.log)"
    "$bin/retnet-data" verify data >verify.log 2>&1 || fail "$(tail -n 3 verify.log)"
    ;;
  signals)
    # Saves in the background, evaluations, and a signal that arrives while a checkpoint is written.
    build "$source/model/ops"
    for signal in USR1 TERM; do
      RETNET_FAULT=$slow_saves start run train.steps=1000000 run.requeue_exit=true
      reach run folder 'checkpoints/step-*.tmp'
      kill -"$signal" "$pid"
      ended 75 run "$signal while a checkpoint is written"
    done
    says run 'val_loss' 'saved: '
    ;;
  lock)
    # The thread that waits for the lock of another host prints a message; then it is stopped.
    build "$source/model/ops"
    mkdir run
    printf 'host far\nkernel elsewhere\nprocess 7\nstart 5\njob -\nsince 2026-01-02 03:04:05\nbeat 0001\n' \
      >run/lock
    start run
    reach run words 'waiting for a heartbeat'
    kill -TERM "$pid"
    ended 0 run 'TERM while another host has the lock'
    ;;
  ranks)
    # The communication thread, with each way of dividing the work.
    build "$source/model/ops"
    for grid in sequence data pipeline; do
      RETNET_FAULT=$slow_saves must_train 2 "$grid" parallel.comm_thread=on "parallel.$grid=2"
      says "$grid" 'val_loss' 'saved: '
    done
    ;;
  use)
    # Softmax attention, dropout, profile, all forms of retention, decoding.
    build "$source/model/ops"
    "$bin/retnet-train" run.yaml -s run.dir=run -s run.profile=true -s model.attention_layers=[1] \
      -s model.dropout=0.1 -s train.steps=3 >run.log 2>&1 || fail "$(tail -n 3 run.log)"
    for form in chunkwise parallel recurrent; do
      "$bin/retnet-eval" --checkpoint run --data data --form $form >eval.log 2>&1 ||
        fail "$form: $(tail -n 3 eval.log)"
    done
    "$bin/retnet-generate" --checkpoint run --prompt 'int main(' --prompt x --tokens 20 >text 2>&1 ||
      fail "$(tail -n 3 text)"
    ;;
esac
end
