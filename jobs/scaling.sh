#!/usr/bin/env bash
# What ranks that share one sequence cost on this machine: a table of one step on 1, 2, 4 ... ranks.
# usage: jobs/scaling.sh [RANKS...] [-- retnet-bench step's options]    (default: 1 2 4 8 16 ranks)
#
# wall       seconds of a step; of value up to as many ranks as there are cores
# cpu        processor seconds of all ranks together, a step: what counts where ranks share cores
# vs one     wall: one rank's time over ranks x this; beyond the cores: one rank's cpu over this cpu
# vs alone   the same against as many runs of one rank at the same time, each with its own sequence
#            of a rank's length: what is lost to talking, and not to a shared memory or a busy machine
# wait       share of the step that a rank waits for states, mean of all
# states     KiB that the first rank sends in a step, of states
# sums       and of gradients; weights come back through memory that the ranks of a node share
# peak       MiB, of the rank that needs most
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env
. "$(dirname "$0")/env"

bin=${RN_BIN:-$RN_ROOT/build/bin}
export OMP_NUM_THREADS=1
tokens=${TOKENS:-8192}
steps=${STEPS:-5}
ranks=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  ranks+=("$1")
  shift
done
[ $# -gt 0 ] && shift
[ ${#ranks[@]} -gt 0 ] || ranks=(1 2 4 8 16)
options=("$@")

# What went wrong in the last step, told only if it did.
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

# step RANKS TOKENS: one JSON object.
step() {
  mpirun -n "$1" --bind-to none "$bin/retnet-bench" step --json --steps "$steps" \
    -s data.sequence_length="$2" -s parallel.sequence="$1" -s parallel.threads=1 \
    "${options[@]}" 2>"$errors" || {
    cat "$errors" >&2
    return 1
  }
}

# number NAME JSON
number() { printf '%s\n' "$2" | sed -n "s/.*\"$1\": \([-+.0-9e]*\).*/\1/p"; }

# alone RANKS TOKENS: as many runs of one rank at the same time, a JSON object each.
alone() {
  local i out
  out=$(mktemp -d)
  for ((i = 0; i < $1; i++)); do step 1 "$2" >"$out/$i" & done
  wait
  cat "$out"/*
  rm -r "$out"
}

# mean NAME: of the objects on stdin.
mean() {
  while read -r line; do number "$1" "$line"; done | awk '{s += $1} END {print s / NR}'
}

printf '%5s %9s %9s %7s %8s %6s %7s %8s %6s\n' ranks wall cpu 'vs one' 'vs alone' wait states sums peak
one_wall='' one_cpu=''
for p in "${ranks[@]}"; do
  all=$(step "$p" "$tokens")
  wall=$(number step_s "$all") cpu=$(number cpu_s "$all")
  [ -n "$one_wall" ] || if [ "$p" = 1 ]; then
    one_wall=$wall one_cpu=$cpu
  else
    one=$(step 1 "$tokens") one_wall=$(number step_s "$one") one_cpu=$(number cpu_s "$one")
  fi
  each=$(alone "$p" $((tokens / p)))
  alone_wall=$(mean step_s <<<"$each") alone_cpu=$(mean cpu_s <<<"$each")
  awk -v p="$p" -v cores="$RN_JOBS" -v w="$wall" -v c="$cpu" -v w1="$one_wall" -v c1="$one_cpu" \
    -v wa="$alone_wall" -v ca="$alone_cpu" -v wait="$(number scan_wait_s "$all")" \
    -v states="$(number scan_bytes "$all")" -v sums="$(number sum_bytes "$all")" -v peak="$(number peak_bytes "$all")" 'BEGIN {
      one = p <= cores ? w1 / p / w : c1 / c
      alone = p <= cores ? wa / w : p * ca / c
      printf "%5d %9.3f %9.3f %6.1f%% %7.1f%% %5.1f%% %7.0f %8.0f %6.0f\n", p, w, c, 100 * one,
             100 * alone, 100 * wait / w, states / 1024, sums / 1024, peak / 1048576 }'
done
