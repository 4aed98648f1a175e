#!/usr/bin/env bash
# Token files of nanoGPT, llm.c and Megatron-LM are built as their users name them: with and without a
# tokenizer, in folders and by their common name, mixed with text; what is missing is said.
# usage: token_files.sh BIN GOLDEN
set -euo pipefail
bin=$1 golden=$2
# shellcheck source=tests/e2e/common.sh
source "$(dirname "$(realpath "$0")")/common.sh"
data=$bin/retnet-data
cp "$golden"/synthetic.tiktoken "$golden"/synthetic.json .

u16() { local id; for id in "$@"; do printf '%b' "$(printf '\\x%02x\\x%02x' $((id % 256)) $((id / 256)))"; done; }
u32() { local id; for id in "$@"; do u16 $((id % 65536)) $((id / 65536)); done; }
llmc() { # llmc ID...: a file of llm.c with u16 tokens
  u32 20240520 1 $#
  head -c 1012 /dev/zero
  u16 "$@"
}
index() { # index LENGTH...: a Megatron-LM index of u16 documents
  local length at=0 i
  printf 'MMIDIDX\0\0\1\0\0\0\0\0\0\0\10'
  u32 $# 0 $(($# + 1)) 0
  u32 "$@"
  for length in "$@"; do u32 $at 0 && at=$((at + 2 * length)); done
  for i in $(seq 0 $#); do u32 "$i" 0; done
}
ids() { # ids WANT OUT ARGUMENTS...: the ids that are built from them
  local want=$1 out=$2
  shift 2
  "$data" build --out "$out" --val-fraction 0 "$@" >"$out.log" 2>&1 || fail "$out: $(cat "$out.log")"
  [ "$("$data" cat "$out" | tr '\n' ' ')" = "$want " ] || fail "$out: $("$data" cat "$out" | tr '\n' ' ')"
}

# What the tokenizer makes of text, its own users have as files.
printf 'some text' >a.txt
"$data" build --out text --val-fraction 0 --tokenizer tiktoken:synthetic.tiktoken a.txt >/dev/null
mapfile -t text < <("$data" cat text)
end=${text[0]} # the document token
words=("${text[@]:1:${#text[@]}-2}")
u16 "${words[@]}" "$end" >train.bin
ids "${text[*]}" nanogpt --tokenizer tiktoken:synthetic.tiktoken train.bin
diff -r text nanogpt >/dev/null || fail 'tokens differ from their text, or its bytes are not counted'
[ "$("$data" cat --text nanogpt)" = 'some text' ] || fail 'the tokens have no text'
ids "$end ${words[*]} ${text[*]}" both --tokenizer tiktoken:synthetic.tiktoken train.bin a.txt

# Without a tokenizer. The order of shards is that of their names, and a document goes on in the next.
mkdir shards
llmc 50256 1 2 50256 3 >shards/x_train_000000.bin
llmc 4 50256 5 >shards/x_train_000001.bin
ids '50256 1 2 50256 3 4 50256 5 50256' llmc shards
ids '50256 1 2 50256 3 4 50256 5 50256' glob 'shards/*.bin'
llmc 6 >other.bin
ids '50256 4 50256 5 50256 6 50256' apart shards/x_train_000001.bin other.bin
u16 1 2 3 >pair.bin
index 2 1 >pair.idx
pairs=0
for name in pair pair.bin pair.idx 'pair.bin pair.idx'; do
  # shellcheck disable=SC2086
  ids '9 1 2 9 3 9' "pair$((++pairs))" --vocab-size 9 $name
done
ids '9 1 2 3 9' raw --format nanogpt --vocab-size 9 pair.bin
ids '3 1 2 3' separated --format nanogpt --vocab-size 9 --separator 3 pair.bin
grep -q '2 documents' separated.log && fail 'a separator at the end begins no document'

# What separates documents, in the files and in the shards, as the help of --separator says.
u16 "${words[@]:0:3}" >three.bin
ids "$end ${words[1]} ${words[2]} $end" replaced --tokenizer tiktoken:synthetic.tiktoken \
  --separator "${words[0]}" three.bin
# The tokenizer's document token divides documents beside a separator, as it does in the shards.
u16 "${words[0]}" "$end" "${words[1]}" "${words[2]}" "${words[0]}" >two_kinds.bin
ids "$end ${words[0]} $end ${words[1]} $end ${words[0]} $end" two_kinds \
  --tokenizer tiktoken:synthetic.tiktoken --separator "${words[2]}" two_kinds.bin
"$data" stat two_kinds >two_kinds.stat
for report in two_kinds.log two_kinds.stat; do
  grep -q ' 3 documents' $report || fail "two separators: $(cat $report)"
done
ids '50257 50256 1 2 50256 3 4 50256 5 50257' undivided --vocab-size 50257 shards
ids '50256 1 2 50256 3 4 50256 5 50256' divided --vocab-size 50257 --separator 50256 shards
ids '2 1 2 3 2' both_divide --vocab-size 9 --separator 2 pair
"$data" build --out text_only --separator 3 a.txt >text_only.log 2>&1 || fail "$(cat text_only.log)"
grep -q 'separator 3 has no effect' text_only.log || fail "--separator with text: $(cat text_only.log)"

# So with the other options that apply to none of the inputs.
noted() { # noted WANT OPTION...: a build with these options must say WANT; '': that none is unused
  local want=$1 said
  shift
  rm -rf noted
  "$data" build --out noted --val-fraction 0 "$@" >noted.log 2>&1 || fail "$*: $(cat noted.log)"
  said=$(grep 'has no effect' noted.log || true)
  if [[ "${said:+said}" != "${want:+said}" || "$said" != *"$want"* ]]; then fail "$*: $said"; fi
}
special=(--tokenizer tiktoken:synthetic.tiktoken --special-tokens '<|endoftext|>')
noted '--special-tokens <|endoftext|> has no effect' "${special[@]}" three.bin
noted '--special-tokens x has no effect' --special-tokens x --vocab-size 9 pair
noted '' "${special[@]}" three.bin a.txt
noted '' "${special[@]}" - <a.txt
noted '--include *.txt has no effect' --include '*.txt' a.txt
mkdir folder
cp a.txt folder
noted '' --include '*.txt' a.txt folder
noted '' --include '*.txt' './fold*'
refuse 2 'has no special token' "$data" build --out x --special-tokens all a.txt
refuse 2 'no special token ""' "$data" build --out x "${special[@]:0:2}" --special-tokens '' a.txt

# A val split that gets no document is noted, unless none is wanted.
mapfile -t fifty < <(seq 50)
u16 "${fifty[@]}" >many.bin
index "${fifty[@]/*/1}" >many.idx
"$data" build --out many --vocab-size 99 many >many.log 2>&1 || fail "many: $(cat many.log)"
grep -q 'note: there is no val split.* 0.01 of 50 documents' many.log || fail "no note: $(cat many.log)"
grep -q 'val split' pair1.log && fail "a note with --val-fraction 0: $(cat pair1.log)"

# What cannot be told, or is wrong.
ids '256 1 0 2 0 3 0 256' bytes --format text pair.bin
"$data" build --out raw_bytes train.bin >raw_bytes.log 2>&1 || fail 'a .bin without tokenizer is text'
grep -q 'train.bin) were packed as bytes' raw_bytes.log || fail 'a .bin is packed as bytes silently'
refuse 2 '--vocab-size' "$data" build --out x --format nanogpt train.bin
refuse 2 'only one' "$data" build --out x --tokenizer bytes --vocab-size 9 train.bin
refuse 2 a.txt "$data" build --out x --vocab-size 9 a.txt
refuse 2 '--separator 9' "$data" build --out x --vocab-size 9 --separator 9 train.bin
refuse 1 'token 2 (counted from 0) is 3' "$data" build --out x --vocab-size 3 pair.bin
u16 "${words[0]}" 2000 >unused.bin # the vocabulary has 2501 ids, but none of its tokens has the id 2000
refuse 1 'unused.bin: token 1 (counted from 0) is 2000, but no token of tiktoken' \
  "$data" build --out x --tokenizer tiktoken:synthetic.tiktoken unused.bin
refuse 1 train.idx "$data" build --out x --tokenizer tiktoken:synthetic.tiktoken --format megatron train.bin
refuse 2 megatronn "$data" build --out x --format megatronn train.bin
refuse 2 'tokenizer tokens' "$data" cat --text llmc
[ ! -e x ] || fail 'a refused build left something behind'
finish
