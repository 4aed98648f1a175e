#!/usr/bin/env bash
# Checks that a failure on one of two ranks ends the job with exit code 1 and one message that names
# the rank, that ranks with different numbers of threads agree on a layout, and that no rank waits
# forever.
# usage: one_rank.sh BIN CASE
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
optimizer: {lr: 2e-3, warmup_steps: 2}
train: {steps: 8, eval_every: 4}
checkpoint: {every: 4}
YAML

# Rank 1 runs rank1.sh first, which may change the folder and the environment. A deadlock ends by
# timeout.
cat >launch.sh <<'EOF'
if [ "$OMPI_COMM_WORLD_RANK" = 1 ]; then source ./rank1.sh; fi
exec "$@"
EOF
on_two() { # on_two COMMAND...: runs it on two ranks; $code is the exit code, two.log the output
  code=0
  timeout -k 5 60 mpirun -n 2 --oversubscribe --bind-to none bash launch.sh "$@" \
    >two.log 2>&1 || code=$?
}

must_name() { # must_name WHAT WORD...: on_two must have ended with 1 and one error line with all words
  local what=$1 word
  shift
  [ "$code" = 1 ] || fail "$what ended with $code, not 1: $(tail -n 4 two.log)"
  [ "$(grep -c '^error: ' two.log)" = 1 ] || fail "$what: not one error: $(tail -n 6 two.log)"
  for word in "$@"; do
    grep '^error: ' two.log | grep -qF -- "$word" || fail "$what: no $word: $(tail -n 3 two.log)"
  done
}

case $case in
  val)
    header_bytes=1024 # size of the header of a shard; the first block follows
    # Rank 1 has a copy of the data in which one byte of the only val block is changed.
    mkdir other
    cp -r data run.yaml other/
    shard=$(find other/data/val -name '*.rtd')
    at=$((header_bytes + 100))
    byte=$(od -An -tu1 -j $at -N 1 "$shard")
    printf "%b" "\\x$(printf %02x $((byte ^ 85)))" | dd of="$shard" bs=1 seek=$at conv=notrunc 2>/dev/null
    echo "cd other" >rank1.sh
    ln -s ../RUN other/RUN
    for grid in data=2 sequence=2 pipeline=2 'sequence=2 segments=2' 'pipeline=2 microbatch=1'; do
      rm -rf RUN
      keys=()
      for key in $grid; do keys+=(-s "parallel.$key"); done
      on_two "$bin/retnet-train" run.yaml "${keys[@]}"
      must_name "a damaged val block with $grid" 'rank 1 on' data/val block 'retnet-data recover data/val'
    done
    rm -rf RUN
    "$bin/retnet-train" run.yaml -s train.eval_every=0 >whole.log 2>&1 || fail "$(tail -n 3 whole.log)"
    for grid in data=2 sequence=2; do
      on_two "$bin/retnet-eval" --checkpoint RUN --data data -s "parallel.$grid"
      must_name "retnet-eval with $grid" 'rank 1 on' data/val block
    done
    ;;
  differ)
    # Rank 1 has other validation data, or none. Ranks would then differ in what they do.
    mkdir other
    cp run.yaml other/
    ln -s ../RUN other/RUN
    echo "cd other" >rank1.sh
    "$bin/retnet-data" build --out other/data --val-fraction 0.2 text.txt >/dev/null
    "$bin/retnet-data" build --out more --val-fraction 0.3 text.txt >/dev/null
    rm -r other/data/val
    on_two "$bin/retnet-train" run.yaml
    must_name 'no val split on rank 1' 'rank 1 on' 'the validation data'
    cp -r more/val other/data/
    on_two "$bin/retnet-train" run.yaml
    must_name 'another val split on rank 1' 'rank 1 on' 'the validation data'
    "$bin/retnet-train" run.yaml -s train.eval_every=0 >whole.log 2>&1 || fail "$(tail -n 3 whole.log)"
    on_two "$bin/retnet-eval" --checkpoint RUN --data data
    must_name 'retnet-eval with another val split on rank 1' 'rank 1 on' 'the validation data'
    ;;
  threads)
    # The workspace of a rank grows with its threads. The memory suffices for one stage if each rank
    # has one thread, but not if each has eight. Ranks that decided alone would choose different
    # numbers of stages.
    keys=(-s model.dim=128 -s model.value_dim=4096 -s model.heads=1 -s train.steps=1 -s run.watchdog_s=30)
    node_mib() { # node_mib THREADS: prints the memory of a node for one stage
      echo "export OMP_NUM_THREADS=$1" >rank1.sh
      OMP_NUM_THREADS=$1 on_two "$bin/retnet-train" run.yaml "${keys[@]}" --plan -s parallel.pipeline=1
      sed -nE 's/^memory .* ([0-9]+)\.[0-9] MiB per node.*/\1/p' two.log
    }
    least=$(node_mib 1) most=$(node_mib 8)
    [ "$most" -gt $((least + 10)) ] || fail "the memory does not depend on threads: $least and $most MiB"
    export SLURM_MEM_PER_NODE=$(((least + most) / 2)) OMP_NUM_THREADS=1
    echo 'export OMP_NUM_THREADS=8' >rank1.sh
    for plan in '' --plan '--plan --ranks 2'; do
      # shellcheck disable=SC2086 # no word if empty
      on_two "$bin/retnet-train" run.yaml "${keys[@]}" $plan
      [ "$code" = 0 ] || fail "different threads $plan ended with $code: $(tail -n 4 two.log)"
      grep -q 'pipeline 2' two.log || fail "different threads $plan: $(grep grid two.log)"
    done
    # Both ranks measure the same list of products.
    on_two "$bin/retnet-bench" gemm --rounds 1
    [ "$code" = 0 ] || fail "retnet-bench gemm with different threads ended with $code: $(tail -n 4 two.log)"
    ;;
  memory)
    # Every n-th allocation of rank 1 fails, from the start to the end of a run with evaluations,
    # saves and a resume; then with a pipeline and a reproducible scan.
    "$bin/retnet-train" run.yaml -s run.dir=first -s train.steps=4 >first.log 2>&1 || fail first
    for grid in 'data=2' 'sequence=2' 'pipeline=2' 'sequence=2 reproducible'; do
      keys=()
      for key in ${grid% reproducible}; do keys+=(-s "parallel.$key"); done
      if [ "$grid" != "${grid% reproducible}" ]; then keys+=(-s run.reproducible=true); fi
      n=7 step=23 # the first ones read the command line and, early, the configuration, which may fail
      [ "$grid" = data=2 ] || step=61
      while [ $n -lt 2000 ]; do
        rm -rf RUN
        if [ "$grid" = data=2 ]; then cp -r first RUN; fi
        echo "export RETNET_FAULT=alloc:$n" >rank1.sh
        on_two "$bin/retnet-train" run.yaml "${keys[@]}"
        if [ "$code" = 0 ] && ! grep -q 'out of memory' two.log; then break; fi
        # A failed save is reported, and the run continues.
        if ! { [ "$code" = 0 ] && grep -q 'not saved.*out of memory' two.log; }; then
          must_name "allocation $n of rank 1 with $grid" 'rank 1 on' 'out of memory'
        fi
        n=$((n + step))
      done
      [ $n -gt 30 ] || fail "$grid: only $n allocations"
    done
    ;;
  *)
    fail "no such case: $case"
    ;;
esac
finish
