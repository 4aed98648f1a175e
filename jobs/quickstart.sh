#!/usr/bin/env bash
# Goes from a bare machine to a trained model: installs, builds, packs text, trains with mpirun,
# evaluates, generates.
# usage: jobs/quickstart.sh [TEXT...]     (default: the copyright files of this machine's packages)
#
# Environment: RANKS, number of ranks (2); STEPS, training steps (1600); TOKENIZER, for TEXT (bytes).
# Each half of the training stops after 75 seconds if it is not finished by then.
# If the programs are installed and this script is not in a source tree, nothing is built, and the
# files are written to ./retnet-quickstart.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=env
. "$(dirname "$0")/env"
rn_options "$0" "" "$@"

if [ -e "$RN_ROOT/CMakeLists.txt" ]; then
  rn_install build
  rn_install_optional "$rn_debian_quickstart" "the model reads bytes instead of tokens"
  rn_build release retnet-data retnet-train retnet-eval retnet-generate
  PATH=$RN_ROOT/build/bin:$PATH
  work=$RN_ROOT/.quickstart
else
  work=$PWD/retnet-quickstart
fi
here=$(dirname "$(realpath "$0")")
ranks=${RANKS:-2}
steps=${STEPS:-1600}
tokenizer=${TOKENIZER:-bytes}
prompt=()
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}

# collect_licences DIR: copies the copyright files of the installed packages to DIR, each content once.
# Every machine has them: 1 to 4 MB of English text.
collect_licences() {
  local sum file
  mkdir -p "$1"
  { find -L /usr/share/doc /usr/share/licenses -maxdepth 2 -type f -size +1k -size -100k \
    \( -name copyright -o -path '/usr/share/licenses/*' \) 2>/dev/null || true; } |
    sort | xargs md5sum | sort -u -k 1,1 |
    while read -r sum file; do cp "$file" "$1/$sum.txt"; done
}

# train_tokenizer MODEL FILE...: trains a sentencepiece model of 2048 pieces.
train_tokenizer() {
  local model=$1
  shift
  cat "$@" >"$work/all.txt"
  spm_train --input="$work/all.txt" --model_prefix="${model%.model}" --model_type=bpe \
    --vocab_size=2048 --byte_fallback=true --normalization_rule_name=identity \
    --remove_extra_whitespaces=false --input_sentence_size=50000 --shuffle_input_sentence=true \
    --minloglevel=1
  rm "$work/all.txt"
}

rm -rf "$work"
mkdir -p "$work"
if [ $# -eq 0 ]; then
  rn_say "Collecting the licences of this machine's packages"
  collect_licences "$work/text"
  set -- "$work/text"
  prompt=(--prompt 'Permission is hereby granted')
  if command -v spm_train >/dev/null; then
    rn_say "Training a tokenizer"
    train_tokenizer "$work/tokenizer.model" "$work"/text/*.txt
    tokenizer=spm:$work/tokenizer.model
  fi
fi
rn_say "Packing text"
retnet-data build --out "$work/data" --tokenizer "$tokenizer" --val-fraction 0.02 "$@"
retnet-data verify "$work/data"

train() {
  mpirun -n "$ranks" --bind-to none "$(command -v retnet-train)" "$here/configs/quickstart.yaml" \
    -s run.dir="$work/run" -s data.dir="$work/data" -s parallel.sequence="$ranks" \
    -s optimizer.decay_steps="$steps" -s run.max_hours=0.021 "$@"
}
rn_say "Training on $ranks ranks that share every sequence: the first half"
train -s train.steps=$((steps / 2))
rn_say "The same command continues from the last checkpoint"
train -s train.steps="$steps"

rn_say "Evaluating in two forms that must agree"
retnet-eval --checkpoint "$work/run" --data "$work/data"
retnet-eval --checkpoint "$work/run" --data "$work/data" --form recurrent | head -n 1
rn_say "Generating"
retnet-generate --checkpoint "$work/run" "${prompt[@]}" --tokens 300 --temperature 0.8 --top-p 0.9
echo
rn_say "All files are in $work; run/metrics.jsonl and run/summary.json describe the training run"
