#!/usr/bin/env bash
# Checks that memory and handles do not grow in a long run with saves and evaluations: resident memory,
# open files and threads of each rank, and files in /dev/shm, after a quarter of the steps and at the
# end. Also prints the median time of a step in the first and the last quarter, which is not checked,
# because it depends on what else the machine does.
# usage: long_run.sh BIN [STEPS] [RANKS]
set -euo pipefail
bin=$1 steps=${2:-1000} ranks=${3:-2}
# shellcheck source=tests/e2e/private_memory.sh
source "$(dirname "$(realpath "$0")")/private_memory.sh"
private_memory "$@"
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
private_temporary_files

seq -f 'line %g of some plain text for a tiny model' 1 3000 >text.txt
"$bin/retnet-data" build --out data --val-fraction 0.1 text.txt >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN}
model: {layers: 1, dim: 16, value_dim: 32, ffn_dim: 32, heads: 2}
data: {dir: data, sequence_length: 32, batch_sequences: 4}
optimizer: {lr: 1e-3}
train: {eval_every: 25, eval_sequences: 2}
checkpoint: {every: 25, keep_last: 2}
YAML
launch=(mpirun -n "$ranks" --oversubscribe --bind-to none)
start RUN "train.steps=$steps"

# Prints one line per rank: kilobytes of memory, open files, threads; and one for the test's /dev/shm.
sample() {
  local rank
  for rank in $(pgrep -P "$pid" retnet-train); do
    echo "$(sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$rank/status")" \
      "$(find "/proc/$rank/fd" | wc -l) $(find "/proc/$rank/task" -mindepth 1 -maxdepth 1 | wc -l)"
  done 2>/dev/null
  if [ -n "$private_memory" ]; then echo "0 $(find /dev/shm -type f | wc -l) 0"; fi
}

for eighth in 2 3 4 5 6 7; do
  until has_steps RUN $((steps * eighth / 8)) || ! kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
  sample >"sample$eighth"
done
ended 0 RUN

# growth FIELD: prints how much the smallest of the last three samples is above the largest of the
# first three, for the rank where this is most. A save in progress has a thread and a few open files.
growth() {
  paste -d ' ' sample[2-7] | awk -v f="$1" '
    { early = $f; late = $(f + 9)
      for (i = 1; i < 3; i++) {
        if ($(f + 3 * i) > early) early = $(f + 3 * i)
        if ($(f + 9 + 3 * i) < late) late = $(f + 9 + 3 * i)
      }
      if (NR == 1 || late - early > most) most = late - early }
    END { print most }'
}

# median FROM TO: prints the median time in ms of the steps FROM < step <= TO.
median() {
  numbers step_s RUN/metrics.jsonl | sed -n "$(($1 + 1)),$2p" | sort -g |
    awk '{ s[NR] = $1 } END { printf "%.3f", 1000 * s[int((NR + 1) / 2)] }'
}

[ "$(wc -l <sample2)" -ge "$ranks" ] || fail "the run ended before the first sample: $(cat sample2)"
[ "$(wc -l <sample7)" = "$(wc -l <sample2)" ] || fail "the run ended before the last sample: $(cat sample7)"
[ "$(growth 1)" -le 1024 ] || fail "memory of a rank grew by $(growth 1) KB"
[ "$(growth 2)" -le 3 ] || fail "$(growth 2) files were left open"
[ "$(growth 3)" -le 1 ] || fail "$(growth 3) threads were left"
[ "$(steps_of RUN)" = "$steps" ] || fail "$(steps_of RUN) steps instead of $steps"
must_leave_no_memory 200
echo "$steps steps on $ranks ranks: memory, files and threads after a quarter and at the end:"
paste -d ' ' sample2 sample7 | awk '{ printf "  %s KB %s files %s threads, %s KB %s files %s threads\n", $1, $2, $3, $4, $5, $6 }'
echo "median step: $(median $((steps / 20)) $((steps / 4))) ms in the first quarter, $(median $((steps * 3 / 4)) "$steps") ms in the last"
finish
