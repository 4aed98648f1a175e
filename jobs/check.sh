#!/usr/bin/env bash
# Installs missing packages, builds, and runs all tests. --all also tests with a second compiler, with
# sanitizers and with libFuzzer, and requires that the tests execute most lines of each room.
# usage: jobs/check.sh [--all]
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env
. "$(dirname "$0")/env"
rn_options "$0" --all "$@"

all=
case "${1:-}" in
  --all) all=all ;;
  '') ;;
  *)
    echo "usage: jobs/check.sh [--all]" >&2
    exit 2
    ;;
esac

# The results of each run of ctest, and the skipped tests with the reasons; printed at the end.
summary=$(mktemp)
finish() {
  rn_say "Summary"
  cat "$summary"
  rm -f "$summary"
}
trap finish EXIT

# reason LOG TEST: prints the reason why a test was skipped, from the LastTest.log of ctest: the
# line that begins with "skipped", or else the last line.
reason() {
  awk -v test="$2" '
    /^[0-9]+\/[0-9]+ Test: / { here = $3 == test }
    here && /^<end of output>/ { exit }
    here && /^skipped: / { said = substr($0, 10) }
    here && NF { last = $0 }
    END { print said != "" ? said : last }' "$1"
}

# longest OUTPUT: prints the ten longest tests in the output of ctest, with their seconds.
longest() {
  sed -nE 's|^ *[0-9]+/[0-9]+ Test +#[0-9]+: ([^ ]+) .* ([0-9.]+) sec *$|\2 \1|p' "$1" | sort -rn |
    head -n 10 | awk '{ printf "%s%s %.0f", (NR > 1 ? ", " : ""), $2, $1 } END { print " s" }'
}

# run_tests PRESET [OPTION]...: runs ctest with these options. Four ranks per core run at once, because
# they mostly wait (see rn_test in RnTargets.cmake).
run_tests() {
  local preset=$1 build=$RN_ROOT/build out code=0 test
  shift
  [ "$preset" = release ] || build=$build-$preset
  out=$(mktemp)
  (cd "$RN_ROOT" && ctest --preset "$preset" -j $((4 * RN_JOBS)) "$@") | tee "$out" || code=$?
  {
    printf '%s: ' "$preset"
    grep -E '^[0-9]+% tests passed' "$out" || echo 'no test was run'
    sed -n 's/^Total Test time (real) = /  total: /p' "$out"
    echo "  longest: $(longest "$out")"
    sed -nE 's/^\t *[0-9]+ - (.*) \((Failed|Timeout|SEGFAULT|Subprocess aborted|Not Run)\).*/  \2: \1/p' "$out"
    sed -nE 's/^\t *[0-9]+ - (.*) \(Skipped\).*/\1/p' "$out" | while read -r test; do
      echo "  skipped: $test: $(reason "$build/Testing/Temporary/LastTest.log" "$test")"
    done
  } >>"$summary"
  rm -f "$out"
  return "$code"
}

# run_fuzz SECONDS: runs each fuzz target with libFuzzer, which is a part of clang.
run_fuzz() {
  local out code=0
  if ! clang -fsanitize=fuzzer -x c -o /dev/null - 2>/dev/null \
    <<<'int LLVMFuzzerTestOneInput(const char *data, long bytes) { return data && bytes > 0; }'; then
    echo "libFuzzer: skipped: clang with libFuzzer is not installed (Debian: libclang-rt-14-dev)" | tee -a "$summary"
    return 0
  fi
  out=$(mktemp)
  JOBS=$RN_JOBS bash "$RN_ROOT/tests/fuzz/run.sh" "$1" | tee "$out" || code=$?
  echo "libFuzzer: $1 s each, $(tail -n 1 "$out")" >>"$summary"
  rm -f "$out"
  return "$code"
}

rn_install "${all:-build}"
[ -z "$all" ] || rn_install_optional "$rn_debian_hosts" "some tests on several hosts are skipped"
rn_build release
rn_say "Tests (release)"
run_tests release
[ -n "$all" ] || exit 0

rn_say "Scripts and format"
(cd "$RN_ROOT" && shellcheck -x jobs/env jobs/*.sh jobs/*.sbatch jobs/*.pbs jobs/*.lsf .ci/run tests/*/*.sh)
(cd "$RN_ROOT" && git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror)
bash "$RN_ROOT/jobs/analyze.sh"

rn_build clang
rn_say "Tests (clang)"
run_tests clang -L 'unit|golden' # lint does not depend on the compiler

rn_build debug
rn_say "Tests (address and undefined-behaviour sanitizers)"
run_tests debug

rn_say "Fuzz targets (libFuzzer)"
run_fuzz 10

rn_build coverage
rn_say "Tests (executed lines are counted)"
run_tests coverage
echo "Lines and branches that the unit, golden and mpi tests and a few tests of the programs have" \
  "executed (test preset coverage; jobs/coverage.sh tells how to count all tests):" >>"$summary"
bash "$RN_ROOT/jobs/coverage.sh" --limit 85 >>"$summary"

# ThreadSanitizer needs libarcher, which tells it how OpenMP synchronises.
if compgen -G '/usr/lib/llvm-*/lib/libarcher.so' >/dev/null; then
  rn_build tsan thread_tests
  rn_say "Tests of threads (thread sanitizer)"
  run_tests tsan
else
  echo "tsan: skipped: libarcher.so is not installed (Debian: libomp-dev)" | tee -a "$summary"
fi
