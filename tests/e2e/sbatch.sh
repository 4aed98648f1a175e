#!/usr/bin/env bash
# Checks what jobs/train.sbatch does after a job has ended, with substitutes for SLURM's commands: it
# must requeue even if the controller does not answer or the launcher ends with 0 too early, and refuse
# keys that the script itself sets.
# usage: sbatch.sh BIN
set -euo pipefail
bin=$1
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/e2e/common.sh
source "$here/common.sh"

mkdir stub
# NAME.answers has a line for each call: exit code and output; the last line is used for all further
# calls.
for name in squeue scontrol; do
  cat >"stub/$name" <<EOF
#!/bin/sh
echo "\$@" >>$work/$name.calls
[ ! -e $work/$name.hook ] || . $work/$name.hook
read -r code words <$work/$name.answers
[ "\$(wc -l <$work/$name.answers)" = 1 ] || sed -i 1d $work/$name.answers
[ -z "\$words" ] || echo "\$words"
exit "\$code"
EOF
done
cat >stub/srun <<EOF
#!/bin/sh
echo "\$@" >>$work/srun.calls
mkdir -p RUN/checkpoints/step-0000000\$(cat $work/srun.step)
printf 'train:\n  steps: 9\n' >RUN/config.yaml
[ ! -e $work/srun.last ] || . $work/srun.last
exit "\$(cat $work/srun.code)"
EOF
printf '#!/bin/sh\n' >stub/sleep
mkdir -p build/bin
cp stub/sleep build/bin/retnet-train
chmod +x stub/* build/bin/*
touch run.yaml

end_time=4000000000
# piece NAME CODE SQUEUE SCONTROL WANT REQUEUES [ARGUMENT ...]: runs the script with a program that
# ends with CODE, and with these answers of squeue and scontrol. It must end with WANT after REQUEUES
# calls of scontrol requeue.
piece() {
  local name=$1 want=$5 requeues=$6 got=0
  echo "$2" >srun.code
  printf '%b\n' "$3" >squeue.answers
  printf '%b\n' "$4" >scontrol.answers
  shift 6
  rm -rf RUN ./*.calls
  touch scontrol.calls srun.calls
  PATH=$work/stub:$PATH SLURM_SUBMIT_DIR=$work SLURM_JOB_ID=7 SLURM_JOB_NODELIST=here \
    SLURM_JOB_END_TIME=$end_time \
    timeout 60 bash "${train:-$here/../../jobs/train.sbatch}" "$@" >"$name.log" 2>&1 || got=$?
  [ "$got" = "$want" ] || fail "$name ended with $got, not $want: $(tail -n 3 "$name.log")"
  [ "$(grep -c '^requeue 7' scontrol.calls)" = "$requeues" ] ||
    fail "$name: not $requeues calls of scontrol requeue: $(cat scontrol.calls "$name.log")"
}

echo 8 >srun.step
piece lost 0 '0 RUNNING' 0 0 1
echo 9 >srun.step
piece stopped 75 '0 RUNNING' 0 0 1
piece finished 0 '0 RUNNING' 0 0 0
# A wrong path is an error, and not tried again.
RETNET_PROGRAMS=nowhere piece noprogram 132 '0 RUNNING' 0 2 0
RETNET_CONFIG=nowhere piece noconfig 75 '0 RUNNING' 0 2 0
piece watchdog 3 '0 RUNNING' 0 0 1
# A signal when the launcher ends: the exit code must not be lost, as bash's wait may lose it.
# shellcheck disable=SC2016 # expanded by the substitute
echo 'trap "" USR1; kill -USR1 "$PPID" &' >srun.last
for _ in {1..20}; do piece ended 75 '0 RUNNING' 0 0 1; done
# shellcheck disable=SC2016
echo 'trap "" TERM; kill -TERM "$PPID"' >srun.last
for _ in {1..20}; do piece cancelled 75 '0 RUNNING' 0 75 0; done
rm srun.last
POSIXLY_CORRECT=1 piece posix 75 '0 RUNNING' 0 0 1
# A signal before the launcher is started.
end_time='' # so that the script asks squeue
for signal in USR1 TERM; do
  echo "kill -$signal \$PPID" >squeue.hook
  piece "before$signal" 0 '0 N/A\n0 RUNNING' 0 "$([ $signal = TERM ] && echo 75 || echo 0)" \
    "$([ $signal = TERM ] && echo 0 || echo 1)"
  [ ! -s srun.calls ] || fail "started after $signal: $(cat srun.calls)"
  rm squeue.hook
done
end_time=4000000000
# An error of srun itself must not look like an error of the run.
# shellcheck disable=SC2016 # expanded by the substitute
echo 'exit "$SLURM_EXIT_ERROR"' >srun.last
piece srun 0 '0 RUNNING' 0 0 1
rm srun.last
# sweep.sbatch runs this file in the shared folder: editing it must not disturb a job.
cp "$here/../../jobs/train.sbatch" shared.sbatch
echo "echo '# changed' >$work/shared.sbatch" >srun.last
train=shared.sbatch piece edited 75 '0 RUNNING' 0 0 1
rm srun.last
# A run that is beyond a lower train.steps does not write its configuration.
echo 8 >srun.step
piece lower 0 '0 RUNNING' 0 0 0 -s train.steps=7
echo 9 >srun.step
piece killed 137 '0 RUNNING' 0 0 1
for code in 1 2 4; do
  piece "failed$code" $code '0 RUNNING' 0 $code 0
done
for state in CANCELLED TIMEOUT COMPLETING; do
  piece "ending$state" 75 "0 $state" 0 75 0
done
piece busy 75 '1\n0\n1\n0 RUNNING' '1\n1\n0' 0 3
piece late 75 '1\n0\n0 CANCELLED' 0 75 0
piece silent 75 '1' 0 0 1
piece refused 75 '0 RUNNING' '1' 75 60
grep -q 'submit it again' refused.log || fail "a requeue that fails: $(cat refused.log)"

# SLURM requeues the job, and ends the script and scontrol before scontrol has the answer, or the answer
# is lost.
# shellcheck disable=SC2016 # expanded by the substitute
echo 'kill -TERM "$PPID" $$' >scontrol.hook
piece terminated 75 '0 RUNNING' 0 0 1
# The first request is lost, and then the user cancels the job: it must not be requeued.
piece cancelled_late 75 '0 RUNNING' 1 0 1
rm scontrol.hook
piece unanswered 75 '0 RUNNING\n0 PENDING' 1 0 1

# mpirun must not get TERM from the script, because SLURM sends it TERM too. This substitute waits until
# the script has set its trap.
cat >stub/mpirun <<EOF
#!/bin/bash
for name in TERM USR1; do trap "echo \$name >>$work/heard; trap '' TERM USR1; exit 75" \$name; done
until ((16#\$(sed -n 's/^SigCgt:[[:space:]]*//p' /proc/\$PPID/status) >> 14 & 1)); do :; done
kill -TERM \$PPID
read -r -t 500 <>$work/never
EOF
mkfifo never
chmod +x stub/mpirun
RETNET_LAUNCHER=mpirun piece cancelled 75 '0 RUNNING' 0 75 0
[ "$(cat heard)" = USR1 ] || fail "mpirun gets $(cat heard) for TERM"

for key in run.dir=other run.requeue_exit=false; do
  piece "${key%=*}" 0 '0 RUNNING' 0 2 0 -s "$key"
  [ ! -s srun.calls ] || fail "$key is not refused before the start"
  grep -q "$key" "${key%=*}.log" || fail "$key is not named: $(cat "${key%=*}.log")"
done
piece keys 0 '0 RUNNING' 0 0 0 -s train.steps=9
grep -q ' -s train.steps=9$' srun.calls || fail "arguments are not passed on: $(cat srun.calls)"
finish
