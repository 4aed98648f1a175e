#!/usr/bin/env bash
# Checks the scripts of jobs/ other than train.sbatch, with substitutes for the commands of the batch
# systems, for mpirun and for the programs: which options they pass, when they start a run again, and
# that they refuse what cannot work.
# usage: jobs.sh BIN
set -euo pipefail
# shellcheck disable=SC2034
bin=$1
here=$(dirname "$(realpath "$0")")
# shellcheck source=tests/e2e/common.sh
source "$here/common.sh"
jobs=$(realpath "$here/../../jobs")

# Each substitute writes its arguments to NAME.calls, and ends with the next line of NAME.codes; the
# last line is used for all further calls. It prints NAME.output, and runs the commands of NAME.hook first
# and of NAME.last last.
mkdir stub
for name in mpirun srun sbatch qsub qstat squeue scontrol retnet-report; do
  cat >"stub/$name" <<EOF
#!/bin/sh
echo "\${RETNET_SERIES:+series \$RETNET_SERIES }\${OMPI_MCA_plm_rsh_agent:-}\$@" >>$work/$name.calls
[ ! -e $work/$name.output ] || cat $work/$name.output
[ ! -e $work/$name.hook ] || . $work/$name.hook
[ -e $work/$name.codes ] || exit 0
read -r code <$work/$name.codes
[ "\$(wc -l <$work/$name.codes)" = 1 ] || sed -i 1d $work/$name.codes
[ ! -e $work/$name.last ] || . $work/$name.last
exit "\$code"
EOF
done
printf '#!/bin/sh\n[ ! -e %s/sleep.hook ] || . %s/sleep.hook\n' "$work" "$work" >stub/sleep
printf '#!/bin/sh\n' >stub/retnet-train
chmod +x stub/*
export PATH=$work/stub:$PATH RETNET_PROGRAMS=$work/stub
printf 'n1\nn1\n# a comment\nn2 slots=7\n' >hosts
touch run.yaml

# The scripts for a source tree print their help, and refuse an unknown option before they do anything.
for name in quickstart precision check_debian analyze check; do
  bash "$jobs/$name.sh" --help >help.log || fail "$name.sh --help: exit $?"
  grep -q "usage: jobs/$name.sh" help.log || fail "$name.sh --help: no usage"
  got=0
  bash "$jobs/$name.sh" --nonsense >help.log 2>&1 || got=$?
  [ "$got" = 2 ] || fail "$name.sh --nonsense: exit $got"
  grep -q 'unknown option --nonsense' help.log || fail "$name.sh --nonsense: $(tail -n 1 help.log)"
done

# script NAME WANT COMMAND...: runs the command without output and calls of earlier ones; it must end
# with WANT.
script() {
  local name=$1 want=$2 got=0
  shift 2
  rm -rf RUN ./*.calls
  timeout 60 "$@" >"$name.log" 2>&1 || got=$?
  [ "$got" = "$want" ] || fail "$name ended with $got, not $want: $(tail -n 3 "$name.log")"
}
calls() { if [ -e "$1.calls" ]; then wc -l <"$1.calls"; else echo 0; fi; }
must_call() { # must_call NAME COUNT [WORDS]: COUNT calls, the first of which contains WORDS
  [ "$(calls "$1")" = "$2" ] || fail "$1 was called $(calls "$1") times, not $2"
  [ -z "${3:-}" ] || head -n 1 "$1.calls" | grep -qF -- "$3" ||
    fail "$1 was not called with '$3': $(head -n 1 "$1.calls")"
}

# leaves STEP [COMMAND]: mpirun leaves a run of 9 steps with a checkpoint of STEP, and then runs COMMAND.
leaves() {
  printf '%s\n' "mkdir -p RUN/checkpoints/step-0000000$1" \
    "printf 'train:\\n  steps: 9\\n' >RUN/config.yaml" "${2:-}" >mpirun.hook
}

# hosts.sh: one line per host, with the number of ranks as slots.
# shellcheck disable=SC2016 # expanded by the substitute
leaves 9 '[ "$1" != --hostfile ] || cp "$2" hosts.seen'
train=(bash "$jobs/hosts.sh" --hosts hosts --ranks 3 --cores 4)
echo 0 >mpirun.codes
script finished 0 "${train[@]}" run.yaml -s train.steps=9
must_call mpirun 1 "--map-by slot:PE=4 --bind-to core $work/stub/retnet-train run.yaml -s run.dir=RUN -s run.requeue_exit=true -s train.steps=9"
[ "$(cat hosts.seen)" = $'n1 slots=3\nn2 slots=3' ] || fail "host file: $(cat hosts.seen)"
for code in 1 2 4 75; do
  echo "$code" >mpirun.codes
  script "code$code" "$code" "${train[@]}" run.yaml
  must_call mpirun 1
done
printf '137\n3\n0\n' >mpirun.codes
script again 0 "${train[@]}" run.yaml
must_call mpirun 3
# mpirun ends with 0 although the run has not reached train.steps, or has not removed its lock.
echo 0 >mpirun.codes
leaves 8
script early 1 "${train[@]}" run.yaml
must_call mpirun 4
# A run that is beyond a lower train.steps does not write its configuration.
script beyond 0 "${train[@]}" run.yaml -s train.steps=8
printf 'train:\n  steps: 7\n' >run.yaml
script lower 0 "${train[@]}" run.yaml
script extended 3 "${train[@]}" --once run.yaml -s train.steps=9
: >run.yaml
script earlyonce 3 "${train[@]}" --once run.yaml
leaves 9 'touch RUN/lock'
script locked 3 "${train[@]}" --once run.yaml
leaves 9 "touch -d @1 RUN/config.yaml; printf 'train:\\n  steps: 10\\n' >RUN/effective.yaml"
script edited 3 "${train[@]}" --once run.yaml
# A signal during the pause before a new start.
# shellcheck disable=SC2016 # expanded by the substitute
printf '%s\n' 'kill -TERM "$PPID"' >sleep.hook
script paused 3 "${train[@]}" run.yaml
must_call mpirun 1
rm sleep.hook
# Ranks of the last start are still alive, and change the lock twice.
leaves 9 'echo 1 >RUN/lock; echo 2 >lock.left; [ ! -e killed ] || rm RUN/lock; touch killed'
# shellcheck disable=SC2016 # expanded by the substitute
printf '%s\n' 'read -r left <lock.left; echo x >>sleep.calls; [ "$left" = 0 ] || echo $((left - 1)) >lock.left' \
  '[ "$left" = 0 ] || echo "$left" >>RUN/lock' >sleep.hook
printf '137\n0\n' >mpirun.codes
script alive 0 "${train[@]}" run.yaml
must_call sleep 3
must_call mpirun 2
grep -q 'still use RUN' alive.log || fail "a lock that changes: $(cat alive.log)"
rm sleep.hook mpirun.hook
# A signal at the moment when mpirun ends: the exit code must not be lost, as bash's wait may lose it.
# shellcheck disable=SC2016 # expanded by the substitute
printf '%s\n' 'trap "" USR1; kill -USR1 "$PPID" &' >mpirun.last
echo 75 >mpirun.codes
for _ in {1..20}; do script ended 75 "${train[@]}" run.yaml; done
rm mpirun.last
POSIXLY_CORRECT=1 script posix 75 "${train[@]}" run.yaml
# A signal before mpirun is started.
for signal in TERM USR1; do
  # shellcheck disable=SC2016 # expanded by the substitute
  printf '#!/bin/sh\nkill -%s $PPID\nexec /usr/bin/awk "$@"\n' "$signal" >stub/awk
  chmod +x stub/awk
  script "before$signal" 75 "${train[@]}" run.yaml
  must_call mpirun 0
done
rm stub/awk
echo 0 >mpirun.codes
script nothing 3 "${train[@]}" --once run.yaml
echo 137 >mpirun.codes
script stalled 1 "${train[@]}" run.yaml
must_call mpirun 3
script once 137 "${train[@]}" --once run.yaml
must_call mpirun 1
echo 75 >mpirun.codes
script resubmitted 0 "${train[@]}" --resubmit 'qsub again' run.yaml
must_call qsub 1 again
script quoted 0 "${train[@]}" --resubmit "qsub 'a  b'" run.yaml
must_call qsub 1 'a  b'
echo 1 >qsub.codes
script refused 75 "${train[@]}" --resubmit 'qsub again' run.yaml
grep -q 'submit the job again' refused.log || fail "a refused qsub: $(cat refused.log)"
rm qsub.codes
script key 2 "${train[@]}" run.yaml -s run.dir=other
script nohosts 2 bash "$jobs/hosts.sh" run.yaml
# A wrong path must not be tried again and again, which takes mpirun up to two minutes each time.
script noconfig 2 "${train[@]}" nowhere.yaml
grep -q 'the configuration nowhere.yaml' noconfig.log || fail "no configuration: $(cat noconfig.log)"
script noprogram 2 "${train[@]}" --programs nowhere run.yaml
grep -q 'no program nowhere/retnet-train' noprogram.log || fail "no program: $(cat noprogram.log)"
[ ! -e RUN ] || fail 'a refused start makes a run directory'
must_call mpirun 0

# A signal is forwarded, and then the run is not started again.
cat >stub/mpirun <<EOF
#!/bin/bash
for name in TERM USR1 USR2; do
  trap "echo \$name >>$work/heard; trap '' TERM USR1 USR2; exit 75" \$name # ignores a second signal
done
echo x >>$work/mpirun.calls
read -r -t 500 <>$work/never
EOF
mkfifo never
# True if hosts.sh, which is the process or its child, has set its last trap, and mpirun is started.
is_ready() { # is_ready PROCESS
  local process mask
  process=$(pgrep -f -P "$1" 'hosts\.sh ') || process=$1
  mask=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$process/status")
  [ -e mpirun.calls ] && ((16#${mask:-0} >> 11 & 1)) # USR2
}
# signalled NAME WANT PROCESS COMMAND...: starts the command and sends the signal $signal to the process,
# which is PID or, for all processes of the command, -PID. The command must end with WANT.
signalled() {
  local want=$2 process=$3 pid code=0
  rm -rf RUN heard ./*.calls
  setsid "${@:4}" >"$1.log" 2>&1 &
  pid=$!
  until is_ready "$pid" || ! kill -0 "$pid"; do /bin/sleep 0.1; done
  kill "-$signal" -- "${process/PID/$pid}"
  wait "$pid" || code=$?
  [ "$code" = "$want" ] || fail "$1: exit code $code, not $want: $(cat "$1.log" retnet-*.log)"
  [ -s heard ] || fail "$1: $signal was not forwarded"
}
# hosts.sh forwards TERM as USR1, because mpirun does not pass TERM on at once.
for signal in TERM USR1 USR2; do
  signalled "hosts$signal" "$([ "$signal" = TERM ] && echo 75 || echo 0)" PID \
    "${train[@]}" --resubmit 'qsub again' run.yaml
  [ "$(cat heard)" = "${signal/TERM/USR1}" ] || fail "mpirun gets $(cat heard) for $signal"
  must_call qsub "$([ "$signal" = TERM ] && echo 0 || echo 1)"
  # LSF sends signals to all processes of a job. It must not requeue the job after TERM.
  LS_SUBCWD=$work LSB_DJOB_HOSTFILE=$work/hosts LSB_JOBID=$signal RETNET_JOBS=$jobs signalled "lsf$signal" \
    "$([ "$signal" = TERM ] && echo 143 || echo 75)" -PID bash "$jobs/train.lsf"
done
# A closed terminal must not leave mpirun without hosts.sh. With nohup, HUP has no effect.
signal=HUP
signalled hostsHUP 75 PID "${train[@]}" run.yaml
[ "$(cat heard)" = USR1 ] || fail "mpirun gets $(cat heard) for HUP"
cp stub/srun stub/mpirun
sed -i 's/srun\./mpirun./g' stub/mpirun

# PBS submits itself again with the same series; LSF gets the exit code, and requeues the job.
printf 'n1\nn1\nn2\n' >nodes
export PBS_O_WORKDIR=$work PBS_NODEFILE=$work/nodes PBS_JOBID=12.server RETNET_JOBS=$jobs
echo 75 >mpirun.codes
RETNET_RUN_DIR=other script pbs 0 bash "$jobs/train.pbs"
must_call mpirun 1 "$work/stub/retnet-train run.yaml -s run.dir=other -s run.requeue_exit=true -s run.max_hours=11.8"
must_call qsub 1 'series 12.server -v RETNET_SERIES,RETNET_JOBS,RETNET_PROGRAMS,RETNET_RUN_DIR,RETNET_TRAIN_PBS '
grep -q " $jobs/train.pbs\$" qsub.calls || fail "the next job of PBS: $(cat qsub.calls)"
# The limit of the job, and a script whose path needs quotes.
echo '    Resource_List.walltime = 06:30:00' >qstat.output
mkdir 'a folder'
cp "$jobs/train.pbs" 'a folder'
RETNET_TRAIN_PBS="$work/a folder/train.pbs" script pbs_folder 0 bash 'a folder/train.pbs'
must_call mpirun 1 'run.max_hours=6.3'
grep -q "RETNET_TRAIN_PBS $work/a folder/train.pbs\$" qsub.calls || fail "a path with a space: $(cat qsub.calls)"
! grep -q warning pbs_folder.log || fail "a warning about the same script: $(cat pbs_folder.log)"
echo '# changed' >>'a folder/train.pbs'
script pbs_copy 0 bash 'a folder/train.pbs'
grep -q 'warning: the next job will run' pbs_copy.log || fail "an edited copy: $(cat pbs_copy.log)"
export LS_SUBCWD=$work LSB_DJOB_HOSTFILE=$work/nodes LSB_JOBID=13
script lsf 75 bash "$jobs/train.lsf"
must_call mpirun 1 'series 13 blaunch'
grep -q 'exit code 75' retnet-13.log || fail "the log of LSF: $(cat retnet-13.log)"
echo 137 >mpirun.codes
script lsf_killed 3 bash "$jobs/train.lsf"
[ "$(grep -c 'exit code' retnet-13.log)" = 2 ] || fail "not two starts in the log of LSF: $(cat retnet-13.log)"

# sweep.sbatch: the keys of the task; a requeue names the task and not the whole array.
export SLURM_JOB_END_TIME=4000000000
export SLURM_SUBMIT_DIR=$work SLURM_JOB_ID=20 SLURM_JOB_NODELIST=here SLURM_ARRAY_JOB_ID=20
export RETNET_TRAIN_SBATCH=$jobs/train.sbatch SLURM_ARRAY_TASK_ID=2
echo RUNNING >squeue.output
echo 75 >srun.codes
script sweep 0 bash "$jobs/sweep.sbatch" -s train.steps=9
must_call srun 1 '-s run.dir=SWEEP/2 -s run.requeue_exit=true -s optimizer.lr=1e-3 -s run.seed=1 -s train.steps=9'
must_call squeue 1 '-j 20_2'
must_call scontrol 1 'requeue 20_2'
SLURM_ARRAY_TASK_ID=9 script beyond 2 bash "$jobs/sweep.sbatch"
must_call srun 0
unset SLURM_ARRAY_TASK_ID SLURM_ARRAY_JOB_ID

# series.sh: each job depends on the one before. A job of a series does not requeue itself, and after
# an error, the next job does not start.
echo '31;cluster' >sbatch.output
script series 0 bash "$jobs/series.sh" 3 -s train.steps=9
must_call sbatch 3
sed -n 2p sbatch.calls | grep -q -- '--dependency=afternotok:31 --kill-on-invalid-dep=yes .*train.sbatch -s train.steps=9$' ||
  fail "the second job: $(sed -n 2p sbatch.calls)"
[ "$(sed 's/^series \([^ ]*\) .*/\1/' sbatch.calls | sort -u | wc -l)" = 1 ] || fail 'several series'
printf '0\n1\n' >sbatch.codes
script broken 1 bash "$jobs/series.sh" 3
grep -q 'submitted: 31$' broken.log || fail "a refused job: $(cat broken.log)"
for wrong in '' 0 -1 x; do script wrong 2 bash "$jobs/series.sh" $wrong; done
export RETNET_SERIES=s
script piece 75 bash "$jobs/train.sbatch"
must_call scontrol 0
echo 4 >srun.codes
script error 4 bash "$jobs/train.sbatch"
rm srun.calls
code=0
bash "$jobs/train.sbatch" >after.log 2>&1 || code=$?
[ "$code" = 4 ] || fail "the job after an error ended with $code: $(cat after.log)"
must_call srun 0
unset RETNET_SERIES

# eval.sbatch: one file per run, and a page for several; an error does not prevent the next run.
mkdir A B
printf '{"loss": 1.5\n' >srun.output
echo 0 >srun.codes
script torn 1 bash "$jobs/eval.sbatch" A
[ ! -e A/evaluation.json ] || fail 'half a result is kept'
printf '{"loss": 1.5}\n' >srun.output
printf '3\n0\n' >srun.codes
script eval 3 bash "$jobs/eval.sbatch" '[AB]'
must_call srun 2 'retnet-eval --checkpoint A --data data --json'
must_call retnet-report 1 '--out comparison.html A B'
[ ! -e A/evaluation.json ] || fail 'a failed evaluation left a result'
grep -q 1.5 B/evaluation.json || fail "no evaluation of B: $(cat eval.log)"
finish
