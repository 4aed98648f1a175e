#!/usr/bin/env bash
# Runs the fuzz targets with libFuzzer, ASan and UBSan. Needs clang.
# usage: tests/fuzz/run.sh SECONDS [TARGET]...
# SECONDS is the time of each target; without TARGET, all targets run (tests/fuzz/target_TARGET.c).
# New inputs are kept in build-fuzz/corpus/TARGET. Ends with 1 at the first finding, and prints where the
# input is: to keep it as a regression test, copy it to tests/fuzz/corpus/TARGET/any_WHAT.
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

cd "$root"
cmake --preset fuzz >/dev/null
cmake --build --preset fuzz -j "$(nproc)" --target "${targets[@]/#/fuzz_}"
export ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1}
for target in "${targets[@]}"; do
  found=$root/build-fuzz/corpus/$target
  mkdir -p "$found"
  "build-fuzz/tests/fuzz/fuzz_$target" "-max_total_time=$seconds" -timeout=20 -rss_limit_mb=4096 \
    -max_len=65536 -print_final_stats=1 "-artifact_prefix=$found/finding-" "$found" \
    "$here/corpus/$target" 2>"$found.log" || {
    tail -n 40 "$found.log" >&2
    exit 1
  }
  echo "$target: $(sed -n 's/^stat::number_of_executed_units: */inputs: /p' "$found.log"), no finding"
done
