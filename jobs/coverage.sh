#!/usr/bin/env bash
# Prints which share of lines and branches the tests of a build with RN_COVERAGE have executed, by room
# (ARCHITECTURE.md). Exits with 1 if a room has less than 85 % of its lines.
# usage: jobs/coverage.sh [BUILD]    (default: build-debug)
# Takes more than five minutes, so jobs/check.sh does not call it. Before it:
#   cmake --preset debug -DRN_COVERAGE=ON && cmake --build --preset debug
#   ctest --preset debug; ctest --test-dir build-debug -L programs
# The second line of tests runs all programs, which the rooms of trainer/ need.
# Needs gcovr. Processes that were killed do not count. Branches of assertions are left out, because one
# of the two is a bug of the program.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env
. "$(dirname "$0")/env"
rn_options "$0" "" "$@"
cd "$RN_ROOT"
build=${1:-build-debug}
least=85 # % of lines

if ! command -v gcovr >/dev/null; then
  echo "skipped: gcovr is not installed"
  exit 77
fi
folders=(proto comm data model trainer)
# Threads count without locks, so a count can be negative, which gcovr takes for an error.
gcovr --root . --object-directory "$build" "${folders[@]/#/$build/}" "${folders[@]/#/--filter=}" \
  -j "$RN_JOBS" --gcov-ignore-parse-errors --exclude-branches-by-pattern '.*\bassert\(.*' --csv |
  awk -F, -v least="$least" '
    function line(name, l, of_l, b, of_b, low) {
      printf "%-22s %6d %5.1f %% %6d %5.1f %%%s\n", name, of_l, 100 * l / of_l, of_b,
        of_b ? 100 * b / of_b : 100, low ? "   less than " least " % of lines" : ""
    }
    NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
    {
      room = $1
      sub(/\/[^\/]*$/, "", room)
      if (!(room in lines)) order[rooms++] = room
      lines[room] += $column["line_total"]; all_lines += $column["line_total"]
      run[room] += $column["line_covered"]; all_run += $column["line_covered"]
      branches[room] += $column["branch_total"]; all_branches += $column["branch_total"]
      taken[room] += $column["branch_covered"]; all_taken += $column["branch_covered"]
    }
    END {
      printf "%-22s %6s %7s %6s %7s\n", "room", "lines", "run", "branches", "taken"
      for (i = 0; i < rooms; i++) {
        room = order[i]
        if (!lines[room]) continue
        low = 100 * run[room] < least * lines[room]
        lows += low
        line(room, run[room], lines[room], taken[room], branches[room], low)
      }
      if (!all_lines) { print "no file of '"$build"' has been executed"; exit 1 }
      line("all", all_run, all_lines, all_taken, all_branches, 0)
      exit lows > 0
    }'
