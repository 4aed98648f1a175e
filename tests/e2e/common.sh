# Functions for all end-to-end tests: create a temporary folder, count failures, run programs.
# This file is sourced, not run; the test sets `bin` before.
# shellcheck shell=bash
# shellcheck disable=SC2154

work=$(mktemp -d "${TMPDIR:-/tmp}/retnet-e2e.XXXXXX")
trap clean_up EXIT
cd "$work" || exit 1
failures=0

# In builds with sanitizers, each process writes its report to a file of its own: tests expect failures
# of programs, and do not look at all outputs.
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:log_path=$work.report
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-}:log_path=$work.report

# Unmounts the folder `mounted` if the test sets it, and removes the files of the test. Ends the test
# with 1 if there is a report of a sanitizer.
mounted=
clean_up() {
  local code=$? report
  [ -z "$mounted" ] || umount "$mounted" || code=1
  for report in "$work".report.*; do
    [ -e "$report" ] || continue
    echo "FAIL: ${0##*/}${case:+ $case}: $report: $(head -n 60 "$report")" >&2
    code=1
  done
  rm -rf "$work" "$work".report.*
  exit "$code"
}

fail() {
  echo "FAIL: $*" >&2
  failures=$((failures + 1))
}

# Ends a test that this machine cannot run; ctest reports it as skipped. Fails if a check has failed
# before.
skip() { # skip REASON
  echo "skipped: $*"
  [ "$failures" = 0 ] || exit 1
  exit 77
}

# Skips the rest if matrix products of a bf16 run fell back to fp32, since nothing would be tested.
need_bf16() { # need_bf16 DIR
  grep -q '"products": "[a-z]* bf16"' "$1/summary.json" ||
    skip "$(grep -o 'bf16: .*' "$1.log" || echo 'this machine computes bf16 in fp32')"
}

# Must be called at the end of each test.
finish() {
  echo "${0##*/}${case:+ $case}: $failures failures"
  exit "$((failures > 0))"
}

# key_options KEY=VALUE...: sets the array `keys` to the command-line options for these keys.
key_options() {
  local key
  keys=()
  for key in "$@"; do keys+=(-s "$key"); done
}

# run_on NP COMMAND...: runs the command on NP ranks; on one rank without mpirun, which takes longer.
run_on() {
  local launch=()
  if [ "$1" -gt 1 ]; then launch=(mpirun -n "$1" --oversubscribe --bind-to none); fi
  "${launch[@]}" "${@:2}"
}

train() { # train NP DIR KEY=VALUE...: trains run.yaml on NP ranks; output in DIR.log
  local np=$1 dir=$2 keys
  shift 2
  key_options "$@"
  mpirun -n "$np" --oversubscribe --bind-to none "$bin/retnet-train" run.yaml -s "run.dir=$dir" \
    "${keys[@]}" >"$dir.log" 2>&1
}

must_train() { # must_train NP DIR KEY=VALUE...
  train "$@" || fail "$2: $(tail -n 3 "$2.log")"
}

# start DIR KEY=VALUE...: trains run.yaml in the background, with the command in the array `launch` in
# front if the test sets it. $pid is the started process.
launch=()
start() {
  local dir=$1 keys
  shift
  key_options "$@"
  : >"$dir.log" # at once: the process in the background may empty it after the test has looked at it
  "${launch[@]}" "$bin/retnet-train" run.yaml -s "run.dir=$dir" "${keys[@]}" >>"$dir.log" 2>&1 &
  pid=$!
}

ended() { # ended CODE DIR [WHAT]: waits for $pid, which must end with CODE; its output is DIR.log
  local got=0
  wait "$pid" || got=$?
  [ "$got" = "$1" ] || fail "${3:-$2} ended with $got, not $1: $(tail -n 4 "$2.log")"
}

steps_of() { if [ -e "$1/metrics.jsonl" ]; then wc -l <"$1/metrics.jsonl"; else echo 0; fi; }
has_steps() { [ "$(steps_of "$1")" -ge "$2" ]; }
has_folder() { compgen -G "$1/$2" >/dev/null; }
has_words() { grep -q "$2" "$1.log"; }

