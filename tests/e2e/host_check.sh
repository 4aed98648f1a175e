#!/usr/bin/env bash
# Checks that a job whose hosts differ in CPU, libraries or clocks says so at its start, by rank and
# host; that ranks with different vector instructions compute with the common ones, with the bits of a
# run in which all ranks have these; and that reproducible mode refuses what would change bits.
# usage: host_check.sh BIN
set -euo pipefail
bin=$1 case=
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
end_at_once

seq -f 'line %g of some plain text for a tiny model' 1 900 >text.txt
"$bin/retnet-data" build --out data --val-fraction 0.2 text.txt >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN}
model: {layers: 2, dim: 32, value_dim: 64, ffn_dim: 48, heads: 4}
data: {dir: data, sequence_length: 96, batch_sequences: 6}
optimizer: {lr: 2e-3, warmup_steps: 2}
train: {steps: 3, eval_every: 0}
checkpoint: {every: 0}
YAML

# Rank N has the environment of the array element ranks[N].
declare -a ranks
on_ranks() { # on_ranks NP DIR KEY=VALUE...
  local np=$1 dir=$2 keys
  shift 2
  key_options "$@"
  run_on_ranks "$np" "$dir" retnet-train run.yaml -s "run.dir=$dir" "${keys[@]}"
}
run_on_ranks() { # run_on_ranks NP NAME PROGRAM ARGUMENT...: output in NAME.log
  local np=$1 name=$2 i code=0
  shift 2
  : >environments
  for ((i = 0; i < np; i++)); do echo "${ranks[i]:-RANK=$i}" >>environments; done
  # shellcheck disable=SC2016
  timeout -k 5 60 mpirun -n "$np" --oversubscribe --bind-to none bash -c '
    environment=$(sed -n "$((OMPI_COMM_WORLD_RANK + 1))p" environments)
    exec env $environment "$@"' - "$bin/$1" "${@:2}" >"$name.log" 2>&1 || code=$?
  return "$code"
}
must_say() { # must_say DIR PATTERN
  [ "$(grep -cE -- "$2" "$1.log")" = 1 ] || fail "$1: not once: $2: $(tail -n 6 "$1.log")"
}

ranks=('' RETNET_FAULT=host.clock:1 RETNET_FAULT=host.mpi:1 RETNET_FAULT=host.cpu:1)
on_ranks 4 warned || fail "warned: $(tail -n 3 warned.log)"
must_say warned 'warning: clocks differ: rank 1 on [^ ]+: its clock is (3599|3600) s ahead of'
must_say warned 'warning: hosts differ in MPI library: .* \(from rank 0\).*; another one on [^ ]+ \(from rank 2\); install'
must_say warned 'warning: hosts differ in CPU: .* cores on .*; another one on [^ ]+ \(from rank 3\); every step'
[ "$(grep -c '^warning: \(hosts\|clocks\) differ' warned.log)" = 3 ] || fail "$(grep warning warned.log)"

# The other programs that run on several ranks say it too.
ranks=('' RETNET_FAULT=host.mpi:1)
run_on_ranks 2 evaluated retnet-eval --checkpoint warned --data data ||
  fail "evaluated: $(tail -n 3 evaluated.log)"
key_options parallel.threads=1 model.layers=1 model.dim=32 model.heads=2 data.sequence_length=64
run_on_ranks 2 measured retnet-bench ranks --steps 1 "${keys[@]}" ||
  fail "measured: $(tail -n 3 measured.log)"
for name in evaluated measured; do must_say "$name" 'warning: hosts differ in MPI library: '; done

# They refuse to run with different builds.
ranks=('' RETNET_FAULT=host.program:1)
tried=0
while read -r name words; do
  code=0
  # mpirun would read the rest of the list.
  # shellcheck disable=SC2086
  run_on_ranks 2 "$name" $words </dev/null || code=$?
  tried=$((tried + 1))
  [ "$code" = 1 ] || fail "$name ended with $code, not 1: $(tail -n 3 "$name.log")"
  must_say "$name" '^error: rank 1 on [^ ]+: the program differs from that of rank 0: start all ranks'
done <<'PROGRAMS'
other_train retnet-train run.yaml -s run.dir=other
other_plan retnet-train run.yaml -s run.dir=other --plan
other_eval retnet-eval --checkpoint warned --data data
other_bench retnet-bench scan
PROGRAMS
[ "$tried" = 4 ] || fail "$tried of 4 programs were tried"
[ ! -e other ] || fail 'a refused run has a folder'

ranks=('' RETNET_FAULT=host.blas_core:1)
on_ranks 2 core || fail "core: $(tail -n 3 core.log)"
must_say core 'warning: hosts differ in core type of OpenBLAS: .*OPENBLAS_CORETYPE='
code=0
on_ranks 2 refused run.reproducible=true || code=$?
[ "$code" = 1 ] || fail "another core type ended with $code, not 1: $(tail -n 3 refused.log)"
must_say refused '^error: .*run.reproducible: hosts differ in core type of OpenBLAS: .*OPENBLAS_CORETYPE='

grep -q avx512vl /proc/cpuinfo || skip 'this CPU has no AVX-512, so ranks cannot have different kernels'
narrow='RETNET_FAULT=cpu.avx512:1 ONEDNN_MAX_CPU_ISA=AVX2'
ranks=('' RETNET_FAULT=cpu.avx512:1)
on_ranks 2 mixed run.reproducible=true || fail "mixed: $(tail -n 3 mixed.log)"
must_say mixed 'warning: CPUs differ \(the oldest: rank 1 on [^ ]+\): all ranks now use the avx2 kernels'
must_say mixed 'warning: CPUs differ: oneDNN is limited to the instructions of the oldest \(rank 1 on [^ ]+\)$'
grep -q 'kernels avx2' mixed.log || fail "not avx2: $(head -n 3 mixed.log)"
ranks=("$narrow")
on_ranks 1 narrow run.reproducible=true || fail "narrow: $(tail -n 3 narrow.log)"
same_content mixed narrow
"$bin/retnet-train" run.yaml -s run.dir=wide -s run.reproducible=true >wide.log 2>&1 || fail wide
if "$bin/retnet-ckpt" diff wide narrow >/dev/null; then fail 'kernels do not change bits: no test'; fi

grep -q avx512_bf16 /proc/cpuinfo || skip 'this CPU has no bf16 instructions, so ranks cannot differ in AMX'
# The limit of oneDNN keeps bf16 if all ranks have its instructions, with and without AMX.
ranks=(RETNET_FAULT=cpu.amx:1 ONEDNN_MAX_CPU_ISA=AVX512_CORE_BF16)
on_ranks 2 amx train.precision=bf16 || fail "amx: $(tail -n 3 amx.log)"
if grep -q 'this build has no oneDNN' amx.log; then skip 'this build computes bf16 in fp32'; fi
must_say amx 'warning: CPUs differ: oneDNN is limited to the instructions of the oldest \(rank 1 on [^ ]+\)$'
grep -q '"products": "[a-z+]* bf16"' amx/summary.json || fail "the limit ends bf16: $(head -n 5 amx.log)"
ranks=('' ONEDNN_MAX_CPU_ISA=AVX512_CORE)
on_ranks 2 no_bf16 train.precision=bf16 || fail "no_bf16: $(tail -n 3 no_bf16.log)"
must_say no_bf16 'bf16: rank 1 on [^ ]+ has no bf16 instructions; matrix products use fp32'
finish
