#!/usr/bin/env bash
# Installs what is missing, builds, runs all tests. --all adds the second compiler and sanitizers.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env
. "$(dirname "$0")/env"

all=
case "${1:-}" in
  --all) all=all ;;
  '') ;;
  *)
    echo "usage: jobs/check.sh [--all]" >&2
    exit 2
    ;;
esac

rn_install "${all:-build}"
[ -z "$all" ] || rn_install_slurm
rn_build release
rn_say "Tests (release)"
(cd "$RN_ROOT" && ctest --preset release)
[ -n "$all" ] || exit 0

rn_say "Scripts and format"
(cd "$RN_ROOT" && shellcheck -x jobs/env jobs/*.sh jobs/*.sbatch .ci/run tests/*/*.sh)
(cd "$RN_ROOT" && git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror)

rn_build clang
rn_say "Tests (clang)"
(cd "$RN_ROOT" && ctest --preset clang -L 'unit|lint|golden')

rn_build debug
rn_say "Tests (address and undefined-behaviour sanitizers)"
(cd "$RN_ROOT" && ctest --preset debug)
