#!/usr/bin/env bash
# Runs one command on rank 0 and another on all other ranks, like `A : B` of mpirun, which crashes
# mpirun in some packages of Open MPI 5 (among others Debian 13).
# usage: mpirun -n 2 ... bash mpmd.sh COMMAND... + COMMAND...
set -euo pipefail
rank=${OMPI_COMM_WORLD_RANK:-${PMI_RANK:?no rank in the environment}}
command=()
while [ "$#" -gt 0 ] && [ "$1" != + ]; do
  command+=("$1")
  shift
done
[ "$#" -gt 1 ] || {
  echo 'usage: mpmd.sh COMMAND... + COMMAND...' >&2
  exit 2
}
shift
if [ "$rank" = 0 ]; then exec "${command[@]}"; else exec "$@"; fi
