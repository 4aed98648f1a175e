#!/usr/bin/env bash
# Checks that saves are reported correctly. While steps are skipped, nothing is saved or pruned. A
# stop succeeds only if its state is on disk. A failed save does not end the run.
# usage: saves.sh BIN CASE
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
train: {steps: 8, eval_every: 0, max_bad_steps: 4}
checkpoint: {every: 4}
YAML

has() { # has DIR "STEP STEP ...": DIR must have exactly these checkpoints, all of them valid
  local dir=$1 got
  got=$(find "$dir/checkpoints" -name 'step-????????' -printf '%f\n' | sort |
    sed 's/step-0*//' | tr '\n' ' ')
  [ "$got" = "${2:+$2 }" ] || fail "$dir has checkpoints of $got, not of $2"
  [ -z "$2" ] || "$bin/retnet-ckpt" verify "$dir" >verify.log 2>&1 || fail "$dir: $(cat verify.log)"
}

# Keys of a run that lasts until it is stopped.
lasting=(train.steps=1000000 train.log_every=100 run.requeue_exit=true)

block() { # block DIR: replaces the checkpoints folder by a file; no save sees the folder missing
  local count=0
  touch blocked
  kill -STOP "$pid"
  until [ -f "$1/checkpoints" ]; do
    count=$((count + 1))
    mv "$1/checkpoints" "away$count"
    ln -T blocked "$1/checkpoints" 2>/dev/null || true
  done
  kill -CONT "$pid"
}

stop() { # stop CODE DIR
  kill -USR1 "$pid"
  ended "$@"
}

