#!/usr/bin/env bash
# retnet-eval by document, with overlapping windows, for several sets and for requests of an
# evaluation harness: the same bytes on 1 and 3 ranks.
set -euo pipefail
bin=$1 json_check=$2
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$(realpath "$0")")/common.sh"

cat >run.yaml <<'YAML'
model: {layers: 2, dim: 16, value_dim: 24, ffn_dim: 20, heads: 2}
data: {dir: data, sequence_length: 64, batch_sequences: 4}
optimizer: {lr: 1e-2}
train: {steps: 40, eval_every: 0}
YAML
for i in $(seq 40); do
  printf '{"text": "document %d%s"}\n' "$i" "$(printf ' has a line %d' $(seq $((i % 9))))"
done >text.jsonl
"$bin/retnet-data" build --out data --val-fraction 0.4 text.jsonl >/dev/null 2>&1
"$bin/retnet-data" build --out other --val-fraction 0.2 text.jsonl >/dev/null 2>&1
"$bin/retnet-train" run.yaml -s run.dir=run >run.log 2>&1 || fail "$(tail -n 3 run.log)"

evaluate() { # evaluate NP WORD...
  local np=$1
  shift
  run_on "$np" "$bin/retnet-eval" --checkpoint run "$@" 2>err.log
}
mean() { grep -o "\"$1\": [0-9.]*" "$2" | head -n 1 | grep -o '[0-9.]*$'; }

# Losses of documents, of two sets, with windows shorter than documents.
for np in 1 3; do
  evaluate $np --data data --data other --by-document --sequence-length 48 --stride 16 \
    --token-file tokens.$np --json >sets.$np || fail "np $np: $(cat err.log)"
done
cmp sets.1 sets.3 || fail 'other losses on 3 ranks'
cmp tokens.1 tokens.3 || fail 'other losses of tokens on 3 ranks'
"$json_check" <sets.1 || fail "no JSON: $(head -c 300 sets.1)"
"$json_check" --lines <tokens.1 || fail "no JSON lines: $(head -n 1 tokens.1)"
grep -q '{"sets": \[{"data": "data", "loss".*}, {"data": "other", "loss"' sets.1 || fail "$(cat sets.1)"

# Documents that fit into a sequence have the losses of the split as one sequence, where the state
# restarts at each of them; the losses of the token file sum up to the loss.
evaluate 1 --data data --sequence-length 5000 --json >whole
evaluate 1 --data data --sequence-length 500 --by-document --token-file tokens --json >documents
[ "$(mean tokens whole)" = "$(mean tokens documents)" ] || fail 'tokens are missing'
close_to 1 1e-5 <(mean loss whole) <(mean loss documents) || fail "$(cat whole documents)"
sed 's/.*"log_likelihoods": \[//; s/\]}//; s/, /\n/g' tokens | awk '{s -= $1} END {print s / NR}' >sum
close_to 1 1e-5 sum <(mean loss documents) || fail "the tokens: $(cat sum)"
evaluate 1 --data data --by-document >table
grep -q 'document  *3  loss' table || fail "$(cat table)"

# What a harness asks for. The greedy continuation is greedy, another one is not.
greedy=$("$bin/retnet-generate" --checkpoint run --prompt 'document 7' --temperature 0 --tokens 6 --ignore-end)
greedy=${greedy#document 7}
cat >requests <<JSON
{"context": "document 7", "continuation": "$greedy"}
{"context": "document 7", "continuation": "@@@"}

{"context": "document 7 ", "continuation": "has"}
{"context": "", "continuation": "document 7"}
{"text": "document 7"}
{"context": "x", "continuation": ""}
JSON
for np in 1 3; do
  evaluate $np --requests requests --token-file tokens.$np >results.$np || fail "np $np: $(cat err.log)"
done
cmp results.1 results.3 || fail 'other results on 3 ranks'
cmp tokens.1 tokens.3 || fail 'other tokens of requests on 3 ranks'
[ "$(sed 's/.*"is_greedy": //' results.1 | head -n 2)" = "true, \"tokens\": 6}
false, \"tokens\": 3}" ] || fail "$(cat results.1)"
[ "$(sed -n 3p results.1 | grep -o '"tokens".*')" = '"tokens": 4}' ] || fail 'the space is in the context'
likelihood() { sed -n "$1"p results.1 | grep -o -- '-[0-9.]*'; }
close_to 1 1e-5 <(likelihood 4) <(likelihood 5) || fail 'a text is not a continuation of nothing'
[ "$(sed -n 6p results.1)" = '{"log_likelihood": 0, "is_greedy": true, "tokens": 0}' ] || fail "$(cat results.1)"
# A request with a whole document has the losses of the document's tokens; the document token after
# it is not part of the request.
ids=$(sed -n '1s/.*"tokens": \[\([0-9, ]*\), 256\].*/\1/p' tokens)
text=$(for id in ${ids//,/}; do printf '%b' "\\x$(printf %02x "$id")"; done)
echo "{\"text\": \"$text\"}" >requests
evaluate 1 --requests requests --token-file own --json >result
"$json_check" <result || fail "no JSON: $(cat result)"
losses() { head -n 1 "$1" | sed 's/.*"log_likelihoods": \[//; s/\].*//; s/, /\n/g'; }
losses tokens | sed '$d' >want
losses own >got
close_to "$(wc -l <want)" 1e-4 got want || fail "$text: $(paste got want | head -n 3)"
refuse 2 'parallel.pipeline 2' "$bin/retnet-eval" --checkpoint run --data data -s parallel.pipeline=2
for key in segments=2 microbatch=1 share_weights=off; do
  evaluate 1 --data data -s "parallel.$key" >/dev/null || fail "$key: $(cat err.log)"
  grep -qF "warning: -s parallel.$key has no effect" err.log || fail "$key: $(cat err.log)"
done
evaluate 1 --data data -s parallel.threads=1 -s parallel.data=1 -s parallel.sequence=1 \
  -s parallel.scan=chain -s parallel.comm_thread=off -s parallel.pipeline=1 >/dev/null || fail "$(cat err.log)"
if grep -q 'no effect' err.log; then fail "keys of an evaluation: $(cat err.log)"; fi
refuse 2 '--stride 100' "$bin/retnet-eval" --checkpoint run --data data --stride 100
for line in 'no json' '[]' '{"context": "a"}' '{"continuation": 3}'; do
  echo "$line" >bad
  refuse 1 'bad, line 1' "$bin/retnet-eval" --checkpoint run --requests bad
done
: >bad
refuse 1 'no requests' "$bin/retnet-eval" --checkpoint run --requests bad
refuse 2 '--requests' "$bin/retnet-eval" --checkpoint run --requests bad --data data
refuse 1 'nowhere/x' "$bin/retnet-eval" --checkpoint run --data data --token-file nowhere/x
refuse 1 'No space left' "$bin/retnet-eval" --checkpoint run --data data --token-file /dev/full
refuse 2 'token-file -' "$bin/retnet-eval" --checkpoint run --data data --token-file -
finish
