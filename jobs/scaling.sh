#!/usr/bin/env bash
# Measures how a training step scales on this machine with threads and with ranks; prints tables in
# Markdown.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env
. "$(dirname "$0")/env"

help() {
  cat <<'END'
usage: jobs/scaling.sh [OPTION]... [-- OPTIONS of retnet-bench step]

Measures training steps on 1, 2, 4 ... threads of one rank, and on 1, 2, 4 ... ranks with one thread
each, and prints tables in Markdown. Each round makes all measurements once, so that changes of the
machine's speed affect all of them. The tables contain the medians over the rounds.

  --threads LIST  numbers of threads, such as 1,2,4,8; none omits this table
                  (powers of 2 up to the number of cores)
  --ranks LIST    numbers of ranks, such as 1,2,4,8; none omits this table
                  (powers of 2 up to the number of cores)
  --tokens T      tokens per rank (512)
  --rounds N      number of rounds (3)
  --steps N       timed steps per measurement (3)
  --help          print this help and exit

Columns of the table of threads:
  efficiency      speed-up of the step relative to the speed-up of the best matrix product, which
                  excludes losses of the machine itself (lower clock, shared memory bandwidth)
  modelled        efficiency predicted by a simulation of the step's tasks
  a thread        rate per thread of the best matrix product, relative to the rate with the smallest
                  number of threads
  GEMMs alone     time of the step's matrix products when they run without the other work, relative to
                  the time of the step
  of best GEMM    model FLOP/s, relative to the rate of the best matrix product
  forward ... other   shares of the time of the step

The table of phases is for the largest number of threads. It lists each part of a step that takes 1 %
or more: its share of the time, the number of tasks, the time of the longest task relative to the time
of the part, and how busy the threads are (time of all tasks / time of all threads).

Columns of the table of ranks (each rank processes T tokens per step):
  sequence s      seconds of a step in which all ranks share one sequence of ranks x T tokens
  data s          seconds of a step in which each rank has a separate sequence of T tokens
  sequence / data ratio of the two, from steps that alternate in one run (retnet-bench ranks)
  of one rank     time of a step with one rank, relative to `sequence s`; CPU time is compared if there
                  are more ranks than cores
  waiting         share of the step in which the first rank waits for states
  states, sums    KiB of states and of gradients that the first rank sends per step
  peak            peak memory of the largest rank
jobs/jitter.sh measures the cost of slow ranks and late messages.

The variable RN_BIN is the folder of the programs (build/bin). The model is the default of
retnet-bench step, with 2 layers; options after -- change it:
jobs/scaling.sh --tokens 2048 -- -s model.layers=8
END
}

refuse() {
  echo "jobs/scaling.sh: $1; see --help" >&2
  exit 2
}

# powers MAX: prints 1,2,4 ... up to MAX.
powers() {
  local n=1 list=1
  while [ $((n *= 2)) -le "$1" ]; do list+=,$n; done
  echo "$list"
}

# With OMP_NUM_THREADS set, nproc prints this number instead of the number of cores.
cores=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
threads=$(powers "$cores") ranks=$(powers "$cores") tokens=512 rounds=3 steps=3
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  case $1 in
    --help) help && exit 0 ;;
    --threads | --ranks | --tokens | --rounds | --steps)
      [ $# -gt 1 ] || refuse "$1 needs a value"
      case $1=$2 in
        --threads=none | --ranks=none) ;;
        --threads=* | --ranks=*)
          [[ $2 =~ ^[1-9][0-9]*(,[1-9][0-9]*)*$ ]] || refuse "$1 $2: not a list of numbers such as 1,2,4"
          ;;
        *) [[ $2 =~ ^[1-9][0-9]*$ ]] || refuse "$1 $2: not a number greater than 0" ;;
      esac
      declare "${1#--}=$2"
      shift 2
      ;;
    *) refuse "unknown option $1" ;;
  esac
