#!/usr/bin/env bash
# Checks carried states. Four consecutive sequences must have the losses of one that is four times as
# long, on every layout, and after a save and a resume with another layout. A stream that ends starts
# again.
# usage: tbptt.sh BIN
set -euo pipefail
bin=$1
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

# Three documents with 960 tokens in all, and the last target: two streams of 480 tokens.
for i in 1 2 3; do
  yes "state $i goes on and on, $i" | head -c $((i == 3 ? 357 : 300)) >"text$i" || true
done
"$bin/retnet-data" build --out data --val-fraction 0 text1 text2 text3 >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN}
model: {layers: 3, dim: 32, value_dim: 64, ffn_dim: 48, heads: 4}
data: {dir: data, sequence_length: 60, batch_sequences: 2, carry_state: true}
optimizer: {lr: 0, warmup_steps: 0}
train: {steps: 12, eval_every: 0}
checkpoint: {every: 100}
YAML

losses() { numbers loss "$1/metrics.jsonl"; }
means() { losses "$1" | awk '{sum += $1; if (NR % 4 == 0) {printf "%.15g\n", sum / 4; sum = 0}}'; }
agree() { close_to 3 1e-6 "$@"; } # agree A B: numbers of two files

must_train 1 long data.sequence_length=240 train.steps=3
losses long >want
check() { # check NP DIR KEY=VALUE...
  must_train "$@"
  means "$2" >got
  agree got want || fail "$2: $(paste -sd' ' got), not $(paste -sd' ' want)"
}
check 1 one
check 1 single parallel.microbatch=1
check 1 bands parallel.segments=3
check 2 data parallel.data=2
check 2 stages parallel.pipeline=2
for ranks in 2 3 5; do check "$ranks" "sequence$ranks" "parallel.sequence=$ranks"; done
check 2 striped parallel.sequence=2 parallel.segments=2
check 8 all parallel.data=2 parallel.pipeline=2 parallel.sequence=2
check 2 exact run.reproducible=true parallel.sequence=2

must_train 1 none data.carry_state=false
means none >got
if agree got want; then fail "losses do not depend on carried states: this test sees nothing"; fi

must_train 4 moved parallel.sequence=4 train.steps=3
must_train 2 moved parallel.pipeline=2 train.steps=6
check 2 moved parallel.data=2 train.steps=12

# In reproducible mode the bits must be the same, including states.
exact=(run.reproducible=true optimizer.lr=1e-3 optimizer.decay_steps=9)
must_train 1 bits "${exact[@]}" train.steps=7
must_train 3 bits3 "${exact[@]}" parallel.sequence=3 train.steps=2
must_train 4 bits3 "${exact[@]}" parallel.pipeline=2 parallel.data=2 train.steps=7
same_content bits bits3
"$bin/retnet-ckpt" show bits3 >shown
"$bin/retnet-train" --version | head -n 1 | cut -d ' ' -f 2- >version
for line in 'streams  *2' 'layers  *2, 1' "build  *$(cat version), " "saved  *$(date -u +%Y-%m-)"; do
  grep -q "^$line" shown || fail "retnet-ckpt show has no line $line: $(cat shown)"
done

# The streams may change only if this is requested.
train 1 bits "${exact[@]}" data.batch_sequences=1 train.steps=8 && fail "a changed batch is taken"
grep -q 'data.batch_sequences was 2' bits.log || fail "a changed batch is not named"
must_train 1 bits "${exact[@]}" data.batch_sequences=1 checkpoint.reset_lanes=true train.steps=8
finish
