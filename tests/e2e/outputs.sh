#!/usr/bin/env bash
# Checks that JSON output is valid JSON, that generated text has only tokens of the tokenizer, that a
# diverged model is reported, and that sizes larger than the data need no memory.
# usage: outputs.sh BIN JSON_CHECK CASE
set -euo pipefail
bin=$1 json_check=$2 case=$3
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"

seq -f 'line %g of some plain text for a tiny model' 1 300 >text.txt
"$bin/retnet-data" build --out data --val-fraction 0.1 text.txt >/dev/null
cat >run.yaml <<'EOC'
run: {dir: RUN}
model: {layers: 1, dim: 32, value_dim: 64, ffn_dim: 48, heads: 2}
data: {dir: data, sequence_length: 64, batch_sequences: 2}
optimizer: {warmup_steps: 0}
train: {steps: 2, eval_every: 1}
parallel: {threads: 1}
EOC

# is_json COMMAND...: must succeed, and standard output must be one JSON object.
is_json() {
  "$@" >out.json 2>err.log || fail "$*: $(tail -n 1 err.log)"
  "$json_check" <out.json >why.log || fail "$*: no JSON: $(cat why.log)"
}
has() { grep -qF -- "$1" "$2" || fail "no \"$1\" in $2: $(head -c 300 "$2")"; }

case $case in
  json)
    must_train 1 RUN run.profile=true
    is_json "$bin/retnet-eval" --checkpoint RUN --data data --json
    # A prompt of all byte values: control characters, quotes, invalid UTF-8.
    for byte in $(seq 0 255); do printf %b "\\x$(printf %02x "$byte")"; done >bytes
    is_json "$bin/retnet-generate" --checkpoint RUN --prompt-file bytes --tokens 200 --ignore-end --json
    has '"prompt_hex":"000102' out.json
    is_json "$bin/retnet-generate" --checkpoint RUN --prompt-file <(printf 'by a pipe') --tokens 1 --json
    has '"prompt":"by a pipe"' out.json
    small=(--rounds 1 -s model.layers=1 -s model.dim=32 -s model.value_dim=64 -s model.ffn_dim=32)
    is_json "$bin/retnet-bench" decode --json "${small[@]}"
    is_json "$bin/retnet-bench" kernels --json "${small[@]}"
    is_json "$bin/retnet-bench" io --json "${small[@]}"
    is_json "$bin/retnet-bench" step --json --steps 1 "${small[@]:2}"
    is_json "$bin/retnet-bench" step --json --steps 1 --threads 1,2 "${small[@]:2}"
    for file in RUN/summary.json RUN/trace.json; do
      "$json_check" <"$file" >why.log || fail "$file: $(cat why.log)"
    done
    "$json_check" --lines <RUN/metrics.jsonl >why.log || fail "metrics.jsonl: $(cat why.log)"
    ;;
  diverged)
    # After one step with a huge learning rate weights are infinite; with a large one only sums are.
    for lr in 1e39 1e30; do
      must_train 1 "wild$lr" "optimizer.lr=$lr" optimizer.clip=0 train.steps=1
      wild=(--checkpoint "wild$lr")
      is_json "$bin/retnet-eval" "${wild[@]}" --data data --json
      has '"loss": null, "perplexity": null, "bits_per_byte": null' out.json
      has 'warning: the loss is not a finite number' err.log
      refuse 1 'are not finite' "$bin/retnet-generate" "${wild[@]}" --prompt a --json
      refuse 1 'are not finite' "$bin/retnet-generate" "${wild[@]}" --temperature 0
      [ "$lr" = 1e30 ] || has 'weights are not finite, the first one in' refused.log
      "$json_check" <"wild$lr/summary.json" >why.log || fail "summary.json: $(cat why.log)"
      has '"val_loss": null, "val_perplexity": null' "wild$lr/metrics.jsonl"
      "$json_check" --lines <"wild$lr/metrics.jsonl" >why.log || fail "metrics: $(cat why.log)"
    done
    ;;
  vocabulary)
    # The model has 20 000 tokens, its tokenizer 257: tokens from 257 on must not be drawn.
    must_train 1 RUN model.vocab=20000 train.steps=1
    generate() { "$bin/retnet-generate" --checkpoint RUN --prompt '' --tokens 60 --ignore-end "$@"; }
    for seed in 1 2; do
      is_json generate --seed "$seed" --json
      has '"tokens":60' out.json
      # Each token is a byte, except one in 257 that is a document token. 60 tokens give at least 50
      # bytes.
      generate --seed "$seed" >text
      [ "$(wc -c <text)" -ge 50 ] || fail "$(wc -c <text) bytes from 60 tokens"
      generate --seed "$seed" --top-k 257 | cmp -s - text || fail 'the 257 of the tokenizer are not all'
    done
    refuse 2 'parallel' "$bin/retnet-eval" --checkpoint RUN --data data -s model.vocab=3
    ;;
  sizes)
    must_train 1 RUN
    tokens=$("$bin/retnet-data" cat data/val | wc -l)
    for length in $((tokens - 1)) "$tokens" 1073741824; do
      is_json "$bin/retnet-eval" --checkpoint RUN --data data --json --sequence-length "$length"
      sed -E 's/"sequence_length": [0-9]+/"sequence_length": T/' out.json >"$length.json"
      has "\"tokens\": $((tokens - 1)), \"sequences\": 1" out.json
      cmp -s "$((tokens - 1)).json" "$length.json" || fail "another result by --sequence-length $length"
    done
    # Two ranks must evaluate the same tokens.
    is_json mpirun -n 2 --oversubscribe "$bin/retnet-eval" --checkpoint RUN --data data --json \
      --sequence-length 1073741824
    has "\"tokens\": $((tokens - 1)), \"sequences\": 1" out.json
    refuse 2 data.sequence_length "$bin/retnet-train" run.yaml -s run.dir=long \
      -s data.sequence_length=10000000
    for range in 0:999999999999999999999 999999999999999999999: -1:2 5:2 a:b 1 ''; do
      refuse 2 "--range $range" "$bin/retnet-data" cat data --range="$range"
    done
    refuse 2 --sequence-length "$bin/retnet-eval" --checkpoint RUN --data data --sequence-length=-1
    refuse 2 --tokens "$bin/retnet-generate" --checkpoint RUN --tokens=-1
    ;;
  *)
    fail "no such case: $case"
    ;;
esac
finish
