#!/usr/bin/env bash
# Measures how slow ranks and late messages delay ranks that share sequences; prints a table in
# Markdown.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env
. "$(dirname "$0")/env"

help() {
  cat <<'END'
usage: jobs/jitter.sh [OPTION]... [-- OPTIONS of retnet-bench ranks]

On real machines, ranks are not equally fast. This script slows down ranks or messages artificially
and measures pairs of steps with the same amount of work: in one step, the ranks share each sequence;
in the other step, each rank has a separate sequence (retnet-bench ranks). The ratio of their times
shows the cost of waiting for states.

  --ranks N   number of ranks (2)
  --layers N  layers of the model (4)
  --tokens T  tokens per rank (512)
  --steps N   pairs of steps per measurement (10)
  --busy P    percent of time by which ranks are slowed down (15)
  --late MS   milliseconds by which each message is delayed (2)
  --help      print this help and exit

Rows: no jitter; the last rank always P % slower; each phase of a layer on each rank slower by a
random percentage between 0 and 2 P; each message with states MS milliseconds late. `forward` and
`backward` are the waiting times of the rank that waits longest, in ms per step. `delay` is the sum of
the delays of all messages of one direction, from the first rank to the last, in ms per step.
`exposed forward` and `exposed backward` are the parts of these delays in which a rank waited for the
late message, summed over the ranks; ranks that share cores also wait for each other, which these two
columns do not contain.

The variable RN_BIN is the folder of the programs (build/bin). Options after -- change other keys of
the model: jobs/jitter.sh --layers 8 -- -s model.dim=256
END
}

refuse() {
  echo "jobs/jitter.sh: $1; see --help" >&2
  exit 2
}

ranks=2 layers=4 tokens=512 steps=10 busy=15 late=2
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  case $1 in
    --help) help && exit 0 ;;
    --ranks | --layers | --tokens | --steps | --busy | --late)
      [ $# -gt 1 ] || refuse "$1 needs a value"
      [[ $2 =~ ^[1-9][0-9]*$ ]] || refuse "$1 $2: not a number greater than 0"
      declare "${1#--}=$2"
      shift 2
      ;;
    *) refuse "unknown option $1" ;;
  esac
done
[ "$ranks" -gt 1 ] || refuse '--ranks 1: at least 2 ranks are needed'
[ $# -eq 0 ] || shift
options=(--json --steps "$steps" -s "model.layers=$layers" -s "data.sequence_length=$tokens"
  -s parallel.threads=1 "$@")
bin=${RN_BIN:-$RN_ROOT/build/bin}
[ -x "$bin/retnet-bench" ] || refuse "$bin/retnet-bench does not exist: build first, or set RN_BIN"

errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

# A script with arguments COUNT FAULT... COMMAND... that runs COMMAND with the fault of this rank.
# (`mpirun A : B` could do the same, but it crashes mpirun of Open MPI 5.0.7.)
# shellcheck disable=SC2016
by_rank='rank=${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}} count=$1
shift
all=("$@")
[ "${all[rank]}" = none ] || export RETNET_FAULT=${all[rank]}
exec "${all[@]:count}"'

# measure FAULT...: runs retnet-bench with one fault per rank; prints its JSON object.
measure() {
  mpirun --bind-to none -n $# bash -c "$by_rank" rank $# "$@" "$bin/retnet-bench" ranks \
    "${options[@]}" 2>"$errors" </dev/null || {
    cat "$errors" >&2
    exit 1
  }
}

# row NAME DELAY FAULT...: measures and prints a row.
row() {
  local name=$1 delay=$2
  shift 2
  measure "$@" | awk -v name="$name" -v delay="$delay" '
    function number(key) { match($0, "\"" key "\": [-+.0-9e]*"); split(substr($0, RSTART, RLENGTH), a, ": "); return a[2] }
    { printf "| %s | %.3f | %.3f | %.3f | %.2f | %.2f | %s | %.2f | %.2f |\n", name,
        number("sequence_step_s"), number("data_step_s"), number("sequence_over_data"),
        1e3 * number("wait_forward_s"), 1e3 * number("wait_backward_s"), delay,
        1e3 * number("held_forward_s"), 1e3 * number("held_backward_s") }'
}

none=() last=() random=() slow=()
for ((r = 0; r < ranks; r++)); do
  none+=(none) random+=("compute:1-:busy=$busy~$((r + 1))") slow+=("scan.message:1-:late=$late")
  last+=(none)
done
last[ranks - 1]=compute:1-:busy=$busy
printf '%s ranks with one thread and %s tokens each; medians of %s pairs of steps.\n\n' "$ranks" "$tokens" \
  "$steps"
echo '| jitter | sequence s | data s | sequence / data | forward ms | backward ms | delay ms |' \
  'exposed forward ms | exposed backward ms |'
echo '| --- | --- | --- | --- | --- | --- | --- | --- | --- |'
row none 0 "${none[@]}"
row "last rank $busy % slower" 0 "${last[@]}"
row "each rank 0 to $((2 * busy)) % slower" 0 "${random[@]}"
row "messages $late ms late" $((layers * late * (ranks - 1))) "${slow[@]}"
