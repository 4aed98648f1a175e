#!/usr/bin/env bash
# Checks the sources with cppcheck and, with --tidy, with clang-tidy. Exits with 1 if there is a finding.
# usage: jobs/analyze.sh [--tidy [FILE.c]...]
# cppcheck takes about a minute on two cores; clang-tidy takes several seconds per file, and needs the
# build folder of jobs/check.sh (generated headers). The file .clang-tidy has the reasons for the checks
# that are switched off. RN_JOBS sets the number of processes (default: the number of cores).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env
. "$(dirname "$0")/env"
rn_options "$0" "--tidy" "$@"
cd "$RN_ROOT"

# Options of cppcheck, with reasons:
#   --enable       style is left to the compilers and clang-format; unusedFunction needs all programs
#   missingIncludeSystem  system headers are not read, because they are correct and slow
#   nullPointer in blas.c  a function that returns NULL on other CPUs is called only if it does not
check_cpp() {
  cppcheck --quiet -j "$RN_JOBS" --std=c11 --enable=warning,performance,portability --inline-suppr \
    --suppress=missingIncludeSystem --suppress=nullPointer:model/base/blas.c --error-exitcode=1 \
    -I . -I build proto model comm data trainer
}

# Checks only translation units of the product: tests follow their own rules. Assertions are on
# (-UNDEBUG), because they tell the analyzer what always holds. One file per process, because version 14
# reports va_list wrongly after the first. For the same reason, the compile commands are those of a
# build without tests: some tests compile files of the product a second time.
check_tidy() {
  local files=("$@")
  if [ $# = 0 ]; then
    mapfile -t files < <(git ls-files 'proto/*.c' 'comm/*.c' 'data/*.c' 'model/*.c' 'trainer/*.c')
  fi
  cmake --preset release -B build/tidy -DRN_TESTS=OFF >/dev/null
  printf '%s\0' "${files[@]}" |
    xargs -0 -n 1 -P "$RN_JOBS" \
      clang-tidy --quiet -p build/tidy --extra-arg="-I$RN_ROOT" --extra-arg="-I$RN_ROOT/build" \
      --extra-arg=-UNDEBUG \
      --extra-arg=-include --extra-arg="$RN_ROOT/tests/lint/analyzer.h" --warnings-as-errors='*'
}

if [ "${1:-}" = --tidy ]; then
  shift
  check_tidy "$@"
else
  check_cpp
fi
