#!/usr/bin/env bash
# A month in minutes: a run of thousands of short steps with saves and evaluations that is interrupted
# again and again, and continues on other layouts. Signals, kills, full disks, slow disks, suspended
# ranks, damaged checkpoints and concurrent readers are drawn at random. The run must end with the
# metrics, losses and weights of an undisturbed run, bit for bit (run.reproducible); no launch may lose
# a checkpoint; memory and handles must not grow during a launch; and nothing may be left in the run
# directory, in /dev/shm or in TMPDIR.
# usage: soak.sh BIN SECONDS [SEED]: SECONDS, or RETNET_SOAK_S, is about the time of the whole test
set -euo pipefail
bin=$1 seconds=${RETNET_SOAK_S:-$2} seed=${3:-1}
# shellcheck source=tests/e2e/private_memory.sh
source "$(dirname "$(realpath "$0")")/private_memory.sh"
private_memory "$@"
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
private_temporary_files
export OMPI_MCA_ess_singleton_isolated=1
RANDOM=$seed
end_at_once

seq -f 'line %g of some plain text for a tiny model' 1 3000 >text.txt
"$bin/retnet-data" build --out data --val-fraction 0.1 text.txt >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN, reproducible: true, requeue_exit: true}
model: {layers: 3, dim: 16, value_dim: 32, ffn_dim: 32, heads: 2, dropout: 0.1}
data: {dir: data, sequence_length: 64, batch_sequences: 6}
optimizer: {lr: 2e-3, warmup_steps: 2, schedule: constant}
train: {steps: 1000000, eval_every: 10, eval_sequences: 2}
checkpoint: {every: 10, keep_last: 3}
YAML

layouts=('1' '1 microbatch=2' '2 data=2' '2 sequence=2' '2 pipeline=2' '3 pipeline=3' '3 data=3'
  '4 data=2 sequence=2' '4 pipeline=2 sequence=2' '4 data=2 pipeline=2' '2 sequence=2 segments=2')
events=(usr1 usr1_twice term_one_rank max_hours kill_all kill_one_rank suspend slow_saves slow_steps
  disk_full disk_error damaged readers)

newest() {
  find RUN/checkpoints -maxdepth 1 -name 'step-????????' 2>/dev/null | sed 's/.*step-0*//' | sort -n | tail -n 1
}

step_folder() { printf 'RUN/checkpoints/step-%08d' "$1"; }

# Prints for each rank: process, kilobytes of private memory (pages of shared memory that a rank uses
# for the first time are no growth), number of open files.
sample() {
  local rank
  for rank in "${ranks[@]}"; do
    echo "$rank $(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$rank/status" 2>/dev/null)" \
      "$(find "/proc/$rank/fd" 2>/dev/null | wc -l)"
  done
}

# Compares the samples `early` and `late`: sets most_kb and most_files to the largest growth so far.
most_kb=0 most_files=0
compare_samples() {
  local rank kb files kb_now files_now
  while read -r rank kb files; do
    read -r _ kb_now files_now < <(grep "^$rank " late)
    if [ -z "${kb:-}" ] || [ -z "${kb_now:-}" ]; then continue; fi
    if [ $((kb_now - kb)) -gt "$most_kb" ]; then most_kb=$((kb_now - kb)); fi
    if [ $((files_now - files)) -gt "$most_files" ]; then most_files=$((files_now - files)); fi
  done <early
}

pause() { sleep "$((RANDOM % $1)).$(printf '%03d' $((RANDOM % 1000)))"; }
one_of() { echo "$@" | tr ' ' '\n' | sed -n "$((RANDOM % $# + 1))p"; }

# Flips a bit in the middle of a file.
flip() {
  local at byte
  at=$(($(stat -c %s "$1") / 2))
  byte=$(od -An -tu1 -j "$at" -N 1 "$1")
  # shellcheck disable=SC2059
  printf "\\x$(printf %02x $((byte ^ 16)))" | dd of="$1" bs=1 seek="$at" conv=notrunc status=none
}

# True if the log has the step from which the launch continues. The number is complete if another
# character follows it.
# shellcheck disable=SC2317 # called by reach
has_start() { grep -qzE '; from step [0-9]+[^0-9]' "$1.log"; }

# Starts the run for an event with a layout ("RANKS KEY=VALUE..."), and waits until it has trained some steps. Sets
# `ranks` to its processes, and `from` to the step from which it continues.
launch_run() {
  local event=$1 np words
  read -ra words <<<"$2"
  np=${words[0]}
  launch=()
  if [ "$np" -gt 1 ]; then launch=(mpirun -n "$np" --oversubscribe --bind-to none); fi
  start RUN "${words[@]:1}" "${@:3}"
  reach RUN start ''
  from=$(sed -nE 's/.*; from step ([0-9]+).*/\1/p' RUN.log)
  [ "$event" = max_hours ] || reach RUN words "^step $((from + 12))/"
  ranks=("$pid")
  if [ "$np" -gt 1 ]; then mapfile -t ranks < <(pgrep -P "$pid" retnet-train); fi
  sample >early
  pause "$longest"
  sample >late
}

