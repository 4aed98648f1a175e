#!/usr/bin/env bash
# Prints which share of lines and branches tests have executed, by room (ARCHITECTURE.md). With a room,
# such as data/file, prints its lines that no test has executed.
# usage: jobs/coverage.sh [--limit PERCENT] [BUILD [ROOM]]    (default: build-coverage)
# With --limit, exits with 1 if a room has less than this share of its lines. Before it:
#   cmake --preset coverage && cmake --build --preset coverage && ctest --preset coverage
# The preset runs unit, golden and mpi tests, and a few tests that together run all programs. For all
# tests, run ctest --test-dir build-coverage instead. Counts are added to those of earlier runs until the
# files *.gcda in the build are deleted. Processes that were killed, or that ended by _exit, do not count.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env
. "$(dirname "$0")/env"
rn_options "$0" --limit "$@"
cd "$RN_ROOT"
limit=0
if [ "${1:-}" = --limit ]; then
  limit=${2:-}
  [[ $limit =~ ^[0-9]+$ ]] || { echo "jobs/coverage.sh: --limit needs a number of per cent" >&2; exit 2; }
  shift 2
fi
build=${1:-build-coverage}
only=${2:-}
folders=(proto comm data model trainer)

if [ ! -f "$build/CMakeCache.txt" ]; then
  echo "jobs/coverage.sh: $build is not a build folder; see --help" >&2
  exit 2
fi
compiler=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
gcov=gcov-$("$compiler" -dumpversion) # of the version that wrote the counts
command -v "$gcov" >/dev/null || gcov=gcov

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# Starts from the .gcno files, which the compiler writes, because files that were never executed have no
# counts. Each gcov writes to a file of its own. It fails if counts are of an older build, and then takes
# the file for one that was not executed.
# shellcheck disable=SC2016 # the inner shell expands them
find "${folders[@]/#/$build/}" -name '*.gcno' -print0 |
  xargs -0 -r -n 24 -P "$RN_JOBS" \
    sh -c 'out=$1 gcov=$2; shift 2; "$gcov" -t -b -c "$@" >"$out/$$" 2>"$out/err.$$" || :' sh "$out" "$gcov"
if ! compgen -G "$out/[0-9]*" >/dev/null; then
  echo "jobs/coverage.sh: $build has not been built with RN_COVERAGE" >&2
  exit 1
fi
stale=$(cat "$out"/err.* | grep -c 'stamp mismatch' || :)
[ "$stale" = 0 ] ||
  echo "jobs/coverage.sh: $stale files were built again after they ran, and count as not executed" >&2
awk -v root="$RN_ROOT/" -v limit="$limit" -v only="$only" -f jobs/coverage.awk "$out"/[0-9]*
