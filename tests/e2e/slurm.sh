#!/usr/bin/env bash
# Checks jobs/train.sbatch on a real SLURM cluster. A run that the time limit divides into several
# jobs must end with the bits of an uninterrupted run. A job that is cancelled, fails, or makes no
# progress must not be started again.
# usage: slurm.sh BIN SOURCE
# shellcheck disable=SC2317 # functions that `await` calls
set -euo pipefail
bin=$1 source=$2 case=
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/e2e/common.sh
source "$here/common.sh"

if [ -z "${SLURM_CONF:-}" ] || [ "${RN_SLURM_INSIDE:-}" != 1 ]; then
  mkdir "$work/cluster"
  code=0
  bash "$here/../support/slurm_cluster.sh" "$work/cluster" 2 bash "$here/slurm.sh" "$@" || code=$?
  exit "$code"
fi

# The two hosts share the cores and the loopback interface of this machine.
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo
export OMPI_MCA_odls_base_sigkill_timeout=5 PRTE_MCA_odls_base_sigkill_timeout=5

"$bin/retnet-data" build --out data --val-fraction 0 --include '*.c' "$source" >/dev/null
write_config() { # write_config STEPS
  cat >run.yaml <<YAML
model: {layers: 2, dim: 32, value_dim: 64, ffn_dim: 48, heads: 4}
data: {dir: data, sequence_length: 96, batch_sequences: 6}
optimizer: {lr: 2e-3, warmup_steps: 5, decay_steps: 20000}
parallel: {data: 2, sequence: 2}
train: {steps: $1, eval_every: 0, log_every: 100}
checkpoint: {every: 0, keep_last: 2}
YAML
}

# submit DIR 'SED SCRIPT' [OPTION of sbatch or -s KEY=VALUE ...]: submits a job of two nodes that
# trains in DIR, after the changes to the script that a user would make. $job is its number, DIR.log
# its output.
submit() {
  local dir=$1 changes=$2 options=()
  shift 2
  while [ $# -gt 0 ] && [ "$1" != -s ]; do
    options+=("$1")
    shift
  done
  sed -e "s|^programs=[^ ]*|programs=$bin|" -e "s|^run_dir=[^ ]*|run_dir=$dir|" -e "$changes" \
    "$here/../../jobs/train.sbatch" >"$dir.sbatch"
  job=$(sbatch --parsable --nodes=2 --ntasks-per-node=2 --cpus-per-task=1 --output="$dir.log" \
    "${options[@]}" "$dir.sbatch" "$@")
}

# state: prints the state of $job.
state() { squeue -h -t all -j "$job" -o %T; }
# log_end DIR: prints the end of its log.
log_end() { tail -n 15 "$1.log"; }
# starts DIR: prints how many times the job has started.
starts() { if [ -e "$1.log" ]; then grep -c 'cores per rank, from step' "$1.log" || true; else echo 0; fi; }
# has_lines DIR COUNT: succeeds if at least COUNT steps are logged.
has_lines() { [ -e "$1/metrics.jsonl" ] && [ "$(wc -l <"$1/metrics.jsonl")" -ge "$2" ]; }
# newest DIR: prints the step of the newest checkpoint.
newest() { find "$1/checkpoints" -name 'step-*[0-9]' | sort | tail -n 1 | sed 's/.*step-0*//'; }
is_requeued() { [ "$(state)" = PENDING ] && [ "$(starts "$1")" -ge "$2" ]; } # is_requeued DIR STARTS

await() { # await DIR WHAT COMMAND...: waits until the command succeeds
  local dir=$1 what=$2
  shift 2
  for _ in $(seq 600); do
    if "$@"; then return; fi
    sleep 0.2
  done
  fail "$dir: not $what, but $(state): $(log_end "$dir")"
}

# SLURM holds a requeued job for two minutes, so that every node forgets the previous start. Here a
# second is enough; nodes refuse a job that starts within the same second.
released=''
release() { # release DIR: once for each start that has ended
  [ "$released" = "$job $(starts "$1")" ] && return
  released="$job $(starts "$1")"
  sleep 2
  scontrol update "jobid=$job" StartTime=now || true
}

is_over() { # is_over DIR
  case $(state) in
    PENDING)
      if [ "$(starts "$1")" != 0 ]; then release "$1"; fi
      return 1
      ;;
    CONFIGURING | RUNNING | COMPLETING) return 1 ;;
  esac
}

ended() { # ended DIR STATE WORDS
  await "$1" over is_over "$1"
  [ "$(state)" = "$2" ] || fail "$1 is $(state), not $2: $(log_end "$1")"
  grep -qF -- "$3" "$1.log" || fail "$1 does not say '$3': $(log_end "$1")"
}

# SLURM must accept the options in the other scripts.
for script in sweep eval; do
  sbatch --test-only --nodes=1 --ntasks-per-node=2 --cpus-per-task=1 "$here/../../jobs/$script.sbatch" \
    >test_only.log 2>&1 || fail "$script.sbatch: $(cat test_only.log)"
done

# The first start ends only by its time limit, and the steps reached decide the length of the run.
# Steps of the first start are 0.2 s slower, so that the uninterrupted run has at most 300 steps to
# repeat.
write_config 1000000
RETNET_FAULT='read data:1-:slow=200' submit pieces 's|--cpu-bind=cores|--cpu-bind=verbose,cores|' --time=1 --signal=USR1@20
await pieces requeued is_requeued pieces 1
first=$(newest pieces)
grep -q "exit code 75 at step $first: requeueing the job" pieces.log || fail "pieces: $(log_end pieces)"
if scontrol show config | grep -q 'TaskPlugin.*affinity'; then
  [ "$(grep -oE 'mask 0x[0-9a-f]+ set' pieces.log | sort -u | wc -l)" = 2 ] ||
    fail "two ranks of a node are not bound to a core each: $(grep cpu-bind pieces.log)"
fi
write_config $((first + 20))
ended pieces COMPLETED "done, at step $((first + 20))"
mpirun -n 4 --oversubscribe --bind-to none "$bin/retnet-train" run.yaml -s run.dir=whole >whole.log 2>&1 ||
  fail "whole: $(log_end whole)"
same_run whole pieces

# With mpirun on one node, USR1 reaches only the script. A job that scancel ends must save, and must
# not be started again.
write_config 1000000
submit hand 's/^launcher=srun/launcher=mpirun/' --nodes=1 -s parallel.sequence=1
await hand 'at work' has_lines hand 1
scancel --batch --signal=USR1 "$job"
await hand requeued is_requeued hand 1
first=$(newest hand)
release hand
await hand 'at work again' has_lines hand $((first / 100 + 2))
scancel "$job"
ended hand CANCELLED 'this script does not requeue it'
[ "$(newest hand)" -gt "$first" ] || fail "a cancelled job saved nothing: $(log_end hand)"

# Programs that only end: without progress the job is started as often as the script allows; after a
# failure it is not.
mkdir stub
printf '#!/bin/sh\nexit %s\n' 75 >stub/retnet-train
chmod +x stub/retnet-train
submit stalled "s|^programs=.*|programs=$work/stub|; s/^max_stalled=3/max_stalled=2/"
ended stalled FAILED '2 starts ended without a new checkpoint'
[ "$(starts stalled)" = 2 ] || fail "stalled: $(starts stalled) pieces, not 2"
printf '#!/bin/sh\nexit %s\n' 4 >stub/retnet-train
submit wrong "s|^programs=.*|programs=$work/stub|"
ended wrong FAILED 'exit code 4: an error; the job is not requeued'
finish
