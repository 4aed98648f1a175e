#!/usr/bin/env bash
# Checks that only one job at a time writes to a run.dir. A second job is refused with a message that
# names the owner, readers are not disturbed, a killed owner is replaced at once, and a job that has
# lost the lock stops without writing. A job that waits for an owner can be stopped.
# usage: owner.sh BIN
set -euo pipefail
bin=$1
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

seq -f 'line %g of some plain text for a tiny model' 1 900 >text.txt
"$bin/retnet-data" build --out data --val-fraction 0.1 text.txt >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN}
model: {layers: 1, dim: 32, value_dim: 64, ffn_dim: 48, heads: 2}
data: {dir: data, sequence_length: 64, batch_sequences: 4}
optimizer: {lr: 2e-3, warmup_steps: 2, decay_steps: 40}
train: {steps: 40, eval_every: 0}
checkpoint: {every: 5}
YAML
one=("$bin/retnet-train" run.yaml)

# start_owner [FAULT]: starts a run that lasts until it is stopped; its process is $owner. Without
# FAULT, each step from step 6 on takes half a second longer.
start_owner() {
  RETNET_FAULT=${1:-read data:6-:slow=500} "${one[@]}" -s train.steps=1000000 >owner.log 2>&1 &
  owner=$!
  for _ in $(seq 600); do
    compgen -G 'RUN/checkpoints/step-????????' >checkpoints.log && return
    sleep 0.1
  done
  fail "no checkpoint: $(tail -n 3 owner.log)"
}

start_owner
refuse 1 "process $owner on " "${one[@]}"
refuse 1 "process $owner on " mpirun -n 2 --oversubscribe "${one[@]}"
[ "$(grep -c 'is in use by' refused.log)" = 1 ] || fail "told more than once: $(cat refused.log)"
refuse 1 "process $owner on " "$bin/retnet-ckpt" prune RUN --keep-last 1
for reader in "retnet-eval --checkpoint RUN --data data" "retnet-ckpt show RUN" \
  "retnet-ckpt verify RUN" "retnet-ckpt list RUN" "retnet-train run.yaml --plan" \
  "retnet-generate --checkpoint RUN --prompt a --tokens 3" \
  "retnet-ckpt export RUN --format torchscale --out exported.safetensors"; do
  # shellcheck disable=SC2086
  "$bin"/$reader >reader.log 2>&1 || fail "$reader beside a live run: $(tail -n 2 reader.log)"
done
kill -USR1 "$owner"
wait "$owner" || fail "the first job: $(tail -n 3 owner.log)"
steps=$(grep -c '' RUN/metrics.jsonl)
[ "$(numbers step RUN/metrics.jsonl)" = "$(seq "$steps")" ] || fail 'lines are missing or doubled'
must_train 1 whole "train.steps=$steps"
same_run whole RUN
[ -z "$(find RUN -name 'lock*')" ] || fail "a lock is left: $(find RUN -name 'lock*')"

# Verifies a run while its owner removes a checkpoint: the others must be valid, and none may be
# called damaged.
cp -r whole pruned
newest=$(find pruned/checkpoints -maxdepth 1 -name 'step-*' | sort | tail -n 1)
[ "$newest" != "$(find pruned/checkpoints -maxdepth 1 -name 'step-*' | sort | head -n 1)" ] ||
  fail 'one checkpoint only'
RETNET_FAULT=file.read:1-:slow=100 "$bin/retnet-ckpt" verify pruned >verify.log 2>&1 &
verifier=$!
sleep 1
rm -r "$newest"
wait "$verifier" || fail "verify beside a prune: $(cat verify.log)"
grep -q ': ok' verify.log || fail "verify beside a prune: $(cat verify.log)"
if grep -q "damaged\|$newest" verify.log; then fail "verify beside a prune: $(cat verify.log)"; fi

# An option of prune that changes nothing is named.
prune=("$bin/retnet-ckpt" prune --keep-every 2)
"${prune[@]}" --keep-last 0 pruned >prune.log 2>&1 || fail "$(cat prune.log)"
grep -q '^warning: --keep-every has no effect' prune.log || fail "prune: $(cat prune.log)"
"${prune[@]}" --keep-last 9 pruned >prune.log 2>&1 || fail "$(cat prune.log)"
[ ! -s prune.log ] || fail "prune: $(cat prune.log)"

# After a kill, the next job must get the lock at once, not after the 60 s that a job on another host
# waits. It trains to the next checkpoint.
rm -r RUN
start_owner
kill -KILL "$owner"
wait "$owner" 2>/dev/null || true
[ -e RUN/lock ] || fail 'a killed run leaves no lock'
steps=$((($(grep -c '' RUN/metrics.jsonl) / 5 + 1) * 5))
timeout 50 "${one[@]}" -s "train.steps=$steps" >next.log 2>&1 || fail "after a kill: $(tail -n 3 next.log)"
must_train 1 unkilled "train.steps=$steps"
same_run unkilled RUN

