#!/usr/bin/env bash
# Checks that a flipped bit in the training data ends a run on any layout with a message, printed once,
# that names the file and the block.
# usage: flips.sh BIN
set -euo pipefail
bin=$1
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
end_at_once

seq -f 'line %g of some plain text for a tiny model' 1 3000 >text.txt
"$bin/retnet-data" build --out data --val-fraction 0.1 text.txt >/dev/null
cat >run.yaml <<'YAML'
run: {dir: RUN}
model: {layers: 2, dim: 16, value_dim: 32, ffn_dim: 32, heads: 2}
data: {dir: data, sequence_length: 64, batch_sequences: 2}
train: {steps: 1000}
YAML
shard=$(find data/train -name '*.rtd')
at=1600 # in the first block, which follows a header of 1024 bytes
byte=$(od -An -tu1 -j "$at" -N 1 "$shard")
printf '%b' "\\x$(printf %02x $((byte ^ 8)))" | dd of="$shard" bs=1 seek="$at" conv=notrunc status=none
refuse 1 "$shard" "$bin/retnet-data" verify data
for layout in '1' '2 parallel.data=2' '2 parallel.sequence=2' '2 parallel.pipeline=2'; do
  read -ra words <<<"$layout"
  if train "${words[0]}" RUN "${words[@]:1}"; then fail "$layout: trained on damaged data"; fi
  for word in "$shard" 'block 0' 'retnet-data recover'; do
    grep '^error: ' RUN.log | grep -qF -- "$word" || fail "$layout: no $word: $(tail -n 3 RUN.log)"
  done
  [ "$(grep -c '^error: ' RUN.log)" = 1 ] || fail "$layout: $(grep '^error: ' RUN.log)"
done
finish
