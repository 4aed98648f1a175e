#!/usr/bin/env bash
# Checks that a model exported to another program's format and imported again has the same bytes,
# gives the same results, and can be trained further.
set -euo pipefail
bin=$1 case=$2 tokenizers=$3
here=$(dirname "$(realpath "$0")")
# shellcheck source-path=SCRIPTDIR
. "$here/common.sh"

cat >run.yaml <<'YAML'
model: {layers: 2, dim: 16, value_dim: 24, ffn_dim: 20, heads: 2, rotary: rope_half,
        retention_scale: raw}
data: {dir: data, sequence_length: 32, batch_sequences: 2}
train: {steps: 2, eval_every: 0}
YAML
for i in $(seq 400); do echo "line $i of a text to learn"; done >text
"$bin/retnet-data" build --out data text >/dev/null 2>&1
"$bin/retnet-train" run.yaml -s run.dir=run >run.log 2>&1 || fail "$(tail -n 3 run.log)"
ckpt=$bin/retnet-ckpt
# Keys that only retention has must have their defaults.
llama=(-s model.arch=transformer -s model.value_dim=512 -s model.rotary=torchscale
  -s model.retention_scale=canonical -s model.kv_heads=1)

case $case in
  models)
    "$ckpt" export --format hf --out hf --shard-size 4KB run
    "$ckpt" import --out imported hf >model.yaml
    grep -q '"eos_token_id": 256' hf/config.json || fail "$(cat hf/config.json)"
    "$ckpt" export --format hf --out again --shard-size 4KB imported
    diff -r hf again || fail 'other bytes'
    loss() { "$bin/retnet-eval" --checkpoint "$1" --data data --json 2>/dev/null; }
    [ "$(loss run)" = "$(loss imported)" ] || fail "$(loss run) is not $(loss imported)"
    "$bin/retnet-generate" --checkpoint imported --prompt line --tokens 4 >/dev/null
    # import must print the section `model` that training needs.
    sed -n '/^data\|^train/p' run.yaml >>model.yaml
    "$bin/retnet-train" model.yaml -s run.dir=tuned -s checkpoint.init_from=imported \
      -s train.steps=1 >tuned.log 2>&1 || fail "$(tail -n 3 tuned.log)"
    ! grep -q 'were trained' tuned.log || fail "$(grep 'were trained' tuned.log)"
    "$bin/retnet-train" model.yaml -s run.dir=other -s checkpoint.init_from=imported \
      -s train.steps=1 -s model.rotary=none -s model.init=torchscale >other.log 2>&1 ||
      fail "$(tail -n 3 other.log)"
    grep -q 'model.rotary was rope_half when the weights were trained, but it is none' other.log || fail "no warning"
    ! grep -q 'model.init:' other.log || fail "a warning about model.init"
    refuse 2 init_from "$bin/retnet-train" model.yaml -s run.dir=new -s checkpoint.resume=imported
    refuse 2 format "$ckpt" export --out x run
    refuse 2 torchscal "$ckpt" export --format torchscal --out x run
    refuse 2 fp64 "$ckpt" export --format hf --dtype fp64 --out x run
    for size in 0 5XB GB -1GB; do
      refuse 2 shard-size "$ckpt" export --format hf --shard-size="$size" --out x run
    done
    refuse 2 folder "$ckpt" export --format hf --out x.safetensors run
    refuse 1 model.rotary "$ckpt" export --format torchscale --out x run
    refuse 2 imported "$ckpt" import --out imported hf
    refuse 1 'import --out CKPT hf' "$bin/retnet-eval" --checkpoint hf --data data
    mkdir torch && cp hf/config.json torch && : >torch/pytorch_model.bin
    refuse 1 'torch: has no model.safetensors' "$ckpt" import --out x torch
    if [ -e x ] || [ -e x.safetensors ]; then fail 'a refused export left files'; fi
    ;;
  attention) # a transformer as LlamaForCausalLM, a hybrid as RetNetForCausalLM
    loss() { "$bin/retnet-eval" --checkpoint "$1" --data data --json 2>/dev/null; }
    hybrid=(-s 'model.attention_layers=[1]' -s model.attention_heads=4 -s model.attention_window=9)
    few=(-s train.steps=1 -s checkpoint.every=0 -s optimizer.lr=0.05 -s optimizer.warmup_steps=0)
    "$bin/retnet-train" run.yaml -s run.dir=llama "${llama[@]}" "${few[@]}" >llama.log 2>&1 ||
      fail "$(tail -n 3 llama.log)"
    "$bin/retnet-train" run.yaml -s run.dir=hybrid "${hybrid[@]}" "${few[@]}" >hybrid.log 2>&1 ||
      fail "$(tail -n 3 hybrid.log)"
    for model in llama hybrid; do
      "$ckpt" export --format hf --out $model.hf $model
      "$ckpt" import --out $model.back $model.hf >$model.yaml 2>$model.import.log
      ! grep bos_token_id $model.import.log || fail 'a warning about the document token'
      "$ckpt" export --format hf --out $model.again $model.back
      diff -r $model.hf $model.again || fail "$model: other bytes"
      [ "$(loss $model)" = "$(loss $model.back)" ] || fail "$model: $(loss $model.back)"
      sed -n '/^data\|^train/p' run.yaml >>$model.yaml
      "$bin/retnet-train" $model.yaml -s run.dir=$model.tuned "${few[@]}" \
        -s checkpoint.init_from=$model.back >$model.log 2>&1 || fail "$(tail -n 3 $model.log)"
      ! grep -q 'were trained' $model.log || fail "$(grep 'were trained' $model.log)"
    done
    grep -q '"LlamaForCausalLM"' llama.hf/config.json || fail "$(cat llama.hf/config.json)"
    # Texts of a model with another bos_token_id, here the letter a, begin with that token: in
    # evaluation, where data whose document token it is give the same losses; in generation, which
    # draws the tokens that evaluation finds most likely; and after another export.
    cp -r llama.hf bos
    sed -i 's/"bos_token_id": 256/"bos_token_id": 97/' bos/config.json
    "$ckpt" import --out bos.back bos >/dev/null 2>bos.log
    grep -q 'begin with bos_token_id 97,.* document token 256' bos.log || fail "$(cat bos.log)"
    "$ckpt" export --format hf --out bos.again bos.back
    diff -r bos bos.again || fail 'bos_token_id: other bytes'
    seq 20 | sed 's/$/ line/' >digits
    mapfile -t bytes < <(od -An -v -tu1 -w1 digits)
    # shellcheck disable=SC2059 # the format is made of octal numbers
    printf "$(printf '\\%03o\\000' 97 "${bytes[@]}")" >digits.bin
    "$bin/retnet-data" build --out with_256 --val-fraction 0 digits >/dev/null
    "$bin/retnet-data" build --out with_97 --val-fraction 0 --format nanogpt --vocab-size 257 \
      --separator 97 digits.bin >/dev/null
    likelihoods() {
      "$bin/retnet-eval" --checkpoint "$1" --data "$2/train" --sequence-length 200 \
        --token-file "$1.$2" >/dev/null 2>&1 || fail "$1 cannot be evaluated"
      sed 's/.*"log_likelihoods": \[\([^]]*\).*/\1/; s/, /\n/g' "$1.$2" | head -n -1
    }
    likelihoods bos.back with_256 >got
    likelihoods llama.back with_97 | cmp - got || fail 'evaluation begins with another token'
    likelihoods llama.back with_256 >other
    ! cmp -s other got || fail 'the token at the beginning is unused'
    "$bin/retnet-generate" --checkpoint bos.back --tokens 6 --temperature 0 >drawn
    printf '{"continuation": "%s"}\n' "$(cat drawn)" >drawn.jsonl
    "$bin/retnet-eval" --checkpoint bos.back --requests drawn.jsonl 2>/dev/null |
      grep -q '"is_greedy": true' || fail "generation begins with another token: $(cat drawn)"
    # An export that fails over an older one leaves the older one.
    cp -r llama.hf older
    refuse 1 'No space' env RETNET_FAULT=file.write:9- "$ckpt" export --format hf --out llama.hf llama
    diff -r older llama.hf || fail 'a failed export changed the older one'
    refuse 1 model.arch "$ckpt" export --format torchscale --out x llama
    refuse 1 model.attention_layers "$ckpt" export --format torchscale --out x hybrid
    refuse 2 fused-gate "$ckpt" export --format hf --fused-gate --out x llama
    [ ! -e x ] || fail 'a refused export left files'
    ;;
  tokenizer) # must be exported and imported unchanged, and give the same generated text
    few=(-s model.layers=1 -s train.steps=1)
    zstd -qdc "$tokenizers/llama3_10k.tokenizer.json.zst" >tokenizer.json ||
      skip 'zstd cannot unpack the tokenizer of this test'
    # A model that torchscale can compute; the folder and the single file hold the same tensors.
    official=(-s model.rotary=torchscale -s model.retention_scale=canonical)
    for kind in hf:tokenizer.json "tiktoken:$tokenizers/synthetic.tiktoken"; do
      rm -rf told ids out back back.file again
      "$bin/retnet-data" build --out ids --tokenizer "$kind" text >/dev/null 2>&1
      "$bin/retnet-train" run.yaml -s run.dir=told -s data.dir=ids "${few[@]}" \
        >told.log 2>&1 || fail "$(tail -n 3 told.log)"
      "$ckpt" export --format hf --out out told
      "$ckpt" import --out back out >/dev/null
      "$ckpt" export --format hf --out again back
      diff -r out again || fail "$kind: other bytes"
      [ "$kind" != hf:tokenizer.json ] || cmp out/tokenizer.json tokenizer.json ||
        fail 'tokenizer.json has changed'
      "$ckpt" import --out back.file out/model.safetensors >/dev/null
      for model in told back back.file; do
        "$bin/retnet-generate" --checkpoint $model --prompt 'line 7' --tokens 3 >$model.text
        cmp told.text $model.text || fail "$kind: other text of $model"
      done
    done
    "$bin/retnet-train" run.yaml -s run.dir=ts -s data.dir=ids "${few[@]}" "${official[@]}" \
      >ts.log 2>&1 || fail "$(tail -n 3 ts.log)"
    "$ckpt" export --format torchscale --out folder ts
    "$ckpt" export --format torchscale --out file.safetensors ts
    cmp folder/model.safetensors file.safetensors || fail 'torchscale: another file'
    "$ckpt" import --out ts.folder folder >/dev/null
    "$ckpt" import --out ts.file file.safetensors >/dev/null || fail 'a single file is not imported'
    "$ckpt" diff --weights ts.folder ts.file >diff.log || fail "$(cat diff.log)"
    for model in ts ts.folder; do
      "$bin/retnet-generate" --checkpoint $model --prompt 'line 7' --tokens 3 >$model.text
    done
    cmp ts.text ts.folder.text || fail 'torchscale: the tokenizer is lost'
    ;;
  pypi) # compares with the safetensors package of PyPI, if it can be installed
    command -v python3 >/dev/null || skip 'there is no python3'
    { timeout 60 python3 -m venv venv && timeout 60 venv/bin/pip install -q --retries 0 --timeout 5 safetensors numpy; } \
      >pip.log 2>&1 || skip "safetensors cannot be installed from PyPI: $(tail -n 1 pip.log)"
    "$ckpt" export --format hf --out fp32 run
    "$ckpt" export --format hf --out shards --shard-size 4KB run
    "$ckpt" export --format hf --out fp16 --dtype fp16 run
    "$ckpt" export --format hf --out bf16 --dtype bf16 run
    venv/bin/python - <<'PYTHON' || fail 'safetensors reads something else'
