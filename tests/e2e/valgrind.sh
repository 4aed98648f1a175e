#!/usr/bin/env bash
# Checks with valgrind's memcheck that the programs, as single processes, read no uninitialised and no
# foreign memory, and that those without MPI leak none.
# usage: valgrind.sh BIN CASE    (case "files": data and tokens; "model": training and what follows)
# The case "model" takes minutes: run it by hand. valgrind has no AVX-512, and says so to the programs,
# which then use AVX2.
set -euo pipefail
bin=$1 case=$2
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/e2e/common.sh
source "$here/common.sh"
command -v valgrind >/dev/null || skip "valgrind is not installed"
ldd "$bin/retnet-data" | grep -qE 'lib(asan|tsan)' && skip "valgrind cannot run programs with sanitizers"

# Open MPI comes with suppressions for its own libraries.
suppressions=("--suppressions=$here/../support/valgrind.supp")
own=/usr/share/openmpi/openmpi-valgrind.supp
[ ! -r "$own" ] || suppressions+=("--suppressions=$own")

# check LEAKS PROGRAM ARGUMENT...: runs a program under memcheck; LEAKS is full or no.
check() {
  local leaks=$1 code=0
  shift
  valgrind -q "${suppressions[@]}" --error-exitcode=99 "--leak-check=$leaks" \
    --errors-for-leak-kinds=definite "$bin/$1" "${@:2}" >check.log 2>&1 || code=$?
  [ "$code" = 0 ] || fail "$*: exit code $code: $(grep -v '^ ' check.log | head -n 40)"
}

seq -f 'line %g of some plain text' 1 200 >text.txt
printf '{"text": "one"}\n{"text": "two \\u00e9"}\n' >lines.jsonl
check full retnet-data build --out data --val-fraction 0.2 text.txt
if [ "$case" = files ]; then
  check full retnet-data build --out lines --val-fraction 0 lines.jsonl
  check full retnet-data verify data
  finish
fi

# OpenBLAS: the generated code of oneDNN reads beyond the end of oneDNN's own buffers.
export OMP_NUM_THREADS=1
cat >run.yaml <<'YAML'
run: {dir: RUN}
model: {layers: 2, dim: 16, value_dim: 32, ffn_dim: 16, heads: 2, products: openblas}
data: {dir: data, sequence_length: 32, batch_sequences: 2}
train: {steps: 2, eval_every: 2}
checkpoint: {every: 2}
YAML
check no retnet-train run.yaml
check no retnet-train run.yaml -s train.steps=3 -s checkpoint.resume=auto
check no retnet-eval --checkpoint RUN --data data
check no retnet-generate --checkpoint RUN --prompt 'line 1' --tokens 8
check full retnet-ckpt verify RUN
check full retnet-ckpt export --format torchscale --out exported RUN
check full retnet-ckpt import --out imported exported
finish
