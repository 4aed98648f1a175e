#!/usr/bin/env bash
# A mixture of folders has the same order of sequences on any number of ranks and across a resume: in
# reproducible mode the checkpoints are equal, and dropout depends on the index of each sequence. The
# mix must not change; each validation set has its own loss.
# usage: mixture.sh BIN
set -euo pipefail
bin=$1
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

for name in a b c; do
  for ((i = 1; i <= 400; i++)); do echo "line $i of $name, $name$name"; done >"$name.txt"
  "$bin/retnet-data" build --out "$name" --val-fraction 0.1 "$name.txt" >/dev/null
done
cat >run.yaml <<'YAML'
run: {dir: RUN, reproducible: true}
model: {layers: 1, dim: 16, value_dim: 16, ffn_dim: 16, heads: 1, dropout: 0.1}
data:
  dir:
    - {dir: a, weight: 0.5}
    - {dir: b, weight: 0.3}
    - dir: c
      weight: 0.2
  sequence_length: 64
  batch_sequences: 8
train: {steps: 6, eval_every: 6, eval_sequences: 4}
checkpoint: {every: 3}
parallel: {threads: 1}
YAML

must_train 1 one
must_train 3 three parallel.data=3
same_run one three
must_train 8 moved parallel.data=8 train.steps=3
mv c d
mix='data.dir=[{dir: a, weight: 5}, {dir: b, weight: 3}, {dir: d, weight: 2}]'
must_train 3 moved parallel.data=3 "$mix"
same_content one moved
[ "$(grep -c 'mixture: ' moved.log)" = 3 ] || fail "the mixture is not printed: $(cat moved.log)"
grep -q 'mixture: 30.00 % of the sequences from b' moved.log || fail 'the share of b is not printed'

# Each set has its loss; val_loss is over all targets, here the same number in each.
for name in a b c; do grep -o "\"val_loss/$name\": [0-9.]*" one/metrics.jsonl; done |
  awk '{s += $2} END {printf "%.9f\n", s / NR}' >mean
numbers val_loss one/metrics.jsonl | tail -n 1 >whole
close_to 1 1e-8 mean whole || fail "val_loss is not the mean: $(tail -n 1 one/metrics.jsonl)"
grep -q '"val_perplexity/b": ' one/metrics.jsonl || fail 'no perplexity of b'
grep -q '"val_loss/c": ' one/summary.json || fail 'summary.json has no loss of c'
"$bin/retnet-train" one/config.yaml -s train.steps=7 \
  -s 'data.dir=[{dir: a, weight: 5}, {dir: b, weight: 3}, {dir: d, weight: 2}]' \
  -s 'data.val=[{name: first, dir: a}, {name: second.part, dir: d/val}]' >extended.log 2>&1 ||
  fail "config.yaml does not continue the run: $(tail -n 2 extended.log)"
tail -n 1 one/metrics.jsonl | grep -q '"val_loss/first": .*"val_loss/second.part": ' ||
  fail "data.val: $(tail -n 1 one/metrics.jsonl)"

# What must not change, or is wrong.
refuse_mix() { # refuse_mix WORD LIST
  refuse 2 "$1" "$bin/retnet-train" run.yaml -s run.dir=moved -s train.steps=9 -s "data.dir=$2"
}
refuse_mix 'data.dir was [{dir: "a", weight: 5}' '[{dir: a, weight: 4}, {dir: b, weight: 3}, {dir: d, weight: 2}]'
refuse_mix 'data.dir was' '[{dir: b, weight: 5}, {dir: a, weight: 3}, {dir: d, weight: 2}]'
refuse_mix 'data.dir was' a
refuse_mix 'item 1: weight: "0"' '[{dir: a, weight: 0}]'
refuse_mix 'item 1: weight: "0x1"' '[{dir: a, weight: 0x1}]'
refuse_mix 'item 2: unknown field "wieght"' '[{dir: a}, {dir: b, wieght: 1}]'
refuse_mix 'item 1 has no dir' '[{weight: 1}]'
refuse_mix 'item 2: dir is given twice' '[{dir: a}, {dir: b, dir: d}]'
refuse_mix 'data.dir: "{dir: a}" is not a path or a list of mappings' '{dir: a}'
refuse 2 carry_state "$bin/retnet-train" run.yaml -s run.dir=new -s "$mix" -s data.carry_state=true
refuse 2 'two validation sets' "$bin/retnet-train" run.yaml -s run.dir=new -s "$mix" \
  -s 'data.val=[{name: x, dir: a}, {name: x, dir: b}]'
refuse 2 'item 1 has no name' "$bin/retnet-train" run.yaml -s run.dir=new -s "$mix" \
  -s 'data.val=[{dir: a}]'
# A folder may be listed again, with a warning.
ln -s a again
must_train 1 repeated 'data.dir=[{dir: a}, {dir: b}, {dir: again/}]' train.steps=1
grep -q 'items 1 and 3 are the same folder' repeated.log || fail "no warning: $(cat repeated.log)"
"$bin/retnet-train" run.yaml -s "$mix" --plan >plan.log 2>&1 || fail "--plan: $(tail -n 2 plan.log)"
finish
