#!/usr/bin/env bash
# Goes from a bare machine to a trained model: installs, builds, packs text, trains with mpirun,
# evaluates, generates.
# usage: jobs/quickstart.sh [TEXT...]     (default: the C headers of this machine)
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env
. "$(dirname "$0")/env"

rn_install build
rn_build release
bin=$RN_ROOT/build/bin
work=$RN_ROOT/.quickstart
ranks=${RANKS:-2}
steps=${STEPS:-200}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

rm -rf "$work"
mkdir -p "$work"
rn_say "Packing text"
if [ $# -gt 0 ]; then
  "$bin/retnet-data" build --out "$work/data" --val-fraction 0.05 "$@"
else
  "$bin/retnet-data" build --out "$work/data" --val-fraction 0.05 --include '*.h' \
    /usr/include/linux /usr/include/asm-generic
fi
"$bin/retnet-data" verify "$work/data"

train() {
  mpirun -n "$ranks" --bind-to none "$bin/retnet-train" "$RN_ROOT/jobs/configs/quickstart.yaml" \
    -s run.dir="$work/run" -s data.dir="$work/data" -s parallel.sequence="$ranks" \
    -s optimizer.decay_steps="$steps" "$@"
}
rn_say "Training on $ranks ranks that share every sequence: the first half"
train -s train.steps=$((steps / 2))
rn_say "The same command continues from the last checkpoint"
train -s train.steps="$steps"

rn_say "Evaluating in two forms that must agree"
"$bin/retnet-eval" --checkpoint "$work/run" --data "$work/data"
"$bin/retnet-eval" --checkpoint "$work/run" --data "$work/data" --form recurrent | head -n 1
rn_say "Generating"
"$bin/retnet-generate" --checkpoint "$work/run" --prompt "#define " --tokens 300 --temperature 0.7
echo
rn_say "All files are in $work; run/metrics.jsonl and run/summary.json describe the training run"