last=0 launches=0
# disturbed EVENT LAYOUT: one launch; `ended` are the exit codes that are right.
disturbed() {
  local event=$1 layout=$2 keys=() fault=none rank got=0 ended='75' now
  layout=$(tr ' ' '\n' <<<"$layout" | sed '2,$s/^/parallel./' | tr '\n' ' ')
  expected=$last
  case $event in
    max_hours) keys=(run.max_hours=0.0012) ended='75' ;;
    slow_saves) fault="ckpt.write:1-:slow=$((RANDOM % 30))" ;;
    slow_steps) fault="read data:1-:slow=$((RANDOM % 20))" ;;
    disk_full) fault="ckpt.$(one_of write fsync manifest rename):2-$((2 + RANDOM % 9))" ended='75 1' ;;
    disk_error) fault="ckpt.$(one_of write fsync latest prune):2-$((2 + RANDOM % 9)):EIO" ended='75 1' ;;
    damaged)
      now=$(find RUN/checkpoints -maxdepth 1 -name 'step-????????' | sort | tail -n 2 | head -n 1)
      if [ -n "$now" ] && [ "$now" != "$(step_folder "$last")" ]; then
        flip "$(one_of "$(step_folder "$last")"/*)"
        expected=${now##*step-}
        expected=$((10#$expected))
      fi
      ;;
  esac
  RETNET_FAULT=$fault launch_run "$event" "$layout" ${keys[@]+"${keys[@]}"}
  [ "$from" = "$expected" ] || fail "$event: continued from step $from, not from $expected"
  [ "$event" = max_hours ] || rank=$(one_of "${ranks[@]}") # that run may have ended
  case $event in
    max_hours) ;;
    kill_all)
      kill -KILL "$pid" "${ranks[@]}" 2>/dev/null || true
      ended=137
      ;;
    kill_one_rank) kill -KILL "$rank" && ended='any' ;;
    term_one_rank) kill -TERM "$rank" ;;
    usr1_twice)
      kill -USR1 "$pid"
      sleep 0.05
      kill -USR1 "$pid" 2>/dev/null || true
      ;;
    suspend)
      kill -STOP "$rank"
      pause 2
      kill -CONT "$rank"
      pause 1
      kill -USR1 "$pid"
      ;;
    readers)
      for command in verify list; do
        "$bin/retnet-ckpt" "$command" RUN >reader.log 2>&1 || fail "retnet-ckpt $command: $(tail -n 2 reader.log)"
      done
      "$bin/retnet-eval" --checkpoint RUN --data data >reader.log 2>&1 || fail "retnet-eval: $(tail -n 2 reader.log)"
      kill -USR1 "$pid"
      ;;
    *) kill -USR1 "$pid" ;;
  esac
  wait "$pid" 2>/dev/null || got=$?
  for rank in "${ranks[@]}"; do
    while [ -e "/proc/$rank/exe" ]; do sleep 0.01; done
  done
  now=$(newest)
  [ "$ended" = any ] || [[ " $ended " = *" $got "* ]] ||
    fail "$event on $layout ended with $got, not $ended: $(tail -n 4 RUN.log)"
  if [ "$got" = 75 ]; then
    [ "$now" = "$(steps_of RUN)" ] || fail "$event: ended in order at step $(steps_of RUN), but saved $now"
  else
    [ "$now" -ge "$from" ] || fail "$event: step $from was a checkpoint, but only $now is left"
  fi
  if [ "$event" != damaged ] && grep -E 'is (damaged|incomplete)' RUN.log; then fail "$event: damaged"; fi
  compare_samples
  last=$now launches=$((launches + 1))
  echo "$event" >>counts
}

# Two thirds of the time are for the disturbed run; the undisturbed one has no starts to wait for.
longest=$((seconds > 600 ? 6 : 2))
must_train 1 RUN train.steps=30 train.eval_every=10
last=30
while [ $((SECONDS * 3)) -lt $((seconds * 2)) ]; do
  for event in $(shuf -e "${events[@]}" --random-source=<(yes "$RANDOM")); do
    [ $((SECONDS * 3)) -lt $((seconds * 2)) ] || break
    disturbed "$event" "${layouts[RANDOM % ${#layouts[@]}]}"
  done
done

# A save that failed or was killed may have left the staged folder of a later step than the newest
# checkpoint; a checkpoint of a still later step removes it.
highest=$(find RUN/checkpoints -maxdepth 1 -name 'step-????????*' | sed -E 's/.*step-0*([0-9]+).*/\1/' | sort -n | tail -n 1)
total=$((highest / 10 * 10 + 20))
must_train 1 RUN "train.steps=$total"
must_train 1 whole "train.steps=$total" checkpoint.every=0
same_run whole RUN
"$bin/retnet-ckpt" verify RUN >verify.log 2>&1 || fail "$(cat verify.log)"
left=$(find RUN -name '*.tmp' -o -name '*.bad' -o -name '*.old' -o -name '*.new' -o -name 'lock*')
[ -z "$left" ] || fail "left in the run directory: $left"
must_leave_no_memory $((100 * (launches + 10)))
[ "$most_kb" -le 16384 ] || fail "the memory of a rank grew by $most_kb KB during a launch"
[ "$most_files" -le 3 ] || fail "a rank opened $most_files files that stayed open"
echo "$total steps, $launches disturbed launches, seed $seed, $SECONDS s: $(sort counts | uniq -c | awk '{ printf "%s%s %d", sep, $2, $1; sep = ", " }')"
echo "largest growth of a rank during a launch: $most_kb KB of private memory, $most_files files; left in TMPDIR: $kb KB"
finish
