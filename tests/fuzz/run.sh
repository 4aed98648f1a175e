#!/usr/bin/env bash
# Runs the fuzz targets with libFuzzer, ASan and UBSan. Needs clang.
# usage: tests/fuzz/run.sh SECONDS [TARGET]...
# SECONDS is the time of each target; without TARGET, all targets run (tests/fuzz/target_TARGET.c).
# JOBS=N runs N targets at the same time (default: the number of cores).
# New inputs are kept in build-fuzz/corpus/TARGET. A target ends at its first finding, and prints where
# the input is: to keep it as a regression test, copy it to tests/fuzz/corpus/TARGET/any_WHAT. Exits
# with 1 if there is a finding.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
root=$(realpath "$here/../..")
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || {
  sed -n '2,/^set/s/^# //p' "$0" >&2
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
export ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1}
# Some targets write files for each input, which takes much longer on a disk.
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ]; then
  export TMPDIR=/dev/shm
fi

# fuzz TARGET: runs a target. Its output is in build-fuzz/corpus/TARGET.log.
fuzz() {
  local target=$1 found=$root/build-fuzz/corpus/$1 words=()
  mkdir -p "$found"
  [ ! -e "$here/$target.dict" ] || words=("-dict=$here/$target.dict")
  "build-fuzz/tests/fuzz/fuzz_$target" "-max_total_time=$seconds" -timeout=20 -rss_limit_mb=4096 \
    -max_len=65536 -print_final_stats=1 "${words[@]}" "-artifact_prefix=$found/finding-" "$found" \
    "$here/corpus/$target" 2>"$found.log" || {
    echo "$target: a finding"
    tail -n 40 "$found.log" >&2
    return 1
  }
  echo "$target: $(sed -n 's/^stat::number_of_executed_units: */inputs: /p' "$found.log"), no finding"
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
exit "$code"
