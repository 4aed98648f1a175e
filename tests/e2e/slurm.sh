#!/usr/bin/env bash
# Checks the SLURM scripts of jobs/ on a real cluster of four nodes. A run of eight ranks that is cut
# into pieces by its time limit, signals, requeues, a cancelled job and the crash of a node must end
# with the bits of an uninterrupted run, with srun and with mpirun. A job that is cancelled, fails, or
# makes no progress must not be started again.
# usage: slurm.sh BIN SOURCE
# shellcheck disable=SC2317 # functions that `await` calls
set -euo pipefail
bin=$1 source=$2 case=
here=$(dirname "$(realpath "$0")")
jobs=$(realpath "$here/../../jobs")
cluster=$here/../support/slurm_cluster.sh
# shellcheck source=tests/e2e/common.sh
source "$here/common.sh"

if [ -z "${SLURM_CONF:-}" ] || [ "${RN_SLURM_INSIDE:-}" != 1 ]; then
  mkdir "$work/cluster"
  code=0
  bash "$cluster" "$work/cluster" 4 bash "$here/slurm.sh" "$@" || code=$?
  exit "$code"
fi

# The hosts share the cores and the loopback interface of this machine.
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo

"$bin/retnet-data" build --out data --val-fraction 0.02 --include '*.c' "$source" >/dev/null
write_config() { # write_config STEPS
  cat >run.yaml <<YAML
run: {reproducible: true}
model: {layers: 2, dim: 32, value_dim: 64, ffn_dim: 48, heads: 4}
data: {dir: data, sequence_length: 96, batch_sequences: 4}
optimizer: {lr: 2e-3, warmup_steps: 5, decay_steps: 20000}
train: {steps: $1, eval_every: 0, log_every: 1}
checkpoint: {every: 5, keep_last: 2}
YAML
}
grid=(parallel.data=2 parallel.pipeline=2 parallel.sequence=2) # of the eight ranks
one_rank=(--nodes=1 --ntasks-per-node=1)

# ---- jobs ----

declare -A job      # number of the job that trains in a directory
declare -A released # number of starts in a directory before the job was submitted or released
declare -A from     # step of the newest checkpoint then

# adapt SCRIPT CHANGES: prints a script after the changes that a user would make.
adapt() { sed -e "s|^programs=[^ ]*|programs=$bin|" -e "$2" "$jobs/$1"; }