done
[ $# -eq 0 ] || shift
options=(-s model.layers=2 "$@")
bin=${RN_BIN:-$RN_ROOT/build/bin}
[ -x "$bin/retnet-bench" ] || refuse "$bin/retnet-bench does not exist: build first, or set RN_BIN"

results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# bench COMMAND RANKS OPTION...: prints a JSON object; prints messages only if the command fails.
bench() {
  local command=$1 n=$2
  shift 2
  mpirun -n "$n" --bind-to none "$bin/retnet-bench" "$command" --json --steps "$steps" \
    "${options[@]}" "$@" 2>"$results/errors" </dev/null || {
    cat "$results/errors" >&2
    exit 1
  }
}

# median: prints the median of the numbers on stdin.
median() {
  sort -g | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

# figure FILE NAME [FACTOR FORMAT]: prints the median of the number NAME over the lines of a file.
figure() {
  rn_number "$2" <"$results/$1" | median |
    awk -v factor="${3:-1}" -v format="${4:-%.6g}" '{ printf format, factor * $1 }'
}

# row CELL...: prints a row of a table.
row() {
  printf '| %s ' "$@"
  printf '|\n'
}

measure_threads() {
  local line
  bench step 1 --threads "$threads" -s data.sequence_length="$tokens" -s parallel.comm_thread=off \
    >"$results/line"
  # Writes one line for each number of threads. For a single number, bench prints one object without
  # an array.
  sed 's/{"threads": /\n&/g' "$results/line" | grep '^{"threads": [0-9]' >"$results/lines"
  while read -r line; do
    printf '%s\n' "$line" >>"$results/threads.$(rn_number threads <<<"$line")"
  done <"$results/lines"
}

measure_ranks() { # measure_ranks RANKS
  local one=(-s parallel.threads=1 -s parallel.pipeline=1)
  bench step "$1" "${one[@]}" -s parallel.sequence="$1" -s data.batch_sequences=1 \
    -s data.sequence_length=$((tokens * $1)) >>"$results/sequence.$1"
  if [ "$1" -gt 1 ]; then
    bench ranks "$1" "${one[@]}" -s data.sequence_length="$tokens" >>"$results/pairs.$1"
  else
    # With one rank, both kinds of steps are the same.
    sed 's/.*"step_s": \([^,]*\).*/{"sequence_step_s": \1, "data_step_s": \1, "sequence_over_data": 1}/' \
      "$results/sequence.1" >"$results/pairs.1"
  fi
}

print_threads() {
  local n name cells
  printf '\n### Threads of one rank\n\n'
  row threads tokens/s speed-up efficiency modelled 'a thread' 'GEMMs alone' 'of best GEMM' forward \
    'backward input' weight optimizer other
  row --- --- --- --- --- --- --- --- --- --- --- --- ---
  for n in ${threads//,/ }; do
    cells=("$n" "$(figure "threads.$n" tokens_per_s 1 %.0f)")
    if [ "$n" = "$threads" ]; then
      cells+=(1.00 '100 %' '100 %' '100 %')
    else
      cells+=("$(figure "threads.$n" speedup 1 %.2f)")
      for name in efficiency modelled_efficiency product_efficiency; do
        cells+=("$(figure "threads.$n" "$name" 100 '%.0f %%')")
      done
    fi
    for name in products_share gemm_share; do
      cells+=("$(figure "threads.$n" "$name" 100 '%.0f %%')")
    done
    for name in forward backward_input weight optimizer other; do
      cells+=("$(figure "threads.$n" "$name" 100 '%.1f %%')")
    done
    row "${cells[@]}"
  done
}

# print_phases: prints means over the rounds, for the largest number of threads.
print_phases() {
  local most
  most=$(tr , '\n' <<<"$threads" | sort -n | tail -1)
  printf '\n### Phases of a step with %s threads\n\n' "$most"
  row phase part share tasks 'longest task' busy
  row --- --- --- --- --- ---
  sed 's/{"phase": /\n&/g' "$results/threads.$most" | grep '^{"phase": ' | awk '
    function number(name) {
      match($0, "\"" name "\": [-+.0-9e]*")
      return substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 4)
    }
    {
      split($0, quoted, "\"")
      name = quoted[4] " | " quoted[8]
      if (!(name in seen)) order[++count] = name
      seen[name]++
      share[name] += number("share"); tasks[name] += number("tasks")
      longest[name] += number("longest_task"); busy[name] += number("busy")
    }
    END {
      for (i = 1; i <= count; i++) {
        n = order[i]
        if (share[n] < 0.01 * seen[n]) continue
        printf "| %s | %.1f %% | %.0f | %.1f %% | %.0f %% |\n", n, 100 * share[n] / seen[n],
          tasks[n] / seen[n], 100 * longest[n] / seen[n], 100 * busy[n] / seen[n]
      }
    }'
}

# of_one RANKS: prints the time of one rank relative to the time of RANKS ranks.
of_one() {
  [ -f "$results/sequence.1" ] || { echo - && return; }
  local name=step_s each=1
  [ "$1" -le "$cores" ] || name=cpu_s each=$1
  awk -v one="$(figure sequence.1 "$name")" -v all="$(figure "sequence.$1" "$name")" \
    -v each="$each" 'BEGIN { printf "%.0f %%", 100 * each * one / all }'
}

# waiting RANKS: prints the share of the step in which the first rank waits.
waiting() {
  awk -v wait="$(figure "sequence.$1" scan_wait_s)" -v step="$(figure "sequence.$1" step_s)" \
    'BEGIN { printf "%.1f %%", 100 * wait / step }'
}

print_ranks() {
  local n kib=9.765625e-4 mib=9.5367431640625e-7
  printf '\n### Ranks of one thread\n\n'
  row ranks 'sequence s' 'data s' 'sequence / data' 'of one rank' waiting 'states KiB' 'sums KiB' \
    'peak MiB'
  row --- --- --- --- --- --- --- --- ---
  for n in ${ranks//,/ }; do
    row "$n" "$(figure "pairs.$n" sequence_step_s 1 %.3f)" \
      "$(figure "pairs.$n" data_step_s 1 %.3f)" "$(figure "pairs.$n" sequence_over_data 1 %.2f)" \
      "$(of_one "$n")" "$(waiting "$n")" \
      "$(figure "sequence.$n" scan_bytes "$kib" %.0f)" \
      "$(figure "sequence.$n" sum_bytes "$kib" %.0f)" \
      "$(figure "sequence.$n" peak_bytes "$mib" %.0f)"
  done
}

for ((round = 0; round < rounds; round++)); do
  [ "$threads" = none ] || measure_threads
  [ "$ranks" = none ] || for n in ${ranks//,/ }; do measure_ranks "$n"; done
done
printf 'Tokens per rank: %s; medians of %s rounds of %s steps; %s cores.\n' "$tokens" "$rounds" \
  "$steps" "$cores"
[ "$threads" = none ] || { print_threads && print_phases; }
[ "$ranks" = none ] || print_ranks
