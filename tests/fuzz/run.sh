#!/usr/bin/env bash
# Runs the fuzz targets with libFuzzer, ASan and UBSan. Needs clang.
# usage: tests/fuzz/run.sh SECONDS [TARGET]...
# SECONDS is the time of each target; without TARGET, all targets run (tests/fuzz/target_TARGET.c).
# JOBS=N runs N targets at the same time (default: the number of cores).
#
# New inputs are kept in build-fuzz/corpus/TARGET, where the next run starts. For each target, the
# number of inputs and the CPU time are printed, of this run and of all runs since build-fuzz/corpus
# was created.
#
# A target ends at its first finding. The end of its output is printed, and the input in base64. To keep
# the input as a regression test, copy it to tests/fuzz/corpus/TARGET/any_WHAT. Exits with 1 if there is
# a finding.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || {
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
seconds=$1
shift
targets=("$@")
if [ $# = 0 ]; then
  for file in "$here"/target_*.c; do
    name=$(basename "$file" .c)
    targets+=("${name#target_}")
  done
fi
jobs=${JOBS:-$(nproc)}

cd "$root"
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz -j "$jobs" --target "${targets[@]/#/fuzz_}"
TIMEFORMAT='%U %S' # user and system time, for the keyword `time`
export ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1}
# Some targets write files for each input, which takes much longer on a disk.
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ]; then
  export TMPDIR=/dev/shm
fi

# print_input LOG: prints the input of the finding in LOG so that it can be restored from the output of
# CI. An input that is too long to print is found again with the seed of the run.
print_input() {
  local file
  file=$(sed -n 's/.*Test unit written to //p' "$1" | tail -n 1)
  if [ -z "$file" ]; then
    echo "no input was written"
  elif [ "$(stat -c %s "$file")" -gt 16384 ]; then
    echo "input: $file; $(sed -n 's/^INFO: Seed: /option -seed=/p' "$1") finds it again"
  else
    echo "input: $file; to restore it: base64 -d >FILE <<END"
    base64 "$file"
    echo END
  fi
}

# fuzz TARGET: runs a target. Its output is in build-fuzz/corpus/TARGET.log; a line "INPUTS SECONDS" for
# each run, with the CPU time, in TARGET.runs.
fuzz() {
  local target=$1 found=$root/build-fuzz/corpus/$1 words=() code=0 inputs
  mkdir -p "$found"
  [ ! -e "$here/$target.dict" ] || words=("-dict=$here/$target.dict")
  { time "build-fuzz/tests/fuzz/fuzz_$target" "-max_total_time=$seconds" -timeout=20 \
    -rss_limit_mb=4096 -max_len=65536 -print_final_stats=1 "${words[@]}" \
    "-artifact_prefix=$found/finding-" "$found" "$here/corpus/$target" 2>"$found.log"; } \
    2>"$found.time" || code=$?
  inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$found.log")
  awk -v inputs="${inputs:-0}" '{ print inputs, $1 + $2 }' "$found.time" >>"$found.runs"
  awk -v target="$target" -v result="$([ "$code" = 0 ] && echo "no finding" || echo "a finding")" '
    { inputs += $1; cpu += $2 }
    END { printf "%s: %d inputs in %.0f s of CPU time, %s; all runs: %d inputs in %.0f s\n",
            target, $1, $2, result, inputs, cpu }' "$found.runs"
  [ "$code" = 0 ] || {
    tail -n 40 "$found.log"
    print_input "$found.log"
    return 1
  } >&2
}

code=0 running=0
for target in "${targets[@]}"; do
  if [ "$running" -ge "$jobs" ]; then
    wait -n || code=1
    running=$((running - 1))
  fi
  fuzz "$target" &
  running=$((running + 1))
done
for ((; running > 0; running--)); do
  wait -n || code=1
done
cd build-fuzz/corpus
tail -qn 1 "${targets[@]/%/.runs}" | awk -v result="$([ "$code" = 0 ] && echo "no finding" || echo "FINDINGS")" '
  { inputs += $1; cpu += $2 }
  END { printf "%d targets: %d inputs in %.0f s of CPU time, %s\n", NR, inputs, cpu, result }'
exit "$code"
