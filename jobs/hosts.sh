#!/usr/bin/env bash
# Trains on a list of hosts with mpirun, without a batch system, until train.steps are done. Also
# called by train.pbs and train.lsf.
set -u
set +o posix # in POSIX mode, bash forgets a process after the first `wait`

# ---- Lines to change -----------------------------------------------------------------------------
# Defaults; options override them.
programs=${RETNET_PROGRAMS:-$(dirname "$(realpath "$0")")/../build/bin} # the folder of retnet-train
run_dir=${RETNET_RUN_DIR:-RUN} # run.dir, on a file system that all hosts mount at the same path
ranks=2                        # ranks per host; one per socket or NUMA domain is a good start
cores=16                       # cores per rank
max_stalled=3                  # give up after this many consecutive starts without a new checkpoint
pause_s=10                     # seconds before a new start; more than between heartbeats in RUN/lock
# Options of mpirun for your network and your way to reach hosts, for example:
# export OMPI_MCA_plm_rsh_agent=ssh OMPI_MCA_btl_tcp_if_include=10.0.0.0/8
# ---- End of the lines to change ------------------------------------------------------------------

help() {
  cat <<'END'
usage: jobs/hosts.sh --hosts FILE [OPTION]... CONFIG.yaml [-s KEY=VALUE]...

Starts the ranks with mpirun. If a rank is killed, the watchdog ends the run (exit code 3), or mpirun
ends with 0 before train.steps are reached, starts it again from the newest checkpoint, up to 3 times
without a new checkpoint. TERM, INT, HUP (a closed terminal), USR1 and USR2 are forwarded: the run
saves a checkpoint and ends, and is not started again; with `nohup`, a closed terminal has no effect.
All hosts need the programs, the data and the run directory at the same paths, and must be reachable
with ssh without a password.

  --hosts FILE        names of hosts, one per line; repeated names and words after a name are ignored
  --ranks N           ranks per host (2)
  --cores N           cores per rank (16)
  --run-dir DIR       run.dir (RUN)
  --programs DIR      folder of retnet-train (build/bin beside this script's folder)
  --once              do not start the run again, but exit with its code, for batch systems
  --resubmit COMMAND  as --once, but if the run must continue, run the shell command and exit with 0
  --help              print this help and exit

Exit codes: those of retnet-train; 75 if the run was stopped before train.steps.
END
}

say() { echo "hosts.sh $(date '+%F %T'): $*"; }
refuse() {
  echo "hosts.sh: $*" >&2
  exit 2
}

# Prints the step of the newest complete checkpoint, or 0 if there is none.
newest_step() {
  local folder newest=0
  for folder in "$run_dir"/checkpoints/step-*; do
    [[ $folder =~ /step-0*([0-9]+)$ ]] && [ "${BASH_REMATCH[1]}" -gt "$newest" ] &&
      newest=${BASH_REMATCH[1]}
  done
  echo "$newest"
}

# Prints train.steps of a configuration, or nothing.
steps_of() {
  [ ! -f "$1" ] ||
    awk '/^[^ #]/ { train = /^train:/ } train && $1 == "steps:" && $2 ~ /^[0-9]+$/ { print $2 }' "$1"
}

# is_done ARGUMENT...: true if the run with these arguments has reached train.steps. The exit code 0 does
# not prove it, because mpirun of Open MPI 5 also ends with 0 after it has lost a host. A run that ends in
# order removes its lock. A run that is already beyond train.steps does not write its configuration.
is_done() {
  local file=$run_dir/config.yaml steps='' given argument
  [ ! -e "$run_dir/lock" ] || return 1
  [ ! "$run_dir/effective.yaml" -nt "$file" ] || file=$run_dir/effective.yaml
  steps=$(steps_of "$file")
  given=$(steps_of "$config")
  [ -z "$given" ] || [ "$given" -ge "${steps:-0}" ] || steps=$given
  for argument in "$@"; do
    case $argument in *train.steps=*) steps=${argument##*=} ;; esac
  done
  [ "$(newest_step)" -ge "${steps:-1}" ]
}

hosts='' resubmit='' once='' config=''
while [ $# -gt 0 ] && [ -z "$config" ]; do
  case $1 in
    --help)
      help
      exit 0
      ;;
    --once) once=yes ;;
    --hosts | --ranks | --cores | --run-dir | --programs | --resubmit)
      [ $# -gt 1 ] || refuse "$1 needs a value"
      case $1 in
        --hosts) hosts=$2 ;;
        --ranks) ranks=$2 ;;
        --cores) cores=$2 ;;
        --run-dir) run_dir=$2 ;;
        --programs) programs=$2 ;;
        --resubmit) resubmit=$2 once=yes ;;
      esac
      shift
      ;;
    -*) refuse "unknown option $1; see hosts.sh --help" ;;
    *) config=$1 ;;
  esac
  shift
