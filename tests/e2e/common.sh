# What every end-to-end test has: a folder of its own, a tally of failures, and ways to run programs.
# Sourced, not run; `bin` is set before.
# shellcheck shell=bash
# shellcheck disable=SC2154

work=$(mktemp -d "${TMPDIR:-/tmp}/retnet-e2e.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
  echo "FAIL: $*" >&2
  failures=$((failures + 1))
}

# Ends a test that this machine cannot run; ctest counts it as skipped. Never hides a failure.
skip() { # skip REASON
  echo "skipped: $*"
  [ "$failures" = 0 ] || exit 1
  exit 77
}

# A run with train.precision=bf16 whose products fell back to fp32 shows nothing of bf16.
need_bf16() { # need_bf16 DIR
  grep -q '"products": "[a-z]* bf16"' "$1/summary.json" ||
    skip "$(grep -o 'bf16: .*' "$1.log" || echo 'this machine computes bf16 in fp32')"
}

# To be called at the end.
finish() {
  echo "${0##*/}${case:+ $case}: $failures failures"
  exit "$((failures > 0))"
}

# key_options KEY=VALUE...: `keys` is then what the programs take.
key_options() {
  local key
  keys=()
  for key in "$@"; do keys+=(-s "$key"); done
}

train() { # train NP DIR KEY=VALUE...: run.yaml on NP ranks, told in DIR.log
  local np=$1 dir=$2 keys
  shift 2
  key_options "$@"
  mpirun -n "$np" --oversubscribe --bind-to none "$bin/retnet-train" run.yaml -s "run.dir=$dir" \
    "${keys[@]}" >"$dir.log" 2>&1
}

must_train() { # must_train NP DIR KEY=VALUE...
  train "$@" || fail "$2: $(tail -n 3 "$2.log")"
}

refuse() { # refuse CODE WORD COMMAND...
  local code=$1 word=$2 got=0
  shift 2
  timeout 60 "$@" >refused.log 2>&1 || got=$?
  [ "$got" = "$code" ] || fail "$* ended with $got, not $code: $(head -c 300 refused.log)"
  grep -qF -- "$word" refused.log || fail "$* does not name $word: $(head -c 300 refused.log)"
}

# The same losses step by step, and checkpoints of the same content.
same_run() { # same_run A B
  cmp -s <(sed 's/, "step_s.*//' "$1/metrics.jsonl") <(sed 's/, "step_s.*//' "$2/metrics.jsonl") ||
    fail "$1 and $2: other steps or losses"
  same_content "$1" "$2"
}

same_content() { # same_content A B
  "$bin/retnet-ckpt" diff "$1" "$2" >diff.log 2>&1 || fail "$1 and $2: $(head -n 3 diff.log)"
}
