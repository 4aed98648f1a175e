#!/usr/bin/env bash
# Checks the guard against loss spikes (train.spike_action) and what it stores in checkpoints, and
# the checks for silent bit flips (train.check_replicas_every).
# usage: guards.sh BIN CASE
set -euo pipefail
bin=$1 case=$2
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

seq -f 'line %g of some plain text for a tiny model' 1 900 >text.txt
"$bin/retnet-data" build --out data --val-fraction 0 text.txt >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN}
model: {layers: 1, dim: 32, value_dim: 64, ffn_dim: 48, heads: 2}
data: {dir: data, sequence_length: 64, batch_sequences: 4}
optimizer: {lr: 2e-3, warmup_steps: 2, schedule: constant}
train: {steps: 16, eval_every: 0, max_bad_steps: 4, spike_window: 8}
checkpoint: {every: 4}
YAML

skipped() { # skipped DIR STEPS: metrics.jsonl must mark exactly these steps as skipped
  local got
  got=$(sed -n 's/^{"step": \([0-9]*\),.*"skipped": true.*/\1/p' "$1/metrics.jsonl" | tr '\n' ' ')
  [ "$got" = "${2:+$2 }" ] || fail "$1 skips the steps $got, not $2"
}

case $case in
  skip)
    # A spike leaves the weights, the moments and the window as if the step had not been applied,
    # like a step whose loss is NaN. With the default, a spike changes nothing.
    ends 0 step.loss:9 nan train.spike_action=skip
    ends 0 step.spike:9 spike train.spike_action=skip
    same_content nan spike
    skipped spike 9
    says spike 'step 9: the loss is' 'train.spike_sigma' 'SKIPPED (spike)'
    grep -q '"step": 9,.*"loss": [0-9].*"spike": true' spike/metrics.jsonl ||
      fail "the loss of the spike is not recorded: $(sed -n 9p spike/metrics.jsonl)"
    told nan/metrics.jsonl | sed 9d >a
    told spike/metrics.jsonl | sed 9d >b
    cmp -s a b || fail "the steps around a spike differ: $(diff a b | head -n 4)"
    ends 0 none plain
    ends 0 step.spike:9 off
    same_content plain off
    skipped off ''
    # A run that spikes for ever ends, and so does the first spike with action stop. Nothing is saved
    # after a spike.
    ends 4 step.spike:11- ever train.spike_action=skip
    says ever 'norm was a spike in 4 consecutive steps' 'train.max_bad_steps' \
      'the last good checkpoint is ever/checkpoints/step-00000008'
    ends 4 step.spike:13- stop train.spike_action=stop
    says stop 'step 13: the loss is' 'the last good checkpoint is stop/checkpoints/step-00000008'
    [ ! -e stop/checkpoints/step-00000012 ] || fail 'weights that gave a spike are saved'
    ;;
  resume)
    # With a threshold this low, the decisions depend on every value in the window. They must be the
    # same on any layout, and after a resume in the middle of the window.
    keys=(train.spike_action=skip train.spike_sigma=0.7 train.max_bad_steps=50 optimizer.lr=1e-5
      run.reproducible=true train.steps=15)
    must_train 1 one "${keys[@]}"
    grep -q '"spike": true' one/metrics.jsonl || fail 'no spike: this test sees nothing'
    must_train 2 two "${keys[@]}" parallel.data=2
    must_train 4 four "${keys[@]}" parallel.pipeline=1 parallel.data=2 parallel.sequence=2
    same_run one two
    same_run one four
    must_train 2 piece "${keys[@]}" parallel.sequence=2 train.steps=9
    must_train 1 piece "${keys[@]}"
    same_run one piece
    ;;
  rollback)
    # The run ends in the state of a run that never saw the batches from the checkpoint up to the
    # spike, here steps 5 to 8; the learning rate is constant. The TBPTT states start from zero.
    keys=(train.spike_action=rollback train.spike_window=4 run.reproducible=true train.steps=12)
    carried=(data.carry_state=true data.reset_at_documents=false)
    for more in data.carry_state=false "${carried[*]}"; do
      read -ra more <<<"$more"
      ends 0 step.loss:5-8 never run.reproducible=true train.max_bad_steps=9 "${more[@]}"
      ends 0 step.spike:8 rolled "${keys[@]}" "${more[@]}"
      "$bin/retnet-ckpt" diff --weights never rolled >diff.log 2>&1 ||
        fail "a rollback, ${more[*]}: $(head -n 3 diff.log)"
      rm -r never
      mv rolled "rolled${#more[@]}"
    done
    says rolled 'rolled back from step 8 to checkpoint rolled/checkpoints/step-00000004' \
      'skipping 4 batches (rollback 1; train.max_rollbacks is 10)'
    got=$(sed 's/^{"step": \([0-9]*\),.*/\1/' rolled1/metrics.jsonl | tr '\n' ' ')
    [ "$got" = '1 2 3 4 5 6 7 8 9 10 11 12 ' ] || fail "lines after a rollback: $got"
    grep -q '"step": 5,.*"rolled_back_from": 8' rolled1/metrics.jsonl ||
      fail "the rollback is not recorded: $(sed -n 5p rolled1/metrics.jsonl)"
    # A run that is stopped before the spike, and goes on with another layout, does the same: it does
    # not return to the checkpoint of the stop.
    ends 0 none pieces "${keys[@]}" train.steps=6
    RETNET_FAULT=step.spike:2 must_train 2 pieces "${keys[@]}"
    same_run rolled1 pieces
    # If the checkpoint to return to is damaged, the run returns to the one before.
    ends 0 none damaged "${keys[@]}" train.steps=9
    printf x | dd of=damaged/checkpoints/step-00000008/part-00000.zst bs=1 seek=99 conv=notrunc \
      status=none
    cp -r damaged again
    ends 0 step.spike:2 damaged "${keys[@]}"
    says damaged 'step-00000008 is damaged; trying the previous one' \
      'rolled back from step 11 to checkpoint damaged/checkpoints/step-00000004'
    # Rollbacks to one checkpoint replace each other's lines in metrics.jsonl. The last line has their
    # number, and the report shows it.
    ends 0 step.spike:10-12 counted "${keys[@]}"
    grep -q '"step": 9,.*"rolled_back_from": 9, "rollbacks": 3' counted/metrics.jsonl ||
      fail "three rollbacks: $(sed -n 9p counted/metrics.jsonl)"
    "$bin/retnet-report" --out counted.html counted
    grep -q 'rollbacks to an earlier step</th><td data-run="0">3<' counted.html ||
      fail "the report: $(grep -o 'rolled back[^<]*' counted.html)"
    # After a rollback `latest` does not name a checkpoint that was renamed, and none of the steps that
    # were undone has a checkpoint, even if a save left the replaced one.
    cp -r again/checkpoints/step-00000009 again/checkpoints/step-00000009.old
    ends 4 step.spike:2- again "${keys[@]}" train.max_rollbacks=1
    [ "$(cat again/checkpoints/latest)" = step-00000004 ] || fail "latest: $(cat again/checkpoints/latest)"
    "$bin/retnet-ckpt" list again >list.log
    if grep -v '\.bad' list.log | grep 'step-0000000[5-9]'; then fail "$(cat list.log)"; fi
    # A rollback comes before the limit of bad steps, which ends the run if there is no checkpoint.
    ends 0 step.spike:8 limited "${keys[@]}" train.max_bad_steps=1
    same_content rolled1 limited
    ends 4 step.spike:4 first "${keys[@]}" train.max_bad_steps=1
    says first 'there is no earlier good checkpoint' 'train.max_bad_steps'
    # Without a checkpoint the step is skipped. A run that spikes for ever ends.
    ends 0 step.spike:4 early "${keys[@]}" train.steps=6
    says early 'there is no earlier good checkpoint to roll back to'
    skipped early 4
    ends 4 step.spike:8- ever "${keys[@]}" train.max_rollbacks=2
    says ever 'step 5: another loss spike after 2 rollbacks (train.max_rollbacks)' \
      'the last good checkpoint is ever/checkpoints/step-00000004'
    refuse 2 'checkpoint.every' "$bin/retnet-train" run.yaml -s run.dir=x -s checkpoint.every=0 \
      -s train.spike_action=rollback
    ;;
  replicas)
    # The checks do not change a run, in any layout of copies.
    must_train 2 plain parallel.data=2
    must_train 2 checked parallel.data=2 train.check_replicas_every=1
    same_run plain checked
    must_train 2 copies parallel.data=2 train.check_replicas_every=3 parallel.share_weights=off
    same_run plain copies
    # A bit that flips in one rank is found before the next update, and its place is named. No state
    # after the flip is saved.
    while read -r site rank words; do
      keys=(run.dir="$site$rank" parallel.data=2 parallel.share_weights=off
        train.check_replicas_every=1 checkpoint.every=4)
      key_options "${keys[@]}"
      of=(env "RETNET_FAULT=replica.$site:8" "$bin/retnet-train" run.yaml "${keys[@]}")
      plain=("$bin/retnet-train" run.yaml "${keys[@]}")
      got=0
      if [ "$rank" = 0 ]; then
        "${mpmd[@]}" "${of[@]}" + "${plain[@]}" >"$site$rank.log" 2>&1 </dev/null || got=$?
      else
        "${mpmd[@]}" "${plain[@]}" + "${of[@]}" >"$site$rank.log" 2>&1 </dev/null || got=$?
      fi
      [ "$got" = 1 ] || fail "$site $rank ended with $got, not 1: $(tail -n 3 "$site$rank.log")"
      says "$site$rank" "$words" "after step 8 (rank $rank, host $(uname -n)): a bit has flipped" \
        "the last good checkpoint is $site$rank/checkpoints/step-00000004"
      [ ! -e "$site$rank/checkpoints/step-00000008" ] || fail "$site $rank: a damaged state is saved"
    done <<'SITES'
weight 0 corrupted in memory
copy 0 this copy of the weights of
copy 1 this copy of the weights of
moment 1 the first moments of
gradient 1 two exchanges of the gradient of
SITES
    # The last step is checked too, and a single rank checks its memory.
    ends 1 replica.weight:16 last train.check_replicas_every=1
    says last 'corrupted in memory after step 16 (rank 0, host'
    ;;
  *)
    fail "no such case: $case"
    ;;
esac
finish