done
if [ -z "$config" ] || [ -z "$hosts" ]; then
  refuse "--hosts FILE and CONFIG.yaml are required; see hosts.sh --help"
fi
[ -r "$hosts" ] || refuse "cannot read the host file $hosts"
[[ "$ranks $cores" =~ ^[1-9][0-9]*\ [1-9][0-9]*$ ]] ||
  refuse "--ranks and --cores must be positive integers"
# mpirun reports these after up to two minutes, or with an exit code after which the run is started
# again.
[ -r "$config" ] || refuse "cannot read the configuration $config"
[ -x "$programs/retnet-train" ] || refuse "there is no program $programs/retnet-train: see --programs"
for argument in "$@"; do
  case $argument in
    *run.dir=*) refuse "use --run-dir, not $argument" ;;
    *run.requeue_exit=*) refuse "remove $argument: this script sets run.requeue_exit" ;;
  esac
done
mkdir -p "$run_dir" || exit 1

# Counts consecutive starts without a new checkpoint: of this process, or of the jobs of a batch
# system that set the same RETNET_SERIES.
series=${RETNET_SERIES:-$(uname -n).$$}
check_progress() {
  local record=$run_dir/pieces.txt last='' step='' stalled=0
  [ -e "$record" ] && read -r last step stalled <"$record"
  if [ "$last" = "$series" ] && [ "$step" = "$(newest_step)" ]; then
    stalled=$((stalled + 1))
  else
    stalled=0
  fi
  echo "$series $(newest_step) $stalled" >"$record" || exit 1
  [ "$stalled" -lt "$max_stalled" ] && return
  say "$stalled starts ended without a new checkpoint after step $(newest_step): giving up." \
    "See the reason above; if the time limit is too short, raise it or lower checkpoint.every"
  exit 1
}

stopped='' # the signal that stops the run: TERM, or the first of USR1 and USR2
pid=''     # of mpirun

# Forwards a signal to mpirun. The first TERM, INT or HUP becomes USR1, on which all ranks save at once:
# mpirun passes TERM on only after odls_base_sigkill_timeout seconds.
forward() {
  local signal=$1
  if [ "$signal" = TERM ]; then
    [ "$stopped" = TERM ] || signal=USR1
    stopped=TERM
  else
    stopped=${stopped:-$signal}
  fi
  [ -z "$pid" ] || kill "-$signal" "$pid" 2>/dev/null
}

# Starts the run, unless a signal has stopped it, and sets $code to its exit code. mpirun has a process
# group of its own, because it ends at once on the INT of a terminal. `wait` is called when the process has
# ended, because bash 5.2 loses the exit code of a process that ends while a signal interrupts `wait`;
# and twice, because a signal may interrupt it now and change its result.
start() {
  code=75
  [ -z "$stopped" ] || return
  set -m
  "${launch[@]}" "$programs/retnet-train" "$config" -s "run.dir=$run_dir" -s run.requeue_exit=true "$@" \
    </dev/null {idle}<&- &
  pid=$!
  set +m
  [ -z "$stopped" ] || kill -USR1 "$pid" 2>/dev/null # before $pid was set
  while kill -0 "$pid" 2>/dev/null; do read -rt 0.2 -u "$idle"; done
  until
    wait "$pid"
    code=$?
    wait "$pid"
    [ "$code" = $? ]
  do :; done
  pid=''
}