# submit DIR CHANGES [OPTION of sbatch ...] [-s KEY=VALUE ...]: submits a job that trains in DIR, with
# eight ranks unless options say otherwise. Its output is appended to DIR.log.
submit() {
  local dir=$1 options=(--nodes=4 --ntasks-per-node=2)
  adapt train.sbatch "s|^run_dir=[^ ]*|run_dir=$dir|; $2" >"$dir.sbatch"
  shift 2
  while [ $# -gt 0 ] && [ "$1" != -s ]; do
    options+=("$1")
    shift
  done
  expect_start "$dir"
  job[$dir]=$(sbatch --parsable --cpus-per-task=1 --output="$dir.log" "${options[@]}" "$dir.sbatch" "$@")
}

expect_start() { # expect_start DIR
  released[$1]=$(starts "$1")
  from[$1]=$(newest "$1")
}

state() { squeue -h -t all -j "${job[$1]}" -o %T; } # state DIR
log_end() { tail -n 15 "$1.log"; }                  # log_end DIR
# starts DIR: prints how many times jobs have started in DIR.
starts() { if [ -e "$1.log" ]; then grep -c 'cores per rank, from step' "$1.log" || true; else echo 0; fi; }
last_step() { # last_step DIR: 0 if its time limit was too near for a step
  local step=''
  [ ! -e "$1/metrics.jsonl" ] || step=$(numbers step "$1/metrics.jsonl" | tail -n 1)
  echo "${step:-0}"
}
# newest DIR: prints the step of the newest checkpoint.
newest() { # newest DIR: prints the step of the newest checkpoint; 0 if there is none
  local folder
  folder=$(compgen -G "$1/checkpoints/step-*[0-9]" | sort | tail -n 1) || true
  folder=${folder##*/step-}
  echo $((10#${folder:-0}))
}

# await DIR WHAT COMMAND...: waits until the command succeeds, which it must do before the job is over.
await() {
  local dir=$1 what=$2 until=$((SECONDS + 600))
  shift 2
  while [ "$SECONDS" -lt "$until" ]; do
    if "$@"; then return; fi
    case $(state "$dir") in COMPLETED | FAILED | CANCELLED | TIMEOUT) break ;; esac
    sleep 0.2
  done
  if "$@"; then return; fi # it may have succeeded since
  fail "$dir: not $what, but $(state "$dir"): $(log_end "$dir")"
  finish
}

has_reached() { # has_reached DIR STEP
  [ -e "$1/metrics.jsonl" ] && [ "$(last_step "$1")" -gt "$2" ] && return
  release_requeued "$1"
  return 1
}
works() { # works DIR STEP: the job must train beyond this step, from the newest checkpoint
  await "$1" "beyond step $2" has_reached "$1" "$2"
  grep -o '; from step [0-9]*$' "$1.log" | tail -n 1 | grep -qx "; from step ${from[$1]}" ||
    fail "$1 does not continue from step ${from[$1]}: $(log_end "$1")"
}

# SLURM holds a requeued job (here for an hour), so that every node forgets the previous start. Two
# seconds are enough; nodes refuse a job that starts within the same second.
release() { # release DIR: starts it at once, with a time limit that this test does not reach
  expect_start "$1"
  sleep 2
  scontrol update "jobid=${job[$1]}" StartTime=now TimeLimit=60
}

# True if the job waits for another start, and no node is busy with the end of the last one.
is_requeued() { # is_requeued DIR
  [ "$(state "$1")" = PENDING ] && [ "$(starts "$1")" -gt "${released[$1]:-0}" ] &&
    [ -z "$(sinfo -h -t completing -o %n)" ]
}
# Starts a job again whose last start has failed, which train.sbatch must survive.
release_requeued() { if is_requeued "$1"; then release "$1"; fi; } # release_requeued DIR
is_over() { # is_over DIR
  case $(state "$1") in PENDING | CONFIGURING | RUNNING | COMPLETING) ;; *) return 0 ;; esac
  release_requeued "$1"
  return 1
}

ended() { # ended DIR STATE WORDS: the job must end in this state, and say WORDS
  await "$1" over is_over "$1"
  [ "$(state "$1")" = "$2" ] || fail "$1 is $(state "$1"), not $2: $(log_end "$1")"
  grep -qF -- "$3" "$1.log" || fail "$1 does not say '$3': $(log_end "$1")"
}

# The last piece must have saved its last step. $saved is that step.
check_saved() { # check_saved DIR WHAT
  saved=$(newest "$1")
  [ "$saved" = "$(last_step "$1")" ] ||
    fail "$1 after $2: step $(last_step "$1") is lost, the newest checkpoint is $saved: $(log_end "$1")"
}

# requeued DIR WHAT: the job must save its last step and wait for its next start, which is allowed.
requeued() {
  await "$1" "requeued after $2" is_requeued "$1"
  check_saved "$1" "$2"
  [ -z "${3:-}" ] || grep -q "exit code $3 at step $saved: requeueing the job" "$1.log" ||
    fail "$1 after $2: $(log_end "$1")"
  release "$1"
}

cancelled() { # cancelled DIR: the scancel before must end the job for good, after a save
  ended "$1" CANCELLED 'this script does not requeue it'
  check_saved "$1" scancel
}

# Sets the time limit of a running job so that SLURM sends the signal USR1@150 when it looks at time
# limits again, which it does every 30 s, and that at least 90 s are left then.
approach_limit() { # approach_limit DIR
  local start
  start=$(date -d "$(squeue -h -j "${job[$1]}" -o %S)" +%s)
  scontrol update "jobid=${job[$1]}" "TimeLimit=$((($(date +%s) - start) / 60 + 3))"
}

# reaches_limit DIR: the run must end because SLURM told it that the time limit is near; it cannot know
# that itself, because its job started with another limit.
reaches_limit() {
  requeued "$1" 'its time limit' 75
  grep -q "stopped after step $saved: requested by a signal" "$1.log" ||
    fail "$1 is not stopped by a signal before its time limit: $(log_end "$1")"
}

# ---- pieces of long runs that end by the time limit, while other jobs run ----

# The steps reached decide the length of the run. Steps are 0.2 s slower, so that the uninterrupted run
# has few steps to repeat.
write_config 1000000
key_options "${grid[@]}"
slow='read data:1-:slow=200'
RETNET_FAULT=$slow submit pieces 's|--cpu-bind=cores|--cpu-bind=verbose,cores|' --time=60 --signal=USR1@150 "${keys[@]}"
# Without --signal, the run itself observes the end of the job.
RETNET_FAULT=$slow submit unwarned '/^#SBATCH --signal/d' "${one_rank[@]}" --time=1

# A sweep and, after it, an evaluation of its runs.
export RETNET_TRAIN_SBATCH=$work/train.sbatch RETNET_PROGRAMS=$bin RETNET_JOBS=$jobs
sed 's/^#SBATCH --\(nodes\|ntasks-per-node\|cpus-per-task\)=.*/#SBATCH --\1=1/' "$jobs/train.sbatch" >train.sbatch
small=("${one_rank[@]}" --cpus-per-task=1)
job[sweep]=$(sbatch --parsable "${small[@]}" --array=0-1 --output=sweep.log "$jobs/sweep.sbatch" \
  -s train.steps=3)
job[eval]=$(sbatch --parsable "${small[@]}" --dependency="afterok:${job[sweep]}" --output=eval.log \
  "$jobs/eval.sbatch" 'SWEEP/*')
# Each job of a series does one step, so that the third of four ends the run.
bash "$jobs/series.sh" 4 -s train.steps=3 -s run.max_hours=1e-7 >series.txt || fail "series: $(cat series.txt)"
# jobs/compare.sh has a test; here a substitute prints what it is given.
mkdir stub
# shellcheck disable=SC2016
echo 'echo "$RN_BIN $*"' >stub/compare.sh
job[compare]=$(RETNET_JOBS=$work/stub sbatch --parsable "${small[@]}" --output=compare.log \
  "$jobs/compare.sbatch" --quick)

# Programs that only end: without progress the job is started as often as the script allows; after a
# failure it is not.
printf '#!/bin/sh\nexit %s\n' 75 >stub/retnet-train
mkdir wrong_stub
printf '#!/bin/sh\nexit %s\n' 4 >wrong_stub/retnet-train
chmod +x stub/retnet-train wrong_stub/retnet-train
unset RETNET_PROGRAMS
submit stalled "s|^programs=.*|programs=$work/stub|; s/^max_stalled=3/max_stalled=2/" "${one_rank[@]}"
submit wrong "s|^programs=.*|programs=$work/wrong_stub|" "${one_rank[@]}"

works pieces 2
approach_limit pieces
# Seconds for the save of a rank that mpirun terminates: half of the time that eight ranks need to start
# on this machine. Open MPI 4 waits as long twice after an exit with 75.
export OMPI_MCA_odls_base_sigkill_timeout=$((4 + SECONDS / 2))
export PRTE_MCA_odls_base_sigkill_timeout=$OMPI_MCA_odls_base_sigkill_timeout
RETNET_FAULT=$slow submit hand 's/^launcher=[^ ]*/launcher=mpirun/' --time=60 --signal=B:USR1@150 "${keys[@]}"
works hand 2
approach_limit hand
ended stalled FAILED '2 starts ended without a new checkpoint'
[ "$(starts stalled)" = 2 ] || fail "stalled: $(starts stalled) pieces, not 2"
ended wrong FAILED 'exit code 4: an error; the job is not requeued'
[ "$(starts wrong)" = 1 ] || fail "wrong: $(starts wrong) pieces, not 1"

ended compare COMPLETED "$bin --out compare-${job[compare]} --quick"
ended eval COMPLETED 'SWEEP/1: {"loss"'
[ -s comparison.html ] || fail "no comparison of the sweep: $(cat eval.log)"
read -ra series < <(sed 's/submitted \(.*\);.*/\1/' series.txt)
for i in 2 3; do
  job[series]=${series[i]}
  await series over is_over series
  echo "$(state series) at step $(newest RUN)"
done >series.ends
[ "$(cat series.ends)" = $'COMPLETED at step 3\nCANCELLED at step 3' ] ||
  fail "the last two of the four jobs of a series: $(cat series.ends)"

# ---- the same long runs, now ended by hand ----

reaches_limit pieces
if scontrol show config | grep -q 'TaskPlugin.*affinity'; then
  [ "$(grep -oE 'mask 0x[0-9a-f]+ set' pieces.log | sort -u | wc -l)" = 2 ] ||
    fail "two ranks of a node are not bound to a core each: $(grep cpu-bind pieces.log)"
fi
works pieces "$saved"
# A slurmd that dies and is started again disturbs nobody.
kill -KILL "$(cat "$(dirname "$SLURM_CONF")/n2.pid")"
bash "$cluster" --boot n2
for rank in $(pgrep -f "retnet-train run.yaml -s run.dir=pieces "); do
  if grep -qz '^SLURM_PROCID=5$' "/proc/$rank/environ"; then kill -USR2 "$rank"; fi
done
reaches_limit hand
works hand "$saved"
scancel "${job[hand]}"
requeued pieces 'USR2 to one rank' 75
works pieces "$saved"
scancel --signal=USR1 "${job[pieces]}"
requeued pieces 'scancel --signal=USR1' 75
works pieces "$saved"
scontrol requeue "${job[pieces]}"
requeued pieces 'scontrol requeue'
works pieces "$saved"
scancel "${job[pieces]}"
cancelled pieces
submit pieces '' "${keys[@]}"
cancelled hand

# A node crashes. SLURM notices after SlurmdTimeout, or when an operator tells it. It ends the ranks on
# the other nodes, which wait for those of the lost node, and requeues the job.
works pieces $(($(newest pieces) + 10))
sed -i 's/^KillWait=.*/KillWait=2/' "$SLURM_CONF" # the ranks that wait cannot save
scontrol reconfigure
saved=$(newest pieces)
bash "$cluster" --crash n3
scontrol update nodename=n3 state=down reason=crashed
await pieces 'requeued after a crash' is_requeued pieces
grep -q 'Node failure on n3' pieces.log || fail "the lost node is not named: $(log_end pieces)"
[ "$(newest pieces)" -ge "$saved" ] || fail "a crash lost the checkpoint of step $saved"
bash "$cluster" --boot n3
write_config $(($(last_step pieces) + 5))
release pieces
submit hand 's/^launcher=[^ ]*/launcher=mpirun/' "${keys[@]}"
mpirun -n 1 --bind-to none "$bin/retnet-train" run.yaml -s run.dir=whole >whole.log 2>&1 ||
  fail "whole: $(log_end whole)"
for dir in pieces hand; do
  ended "$dir" COMPLETED "done, at step $(last_step whole)"
  same_run whole "$dir"
done

await unwarned requeued is_requeued unwarned
grep -q 'stopped after step .*: the SLURM job' unwarned.log || fail "unwarned: $(log_end unwarned)"
check_saved unwarned 'the end of its job'
finish
