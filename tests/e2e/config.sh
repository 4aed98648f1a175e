#!/usr/bin/env bash
# Checks that a configuration can be read from any kind of file, that equal values give equal runs
# however they are written, and that a run can be started from the config.yaml that it wrote.
# usage: config.sh BIN SOURCE CASE
set -euo pipefail
bin=$1 source=$2 case=$3
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
end_at_once

"$bin/retnet-data" build --out data --val-fraction 0.1 --include '*.c' "$source" >/dev/null
cat >run.yaml <<'EOF'
run: {dir: RUN}
model: {layers: 1, dim: 32, value_dim: 64, ffn_dim: 48, heads: 2}
data: {dir: data, sequence_length: 64, batch_sequences: 4}
optimizer: {lr: 2e-3, warmup_steps: 2, decay_steps: 9}
train: {steps: 4, eval_every: 0}
checkpoint: {every: 2}
EOF
two=(mpirun -n 2 --oversubscribe --bind-to none)

case $case in
  source)
    must_train 1 plain
    # Pipes of all kinds, which can be read only once.
    "$bin/retnet-train" <(cat run.yaml) -s run.dir=substituted >log 2>&1 || fail "<(): $(cat log)"
    same_run plain substituted
    "$bin/retnet-train" /dev/stdin -s run.dir=stdin <run.yaml >log 2>&1 || fail "stdin: $(cat log)"
    same_run plain stdin
    mkfifo pipe
    cat run.yaml >pipe &
    must_train 2 two parallel.data=2
    timeout 60 "${two[@]}" "$bin/retnet-train" pipe \
      -s run.dir=named -s parallel.data=2 >log 2>&1 || fail "a named pipe: $(cat log)"
    wait
    same_run two named
    # mpirun passes standard input only to rank 0.
    "${two[@]}" "$bin/retnet-train" /dev/stdin -s run.dir=stdin2 -s parallel.data=2 <run.yaml \
      >log 2>&1 || fail "stdin of two ranks: $(cat log)"
    same_run two stdin2
    refuse 2 'use a file' "${two[@]}" "$bin/retnet-train" /dev/fd/77
    refuse 2 'nowhere.yaml' "${two[@]}" "$bin/retnet-train" nowhere.yaml
    refuse 2 'Is a directory' "$bin/retnet-train" data
    # Ranks that were started with different keys must be refused, but a copy of the file is accepted.
    sed 's/steps: 4/steps: 5/' run.yaml >other.yaml
    cp run.yaml copy.yaml
    refuse 1 'differs from that of rank 0' "${mpmd[@]}" "$bin/retnet-train" run.yaml + \
      "$bin/retnet-train" other.yaml
    refuse 1 'differs from that of rank 0' "${mpmd[@]}" "$bin/retnet-train" run.yaml + \
      "$bin/retnet-train" run.yaml -s train.steps=5
    "${mpmd[@]}" "$bin/retnet-train" run.yaml -s run.dir=copy + \
      "$bin/retnet-train" copy.yaml -s run.dir=copy >log 2>&1 || fail "a copy: $(cat log)"
    # A value that is empty or invalid must be refused with its key.
    new=("$bin/retnet-train" run.yaml -s run.dir=new)
    refuse 2 run.dir "$bin/retnet-train" run.yaml -s run.dir=
    refuse 2 data.dir "${new[@]}" -s data.dir=
    refuse 1 auto "${new[@]}" -s checkpoint.resume=latest
    refuse 1 checkpoint.init_from "${new[@]}" -s checkpoint.init_from=nowhere
    refuse 2 optimizer.min_lr "${new[@]}" -s optimizer.min_lr=1
    refuse 2 parallel.threads "${new[@]}" -s parallel.threads=65536
    refuse 2 parallel.threads "${new[@]}" --plan -s parallel.threads=65536
    [ ! -e new ] || fail "a refused run left a folder"
    sed 's/{dir: RUN}/{dir: null}/' run.yaml >null.yaml
    refuse 2 run.dir "$bin/retnet-train" null.yaml
    [ ! -e null ] || fail "null became a folder"
    ;;
  own)
    # A run can be started, continued and extended with its own config.yaml, also with a preset and
    # with the vocabulary of the data, and must end with the bits of an uninterrupted run.
    small=(model.preset=retnet_base model.layers=1 model.dim=32 model.value_dim=64 model.ffn_dim=48
      model.heads=2)
    for keys in "" "${small[*]}" "${small[*]} run.reproducible=true"; do
      read -ra keys <<<"$keys"
      must_train 1 whole "${keys[@]}" train.steps=6
      must_train 1 parts "${keys[@]}"
      "$bin/retnet-train" parts/config.yaml -s train.steps=6 >log 2>&1 || fail "extended: $(cat log)"
      same_content whole parts
      grep -q 'steps: 6  # -s' parts/config.yaml || fail "the extension is not in config.yaml"
      "$bin/retnet-train" parts/config.yaml >log 2>&1 || fail "finished: $(cat log)"
      grep -q 'already at step 6' log || fail "$(cat log)"
      "$bin/retnet-train" whole/config.yaml -s run.dir=again >log 2>&1 || fail "started: $(cat log)"
      same_content whole again
      [ ! -e parts/effective.yaml ] || fail "effective.yaml beside a config.yaml of our own"
      rm -r whole parts again
    done
    # A preset changes no key that the file sets; a warning must name these keys.
    must_train 1 whole
    "$bin/retnet-train" whole/config.yaml -s run.dir=again -s model.preset=retnet_1b3 >log 2>&1 ||
      fail "preset: $(cat log)"
    same_content whole again
    grep -q 'warning: -s model.preset=retnet_1b3 does not change .*config.yaml.*model.layers, model.dim' \
      log || fail "a preset without effect is not named: $(cat log)"
    rm -r whole again
    # With another number of ranks, the same file must give another layout.
    must_train 2 pair
    grep -q '  data: 0  # default; by rule: 2' pair/config.yaml || fail "$(cat pair/config.yaml)"
    "$bin/retnet-train" pair/config.yaml -s train.steps=6 >log 2>&1 || fail "one rank: $(cat log)"
    # A config.yaml that was edited, or not written by retnet-train, is read and must not be
    # overwritten.
    sed -i 's/steps: 6 .*/steps: 8/' pair/config.yaml
    cp pair/config.yaml edited
    "$bin/retnet-train" pair/config.yaml >log 2>&1 || fail "edited: $(cat log)"
    cmp -s edited pair/config.yaml || fail "an edited config.yaml was overwritten"
    grep -q 'config.yaml was edited by hand; .*effective.yaml' log || fail "$(cat log)"
    "$bin/retnet-train" pair/effective.yaml -s train.steps=9 >log 2>&1 || fail "effective: $(cat log)"
    grep -q 'steps: 9' pair/effective.yaml || fail "effective.yaml is not the last launch's"
    mkdir linked
    sed 's/dir: RUN/dir: linked/' run.yaml >linked.yaml
    ln linked.yaml linked/config.yaml
    "$bin/retnet-train" linked/config.yaml >log 2>&1 || fail "linked: $(cat log)"
    cmp -s linked.yaml linked/config.yaml || fail "a linked config.yaml was overwritten"
    [ -s linked/effective.yaml ] || fail "nothing beside a linked config.yaml"
    grep -q 'linked/config.yaml was not written by this version' log || fail "linked: $(cat log)"
    # --plan must show the origin of each key.
    "$bin/retnet-train" run.yaml --plan -s model.preset=retnet_base -s train.steps=5 >plan 2>&1
    for line in 'model.layers +1 +run.yaml:2' 'model.scale_embedding +true +preset retnet_base' \
      'model.vocab +257 +data' 'train.steps +5 +-s' 'parallel.data +0 +default; by rule: 1'; do
      grep -qE "$line" plan || fail "--plan does not show $line: $(cat plan)"
    done
    ;;
  values)
    # A resume must compare values, not how they are written.
    preset=(model.preset=retnet_base model.layers=1 model.dim=32 model.value_dim=64 model.ffn_dim=48
      model.heads=2)
    must_train 1 run "${preset[@]}"
    again=("$bin/retnet-train" run.yaml -s run.dir=run -s train.steps=6)
    refuse 2 'model.scale_embedding was true' "${again[@]}" "${preset[@]/#/-s}" \
      -s model.scale_embedding=false
    refuse 2 'model.scale_embedding was true' "${again[@]}"
    refuse 2 'model.decay was eq8' "${again[@]}" "${preset[@]/#/-s}" -s model.decay=paper
    refuse 2 'run.seed was 1' "${again[@]}" "${preset[@]/#/-s}" -s run.seed=2
    refuse 2 'data.sequence_length was 64' "${again[@]}" "${preset[@]/#/-s}" -s data.sequence_length=32
    refuse 2 model.vocab "${again[@]}" "${preset[@]/#/-s}" -s model.vocab=300
    # The run continues from its own checkpoint. If resume names another one, this is ignored with a
    # warning.
    must_train 1 other "${preset[@]}"
    cp -r run copy
    in_copy=("$bin/retnet-train" run.yaml -s run.dir=copy -s train.steps=5 "${preset[@]/#/-s}")
    refuse 1 "checkpoint.resume: latest does not exist; use 'auto' to" "${in_copy[@]}" -s checkpoint.resume=latest
    for key in checkpoint.resume=other checkpoint.resume=gone/step-00000001; do
      "${in_copy[@]}" -s "$key" >log 2>&1 || fail "$key: $(cat log)"
      [ "$(grep -c "^warning: ${key%=*} ${key#*=} is ignored: copy has checkpoints" log)" = 1 ] ||
        fail "$key is not reported as ignored: $(cat log)"
    done
    # init_from remains in the file after the first launch and must not cause a warning.
    "${in_copy[@]}" -s checkpoint.init_from=other >log 2>&1 || fail "init_from: $(cat log)"
    grep -q '^checkpoint.init_from other is not used: copy has checkpoints' log ||
      fail "init_from is not told: $(cat log)"
    if grep -q '^warning: .*init_from' log; then fail "init_from is warned of: $(cat log)"; fi
    for own in copy/checkpoints/step-00000005 copy; do
      "${in_copy[@]}" -s "checkpoint.resume=$own" >log 2>&1 || fail "$(cat log)"
      if grep -q 'is ignored' log; then fail "its own checkpoint $own is not used: $(cat log)"; fi
    done
    # Equal values that are written differently are accepted; keys that may change are reported.
    "${again[@]}" -s model.scale_embedding=true -s model.vocab=257 -s optimizer.lr=1e-3 \
      -s model.chunk=32 >log 2>&1 || fail "by other words: $(cat log)"
    for line in 'optimizer.lr was 0.002, is now 0.001' 'train.steps was 4, is now 6' \
      'model.chunk was 512, is now 32' 'model.preset was "retnet_base", is now ""'; do
      grep -qF "$line" log || fail "not told: $line: $(cat log)"
    done
    ;;
  *)
    fail "no such case: $case"
    ;;
esac
finish