# Waits before a new start until no rank of the last one changes the lock: ranks that mpirun has lost live
# for up to two minutes more, and the program does not start beside them.
pause() {
  local left before
  for left in {30..1}; do
    before=$(cat "$run_dir/lock" 2>/dev/null)
    sleep "$pause_s"
    [ -z "$stopped" ] || return
    [ -e "$run_dir/lock" ] && [ "$(cat "$run_dir/lock")" != "$before" ] || return
    [ "$left" != 30 ] || say "processes of the last start still use $run_dir: waiting for their end"
  done
}

# A signal during a command with two command substitutions may be lost (bash 5.2), so there is none below.
trap 'forward TERM' TERM INT HUP
trap 'forward USR1' USR1
trap 'forward USR2' USR2

# The ranks of a host must be consecutive, and a host must have one line.
host_file=$(mktemp "${TMPDIR:-/tmp}/retnet-hosts.XXXXXX") || exit 1
trap 'rm -f "$host_file"' EXIT
awk -v slots="$ranks" '!/^[ \t]*(#|$)/ && !seen[$1]++ { print $1 " slots=" slots }' "$hosts" >"$host_file"
[ -s "$host_file" ] || refuse "the host file $hosts names no host"
launch=(mpirun --hostfile "$host_file" --map-by "slot:PE=$cores" --bind-to core)
# Seconds for a save between TERM and KILL, for Open MPI 4 and 5. Open MPI 4 also waits up to twice this
# long after ranks have exited with 75.
export OMPI_MCA_odls_base_sigkill_timeout=${OMPI_MCA_odls_base_sigkill_timeout:-60}
export PRTE_MCA_odls_base_sigkill_timeout=${PRTE_MCA_odls_base_sigkill_timeout:-60}
# mpirun notices in two minutes that a host does not answer, before the watchdog ends the ranks of the
# other hosts (run.watchdog_s): after that, mpirun would wait much longer for the lost host.
for setting in time=60 intvl=10 probes=6; do
  for prefix in OMPI PRTE; do
    name=${prefix}_MCA_oob_tcp_keepalive_${setting%=*}
    export "$name=${!name:-${setting#*=}}"
  done
done
unset OMP_NUM_THREADS # it would override the number of threads that a rank derives from its cores

exec {idle}<> <(:) # nothing is ever read from it; it lets `read` wait without a new process
count=$(wc -l <"$host_file")
while :; do
  check_progress
  say "$count hosts, $ranks ranks per host, $cores cores per rank, from step $(newest_step)"
  start "$@"
  say "exit code $code at step $(newest_step)"
  if [ "$code" = 0 ] && ! is_done "$@"; then
    say "train.steps are not reached: treated as exit code 3"
    code=3
  fi
  case $code in
    75 | 3 | 12[89] | 1[3-9][0-9] | 2[0-5][0-9]) ;;
    *) exit "$code" ;; # done, or an error
  esac
  if [ -n "$resubmit" ] && [ "$stopped" != TERM ]; then
    eval "$resubmit" && exit 0
    say "'$resubmit' failed: submit the job again to continue from step $(newest_step)"
  fi
  # Without a batch system, 75 means that a signal or run.max_hours stopped the run.
  if [ -n "$once$stopped" ] || [ "$code" = 75 ]; then exit "$code"; fi
  pause
  [ -z "$stopped" ] || exit "$code" # by a signal during the pause
done
