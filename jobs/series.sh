#!/usr/bin/env bash
# Submits jobs/train.sbatch several times to SLURM, each job to start if the previous one could not
# finish. For sites that do not let a job requeue itself, or that count a requeued job as a new one.
# usage, in the folder of run.yaml: series.sh COUNT [-s KEY=VALUE ...]
#
# Change the lines at the top of train.sbatch; COUNT is the number of time limits that the run needs.
# When a job reaches train.steps, or one ends with an error of the configuration or the run, SLURM
# cancels the remaining jobs or they end at once.
set -euo pipefail

script=${RETNET_TRAIN_SBATCH:-$(dirname "$(realpath "$0")")/train.sbatch}
usage() {
  echo "usage: series.sh COUNT [-s KEY=VALUE ...]" >&2
  exit 2
}
[[ ${1:-} =~ ^[1-9][0-9]{0,2}$ ]] || usage
count=$1
shift

# All jobs of the series write this name to RUN/pieces.txt. It is passed in the environment: with
# --export=ALL,NAME=VALUE, SLURM would start a login shell on the node first, which may take a minute.
RETNET_SERIES=$(date +%Y%m%d-%H%M%S)-$$
export RETNET_SERIES
jobs=()
after=()
for ((i = 1; i <= count; i++)); do
  if ! job=$(sbatch --parsable --export=ALL ${after[@]+"${after[@]}"} "$script" "$@"); then
    echo "series.sh: sbatch refused job $i of $count; submitted: ${jobs[*]:-none}" >&2
    exit 1
  fi
  job=${job%%;*} # with several clusters, sbatch prints ID;CLUSTER
  jobs+=("$job")
  after=("--dependency=afternotok:$job" --kill-on-invalid-dep=yes)
done
# A cancelled job counts as one that did not finish, so the next job would start.
echo "submitted ${jobs[*]}; to end the series: scancel ${jobs[*]}"
