#!/usr/bin/env bash
# A configuration is read once, means the same in every form, and a run knows its own.
# usage: config.sh BIN SOURCE CASE
set -euo pipefail
bin=$1 source=$2 case=$3
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

"$bin/retnet-data" build --out data --val-fraction 0.1 --include '*.c' "$source" >/dev/null
cat >run.yaml <<'EOF'
run: {dir: RUN}
model: {layers: 1, dim: 32, value_dim: 64, ffn_dim: 48, heads: 2}
data: {dir: data, sequence_length: 64, batch_sequences: 4}
optimizer: {lr: 2e-3, warmup_steps: 2}
train: {steps: 4, eval_every: 0}
checkpoint: {every: 2}
EOF
two=(mpirun -n 2 --oversubscribe --bind-to none)

case $case in
  source)
    must_train 1 plain
    # Pipes of every kind, whose bytes come once.
    "$bin/retnet-train" <(cat run.yaml) -s run.dir=substituted >log 2>&1 || fail "<(): $(cat log)"
    same_run plain substituted
    "$bin/retnet-train" /dev/stdin -s run.dir=stdin <run.yaml >log 2>&1 || fail "stdin: $(cat log)"
    same_run plain stdin
    mkfifo pipe
    cat run.yaml >pipe &
    must_train 2 two parallel.data=2
    timeout 60 "${two[@]}" "$bin/retnet-train" pipe \
      -s run.dir=named -s parallel.data=2 >log 2>&1 || fail "a named pipe: $(cat log)"
    wait
    same_run two named
    # mpirun hands standard input to rank 0 only.
    "${two[@]}" "$bin/retnet-train" /dev/stdin -s run.dir=stdin2 -s parallel.data=2 <run.yaml \
      >log 2>&1 || fail "stdin of two ranks: $(cat log)"
    same_run two stdin2
    refuse 2 'use a file' "${two[@]}" "$bin/retnet-train" /dev/fd/77
    refuse 2 'nowhere.yaml' "${two[@]}" "$bin/retnet-train" nowhere.yaml
    refuse 2 'Is a directory' "$bin/retnet-train" data
    # Ranks that were started with other files or keys are caught, whatever the files are.
    sed 's/steps: 4/steps: 5/' run.yaml >other.yaml
    cp run.yaml copy.yaml
    refuse 1 'not that of rank 0' mpirun --oversubscribe -n 1 "$bin/retnet-train" run.yaml : \
      -n 1 "$bin/retnet-train" other.yaml
    refuse 1 'not that of rank 0' mpirun --oversubscribe -n 1 "$bin/retnet-train" run.yaml : \
      -n 1 "$bin/retnet-train" run.yaml -s train.steps=5
    mpirun --oversubscribe -n 1 "$bin/retnet-train" run.yaml -s run.dir=copy : \
      -n 1 "$bin/retnet-train" copy.yaml -s run.dir=copy >log 2>&1 || fail "a copy: $(cat log)"
    # What has no name or no sense is refused by its key.
    new=("$bin/retnet-train" run.yaml -s run.dir=new)
    refuse 2 run.dir "$bin/retnet-train" run.yaml -s run.dir=
    refuse 2 data.dir "${new[@]}" -s data.dir=
    refuse 1 auto "${new[@]}" -s checkpoint.resume=latest
    refuse 1 checkpoint.init_from "${new[@]}" -s checkpoint.init_from=nowhere
    refuse 2 optimizer.min_lr "${new[@]}" -s optimizer.min_lr=1
    refuse 2 parallel.threads "${new[@]}" -s parallel.threads=65536
    refuse 2 parallel.threads "${new[@]}" --plan -s parallel.threads=65536
    [ ! -e new ] || fail "a refused run left a folder"
    sed 's/{dir: RUN}/{dir: null}/' run.yaml >null.yaml
    refuse 2 run.dir "$bin/retnet-train" null.yaml
    [ ! -e null ] || fail "null became a folder"
    ;;
  *)
    fail "no such case: $case"
    ;;
esac
finish
