#!/usr/bin/env bash
# Checks that token ids equal those of the current PyPI packages tokenizers, tiktoken and
# sentencepiece. Needs the network.
# usage: tokenizers_pypi.sh BIN GOLDEN
set -euo pipefail
bin=$1 golden=$2
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
command -v python3 >/dev/null || skip 'no python3'
python3 -m venv venv >venv.log 2>&1 || skip "no virtual environment: $(tail -n 1 venv.log)"
timeout 60 venv/bin/pip -q --disable-pip-version-check install --only-binary :all: \
  --timeout 5 --retries 0 tokenizers tiktoken sentencepiece >pip.log 2>&1 ||
  skip "PyPI cannot be reached: $(tail -n 1 pip.log)"

zstd -qdc "$golden/llama3_10k.tokenizer.json.zst" >tokenizer.json
cp "$golden"/synthetic.tiktoken "$golden"/synthetic.json "$golden"/*.model .
cat >check.py <<'EOC'
import json, subprocess, sys
import sentencepiece, tiktoken, tokenizers
from tiktoken.load import load_tiktoken_bpe
data, ids = sys.argv[1], sys.argv[2]
texts = [json.loads(line)["text"] for line in open(ids, "rb")]
with open("texts.jsonl", "w") as f:
    f.writelines(json.dumps({"text": t}) + "\n" for t in texts)
rules = json.load(open("synthetic.json"))
rank = tiktoken.Encoding("s", pat_str=rules["pattern"], special_tokens=rules["special_tokens"],
                         mergeable_ranks=load_tiktoken_bpe("synthetic.tiktoken"))
hf = tokenizers.Tokenizer.from_file("tokenizer.json")
reference = {"tiktoken:synthetic.tiktoken": rank.encode_ordinary,
             "hf:tokenizer.json": lambda t: hf.encode(t, add_special_tokens=False).ids}
for model in ("bpe1000_identity_bytes_digits.model", "bpe2000_identity_unk.model"):
    reference["spm:" + model] = sentencepiece.SentencePieceProcessor(model_file=model).encode
for number, (name, encode) in enumerate(reference.items()):
    out = f"out{number}"
    subprocess.run([data, "build", "--out", out, "--val-fraction", "0", "--tokenizer", name,
                    "texts.jsonl"], check=True, stdout=subprocess.DEVNULL)
    got = list(map(int, subprocess.check_output([data, "cat", out]).split()))
    # retnet treats added tokens as text; tokenizers always recognises them.
    chosen = [i for i, t in enumerate(texts) if not name.startswith("hf:") or "<|" not in t]
    documents, document = [], got[0]
    for token in got[:-1]:
        if token == document:
            documents.append([])
        else:
            documents[-1].append(token)
    wrong = [texts[i] for i in chosen if documents[i] != list(encode(texts[i]))]
    print(name, len(chosen), "texts,", len(wrong), "wrong", wrong[:3])
    if wrong or len(documents) != len(texts):
        sys.exit(1)
EOC
venv/bin/python check.py "$bin/retnet-data" "$golden/ids.jsonl" >check.log 2>&1 || fail "$(tail -n 5 check.log)"
cat check.log
finish
