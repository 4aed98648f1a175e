#!/usr/bin/env bash
# Checks that signals, time limits, kills, a full disk, numbers that are not finite and wrong launches
# end a run in the documented way, and that no saved data is lost.
# usage: operations.sh BIN SOURCE CASE
set -euo pipefail
bin=$1 source=$2 case=$3
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

"$bin/retnet-data" build --out data --val-fraction 0 --include '*.c' "$source" >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN}
model: {layers: 2, dim: 32, value_dim: 64, ffn_dim: 48, heads: 4}
data: {dir: data, sequence_length: 96, batch_sequences: 6}
optimizer: {lr: 2e-3, warmup_steps: 5, decay_steps: 700}
train: {steps: 700, eval_every: 0}
checkpoint: {every: 20, keep_last: 2}
YAML
launch=(mpirun -n 2 --oversubscribe --bind-to none --mca odls_base_sigkill_timeout 3)

# Checks that an error that all ranks return is printed only once.
refuse_once() { # refuse_once CODE WORD COMMAND...
  refuse "$@"
  [ "$(grep -cF -- "$2" refused.log)" = 1 ] || fail "$2 is said more than once: ${*:3}"
}

# Runs that are disturbed have slow steps, so that a few steps take long enough.
slow='read data:1-:slow=20' short=train.steps=250