import glob, json
import numpy
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

whole = load_file("fp32/model.safetensors")
parts = {}
for file in sorted(glob.glob("shards/*.safetensors")):
    parts.update(load_file(file))
index = json.load(open("shards/model.safetensors.index.json"))
assert set(index["weight_map"]) == set(parts) == set(whole) and len(whole) == 2 * 11 + 3
assert index["metadata"]["total_size"] == sum(t.nbytes for t in whole.values())
half = load_file("fp16/model.safetensors")
for name, tensor in whole.items():
    assert numpy.array_equal(tensor, parts[name]), name
    assert numpy.array_equal(tensor.astype(numpy.float16), half[name]), name
with safe_open("bf16/model.safetensors", "numpy") as file:
    assert file.metadata()["format"] == "pt" and set(file.keys()) == set(whole)
config = json.load(open("fp32/config.json"))
save_file(whole, "fp32/model.safetensors")
PYTHON
    "$ckpt" import --out imported fp32 >/dev/null || fail 'no import of what safetensors wrote'
    "$ckpt" export --format hf --out again imported
    venv/bin/python -c "
from safetensors.numpy import load_file
a, b = load_file('fp32/model.safetensors'), load_file('again/model.safetensors')
assert all((a[name] == b[name]).all() for name in a) and set(a) == set(b)" || fail 'other values'
    # Loss of the exported transformer, computed from its files by formulas of transformers.
    "$bin/retnet-train" run.yaml -s run.dir=llama "${llama[@]}" >llama.log 2>&1 ||
      fail "$(tail -n 3 llama.log)"
    "$ckpt" export --format hf --out llama.hf llama
    "$bin/retnet-data" cat data/val >ids
    other=$(venv/bin/python "$here/llama.py" llama.hf 32 <ids)
    ours=$("$bin/retnet-eval" --checkpoint llama --data data --json 2>/dev/null |
      sed 's/^{"loss": \([^,]*\),.*/\1/')
    venv/bin/python -c "assert abs($other - $ours) < 1e-6 * $ours" ||
      fail "transformers would compute a loss of $other, but it is $ours"
    ;;
esac
finish