# If the lock was removed or belongs to another job, the job must end with exit code 1 and save no
# more.
take_lock() {
  sed 's/^kernel .*/kernel elsewhere/; s/^host .*/host far/' RUN/lock >RUN/lock.other
  mv RUN/lock.other RUN/lock
}
for how in removed taken; do
  rm -r RUN
  start_owner
  case $how in
    removed) rm RUN/lock ;;
    taken) take_lock ;;
  esac
  got=0
  wait "$owner" || got=$?
  [ "$got" = 1 ] || fail "$how: ended with $got: $(tail -n 3 owner.log)"
  grep '^error: ' owner.log | grep -q 'lost its lock RUN/lock' || fail "$how: $(tail -n 3 owner.log)"
done
grep -q 'on far, since' owner.log || fail "the new owner is not named: $(tail -n 3 owner.log)"
[ -e RUN/lock ] || fail "another's lock was removed"
cp RUN/lock silent

# A job that drops a save after it has lost the lock must not remove the new owner's unfinished save of
# the same step. The weights after step 5 are too large, so that the next steps are skipped.
rm -r RUN
"${one[@]}" -s train.steps=4 >owner.log 2>&1 || fail "four steps: $(tail -n 3 owner.log)"
RETNET_FAULT='read data:2-:slow=500' "${one[@]}" -s optimizer.lr=1e30 -s train.max_bad_steps=4 \
  >owner.log 2>&1 &
owner=$!
until [ -d RUN/checkpoints/step-00000005.tmp ] || ! kill -0 "$owner"; do sleep 0.05; done
kill -STOP "$owner"
cp silent RUN/lock.other
mv RUN/lock.other RUN/lock
kill -CONT "$owner"
got=0
wait "$owner" || got=$?
[ "$got" = 1 ] || [ "$got" = 4 ] || fail "a dropped save: ended with $got: $(tail -n 3 owner.log)"
grep -q 'SKIPPED' owner.log || fail "a dropped save: no step is skipped: $(tail -n 3 owner.log)"
[ -d RUN/checkpoints/step-00000005.tmp ] || fail "another's save was removed: $(tail -n 3 owner.log)"

# If the lock is lost after the last checkpoint, the lines that could not be written before must not
# go to the files of the new owner, and summary.json must not be replaced. The job is suspended
# before it writes the summary; meanwhile its files become writable again and the lock changes hands.
rm -r RUN
start_owner summary:1:stop
mkdir kept
for file in RUN/metrics.jsonl RUN/events.out.tfevents.*; do
  ln "$file" kept
  ln -s missing/file link
  mv -fT link "$file"
done
for _ in $(seq 600); do
  if grep -q 'failed writes of metrics so far' owner.log; then break; fi
  sleep 0.1
done
kill -USR1 "$owner"
for _ in $(seq 600); do
  if grep -q '^State:.*stopped' "/proc/$owner/status"; then break; fi
  sleep 0.1
done
grep -q 'stopped after step' owner.log || fail "not suspended: $(tail -n 3 owner.log)"
for file in kept/*; do mv "$file" "RUN/${file#kept/}"; done
take_lock
content() { find RUN -type f -exec cksum {} + | sort; }
content >before
kill -CONT "$owner"
got=0
wait "$owner" || got=$?
[ "$got" = 1 ] || fail "lost at the end: ended with $got: $(tail -n 3 owner.log)"
grep '^error: ' owner.log | grep -q 'lost its lock RUN/lock' || fail "lost at the end: $(tail -n 3 owner.log)"
content | cmp -s - before || fail "a job without the lock wrote: $(content | diff before -)"

# A job that waits for a silent owner on another host must stop as soon as any rank is asked to. It
# trains nothing, and the owner keeps the lock.
rm -r RUN/metrics.jsonl RUN/checkpoints
cp RUN/lock silent
for how in 'USR1 0' 'TERM 75' 'rank 0'; do
  code=${how#* }
  launch=()
  if [ "${how% *}" = rank ]; then launch=(mpirun -n 2 --oversubscribe --bind-to none); fi
  start RUN "run.requeue_exit=$([ "$code" = 75 ] && echo true || echo false)"
  reach RUN words 'waiting for a heartbeat of the owner'
  case ${how% *} in
    rank) kill -TERM "$(pgrep -P "$pid" retnet-train | tail -n 1)" ;;
    *) kill "-${how% *}" "$pid" ;;
  esac
  ended "$code" RUN "stopped by $how while it waits for a lock"
  has_words RUN 'stopped before the first step' || fail "$how: $(cat RUN.log)"
  [ ! -e RUN/metrics.jsonl ] || fail "$how: trained"
  cmp -s silent RUN/lock || fail "$how: the lock has changed"
done

# A finished run must say so when it is started again.
rm -r RUN
"${one[@]}" >whole.log 2>&1
"${one[@]}" >again.log 2>&1 || fail "a finished run: $(tail -n 3 again.log)"
grep -q 'already at step 40' again.log || fail "a finished run: $(cat again.log)"
finish