case $case in
  signals)
    # These runs last until they are stopped. Their steps are slow, because the number of steps
    # reached is the length of the uninterrupted run below.
    lasting=train.steps=1000000
    saved() { # saved WHAT
      [ -d "stopped/checkpoints/step-$(printf %08d "$(steps_of stopped)")" ] || fail "$1: not saved"
    }
    export RETNET_FAULT=$slow
    start stopped $lasting
    reach stopped steps 10
    kill -USR1 "$pid" # mpirun forwards it to its ranks
    ended 0 stopped 'after USR1'
    saved 'USR1'
    # Signals that arrive while the checkpoint is written, at any rank or at mpirun, change nothing.
    RETNET_FAULT='ckpt.write:1-2:slow=1000' start stopped $lasting run.requeue_exit=true
    reach stopped steps $(($(steps_of stopped) + 10))
    kill -USR1 "$pid"
    reach stopped folder 'checkpoints/step-*.tmp'
    for signal in USR2 TERM USR1; do
      for rank in $(pgrep -P "$pid" retnet-train); do kill "-$signal" "$rank"; done
    done
    kill -USR2 "$pid"
    ended 75 stopped 'USR1, and more signals during the save'
    saved 'signals during a save'
    launch=("${launch[@]/%3/15}") # mpirun waits, sends TERM to the ranks, waits, and sends KILL
    start stopped $lasting
    launch=("${launch[@]/%15/3}")
    reach stopped steps $(($(steps_of stopped) + 10))
    kill -TERM "$pid" # mpirun ends with its own exit code
    wait "$pid" || true
    saved TERM
    for signal in TERM USR2; do # only rank 1
      start stopped $lasting
      reach stopped steps $(($(steps_of stopped) + 10))
      for rank in $(pgrep -P "$pid" retnet-train); do
        if grep -qz '^OMPI_COMM_WORLD_RANK=1$' "/proc/$rank/environ"; then kill "-$signal" "$rank"; fi
      done
      ended 0 stopped "$signal to rank 1"
      saved "$signal to rank 1"
    done
    start stopped $lasting run.max_hours=0.00003 run.requeue_exit=true
    ended 75 stopped max_hours
    grep -q 'stopped after step .*: run.max_hours' stopped.log || fail 'max_hours is not named'
    SLURM_JOB_END_TIME=$(($(date +%s) + 2)) start stopped $lasting run.requeue_exit=true
    ended 75 stopped 'the end of a SLURM job'
    grep -q 'stopped after step .*: the SLURM job' stopped.log || fail 'the end of a job is not named'
    unset RETNET_FAULT
    steps=$(($(steps_of stopped) + 10))
    start stopped "train.steps=$steps"
    ended 0 stopped 'the rest'
    start whole "train.steps=$steps"
    ended 0 whole
    same_run whole stopped
    start stopped "train.steps=$steps"
    ended 0 stopped 'a finished run'
    grep -q "already at step $steps" stopped.log || fail 'a finished run trains on'
    ;;
  killed)
    start whole $short
    ended 0 whole
    for round in 1 2; do
      RETNET_FAULT=$slow start killed $short
      reach killed steps $((round * 50 + 5))
      ranks=$(pgrep -P "$pid" retnet-train)
      # shellcheck disable=SC2086
      kill -KILL "$pid" $ranks || true # a rank may end with mpirun
      wait "$pid" 2>/dev/null || true
    done
    left=$(grep -hoE '/dev/shm/.*' killed/shared-memory.txt | sort -u)
    [ -n "$left" ] || fail 'no shared memory is on record'
    start killed $short
    ended 0 killed 'the rest'
    for file in $left; do
      if [ -e "$file" ]; then fail "$file of a killed run was left behind"; fi
    done
    same_run whole killed
    ;;
  disk)
    mkdir small
    if ! mount -t tmpfs -o size=8m tmpfs small 2>/dev/null; then
      skip 'mounting a small file system needs root'
    fi
    mounted=$work/small
    start whole $short
    ended 0 whole
    head -c 7900k /dev/zero >small/full
    refuse_once 1 'two checkpoints' "$bin/retnet-train" run.yaml -s run.dir=small/run
    rm -r small/full small/run
    mkdir small/run
    ln -s small/run run
    RETNET_FAULT=$slow start run $short
    reach run steps 25
    head -c 16m /dev/zero >small/full 2>/dev/null || true
    for _ in $(seq 300); do
      if grep -q 'step 90/' run.log; then break; fi
      sleep 0.1
    done
    ls run/checkpoints/step-*0 >/dev/null || fail 'an old checkpoint was lost'
    rm small/full
    ended 0 run 'a run whose disk was full for a while'
    grep -q 'is not saved' run.log || fail 'a failed save is not told'
    same_run whole run
    # After a kill in a save, the same command continues although little space is free besides the
    # unfinished save and the checkpoint that the next save removes.
    rm -r small/run && mkdir small/run
    often=(-s run.dir=small/run -s train.steps=8 -s checkpoint.every=1)
    got=0
    RETNET_FAULT=ckpt.manifest:5:kill "$bin/retnet-train" run.yaml "${often[@]}" >run.log 2>&1 || got=$?
    [ "$got" = 137 ] || fail "a kill in a save ended with $got: $(tail -n 3 run.log)"
    ls -d small/run/checkpoints/*.tmp >/dev/null || fail 'the killed save left nothing'
    bytes=$(du -s -B1 small/run/checkpoints/*.tmp | cut -f 1)
    avail=$(df --output=avail -B1 small | tail -n 1)
    head -c $((avail - bytes * 9 / 10)) /dev/zero >small/full
    refuse_once 1 'two checkpoints' "$bin/retnet-train" run.yaml "${often[@]}" -s run.dir=small/other
    "$bin/retnet-train" run.yaml "${often[@]}" >run.log 2>&1 || fail "after a kill in a save: $(tail -n 3 run.log)"
    if grep 'is not saved' run.log; then fail 'a save after a killed one'; fi
    mount -o remount,ro small
    refuse_once 1 small/other "$bin/retnet-train" run.yaml -s run.dir=small/other
    ;;
  numbers)
    start wild optimizer.lr=1e30 optimizer.clip=0 train.max_bad_steps=3
    ended 4 wild 'a run without finite numbers'
    grep -q max_bad_steps wild.log || fail 'the guard is not named'
    grep -q '"skipped": true' wild/metrics.jsonl || fail 'skipped steps are not marked'
    ;;
  precision)
    refuse 2 train.precision "$bin/retnet-train" run.yaml -s run.dir=no -s train.precision=bf16 \
      -s model.products=openblas
    small=(train.steps=60 run.seed=3 checkpoint.every=0)
    must_train 2 bf16 "${small[@]}" train.precision=bf16
    grep -q 'bf16' bf16.log || fail 'neither bf16 nor its lack is named'
    # A plan must report once that bf16 is not supported; here no CPU supports it.
    ONEDNN_MAX_CPU_ISA=AVX2 "$bin/retnet-train" run.yaml --plan -s train.precision=bf16 >plan 2>&1 ||
      fail "a plan without bf16: $(cat plan)"
    [ "$(grep -c 'train.precision bf16: .*matrix products use fp32' plan)" = 1 ] ||
      fail "a plan does not tell of missing bf16 once: $(cat plan)"
    grep -q '^compute .*GEMM backend .*, kernels ' plan || fail "what a plan computes with: $(cat plan)"
    # If another backend is much faster than the one chosen by rule, the run must report it once.
    RETNET_FAULT=gemm.sample:1 must_train 2 sampled "${small[@]}" train.steps=2
    warning=$(grep 'model.products=auto: .* times as fast' sampled.log) || true
    chosen=$(sed -nE 's/.*"products": "([^"]*)".*/\1/p' sampled/summary.json)
    "$bin/retnet-train" run.yaml --plan -s model.products=onednn >onednn 2>&1 || true
    if grep -q 'this build has no onednn' onednn; then
      echo 'left out: the warning about a slow GEMM backend: this build has one backend only'
      [ -z "$warning" ] || fail "the only GEMM backend is reported as slow: $warning"
    else
      [ "$(grep -c . <<<"$warning")" = 1 ] ||
        fail "a slow GEMM backend is not reported once: $(cat sampled.log)"
      faster=$(sed -nE 's/.*machine ([^ ]+) was .* the selected ([^ ]+) in .*products=([^ ]+) if.*/\1 \2 \3/p' \
        <<<"$warning")
      case "$faster" in
        "openblas $chosen openblas" | "onednn $chosen onednn")
          [ "${faster%% *}" != "$chosen" ] || fail "the chosen backend is its own rival: $warning" ;;
        *) fail "not another backend than $chosen: $warning" ;;
      esac
    fi
    # With a very slow OpenBLAS, the chosen backend itself is the fastest and must not be reported.
    OPENBLAS_CORETYPE=Prescott RETNET_FAULT=gemm.sample:1 must_train 1 rival "${small[@]}" train.steps=2
    if grep -E 'machine ([^ ]+) was .* the selected \1 in' rival.log; then
      fail "the chosen backend is its own rival: $(cat rival.log)"
    fi
    # bf16 has only one backend.
    RETNET_FAULT=gemm.sample:1 must_train 1 alone "${small[@]}" train.steps=2 train.precision=bf16
    if grep -q '"products": "[a-z]* bf16"' alone/summary.json && grep -q 'times as fast' alone.log; then
      fail "products in bf16 are compared with those in fp32: $(cat alone.log)"
    fi
    need_bf16 bf16
    # Either all ranks use bf16 or none; here one of two does not support it.
    mixed=("$bin/retnet-train" run.yaml -s run.dir=mixed -s train.precision=bf16 -s train.steps=2)
    "${mpmd[@]}" "${mixed[@]}" + env ONEDNN_MAX_CPU_ISA=AVX2 "${mixed[@]}" >mixed.log 2>&1 ||
      fail "bf16 on one rank of two: $(tail -n 3 mixed.log)"
    [ "$(grep -c 'bf16: rank 1 on .*no bf16 instructions; matrix products use fp32' mixed.log)" = 1 ] ||
      fail "the rank without bf16 is not named once: $(cat mixed.log)"
    if grep -q '"products": "[a-z+]* bf16"' mixed/summary.json; then fail 'ranks mix bf16 and fp32'; fi
    must_train 1 fp32 "${small[@]}"
    # Mean over the last 20 steps: the loss of single steps varies by up to 3 % with the text.
    loss_of() {
      tail -n 20 "$1/metrics.jsonl" | sed 's/.*"loss": \([0-9.]*\).*/\1/' |
        awk '{ sum += $1 } END { print sum / NR }'
    }
    awk -v a="$(loss_of fp32)" -v b="$(loss_of bf16)" \
      'BEGIN { exit !(a > 0 && b > 0.99 * a && b < 1.01 * a) }' ||
      fail "loss $(loss_of bf16) in bf16, $(loss_of fp32) in fp32"
    ;;
  launches)
    one=("$bin/retnet-train" run.yaml -s run.dir=new)
    refuse_once 2 'wrong launch' env OMPI_COMM_WORLD_SIZE=4 "${one[@]}"
    refuse_once 2 'wrong launch' env SLURM_STEP_NUM_TASKS=4 "${one[@]}"
    # If OpenBLAS does not know the CPU, kernels must be chosen, and this must be reported once.
    RETNET_FAULT=blas.core:1 must_train 2 anew train.steps=3
    [ "$(grep -c 'OpenBLAS uses .* kernels instead of the .* kernels' anew.log)" = 1 ] || fail "not told once: $(cat anew.log)"
    # A single rank sends no messages and must not start a communication thread, even if asked to.
    must_train 1 alone train.steps=1 parallel.comm_thread=on
    grep -q ', no communication, MPI_' alone.log || fail "messages of one rank: $(cat alone.log)"
    OPENBLAS_CORETYPE=Prescott must_train 1 slow train.steps=3
    grep -q 'unset OPENBLAS_CORETYPE' slow.log || fail "a slow core type is not named: $(cat slow.log)"
    OMPI_COMM_WORLD_SIZE=4 "${one[0]}" --help >/dev/null || fail '--help minds the launch'
    # A message of all ranks must be printed by only one of them, also before MPI is started.
    two=(mpirun -n 2 --oversubscribe --bind-to none)
    for program in train data eval generate ckpt bench; do
      refuse_once 2 --nonsense "${two[@]}" "$bin/retnet-$program" --nonsense
    done
    "${two[@]}" "$bin/retnet-train" --help >help 2>&1 || fail "--help of two ranks: $(tail -n 3 help)"
    [ "$(grep -c '^usage: ' help)" = 1 ] || fail '--help is printed more than once'
    # srun does not end the other ranks when one ends: one rank of each node must print an error that
    # rank 0 may not have.
    for rank in 1 2 3; do
      env SLURM_JOB_ID=$$ SLURM_STEP_ID=0 SLURM_STEP_NUM_TASKS=4 SLURM_PROCID=$rank "${one[0]}" \
        --nonsense >>srun.log 2>&1 &
    done
    refuse 2 --nonsense "${mpmd[@]}" "${one[@]}" + "${one[0]}" --nonsense # only rank 1 has the error
    wait
    [ "$(grep -c 'rank [123]: .*--nonsense' srun.log)" = 1 ] || fail "not told once: $(cat srun.log)"
    # Programs with one process: only one rank works, or none.
    refuse_once 0 'only rank 0 does the work' "${two[@]}" "$bin/retnet-data" build --out twice \
      --val-fraction 0 run.yaml
    [ "$(grep -c '^twice: 1 documents' refused.log)" = 1 ] || fail "built by two ranks: $(cat refused.log)"
    refuse_once 0 'only rank 0 does the work' "${two[@]}" "$bin/retnet-ckpt" list anew
    [ "$(grep -c ' checkpoint$' refused.log)" = 1 ] || fail "listed by two ranks: $(cat refused.log)"
    refuse_once 2 'wrong launch' "${two[@]}" "$bin/retnet-generate" --checkpoint anew
    RETNET_FAULT=mpi.level:1 refuse_once 1 'parallel.comm_thread' "${launch[@]}" "${one[@]}" -s parallel.comm_thread=on
    refuse_once 1 'configuration' "${mpmd[@]}" "${one[@]}" + "${one[@]}" -s run.seed=2
    ;;
  binding)
    # If mpirun binds two threads to one core, a warning must name the option that fixes it; without
    # such a binding there must be none.
    must_train 1 unbound train.steps=1 parallel.threads=1
    if grep -q -- '--bind-to' unbound.log; then fail "a binding where there is none: $(cat unbound.log)"; fi
    [ "$(env -u OMP_NUM_THREADS nproc)" -gt 1 ] || skip 'two threads cannot be bound to one core where there is only one'
    mpirun -n 1 --bind-to core "$bin/retnet-train" run.yaml -s run.dir=bound -s train.steps=1 \
      -s parallel.threads=2 >bound.log 2>&1 || fail "bound: $(tail -n 3 bound.log)"
    grep -q -- '--bind-to none' bound.log || fail "a binding is not named: $(cat bound.log)"
    # Two threads must have a core each: by default, and if OpenMP binds them, even if the kernels of
    # OpenBLAS had to be chosen for an unknown CPU.
    spread() { # spread NAME VARIABLE=VALUE...: runs two threads, which must be bound to two cores
      env "${@:2}" "$bin/retnet-train" run.yaml -s run.dir="$1" -s parallel.threads=2 >"$1.log" 2>&1 &
      pid=$!
      reach "$1" steps 3
      # A thread that saves may end meanwhile.
      cores=$({ cat /proc/"$pid"/task/*/status 2>/dev/null || true; } | sed -n 's/^Cpus_allowed_list:[[:space:]]*\([0-9]*\)$/\1/p' |
        sort -u | wc -l)
      kill -TERM "$pid"
      ended 0 "$1"
      [ "$cores" = 2 ] || fail "two threads of $1 are bound to $cores cores"
    }
    spread default
    grep -q 'bound to cores' default.log || fail "where threads are is not told: $(cat default.log)"
    spread close OMP_PROC_BIND=close OMP_NUM_THREADS=2
    grep -q 'bound by OMP_PROC_BIND=close' close.log || fail "who places threads is not told: $(cat close.log)"
    spread forced OMP_PROC_BIND=close OMP_NUM_THREADS=2 RETNET_FAULT=blas.core:1
    must_train 2 shared train.steps=1 parallel.threads=2
    grep -q 'not bound: 2 ranks share' shared.log || fail "ranks that share cores: $(cat shared.log)"
    ;;
  *)
    fail "no such case: $case"
    ;;
esac
finish