case $case in
  skipped)
    # Without asynchronous writes it is certain which step removes an older checkpoint.
    every2=(train.steps=100 checkpoint.every=2 checkpoint.keep_last=1 checkpoint.async=false)
    # Step 8 is the first bad one. The checkpoint of step 6 is good, because step 7 was.
    ends 4 step.loss:8- guard "${every2[@]}"
    says guard 'max_bad_steps' 'the last good checkpoint is guard/checkpoints/step-00000006'
    has guard 6
    ends 0 none guard "${every2[@]}" train.steps=12 optimizer.lr=1e-4
    # Step 9 is the first bad one. It used the weights of step 8, so that these must not be saved.
    for async in true false; do
      dir=held$async
      ends 4 step.loss:9- "$dir" "${every2[@]}" "checkpoint.async=$async"
      says "$dir" "the last good checkpoint is $dir/checkpoints/step-00000006"
      [ ! -e "$dir/checkpoints/step-00000008" ] || fail "$dir: a bad state is a checkpoint"
      ends 0 none "$dir" "${every2[@]}" train.steps=12 optimizer.lr=1e-4
    done
    # The weights saved at a stop have not yet been used in a step and may be bad, so an earlier
    # checkpoint is kept with them.
    ends 0 none stopped train.steps=8 checkpoint.every=0
    ends 0 none stopped train.steps=9 checkpoint.every=0 checkpoint.keep_last=1
    has stopped '8 9'
    ends 4 step.loss:1- stopped "${every2[@]}"
    says stopped 'the last good checkpoint is stopped/checkpoints/step-00000008' \
      'remove the later checkpoints (up to stopped/checkpoints/step-00000009)'
    rm -r stopped/checkpoints/step-00000009
    ends 0 none stopped "${every2[@]}" train.steps=12
    ends 4 step.loss:1- none "${every2[@]}"
    says none 'no checkpoint in none is known to be good'
    # A save that is due while steps are skipped is made after the next good step.
    ends 0 step.loss:4-5 later
    has later '6 8'
    # A run that ends with skipped steps has not saved its state. A resume must continue the carried
    # states.
    carried=(data.carry_state=true data.reset_at_documents=false train.steps=12)
    ends 0 none straight "${carried[@]}"
    ends 1 step.loss:10- cut "${carried[@]}"
    says cut 'step 12 is not saved: the last 3 steps were skipped' \
      '; the newest checkpoint on disk is cut/checkpoints/step-00000008'
    has cut '4 8'
    # A stop during a skipped step waits for the next good step, or until there are too many bad
    # steps.
    cp -r cut waits && cp -r cut guarded
    stop=(run.max_hours=1e-7 run.requeue_exit=true)
    ends 75 step.loss:1-2 waits "${carried[@]}" "${stop[@]}"
    has waits '4 8 11'
    ends 4 step.loss:1- guarded "${carried[@]}" "${stop[@]}" train.max_bad_steps=3
    has guarded '4 8'
    ends 0 none cut "${carried[@]}"
    same_run straight cut
    # A save that no good step has followed must be dropped at such an end.
    for async in true false; do
      dir=unproven$async
      ends 1 step.loss:9- "$dir" train.steps=12 train.max_bad_steps=9 "checkpoint.async=$async"
      says "$dir" 'step 12 is not saved: ' "; the newest checkpoint on disk is $dir/checkpoints/step-00000004"
      has "$dir" 4
      [ ! -e "$dir/checkpoints/step-00000008.tmp" ] || fail "$dir: a dropped save is left"
    done
    ;;
  stops)
    stop=(checkpoint.every=1 run.max_hours=1e-7 run.requeue_exit=true)
    for async in true false; do
      for site in write fsync manifest rename; do
        # If the save of the step at which the run stops fails, it is tried once more.
        dir=again$site$async
        ends 75 "ckpt.$site:1" "$dir" "${stop[@]}" "checkpoint.async=$async"
        has "$dir" 1
        ends 1 "ckpt.$site:1-" "$dir" "${stop[@]}" "checkpoint.async=$async"
        says "$dir" 'step 2 is not saved: ' "; the newest checkpoint on disk is $dir/checkpoints/step-00000001"
        has "$dir" 1
      done
    done
    ends 1 ckpt.write:1- nothing "${stop[@]}"
    says nothing 'step 1 is not saved: ' '; nothing contains no checkpoint' 'free some space'
    ends 1 ckpt.write:1- end train.steps=2
    says end 'step 2 is not saved: ' '; end contains no checkpoint'
    # If the state is on disk but older checkpoints cannot be removed, the run succeeds with a
    # warning.
    for site in latest prune; do
      ends 75 "ckpt.$site:1-" "$site" "${stop[@]}"
      says "$site" 'warning: step 1 is saved, but older checkpoints could not be pruned'
      has "$site" 1
    done
    RETNET_FAULT=ckpt.write:1- train 2 two "${stop[@]}" && fail 'two ranks: success without a save'
    says two 'step 1 is not saved: ' '; two contains no checkpoint'
    [ "$(grep -c 'contains no checkpoint' two.log)" = 1 ] || fail "said twice: $(cat two.log)"
    ;;
  failing)
    for error in EIO EDQUOT EROFS EFBIG; do
      ends 0 "ckpt.write:1-25:$error" "$error" checkpoint.every=1 train.steps=40
      [ "$(grep -c 'is not saved' "$error.log")" = 2 ] ||
        fail "$error: not the 1st and the 10th: $(grep 'is not saved' "$error.log")"
      says "$error" 'warning: step 1 is not saved' '10 failed saves so far' 'failed saves in a row: 25'
      has "$error" '38 39 40'
    done
    ends 0 ckpt.fsync:1:EIO fsync
    says fsync 'step 4 is not saved: cannot fsync' 'check the disk'
    ends 0 ckpt.prune:1-11 prune checkpoint.every=1 train.steps=14
    [ "$(grep -c 'could not be pruned: ' prune.log)" = 2 ] || fail "prune: $(cat prune.log)"
    has prune '12 13 14'
    # A save that fails at its end leaves no files: they would fill the disk, one save after another.
    for site in manifest rename; do
      ends 1 "ckpt.$site:2-" "$site" checkpoint.every=1 train.steps=10
      has "$site" 1
      [ "$(ls "$site/checkpoints")" = "$(printf '%s\n' latest step-00000001)" ] ||
        fail "$site: files of failed saves are left: $(ls "$site/checkpoints")"
    done
    # A checkpoint that cannot be read back is not saved, and the one before it stays.
    ends 0 ckpt.open:2:ENOENT unread checkpoint.every=2 checkpoint.keep_last=1 train.steps=5
    says unread 'step 4 is not saved: its checkpoint was written, but cannot be read back (' \
      '); the previous checkpoint is kept'
    has unread '2 5'
    grep -q '"failed": 1' unread/summary.json || fail "$(grep failed unread/summary.json)"
    ;;
  replaced)
    # A job was killed while it replaced its only checkpoint on a file system that cannot exchange two
    # folders. Programs that only read find the checkpoint; the next start restores its name.
    ends 0 none whole
    ends 0 none cut train.steps=4
    mv cut/checkpoints/step-00000004 cut/checkpoints/step-00000004.old
    cp -r cut/checkpoints/step-00000004.old cut/checkpoints/step-00000004.tmp
    for reader in "retnet-ckpt list cut" "retnet-ckpt verify cut" \
      "retnet-eval --checkpoint cut --data data/train"; do
      # shellcheck disable=SC2086
      "$bin"/$reader >reader.log 2>&1 || fail "$reader: $(tail -n 2 reader.log)"
    done
    cp -r cut pruned
    "$bin/retnet-ckpt" prune pruned >prune.log 2>&1 || fail "prune: $(cat prune.log)"
    [ "$(ls pruned/checkpoints)" = "$(printf '%s\n' latest step-00000004)" ] || fail "$(ls pruned/checkpoints)"
    ends 0 none cut train.steps=4
    says cut 'already at step 4'
    has cut 4
    ends 0 none cut
    says cut 'from step 4'
    same_run whole cut
    ;;
  limits)
    # ulimit -f limits files to 16 MB, but a checkpoint has 32 MB: saves must fail, without SIGXFSZ.
    large=(model.dim=512 model.value_dim=512 model.ffn_dim=1024 data.sequence_length=16)
    key_options run.dir=limited "${large[@]}" train.steps=6 checkpoint.every=2
    got=0
    (ulimit -f 16384 && exec timeout 120 "$bin/retnet-train" run.yaml "${keys[@]}") >limited.log 2>&1 || got=$?
    [ "$got" = 1 ] || fail "limited ended with $got, not 1: $(tail -n 2 limited.log)"
    says limited 'step 2 is not saved: cannot write limited/checkpoints/step-00000002.tmp/part' \
      'File too large' 'ulimit -f' 'step 6 is not saved: ' '; limited contains no checkpoint'
    has limited ''
    # Files of a failed save would use the space that the next save needs.
    [ -z "$(ls limited/checkpoints)" ] || fail "files of failed saves are left: $(ls limited/checkpoints)"
    # The checkpoints folder cannot be written for a while.
    start lost "${lasting[@]}" checkpoint.every=5
    reach lost words 'step 5 saved'
    block lost
    reach lost words 'failed saves so far'
    [ "$(grep -c '^warning' lost.log)" -lt 5 ] || fail "a warning a step: $(grep '^warning' lost.log)"
    kill -STOP "$pid"
    rm lost/checkpoints && mv -T away1 lost/checkpoints
    kill -CONT "$pid"
    reach lost words 'failed saves in a row'
    stop 75 lost
    # Saves that could not start are counted too.
    count() { grep -o "$1: [0-9]*" "$2" | grep -o '[0-9]*$'; }
    [ "$(count 'failed saves in a row' lost.log)" = "$(count '"failed"' lost/summary.json)" ] ||
      fail "failed saves: $(grep 'in a row' lost.log), but $(grep failed lost/summary.json)"
    rm -rf away*
    start lost "${lasting[@]}" checkpoint.every=5
    reach lost words 'step [0-9]*[05] saved'
    block lost
    reach lost words 'is not saved'
    stop 1 lost
    says lost 'is not saved: cannot make directory' \
      '; the checkpoints on disk cannot be listed: cannot open directory lost'
    ;;
  metrics)
    # A foreign line must cost at most itself: after a resume each step appears once, and remarks are
    # kept.
    ends 0 none run
    sed -i '3i {"note": "moved to the new queue here"}' run/metrics.jsonl
    rm -r run/checkpoints/step-00000008
    echo 'a remark' >>run/metrics.jsonl
    printf '{"step": 9, "tok' >>run/metrics.jsonl
    ends 0 none run train.steps=12
    got=$(sed 's/^{"step": \([0-9]*\),.*/\1/; s/^{"note.*/note/; s/^a .*/remark/' run/metrics.jsonl | tr '\n' ' ')
    [ "$got" = '1 2 note 3 4 remark 5 6 7 8 9 10 11 12 ' ] || fail "lines after a resume: $got"
    # Evaluations send states too, which must not be counted for steps.
    "$bin/retnet-data" build --out valued --val-fraction 0.1 text.txt >/dev/null
    for every in 0 2; do
      must_train 2 "eval$every" parallel.sequence=2 data.dir=valued "train.eval_every=$every"
    done
    scanned() { grep -o '"scan_bytes_per_step": [0-9]*' "$1/summary.json"; }
    [ "$(scanned eval0)" = "$(scanned eval2)" ] || fail "$(scanned eval0), with evaluations $(scanned eval2)"
    if scanned eval0 | grep -q ' 0$'; then fail 'no states are sent: this test sees nothing'; fi
    ;;
  gone)
    # While run.dir is missing, as after a failed mount, training continues. The lines of the steps are
    # written when it is back.
    start moved "${lasting[@]}" checkpoint.every=0 train.log_every=1
    reach moved steps 3
    mv moved away
    reach moved words 'cannot write moved/metrics.jsonl: No such file or directory.*(10 failed'
    mv away moved
    reach moved words 'failed writes of metrics in a row'
    stop 75 moved
    [ "$(grep -c 'cannot write moved/metrics.jsonl' moved.log)" -lt 7 ] || fail 'a warning a step'
    sed 's/^{"step": \([0-9]*\),.*/\1/' moved/metrics.jsonl >steps
    seq "$(tail -n 1 steps)" | cmp -s - steps || fail "lines are lost: $(head -n 20 steps | tr '\n' ' ')"
    "$bin/retnet-ckpt" verify moved >/dev/null 2>&1 || fail 'the last state is not saved'
    # If run.dir was removed, the next save creates it again, and then the lock is known to be lost.
    start removed "${lasting[@]}" checkpoint.every=5
    reach removed words 'step 5 saved'
    mv removed trash
    ended 1 removed
    says removed 'lost its lock removed/lock' 'its file was removed'
    ;;
  *)
    fail "no such case: $case"
    ;;
esac
finish
