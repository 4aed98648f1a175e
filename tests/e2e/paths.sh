#!/usr/bin/env bash
# Checks that every program names a path that is absent or empty, or that is a file instead of a
# folder or vice versa, and says what is wrong, for each argument that is a path.
# usage: paths.sh BIN CASE
set -euo pipefail
bin=$1 case=$2
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

seq -f 'line %g of some plain text' 1 300 >text.txt
"$bin/retnet-data" build --out data --val-fraction 0.1 text.txt >/dev/null
cat >run.yaml <<'EOC'
run: {dir: RUN}
model: {layers: 1, dim: 32, value_dim: 64, ffn_dim: 48, heads: 2}
data: {dir: data, sequence_length: 64, batch_sequences: 2}
train: {steps: 2, eval_every: 0}
parallel: {threads: 1}
EOC
must_train 1 RUN
touch file
mkdir empty
step=RUN/checkpoints/step-00000002

# names CODE PATH WORDS COMMAND...: there must be one message, which names the path and what is wrong
# with it.
names() {
  local code=$1 path=$2 words=$3
  shift 3
  refuse "$code" "$path" "$@"
  grep -qiE -- "$words" refused.log || fail "$*: not \"$words\": $(tail -n 1 refused.log)"
  [ "$(grep -cE '^(error|retnet-[a-z]*): ' refused.log)" = 1 ] ||
    fail "$*: not one message: $(cat refused.log)"
}

if [ "$case" = permissions ]; then
  nobody=(setpriv --reuid=65534 --clear-groups --)
  if ! "${nobody[@]}" test -x "$bin/retnet-data" 2>/dev/null; then
    echo 'skipped: trying without permissions needs root, and programs that nobody can read'
    exit 77
  fi
  chmod 755 .
  chmod 700 data/train empty RUN
  names 1 data/train 'permission denied' "${nobody[@]}" "$bin/retnet-data" stat data
  names 1 x 'permission denied' "${nobody[@]}" "$bin/retnet-data" build --out x text.txt
  chmod 777 .
  names 1 empty 'permission denied' "${nobody[@]}" "$bin/retnet-data" build --out x empty
  names 1 RUN 'permission denied' "${nobody[@]}" "$bin/retnet-ckpt" list RUN
  finish
fi

model_of=("$bin/retnet-generate" --tokens 1 --checkpoint)
loss_of=("$bin/retnet-eval" --data data --checkpoint)
ckpt="$bin/retnet-ckpt"
for take in "${model_of[*]}" "${loss_of[*]}" "$ckpt list" "$ckpt show" "$ckpt verify" "$ckpt prune" \
  "$ckpt diff RUN" "$ckpt export --format torchscale --out x"; do
  # shellcheck disable=SC2206
  take=($take)
  names 1 nowhere 'no such file' "${take[@]}" nowhere
  names 1 file 'is a file' "${take[@]}" file
  names 1 empty 'no checkpoints/step-' "${take[@]}" empty
  names 1 RUN/checkpoints 'not the run directory' "${take[@]}" RUN/checkpoints
  names 1 RUN/checkpoints 'not the run directory' "${take[@]}" RUN/checkpoints/
  names 2 empty 'shell variable' "${take[@]}" ''
done
names 1 $step 'is a checkpoint' "$ckpt" list $step
names 2 $step 'is a checkpoint' "$ckpt" prune $step
names 1 step-00000009 'no such file' "${model_of[@]}" RUN/checkpoints/step-00000009

for take in "$bin/retnet-data stat" "$bin/retnet-data verify" "$bin/retnet-data cat" \
  "$bin/retnet-eval --checkpoint RUN --data"; do
  # shellcheck disable=SC2206
  take=($take)
  names 1 nowhere 'no such file' "${take[@]}" nowhere
  names 1 file 'not a directory' "${take[@]}" file
  names 1 empty 'no shards' "${take[@]}" empty
  names 2 empty 'shell variable' "${take[@]}" ''
done
names 1 nowhere 'no such file' "$bin/retnet-data" recover nowhere
names 1 data 'not a regular file' "$bin/retnet-data" recover data
names 1 text.txt 'not a shard' "$bin/retnet-data" recover text.txt
names 1 nowhere 'no such file' "$bin/retnet-data" build --out x nowhere
names 2 empty 'shell variable' "$bin/retnet-data" build --out x ''
names 1 'no text' 'inputs' "$bin/retnet-data" build --out x empty

names 1 nowhere 'no such file' "$bin/retnet-train" run.yaml -s run.dir=new -s data.dir=nowhere
names 1 file 'not a directory' "$bin/retnet-train" run.yaml -s run.dir=new -s data.dir=file
names 1 file 'not a directory' "$bin/retnet-train" run.yaml -s run.dir=file
names 1 file 'not a directory' "$bin/retnet-train" run.yaml -s run.dir=file/
names 2 empty 'is a directory' "$bin/retnet-train" empty
names 2 nowhere 'no such file' "$bin/retnet-train" nowhere
names 2 empty 'shell variable' "$bin/retnet-train" ''

for option in prompt-file prompt-lines; do
  names 1 nowhere 'no such file' "${model_of[@]}" RUN "--$option" nowhere
  names 1 empty 'is a folder' "${model_of[@]}" RUN "--$option" empty
  names 2 empty 'shell variable' "${model_of[@]}" RUN "--$option" ''
done
names 1 file 'not a directory' "$ckpt" export RUN --format torchscale --out file
names 2 empty 'shell variable' "$ckpt" export RUN --format torchscale --out ''
small=(-s model.layers=1 -s model.dim=32 -s model.value_dim=64 -s model.ffn_dim=32)
names 1 file 'not a directory' "$bin/retnet-bench" io --dir file "${small[@]}"
names 1 nowhere 'no such file' "$bin/retnet-bench" io --dir nowhere "${small[@]}"
names 2 empty 'shell variable' "$bin/retnet-bench" io --dir '' "${small[@]}"
for left in x new; do
  [ ! -e "$left" ] || fail "$left was made by a refused command"
done

finish
