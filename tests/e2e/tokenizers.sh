#!/usr/bin/env bash
# Checks that the tokenizer is stored with the data and in the checkpoint, so that generation and
# evaluation need no path. Bits per byte must use the bytes of the text, and data of another tokenizer
# must be refused.
# usage: tokenizers.sh BIN GOLDEN
set -euo pipefail
bin=$1 golden=$2
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
data=$bin/retnet-data

# refused CODE WORDS COMMAND...: must end with CODE and print all words.
refused() {
  local want=$1 words=$2 word code=0
  shift 2
  "$@" >refused.log 2>&1 || code=$?
  [ "$code" = "$want" ] || fail "$* ended with $code, not $want: $(tail -n 1 refused.log)"
  for word in $words; do
    grep -qF -- "$word" refused.log || fail "$* does not name $word: $(tail -n 1 refused.log)"
  done
}

# 300 KB in one document, more than one segment per thread; then bytes that are not UTF-8.
for ((i = 1; i <= 6000; i++)); do echo "line $i of some text, naïve and déjà vu"; done >text.txt
printf 'a\xff\xfe\0b\xc3' >>text.txt
cp "$golden"/synthetic.tiktoken "$golden"/synthetic.json .
zstd -qdc "$golden/llama3_10k.tokenizer.json.zst" >tokenizer.json
build() { "$data" build --val-fraction 0.1 "$@" text.txt >build.log || fail "build $*"; }
build --out ranks --tokenizer tiktoken:synthetic.tiktoken
OMP_NUM_THREADS=3 "$data" build --val-fraction 0.1 --out threads \
  --tokenizer tiktoken:synthetic.tiktoken text.txt >/dev/null
diff -r ranks threads >/dev/null || fail 'the number of threads changes the data'
build --out json --tokenizer hf:tokenizer.json
for dir in ranks json; do
  "$data" verify "$dir" >/dev/null || fail "$dir: verify"
  cat <("$data" cat --text "$dir/train") <("$data" cat --text "$dir/val") | cmp -s - text.txt ||
    fail "$dir: cat --text is not the text"
done
[ "$("$data" stat ranks | grep -o '[0-9]* bytes of text' | awk '{ n += $1 } END { print n }')" = \
  "$(wc -c <text.txt)" ] || fail "the bytes of text are not counted: $("$data" stat ranks)"
rm tokenizer.json synthetic.tiktoken

cat >run.yaml <<'EOC'
run: {dir: RUN}
model: {layers: 1, dim: 16, value_dim: 16, ffn_dim: 16, heads: 1}
data: {dir: ranks, sequence_length: 64, batch_sequences: 2}
optimizer: {warmup_steps: 0}
train: {steps: 2}
parallel: {threads: 1}
EOC
must_train 1 RUN
mv ranks moved
generate=("$bin/retnet-generate" --checkpoint RUN --seed 3 --tokens 40)
"${generate[@]}" --prompt 'déjà' >text.out || fail 'generate'
head -c 6 text.out | cmp -s - <(printf 'déjà') || fail "the prompt is not there: $(head -c 40 text.out)"
"${generate[@]}" --prompt 'déjà' --ignore-end --temperature 0 --json >out.json || fail 'generate --json'
grep -q '"tokens":40' out.json || fail "not 40 tokens: $(cat out.json)"
"$bin/retnet-eval" --checkpoint RUN --data moved --json >eval.json || fail 'eval'
# bits per byte = loss * targets / ln 2 / bytes of the val split
bytes=$("$data" stat moved | sed -n 's/^val.* \([0-9]*\) bytes of text.*/\1/p')
python='import json,math,sys; e=json.load(open("eval.json")); b=float(sys.argv[1])
sys.exit(abs(e["bits_per_byte"] - e["loss"]*e["tokens"]/math.log(2)/b) > 1e-9 * e["bits_per_byte"])'
if command -v python3 >/dev/null; then
  python3 -c "$python" "$bytes" || fail "bits per byte: $(cat eval.json), $bytes bytes"
else
  echo 'not checked: bits per byte, for want of python3'
fi

refused 2 'synthetic hf:tokenizer' "$bin/retnet-eval" --checkpoint RUN --data json
refused 2 'synthetic hf:tokenizer' "$bin/retnet-train" run.yaml -s data.dir=json
refused 2 'synthetic hf:tokenizer' "$bin/retnet-train" run.yaml -s run.dir=OTHER \
  -s data.dir=json -s checkpoint.init_from=RUN -s model.vocab=10002
printf x | dd of=json/train/tokenizer.pb.zst bs=1 seek=999 conv=notrunc status=none
refused 1 json/train/tokenizer.pb.zst "$data" verify json
rm json/train/tokenizer.pb.zst
refused 1 json/train/tokenizer.pb.zst "$bin/retnet-train" run.yaml -s run.dir=OTHER -s data.dir=json
finish