# reach DIR steps|folder|words WHAT: waits until DIR has WHAT steps, or a file or folder that matches
# WHAT, or DIR.log contains WHAT.
reach() {
  for _ in $(seq 1200); do
    if "has_$2" "$1" "$3"; then return; fi
    sleep 0.1
  done
  fail "$1 does not reach $2 $3: $(tail -n 3 "$1.log")"
}

# ends CODE FAULT DIR KEY=VALUE...: trains by run.yaml on one rank
# with RETNET_FAULT, which must end with CODE; output in DIR.log.
ends() {
  local code=$1 order=$2 dir=$3 got=0 keys
  shift 3
  key_options "$@"
  RETNET_FAULT=$order timeout 120 "$bin/retnet-train" run.yaml -s "run.dir=$dir" "${keys[@]}" \
    >"$dir.log" 2>&1 || got=$?
  [ "$got" = "$code" ] || fail "$dir with $order ended with $got, not $code: $(tail -n 3 "$dir.log")"
}

says() { # says DIR WORD...: DIR.log must contain each word
  local dir=$1 word
  shift
  for word in "$@"; do
    grep -qF -- "$word" "$dir.log" || fail "$dir does not say \"$word\": $(tail -n 3 "$dir.log")"
  done
}

# If a rank fails, lets mpirun end the others at once instead of after two seconds. Not for tests of
# what a rank does during these seconds.
end_at_once() { export OMPI_MCA_odls_base_sigkill_timeout=0; }

# Runs a different command on each of two ranks: "${mpmd[@]}" COMMAND... + COMMAND...
# shellcheck disable=SC2034
mpmd=(mpirun -n 2 --oversubscribe --bind-to none bash
  "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/mpmd.sh")

refuse() { # refuse CODE WORD COMMAND...: it must end with CODE and print WORD
  local code=$1 word=$2 got=0
  shift 2
  timeout 60 "$@" >refused.log 2>&1 || got=$?
  [ "$got" = "$code" ] || fail "$* ended with $got, not $code: $(head -c 300 refused.log)"
  grep -qF -- "$word" refused.log || fail "$* does not name $word: $(head -c 300 refused.log)"
}

# numbers NAME FILE: prints the values of a JSON field, one per line; omits lines without it.
numbers() { sed -nE "s/.*\"$1\": ([^,}]*).*/\1/p" "$2"; }

# Checks that two files have COUNT lines of one finite number each, which agree to a relative
# tolerance.
close_to() { # close_to COUNT TOLERANCE A B
  paste -d' ' "$3" "$4" | awk -v count="$1" -v tolerance="$2" '
    function is(x) {return x ~ /^-?[0-9]+(\.[0-9]*)?(e[-+]?[0-9]+)?$/}
    {d = $1 - $2; if (d < 0) d = -d; size = $2 < 0 ? -$2 : $2
     if (NF != 2 || !is($1) || !is($2) || d > tolerance * size) bad = 1}
    END {exit bad || NR != count}'
}

# Prints metrics.jsonl without the fields that depend on time.
told() { sed -E 's/, "(step_s|tokens_per_s|model_flops_per_s|scan_wait_s)": [^,}]*//g' "$1"; }

# Checks that two runs have the same losses, norms, skipped steps and evaluations, and checkpoints of
# the same content.
same_run() { # same_run A B
  told "$1/metrics.jsonl" >told.a
  told "$2/metrics.jsonl" >told.b
  [ -s told.a ] || fail "$1/metrics.jsonl is empty"
  cmp -s told.a told.b || fail "$1 and $2: $(diff told.a told.b | head -n 4)"
  same_content "$1" "$2"
}

same_content() { # same_content A B
  "$bin/retnet-ckpt" diff "$1" "$2" >diff.log 2>&1 || fail "$1 and $2: $(head -n 3 diff.log)"
}
