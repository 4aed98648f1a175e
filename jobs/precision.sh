#!/usr/bin/env bash
# Measures the effect of bf16 on the loss. Trains the same model in fp32, in bf16, and again in fp32
# with another chunk length. The chunk length changes only the order of sums, so the third run shows
# how much rounding alone changes the loss. Prints a table with one line per seed.
# usage: jobs/precision.sh [TEXT...] [-- OPTIONS of retnet-train]   (default: the C headers of this machine)
#
# Environment: SEEDS, number of runs of each kind (4); STEPS, steps per run (300)
# Columns:
# fp32       mean training loss of the last sixth of the run
# bf16       the same for bf16, and the difference from fp32
# chunks     the same for fp32 with chunks of 32 tokens
# The last lines are means over the seeds, with standard errors.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env
. "$(dirname "$0")/env"
rn_options "$0" "--" "$@"

bin=${RN_BIN:-$RN_ROOT/build/bin}
seeds=${SEEDS:-4}
steps=${STEPS:-300}
texts=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  texts+=("$1")
  shift
done
[ $# -gt 0 ] && shift
options=("$@")
[ ${#texts[@]} -gt 0 ] || texts=(--include '*.h' /usr/include/linux /usr/include/asm-generic)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$bin/retnet-data" build --out "$work/data" "${texts[@]}" >"$work/log" || {
  cat "$work/log" >&2
  exit 1
}

# loss SEED OPTION...: trains and prints the mean loss of the last sixth of the run.
loss() {
  local seed=$1
  shift
  "$bin/retnet-train" "$RN_ROOT/jobs/configs/quickstart.yaml" -s run.dir="$work/run" \
    -s data.dir="$work/data" -s data.batch_sequences=8 -s optimizer.lr=2e-3 \
    -s run.seed="$seed" -s train.steps="$steps" -s train.eval_every=0 -s checkpoint.every=0 -s train.log_every=1 "${options[@]}" "$@" >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    return 1
  }
  sed -n 's/.*"loss": \([-+.0-9e]*\).*/\1/p' "$work/run/metrics.jsonl" |
    tail -n $(((steps + 5) / 6)) | awk '{s += $1} END {print s / NR}'
  rm -rf "$work/run"
}

# percent LOSS BASE: prints the difference of LOSS from BASE in percent.
percent() { awk -v x="$1" -v base="$2" 'BEGIN {print 100 * (x / base - 1)}'; }

printf '%4s %8s %8s %9s %8s %9s\n' seed fp32 bf16 '' chunks ''
for ((seed = 1; seed <= seeds; seed++)); do
  fp32=$(loss "$seed")
  bf16=$(loss "$seed" -s train.precision=bf16)
  chunks=$(loss "$seed" -s model.chunk=32)
  by_bf16=$(percent "$bf16" "$fp32") by_chunks=$(percent "$chunks" "$fp32")
  printf '%4d %8.4f %8.4f %+8.2f%% %8.4f %+8.2f%%\n' "$seed" "$fp32" "$bf16" "$by_bf16" "$chunks" \
    "$by_chunks"
  echo "$by_bf16 $by_chunks" >>"$work/percents"
done
awk '
  function error(sum, squares) { return NR > 1 ? sqrt((squares - sum * sum / NR) / (NR - 1) / NR) : 0 }
  { b += $1; bb += $1 * $1; c += $2; cc += $2 * $2 }
  END {
    printf "mean %17s %+8.2f%% %8s %+8.2f%%\n", "", b / NR, "", c / NR
    printf " +/- %17s %8.2f%% %8s %8.2f%%\n", "", error(b, bb), "", error(c, cc)
  }' "$work/percents"
